"""Submit jobs and find them.

Owns `persist`, `load`, `jobs`, and the one path of a submission: capture → job directory → backend. Magics, command line
and views are faces over it. Knows nothing of IPython.
"""

from __future__ import annotations

import contextlib
import dataclasses
import math
import os
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .backends import get_backend
from .backends.base import Tasks
from .each import CALL, VALUE, checked
from .errors import JobExists, PersistError, UsageError
from .job import Job, existing, predecessors, settings_of
from .processes import ProcessId
from .session import default_root, differences, remember
from .status import JobState
from .store import AxisLabels, JobDirectory, JobSpec, Root, Submitted, SweepLabels, check_name, write_new
from .sweep import Sweep

if TYPE_CHECKING:
    from .capture.cell import Capture, Selection, Source
    from .each import Axis


@dataclass(frozen=True)
class Submission:
    """What became of a request to submit.

    Attributes
    ----------
    job : Job
    capture : Capture
        What was shipped, or would be.
    attached : bool
        Whether the identical job existed already, and nothing was submitted.
    id : str
        The backend's name for the run.
    """

    job: Job
    capture: Capture
    attached: bool
    id: str


def persist(
    function: Callable[..., Any],
    name: str,
    backend: str = "local",
    args: Sequence[Any] = (),
    kwargs: Mapping[str, Any] | None = None,
    *,
    options: Sequence[str] = (),
    after: Sequence[str] = (),
    mpi: int = 0,
    mpi_options: Sequence[str] = (),
    python: str = "",
    replace: bool = False,
    snapshot: bool = False,
    environment: Sequence[str] = (),
    each: Iterable[Any] | Mapping[str, Iterable[Any]] | None = None,
    chunk: int = 0,
    limit: int = 0,
    root: str | os.PathLike[str] | None = None,
) -> Job:
    """Run ``function(*args, **kwargs)`` as a job that outlives this process; or, with `each`, a sweep of such calls.

    Parameters
    ----------
    function : callable
        Functions of ``__main__`` travel by value with the globals that they use, others by name.
    name : str
        Letters, digits, ``. _ -``; at most 100 characters.
    backend : str
        "local", "slurm", or another registered backend.
    args, kwargs
        Written down at once: changing them later does not change the job.
    options : sequence of str
        Options of the backend; for "slurm" those of sbatch.
    after : sequence of str
        Names of jobs of the same root that must be done first.
    mpi : int
        Run it in so many MPI processes; the result is rank 0's. 0 is one process without MPI.
    mpi_options : sequence of str
        Options of mpiexec, or under Slurm of srun.
    python : str
        The interpreter that the job runs under; empty is this one. A bare name is looked up where the job runs.
    replace : bool
        Delete an older job of the name, unless it lives.
    snapshot : bool
        Copy the user's own modules that the job imports into the job directory, so that editing them later does not change
        a job that is queued or run again.
    environment : sequence of str
        Names of environment variables whose values are written down for this and later runs. Without that a run gets what
        the process has that starts it.
    each : iterable, or mapping of str to iterable, optional
        Call it once for each value: ``function(*args, value, **kwargs)``. A mapping is for keyword arguments, of which the
        product is made in the order of nested loops: ``each={"alpha": alphas, "seed": range(3)}``.
    chunk : int
        Of a sweep, for backends that start jobs slowly: how many tasks run one after the other in one of theirs; 0 leaves
        that to the backend.
    limit : int
        Of a sweep: how many tasks may run at once; 0 for as many as can.
    root : path, optional
        The folder of the job directories; see `default_root`.

    Returns
    -------
    Job
        The job, a `Sweep` if there is `each`; if an identical one exists, that one.

    Raises
    ------
    JobExists
        If another job has the name.
    CaptureError
        If function or arguments cannot be written down.
    PersistError
        Its other subclasses, as the errors module names them.
    """
    from .capture.cell import Source, function_text

    axes, dealt = _dealt(function, each, args)
    source = Source("function", function_text(function), f"{CALL}[0](*{CALL}[1]{dealt[0]}, **{CALL}[2]{dealt[1]})")
    call = (function, tuple(args), dict(kwargs or {}))
    namespace = getattr(function, "__globals__", None)
    if getattr(function, "__module__", None) != "__main__" or not isinstance(namespace, dict):
        namespace = sys.modules["__main__"].__dict__
    submission = submit(
        name,
        source,
        namespace,
        backend=backend,
        options=options,
        after=after,
        mpi=mpi,
        mpi_options=mpi_options,
        python=python,
        replace=replace,
        snapshot=snapshot,
        environment=environment,
        root=root,
        call=call,
        each=axes,
        chunk=chunk,
        limit=limit,
    )
    return submission.job


def _dealt(
    function: Callable[..., Any], each: Iterable[Any] | Mapping[str, Iterable[Any]] | None, args: Sequence[Any]
) -> tuple[list[Axis], tuple[str, str]]:
    """The axes of a sweep of calls, and what the call says of them: after the arguments, and after the keyword arguments."""
    if each is None:
        return [], ("", "")
    if isinstance(each, Mapping):
        axes = checked([((name,), values) for name, values in each.items()])
        if not axes:
            raise UsageError("each is empty: there are no values")
        return axes, ("", "".join(f", {name}={VALUE}{name}" for (name,), _ in axes))
    name = _parameter(function, len(args))
    return checked([((name,), each)]), (f", {VALUE}{name}", "")


def _parameter(function: Callable[..., Any], place: int) -> str:
    """What a function calls its positional argument at a place."""
    import inspect

    try:
        parameters = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):
        return "value"
    positional = [each.name for each in parameters if each.kind in (each.POSITIONAL_ONLY, each.POSITIONAL_OR_KEYWORD)]
    return positional[place] if place < len(positional) else "value"


def preview(
    name: str,
    source: Source,
    namespace: dict[str, Any],
    *,
    backend: str,
    options: Sequence[str],
    selection: Selection,
    each: Sequence[Axis] = (),
) -> Capture:
    """Check everything and return what a submission would ship; nothing is written."""
    from .capture.cell import capture

    check_name(name)
    settings_of(get_backend(backend), options, (), _tasks(each, 0, 0, 0))
    return capture(name, source, namespace, selection, None, None, None, each)


def _tasks(each: Sequence[Axis], chunk: int, limit: int, mpi: int) -> Tasks | None:
    """What a backend is told of a sweep's tasks; None for what is no sweep.

    Raises
    ------
    UsageError
    """
    if any(isinstance(number, bool) or not isinstance(number, int) or number < 0 for number in (chunk, limit)):
        raise UsageError("--chunk and --limit take a number of tasks from 1 on")
    if not each and (chunk or limit):
        raise UsageError("--chunk and --limit are for sweeps, which --each makes")
    if mpi < 0:
        raise UsageError(f"{mpi} is no number of MPI processes")
    if each and mpi:
        raise UsageError("the tasks of a sweep run without MPI: leave --mpi or --each away")
    return Tasks(math.prod(len(values) for _, values in each), chunk, limit) if each else None


def submit(
    name: str,
    source: Source,
    namespace: dict[str, Any],
    *,
    backend: str = "local",
    options: Sequence[str] = (),
    after: Sequence[str] = (),
    mpi: int = 0,
    mpi_options: Sequence[str] = (),
    python: str = "",
    replace: bool = False,
    snapshot: bool = False,
    environment: Sequence[str] = (),
    selection: Selection | None = None,
    root: str | os.PathLike[str] | None = None,
    call: tuple[Any, tuple[Any, ...], dict[str, Any]] | None = None,
    each: Sequence[Axis] = (),
    chunk: int = 0,
    limit: int = 0,
) -> Submission:
    """Capture a cell or a call, write its job directory and start it; see `persist` for what is raised.

    Parameters
    ----------
    source : Source
    namespace : dict
        The session's globals.
    selection : Selection, optional
        Names to add or leave out.
    call : (function, args, kwargs), optional
        For a source of kind "function".
    each : sequence of (names, values)
        What the tasks of a sweep are given, as `each.checked` returns it.
    chunk, limit : int
        See `persist`.
    """
    from .capture.cell import Selection, capture

    selection = selection or Selection()
    place = Root(os.fspath(root) if root is not None else default_root())
    final = place.directory(name)
    if call is None:
        remember(final.path, source, selection, namespace, each)
    runner = get_backend(backend)
    place.check()
    tasks = _tasks(each, chunk, limit, mpi)
    if final.exists() and not replace:  # compare before anything is written
        settings_of(runner, options, (), tasks)
        compared = capture(name, source, namespace, selection, None, None, call, each)
        older = load(name, place.path)
        if not _was_never_taken(older, compared, mpi):
            return _attach(older, compared, mpi)
    settings = settings_of(runner, options, list(predecessors(name, after, place)), tasks)
    token = os.urandom(16).hex()
    with runner.prepare(final, token, 1, options, settings) as launch:
        with place.new_directory(name) as work:
            taken = capture(name, source, namespace, selection, work.session_path, work.buffers_path, call, each)
            captured = _without_secrets(taken, environment)
            if snapshot:
                captured = _with_snapshot(captured, work.modules_path)
            count = tasks.count if tasks is not None else 0
            spec = _spec(name, token, source, backend, captured, snapshot, environment, mpi, mpi_options, python, count)
            _write(work, spec, each, _cell_text(name, source, backend, options), runner.script(final, spec))
            with place.lock():
                place.finish_replacements()
                if takes_the_place := final.exists():
                    older = load(name, place.path)
                    if not replace and not _was_never_taken(older, captured, mpi):
                        return _attach(older, captured, mpi)
                    older.require_ended("replace")
                submitted = Submitted(
                    time=time.time(),
                    user=spec.user,
                    host=spec.host,
                    options=tuple(options),
                    settings=launch.reserve(),
                    after=tuple(after),
                    chunk=settings.get("chunk", 0),
                    limit=limit,
                    wanted_chunk=chunk,
                    process=ProcessId.of(os.getpid()),
                    directory=final.path,
                )
                write_new(work.run(1).submitted_path, submitted.to_bytes())
                aside = place.publish(work, replace=takes_the_place)

        def undo() -> None:
            place.delete(final, kept=aside)
            if aside:
                place.put_back(aside, final)

        job = load(name, place.path)
        try:
            handle = job._start(launch, 1, undo)
        finally:
            if aside and final.exists() and os.path.lexists(aside):  # the new job has, or may have, been taken
                with contextlib.suppress(OSError):  # it goes with whoever finishes replacements
                    place.discard(aside)
    return Submission(job, captured, attached=False, id=handle.id)


def _write(work: JobDirectory, spec: JobSpec, each: Sequence[Axis], cell: str, script: str) -> None:
    """Write what says what the job is."""
    if each:
        write_new(work.sweep_path, _labelled(each).to_bytes())
    write_new(work.spec_path, spec.to_bytes())
    write_new(work.cell_path, cell.encode("utf-8", "surrogateescape"))
    write_new(work.script_path, script.encode("utf-8", "surrogateescape"), mode=0o700)


def _labelled(each: Sequence[Axis]) -> SweepLabels:
    from .capture.cell import label

    return SweepLabels(tuple(AxisLabels(names, tuple(label(names, value) for value in values)) for names, values in each))


def _with_snapshot(captured: Capture, folder: str) -> Capture:
    """Copy the job's local modules; what was not copied becomes a warning."""
    from .capture import modules

    left_out = modules.snapshot(captured.modules, folder)
    return _with_warning(captured, "left out of the snapshot, as large or unreadable", left_out)


def _without_secrets(captured: Capture, environment: Sequence[str]) -> Capture:
    """Warn of chosen environment variables that look like secrets, which are not written down."""
    from .capture.environment import looks_secret

    secrets = [name for name in environment if looks_secret(name) and name in os.environ]
    return _with_warning(
        captured, "not written down, as the name tells of a secret; later runs have what starts them has", secrets
    )


def _with_warning(captured: Capture, words: str, names: Sequence[str]) -> Capture:
    warning = f"{words}: {', '.join(names)}"
    return dataclasses.replace(captured, warnings=(*captured.warnings, warning)) if names else captured


def _spec(
    name: str,
    token: str,
    source: Source,
    backend: str,
    captured: Capture,
    snapshot: bool,
    environment: Sequence[str],
    mpi: int,
    mpi_options: Sequence[str],
    python: str,
    tasks: int,
) -> JobSpec:
    from .capture.environment import record
    from .capture.modules import with_roots

    world = record(environment)
    return JobSpec(
        token=token,
        name=name,
        kind=source.kind,
        backend=backend,
        code=source.code,
        cell_digest=captured.cell_digest,
        future_flags=source.future_flags,
        names=captured.names,
        payload=captured.payload,
        fingerprint=captured.fingerprint,
        python=world.python,
        executable=(os.path.abspath(python) if os.sep in python else python) or world.executable,
        dill=world.dill,
        cwd=world.cwd,
        sys_path=with_roots(world.sys_path, world.cwd, captured.modules),
        environment=world.variables,
        extensions=source.extensions,
        user=world.user,
        host=world.host,
        time=time.time(),
        modules=captured.modules,
        snapshot=snapshot,
        warnings=captured.warnings,
        ranks=mpi,
        mpi_options=tuple(mpi_options),
        notebook=world.notebook,
        figures=world.figures,
        tasks=tasks,
    )


def _cell_text(name: str, source: Source, backend: str, options: Sequence[str]) -> str:
    """cell.py: one comment line in the magic's place, so that line numbers are the notebook's, then what was written."""
    rest = f" -- {' '.join(options)}" if options else ""
    head = f"# %%persist {name} --backend {backend}{rest}".replace("\n", " ").replace("\r", " ")
    return f"{head}\n{source.text}"


def _is_identical(older: Job, captured: Capture, mpi: int) -> bool:
    spec = older.spec()
    return spec.fingerprint == captured.fingerprint and spec.ranks == mpi


def _was_never_taken(older: Job, captured: Capture, mpi: int) -> bool:
    """Whether a job is the identical one, whose session died before it could start it: it has nothing to lose or to give."""
    if not _is_identical(older, captured, mpi) or older.directory.runs() != [1]:  # an earlier run has what it gave
        return False
    return older.status().state is JobState.EMPTY


def _attach(older: Job, captured: Capture, mpi: int) -> Submission:
    """The identical job, or an error that tells what differs."""
    spec = older.spec()
    if _is_identical(older, captured, mpi):
        handle = older.directory.handle()
        return Submission(older, captured, attached=True, id=handle.id if handle is not None else "")
    differ = list(differences(spec, captured))
    if spec.ranks != mpi:
        differ.append(f"the number of MPI processes changed ({spec.ranks} → {mpi})")
    raise JobExists(older.name, tuple(differ), alive=not older.status().state.ended)


def load(name: str, root: str | os.PathLike[str] | None = None) -> Job:
    """Return the job of a name, submitted by whichever session (Persist.jl's ``readmgr``).

    Parameters
    ----------
    name : str
    root : path, optional
        The folder of the job directories; see `default_root`.

    Returns
    -------
    Job
        A `Sweep` if it is one.

    Raises
    ------
    NoSuchJob
        If there is none in the root.
    """
    return _of_its_kind(existing(name, root))


def jobs(root: str | os.PathLike[str] | None = None) -> list[Job]:
    """Return all jobs of a root, by name.

    Parameters
    ----------
    root : path, optional
        The folder of the job directories; see `default_root`.

    Raises
    ------
    UnsafePath, StoreError
        If the root belongs to somebody else, or cannot be read. That there is none yet is no error.
    """
    place = Root(os.fspath(root) if root is not None else default_root())
    return [_of_its_kind(Job(name, place.path)) for name in place.names()]


def _of_its_kind(job: Job) -> Job:
    """The job, as a `Sweep` if it is one; what cannot be read tells so when it is asked."""
    with contextlib.suppress(PersistError):
        if job.spec().tasks:
            return Sweep(job.name, job.path.parent)
    return job
