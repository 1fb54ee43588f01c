"""A job: ask, wait, fetch, cancel, rerun, delete.

Owns `Job` and the one path of a question: files → backend → `status.resolve`. Does not know how a job comes to be, which is
`submission`'s, nor IPython.
"""

from __future__ import annotations

import codecs
import contextlib
import difflib
import inspect
import os
import time
import types
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import outputs, replay, session
from .backends import get_backend
from .backends.base import Backend, Launch, Predecessor, Query, Tasks
from .each import written
from .errors import (
    BackendError,
    Damaged,
    JobCancelled,
    JobFailed,
    JobLives,
    JobTimeout,
    NameTaken,
    NoSuchJob,
    NoSuchVariable,
    NotPickled,
    NotRestored,
    NotSubmitted,
    PersistError,
    PredecessorFailed,
    StoreError,
    Unconfirmed,
    UsageError,
)
from .logs import read_log, read_part, tail_offset
from .processes import ProcessId
from .session import default_root
from .status import Evidence, JobState, Observation, Status, Word, duration, moment, resolve, staleness_words
from .store import (
    CancelRequest,
    Handle,
    JobDirectory,
    JobSpec,
    KeptValue,
    Observed,
    ObservedChunks,
    Outcome,
    Progress,
    Root,
    RunDirectory,
    Submitted,
    check_name,
    told,
    write_atomic,
)
from .tasks import Counts, Ledger, combined, ledger, progress_remark, tasks_progress
from .text import harmless

if TYPE_CHECKING:
    from collections.abc import Generator

    from .outputs import Output

_PLAIN_BYTES = 1_000_000
_LARGEST_TEXT = 64_000_000
"""More bytes are no cell, nor what a shell says before a worker stands."""


# ---------------------------------------------------------------- finding


def existing(name: str, root: str | os.PathLike[str] | None = None) -> Job:
    """Return the job of a name.

    Raises
    ------
    NoSuchJob
        If there is none in the root.
    """
    job = Job(name, root)
    if not job.directory.exists():
        place = Root(os.path.dirname(job.directory.path))
        names = place.names()
        if name not in names:  # a job that was being replaced when a session died has its name back now
            raise NoSuchJob(name, place.path, tuple(difflib.get_close_matches(name, names, 3)))
    return job


def predecessors(name: str, after: Sequence[str], place: Root) -> Iterator[Predecessor]:
    """Yield those of the jobs that have not ended; the others must be done.

    Raises
    ------
    NoSuchJob, PredecessorFailed, UsageError
    """
    for each in dict.fromkeys(after):
        if each == name:
            raise UsageError(f"job {name} cannot start after itself")
        job = existing(each, place.path)
        status = job.status()
        if status.state is JobState.DONE:
            continue
        if status.state.ended or status.state is JobState.EMPTY:
            raise PredecessorFailed(name, each, status.describe(time.time()))
        handle = job.directory.handle()
        if handle is None or handle.run != status.run:
            raise UsageError(f"job {each} is only being submitted; submit {name} when %persist_status {each} shows its id")
        yield Predecessor(each, job.spec().backend, handle.id, handle.cluster)


def _is_live(name: str, place: Root) -> bool:
    """Whether there is a job of the name that is queued or runs."""
    job = Job(name, place.path)
    return job.directory.exists() and job.status().state in (JobState.QUEUED, JobState.RUNNING)


def statuses(of: Sequence[Job], seconds: float | None = None) -> list[Status | PersistError]:
    """Return the states of many jobs; each backend is asked once.

    A job directory that cannot be read gives its error in its place and does not disturb the others.

    Parameters
    ----------
    seconds : float, optional
        How long to wait for a scheduler; what it has not said by then is told by a later call. None is as long as it takes.
    """
    found: list[Status | PersistError | None] = [None] * len(of)
    asked: dict[str, list[tuple[int, Query]]] = {}
    for index, job in enumerate(of):
        try:
            queries = job._queries()
            if isinstance(queries, Status):
                found[index] = queries
            for query in () if isinstance(queries, Status) else queries:
                asked.setdefault(query.spec.backend, []).append((index, query))
        except PersistError as error:
            found[index] = error
    heard: dict[int, dict[int | None, Observation]] = {}
    for backend, pairs in asked.items():
        try:
            words = get_backend(backend).poll([query for _, query in pairs], seconds)
        except PersistError as error:
            words = [Observation(Word.UNKNOWN, str(error))] * len(pairs)
        for (index, query), word in zip(pairs, words, strict=True):
            known = word if query.started is not None else replace(word, before_start=True)
            heard.setdefault(index, {})[query.chunk] = known
    for index, observations in heard.items():
        try:
            found[index] = of[index]._settled(observations)
        except PersistError as error:
            found[index] = error
    return [each for each in found if each is not None]


def settings_of(
    runner: Backend, options: Sequence[str], after: Sequence[Predecessor], tasks: Tasks | None
) -> dict[str, Any]:
    """Return what a backend makes of the options; only one that is given a sweep need know of tasks.

    Raises
    ------
    BackendError
        If an option is wrong, or if the backend knows of no tasks.
    """
    if tasks is None:
        return runner.settings(options, after)
    if len(inspect.signature(runner.settings).parameters) < 3:
        raise BackendError(runner.name, "it runs no sweeps: it takes no tasks")
    return runner.settings(options, after, tasks)


def _of_chunk(status: Status) -> Status:
    """The state of a chunk, whose records stand in its journal."""
    return replace(status, source="journal") if status.source in ("ended.json", "outcome.json") else status


def _is_final(evidence: Evidence) -> bool:
    """Whether the files tell for good how it ended."""
    return evidence.ended is not None and evidence.ended.final


def _is_told(evidence: Evidence) -> bool:
    """Whether the files tell what there is to know, and no backend has to be asked."""
    return _is_final(evidence) or evidence.copy_of != ""


def _to_be_kept(evidence: Evidence, status: Status) -> Observed | None:
    """The verdict, if it rests on what a backend said and may soon forget."""
    known = evidence.observed is not None and evidence.observed.run == status.run
    if not status.state.ended or _is_told(evidence) or known:
        return None
    return Observed(status.run, status.seen, status.state.value, status.reason, status.source, status.note)


def pauses(deadline: float | None = None) -> Iterator[float]:
    """Yield how long to sleep between looks at something that may take microseconds or days.

    A twentieth of the time waited so far, between 2 ms and half a second, and not beyond the deadline, which is on the
    monotonic clock.
    """
    begin = time.monotonic()
    while True:
        now = time.monotonic()
        pause = min(0.5, max(0.002, 0.05 * (now - begin)))
        yield pause if deadline is None else max(0.0, min(pause, deadline - now))


def is_over(status: Status, job: str, what: str, deadline: float | None, timeout: float | None) -> bool:
    """Return whether what is waited for has ended, or say why it is not waited for any longer.

    Parameters
    ----------
    job, what : str
        The job, and what of it is waited for.

    Raises
    ------
    NotSubmitted
        If no backend ever took the job.
    JobTimeout
        If the time is over.
    """
    if status.state.ended:
        return True
    if status.state is JobState.EMPTY:
        raise NotSubmitted(job)
    if deadline is not None and time.monotonic() >= deadline:
        raise JobTimeout(what, timeout or 0.0, status.describe(time.time()))
    return False


def exception_of(kept: KeptValue | None, read: Callable[[KeptValue], Any]) -> BaseException | None:
    """Return the exception that ended a cell, or None if there is none, or it cannot be restored."""
    if kept is None or kept.payload is None:
        return None
    try:
        value = read(kept)
    except Exception:  # noqa: BLE001  an exception class may refuse its own arguments; the traceback tells all the same
        return None
    return value if isinstance(value, BaseException) else None


# ---------------------------------------------------------------- the job


class Variables(Mapping[str, Any]):
    """The variables that a job brought back; each is read from disk when it is asked for.

    Parameters
    ----------
    job : Job
    """

    def __init__(self, job: Job) -> None:
        self._job = job

    def _kept(self) -> dict[str, KeptValue]:
        outcome = self._job._outcome("read the variables of")
        return outcome.variables if outcome is not None else {}

    def __getitem__(self, name: str) -> Any:
        kept = self._kept()
        if name not in kept:
            raise NoSuchVariable(self._job.name, name, tuple(kept))
        return self._job._value(name, kept[name])

    def __contains__(self, name: object) -> bool:
        return name in self._kept()

    def __iter__(self) -> Iterator[str]:
        return iter(self._kept())

    def __len__(self) -> int:
        return len(self._kept())

    def describe(self) -> dict[str, KeptValue]:
        """Return what is known of each variable without reading it: type, shape or length, repr, or why it is missing."""
        return self._kept()

    def __repr__(self) -> str:
        parts = [
            f"{n}: {k.type} {k.detail}".rstrip() + (f" (not kept: {k.error})" if k.error else "")
            for n, k in self._kept().items()
        ]
        return f"<variables of {self._job.name}: {', '.join(parts) or 'none'}>"


class Job:
    """A job, known by its name within a root. Making one touches no file; `load` is for users, and says if there is none.

        job = persist_magic.load("calcpi")
        job.status()           running, seen 4 s ago
        job.fetch()            the result, once it is there
        job.variables["hits"]  a variable
        job.show()             what the cell has put out

    Parameters
    ----------
    name : str
        Letters, digits, ``. _ -``; at most 100 characters.
    root : path, optional
        The folder of the job directories; see `default_root`.

    Raises
    ------
    InvalidName
        If no job can have the name.

    Attributes
    ----------
    name : str
    variables : Variables
        A mapping of the names that the cell assigned or changed.
    counts : Counts or None
        Of a sweep: how many tasks were in which state when it was last asked for its own.
    """

    def __init__(self, name: str, root: str | os.PathLike[str] | None = None) -> None:
        self.name = check_name(name)
        self._root = Root(os.fspath(root) if root is not None else default_root())
        self.directory: JobDirectory = self._root.directory(name)
        self.variables = Variables(self)
        self._spec: tuple[tuple[int, int], JobSpec] | None = None
        self.counts: Counts | None = None
        self._chunks: tuple[int, Sequence[Status]] = (0, ())  # of a sweep: of which run, and the states of its chunks
        self._began: float | None = None

    @property
    def path(self) -> Path:
        """The job directory."""
        return Path(self.directory.path)

    def spec(self) -> JobSpec:
        """Return what the job is: cell, captured names, versions, place; read once."""
        try:
            info = os.stat(self.directory.spec_path, follow_symlinks=False)
        except OSError:
            if not os.path.lexists(self.directory.path):
                raise NoSuchJob(self.name, self._root.path) from None
            return self.directory.spec()
        key = info.st_ino, info.st_mtime_ns
        if self._spec is None or self._spec[0] != key:
            self._spec = key, self.directory.spec()
        return self._spec[1]

    # ---- asking

    def _evidence(self, observation: Observation | None = None) -> Evidence:
        """What the files say of the newest run."""
        spec = self.spec()
        run = self.directory.current_run()
        now = time.time()
        ended = run.ended()
        if ended is not None and ended.final:
            return Evidence(now=now, run=run.number, submitted=spec.time, ended=ended)
        submitted = run.submitted()
        started = run.started()
        made = submitted.time if submitted is not None else started.time if started is not None else run.heartbeat()
        return Evidence(
            now=now,
            run=run.number,
            submitted=made if made is not None else spec.time,
            handle=self.directory.handle(),
            started=started,
            heartbeat=run.heartbeat() if started is not None else None,
            outcome=run.outcome(),
            ended=run.ended(),
            cancel=self.directory.cancel_request(),
            observed=self.directory.observed(),
            observation=observation,
            abandoned=started is None and submitted is not None and submitted.is_abandoned(),
            copy_of=self._original(submitted),
        )

    def _original(self, submitted: Submitted | None) -> str:
        """The job directory of which this one is a copy, or ""."""
        return submitted.directory if submitted is not None and self.directory.is_copy(submitted.directory) else ""

    def _query(self, evidence: Evidence, chunk: int | None = None) -> Query:
        return Query(self.directory, self.directory.run(evidence.run), self.spec(), evidence, chunk)

    def _whole_query(self) -> Query:
        """The newest run; of a sweep that is one chunk, that chunk's evidence for it."""
        if not self.spec().tasks:
            return self._query(self._evidence())
        with ledger(self.directory, self.spec()) as known:
            base = self._sweep_base(known)
            return self._query(known.evidences(base, {})[0] if len(known.chunks) == 1 else base)

    def _queries(self) -> Status | list[Query]:
        """The state, if the files tell it for good; or what the backend is to be asked."""
        if self.spec().tasks:
            return self._sweep_queries()
        evidence = self._evidence()
        if _is_told(evidence):
            return resolve(evidence)
        return [self._query(evidence)]

    def _settled(self, observations: Mapping[int | None, Observation]) -> Status:
        """The state after the backend's word; the files are read again, since the run may have ended meanwhile."""
        if self.spec().tasks:
            return self._sweep_settled(observations)
        evidence = self._evidence(observations[None])
        status = resolve(evidence)
        if (observed := _to_be_kept(evidence, status)) is not None:
            with contextlib.suppress(OSError):  # kept only to know it for longer than a scheduler does
                write_atomic(self.directory.observed_path, observed.to_bytes(), sync=False)
        return status

    # ---- asking about a sweep

    def _sweep_base(self, known: Ledger) -> Evidence:
        """What the files say of the newest run as a whole."""
        submitted = known.submitted
        return Evidence(
            now=time.time(),
            run=known.run.number,
            submitted=submitted.time if submitted is not None else self.spec().time,
            handle=self.directory.handle(),
            cancel=self.directory.cancel_request(),
            abandoned=submitted is not None and submitted.is_abandoned(),
            copy_of=self._original(submitted),
        )

    def _sweep_queries(self) -> Status | list[Query]:
        with ledger(self.directory, self.spec()) as known:
            evidences = known.evidences(self._sweep_base(known), {})
            if all(_is_told(each) for each in evidences):
                return self._whole(known, [_of_chunk(resolve(each)) for each in evidences])
            return [self._query(each, chunk) for chunk, each in enumerate(evidences) if not _is_told(each)]

    def _sweep_settled(self, observations: Mapping[int | None, Observation]) -> Status:
        with ledger(self.directory, self.spec()) as known:
            heard = {chunk: word for chunk, word in observations.items() if chunk is not None}
            evidences = known.evidences(self._sweep_base(known), heard)
            chunks = [_of_chunk(resolve(each)) for each in evidences]
            kept = {
                str(number): observed
                for number, (evidence, status) in enumerate(zip(evidences, chunks, strict=True))
                if (observed := _to_be_kept(evidence, status)) is not None
            }
            if kept:
                older = known.run.observed_chunks()
                record = ObservedChunks({**(older.chunks if older is not None else {}), **kept})
                with contextlib.suppress(OSError):
                    write_atomic(known.run.observed_path, record.to_bytes(), sync=False)
            return self._whole(known, chunks)

    @contextlib.contextmanager
    def _with_chunks(self) -> Iterator[tuple[Ledger, Sequence[Status]]]:
        """Give what is known of a sweep's tasks, with the states of the chunks of that very run."""
        while True:
            self.status()
            number, chunks = self._chunks
            with ledger(self.directory, self.spec()) as known:
                if known.run.number == number and len(known.chunks) == len(chunks):
                    yield known, chunks
                    return

    def _whole(self, known: Ledger, chunks: Sequence[Status]) -> Status:
        """The sweep's state from its chunks'; the counts that go with it are kept, too."""
        self.counts = known.counts(chunks)
        self._chunks, self._began = (known.run.number, chunks), known.began
        failure = known.first_failure() if self.counts.failed > self.counts.lost else ""
        return combined(chunks, self.counts, failure, known.first_loss(chunks), known.torn)

    def status(self) -> Status:
        """Return the job's state with its reason, source and age."""
        (found,) = statuses([self])
        if isinstance(found, PersistError):
            raise found
        return found

    def is_ready(self) -> bool:
        """Return whether the job has ended, well or badly."""
        return self.status().state.ended

    def info(self, compared: bool = True) -> dict[str, Any]:
        """Return all that is known of the job.

        Parameters
        ----------
        compared : bool
            Whether to tell what has changed since, which may capture the session's data anew.

        Returns
        -------
        dict
            ``name``, ``state``, ``reason``, ``note``, ``source``, ``backend``, ``id``, ``host``, ``run``, ``runs``;
            ``options``; ``seen``, ``submitted``, ``started``, ``ended`` (seconds since the epoch or None); ``elapsed``,
            ``cpu_seconds`` (seconds); ``peak_memory`` (bytes); ``directory``, ``cwd``, ``python``; ``names`` (a list of
            dicts: what was captured); ``modules`` (a list of dicts: the user's own modules that it imports); ``snapshot``
            (whether these were copied); ``warnings``; ``variables`` (name → type); ``after`` (the jobs it was to wait for);
            ``ranks`` (of MPI); ``tasks`` (of a sweep: how many are in which state, as `tasks.Counts`, or None); ``usage``
            and ``progress`` (as `store.Usage` and `store.Progress`, dicts or None); ``staleness`` (of `staleness`);
            ``native`` (what the backend tells of a live job, as ps(1) or ``scontrol show job`` would).
        """
        spec, status = self.spec(), self.status()
        query = self._whole_query()
        evidence, run = query.evidence, query.run
        started, handle, outcome = evidence.started or run.started(), self.directory.handle(), run.outcome()
        submitted = run.submitted()
        ended = evidence.ended
        end = ended.time if ended is not None else status.seen if status.state.ended else time.time()
        live = status.state in (JobState.QUEUED, JobState.RUNNING)
        return {
            "name": self.name,
            "state": status.state.value,
            "reason": status.reason,
            "note": status.note,
            "source": status.source,
            "seen": status.seen,
            "backend": spec.backend,
            "id": handle.id if handle is not None else "",
            "host": started.supervisor.host if started is not None else spec.host,
            "run": run.number,
            "runs": self.directory.runs(),
            "options": list(submitted.options) if submitted is not None else [],
            "submitted": submitted.time if submitted is not None else spec.time,
            "started": started.time if started is not None else None,
            "ended": end if status.state.ended else None,
            "elapsed": end - started.time if started is not None else None,
            "cpu_seconds": ended.cpu_seconds if ended is not None else None,
            "peak_memory": ended.peak_memory if ended is not None else None,
            "directory": self.directory.path,
            "cwd": spec.cwd,
            "python": spec.python,
            "names": [asdict(each) for each in spec.names],
            "modules": [asdict(each) for each in spec.modules],
            "snapshot": spec.snapshot,
            "warnings": list(spec.warnings),
            "variables": {name: kept.type for name, kept in outcome.variables.items()} if outcome is not None else {},
            "after": list(submitted.after) if submitted is not None else [],
            "ranks": spec.ranks,
            "usage": asdict(usage) if (usage := run.usage()) is not None else None,
            "progress": asdict(told_progress) if (told_progress := self.progress()) is not None else None,
            "tasks": asdict(self.counts) if spec.tasks and self.counts is not None else None,
            "staleness": list(self.staleness()) if compared else [],
            "native": get_backend(spec.backend).info(query) if live else {},
        }

    # ---- waiting and fetching

    def wait(self, timeout: float | None = None) -> Status:
        """Wait until the job has ended; interrupting the wait does not touch the job.

        Parameters
        ----------
        timeout : float, optional
            Seconds; None waits for ever.

        Raises
        ------
        JobTimeout
            If it has not ended by then.
        NotSubmitted
            If no backend ever took it, so that there is nothing to wait for.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        for pause in pauses(deadline):
            status = self.status()
            if is_over(status, self.name, self.name, deadline, timeout):
                return status
            time.sleep(pause)
        raise AssertionError("pauses never ends")

    async def _wait_async(self) -> Any:
        import asyncio

        for pause in pauses():
            if is_over(self.status(), self.name, self.name, None, None):
                return self.fetch(timeout=0)
            await asyncio.sleep(pause)
        raise AssertionError("pauses never ends")

    def __await__(self) -> Generator[Any, None, Any]:
        """``await job`` waits without blocking the event loop and gives what `fetch` gives."""
        return self._wait_async().__await__()

    def fetch(self, timeout: float | None = None) -> Any:
        """Wait for the job and return its result: the value of the cell's last expression, or the function's.

        Parameters
        ----------
        timeout : float, optional
            Seconds; None waits for ever.

        Returns
        -------
        object
            None if the cell does not end in an expression.

        Raises
        ------
        JobFailed
            With the job's own traceback, and as ``__cause__`` the original exception if it can be restored.
        JobCancelled, JobTimeout, NotSubmitted
        NotPickled
            If the result could not be written; the variables may be there all the same.
        Damaged, VersionSkew, UnsafePath
            If the result's file is not to be read.
        """
        self._require_one_cell()  # of a sweep `load` gives what fetches
        status = self.wait(timeout)
        outcome = self._outcome_of(status)
        if status.state is JobState.CANCELLED:
            raise JobCancelled(self.name, status.reason)
        if status.state is JobState.FAILED:
            trace = outcome.traceback if outcome is not None else ""
            failure = JobFailed(self.name, status.reason, trace)
            failure.shown = self._error_lines()
            kept = outcome.exception if outcome is not None else None
            raise failure from exception_of(kept, lambda kept: self._value("exception", kept))
        if outcome is None or outcome.result is None:
            return None
        return self._value("result", outcome.result)

    def _error_lines(self) -> tuple[str, ...]:
        """The job's traceback as IPython shows one."""
        try:
            found, result = outputs.read(self._run(), limit=0)
        except Damaged:  # the error is told all the same
            return ()
        lines = [line for at in result for line in found[at].get("traceback", ())]
        return tuple(replay.as_wanted(lines))

    def checkpoint(self) -> dict[str, Any]:
        """Return the values of the newest checkpoint that the cell made, in whichever run; empty if there is none.

        Raises
        ------
        Damaged, VersionSkew, UnsafePath, NotRestored
            If its file is not to be read.
        """
        from .restore import load_checkpoint

        return load_checkpoint(self._run())

    def _run(self) -> RunDirectory:
        return self.directory.current_run()

    def _outcome(self, action: str) -> Outcome | None:
        status = self.status()
        if not status.state.ended:
            raise JobLives(self.name, action, status.describe(time.time()))
        return self._outcome_of(status)

    def _outcome_of(self, status: Status) -> Outcome | None:
        """The cell's own word on a run that has ended, without which none is done."""
        outcome, why = self.outcome(), ""
        if outcome is None and status.state is JobState.DONE:
            why = "it is missing, so is what it tells of"
        elif outcome is not None and outcome.token != self.spec().token:
            why = "it belongs to another job"
        if why:
            raise Damaged(self.name, self.directory.relative(self._run().outcome_path), why)
        return outcome

    def _value(self, name: str, kept: KeptValue) -> Any:
        return self.kept_value(name, kept, self._run().values_path)

    def kept_value(self, name: str, kept: KeptValue, path: str) -> Any:
        """Read a value from a file of values of this job; see `fetch` for what is raised."""
        if kept.payload is None:
            raise NotPickled(self.name, name, kept.error, kept.shown)
        from .restore import load_value

        return load_value(self.directory, path, kept.payload, name)

    def bring(
        self, namespace: Mapping[str, Any], names: Sequence[str] | None = None, overwrite: bool = False
    ) -> tuple[dict[str, Any], list[str]]:
        """Return variables of the job that are to come into a session.

        Parameters
        ----------
        namespace : mapping
            The session's names, which are not to be overwritten; modules are.
        names : sequence of str, optional
            The variables; if not given, all that can be read.
        overwrite : bool
            Whether they are to be overwritten.

        Returns
        -------
        values : dict
        left_out : list of str
            Why others could not be read.

        Raises
        ------
        NameTaken
            If the session has one of the names; nothing has been read then.
        NoSuchVariable, NotPickled, NotRestored
            If one that is named cannot be read.
        """
        kept = self.variables.describe()
        chosen = [name for name in kept if kept[name].payload is not None] if names is None else list(names)
        taken = taken_names(chosen, namespace)
        if taken and not overwrite:
            raise NameTaken(self.name, taken)
        values, left_out = {}, []
        for name in kept if names is None else chosen:
            try:
                values[name] = self.variables[name]
            except (NotPickled, NotRestored) as error:
                if names is not None:
                    raise
                left_out.append(str(error))
        return values, left_out

    def log_path(self, err: bool = False) -> str:
        """Return the file of the newest run's stdout or stderr.

        Raises
        ------
        UsageError
            Of a sweep, which has one for each task.
        """
        self._require_one_cell()
        return self._run().log_path(err)

    def _require_one_cell(self) -> None:
        """Raise UsageError of a sweep: its tasks have what is asked for."""
        if count := self.spec().tasks:
            some = f"%persist_log {self.name} --task 0, or persist_magic.load({self.name!r})[0]"
            raise UsageError(f"job {self.name} is a sweep, each of its {count} tasks has an output of its own: {some}")

    # ---- logs

    def stdout(self, tail: int | None = None) -> str:
        """Return what the newest run has printed so far; of it only the last `tail` lines if given."""
        return read_log(self.log_path(), tail)

    def stderr(self, tail: int | None = None) -> str:
        """Return what the newest run has written to stderr so far; of it only the last `tail` lines if given."""
        return read_log(self.log_path(err=True), tail)

    def launch_log(self) -> str:
        """Return what job.sh wrote before the worker took over: a missing interpreter shows here."""
        return read_log(self.directory.launch_log_path, most=_LARGEST_TEXT)

    def cell(self) -> str:
        """Return the cell as written, below a comment line in the magic's place."""
        return read_log(self.directory.cell_path, most=_LARGEST_TEXT)

    def outcome(self) -> Outcome | None:
        """Return the newest run's own record of how the cell ended, or None if there is none yet."""
        return self._run().outcome()

    def follow(self, err: bool = False, tail: int | None = None) -> Iterator[str]:
        """Yield what is printed from now on, after the last `tail` lines, until the job ends; by later runs, too."""
        self._require_one_cell()
        run = self._run()
        offset = tail_offset(run.log_path(err), tail)
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        pause = pauses()
        while True:
            over = self.status().state not in (JobState.QUEUED, JobState.RUNNING)
            newest = self._run()
            while part := read_part(run.log_path(err), offset):
                offset += len(part)
                pause = pauses()
                yield decoder.decode(part)
            if over or newest.number != run.number:
                if rest := decoder.decode(b"", final=True):
                    yield rest
                decoder.reset()
            if newest.number != run.number:
                run, offset = newest, 0
            elif over:
                return
            else:
                time.sleep(min(0.2, next(pause)))

    # ---- outputs

    def outputs(self) -> list[Output]:
        """Return what the newest run has put out so far, with its result, as a notebook's outputs.

        Returns
        -------
        list of dict
            As nbformat 4 has them: "stream", "display_data", "execute_result", "error", in the order in which they came;
            cleared and updated as the cell did it, each line of a stream as carriage returns left it. Of long streams the
            last megabyte. Nothing is unpickled but a small result of plain data.

        Raises
        ------
        Damaged
            If a file of the run cannot be read.
        UnsafePath
            If somebody else may have written it.
        """
        found, _ = self._recorded()
        outcome = self.outcome()
        if outcome is not None and outcome.shown and outcome.result is not None:
            data = self._plain_data(outcome.result)
            found.append({"output_type": "execute_result", "data": data, "metadata": {}, "execution_count": None})
        return found

    def outputs_around_result(self) -> tuple[list[Output], list[Output]]:
        """Return what came before the result, or the error, and what came after it; as `outputs`."""
        found, result = self._recorded()
        return found[: result.start], found[result.stop :]

    def _recorded(self) -> tuple[list[Output], range]:
        """What the newest run has recorded, which others must not have been able to write: it may hold scripts."""
        run = self._run()
        self.directory.check_trusted(run.path)
        return outputs.read(run)

    def _plain_data(self, result: KeptValue) -> dict[str, str]:
        """The text of a result of plain data, which is made where it is looked at."""
        payload = result.payload
        if payload is not None and payload.size + sum(length for _, length, _ in payload.buffers) <= _PLAIN_BYTES:
            with contextlib.suppress(PersistError):
                return {"text/plain": replay.plain_text(self._value("result", result))}
        return {"text/plain": result.shown}

    def show(self) -> None:
        """Show what the job has put out so far, as if the cell had run here: text, figures, result, error.

        In Jupyter these become the outputs of the cell that asks, and are saved with the notebook; in a terminal they are
        text.
        """
        replay.show(self.outputs())

    def export(self, path: str | os.PathLike[str], replace: bool = False) -> Path:
        """Write a notebook with the cell, its outputs so far and the facts of the job, to keep or to send.

        Parameters
        ----------
        path : path
            For example "calcpi.ipynb".
        replace : bool
            Whether to write over a file that exists.

        Returns
        -------
        Path

        Raises
        ------
        StoreError
            If it exists, or cannot be written.
        """
        info = self.info()
        text = replay.notebook(
            replay.header(self.name, self._facts(info)), self._source_text(), self.outputs(), self.spec().python
        )
        target = os.path.abspath(os.path.expanduser(os.fspath(path)))
        with told("export to", target, in_root=False):
            try:
                write_atomic(target, text.encode(), exclusive=not replace)
            except FileExistsError:
                raise StoreError(
                    "export to", target, "it exists; with replace=True or --replace it is written over"
                ) from None
        return Path(target)

    def _source_text(self) -> str:
        """The cell as written, without the line that stands in the magic's place."""
        return self.cell().partition("\n")[2].rstrip("\n")

    def _facts(self, info: dict[str, Any]) -> dict[str, str]:
        """What is worth knowing of a job years later, in words."""

        facts = {
            "state": self.status().describe(time.time()),
            "where": " ".join(filter(None, (info["backend"], info["id"], "on", info["host"]))),
            "submitted": f"{moment(info['submitted'])} by {self.spec().user}",
            "started": moment(info["started"]) if info["started"] is not None else "",
            "ended": moment(info["ended"]) if info["ended"] is not None else "",
            "took": duration(info["elapsed"]) if info["elapsed"] is not None else "",
            "run": f"{info['run']}",
            "options": " ".join(info["options"]),
            "python": info["python"],
            "captured": ", ".join(f"{each.name} ({each.kind})" for each in self.spec().names) or "nothing",
        }
        return {name: words for name, words in facts.items() if words}

    def progress(self) -> Progress | None:
        """Return how far the newest run says that it is (by tqdm, `track` or `progress`); None if it says nothing.

        A sweep counts its tasks.
        """
        if not self.spec().tasks:
            return self._run().progress()
        began = self.began()
        return tasks_progress(self.counts, began, time.time()) if self.counts is not None else None

    def began(self) -> float | None:
        """Return when the newest run was started, seconds since the epoch; None if it was not.

        Of a sweep, as it was when that was last asked for its state.
        """
        if self.spec().tasks:
            if self.counts is None:
                self.status()
            return self._began
        started = self._run().started()
        return started.time if started is not None else None

    def remarks(self, status: Status) -> list[str]:
        """Return what is to be said besides its state: how far it is, or came, and what has changed since; in words."""
        progress = "" if status.state is JobState.DONE else progress_remark(self.progress(), self.counts, time.time())
        return list(filter(None, (progress, staleness_words(status.state, self.staleness()))))

    # ---- what has changed since

    def staleness(self) -> tuple[str, ...]:
        """Return how the session's cell of this name, or its inputs, differ from what the job ran.

        Returns
        -------
        tuple of str
            For example "alpha changed"; empty if nothing does, or if this session has run no ``%%persist`` cell of the name.
            Names that the job itself brought back are not compared, nor inputs of more than 10 MB in all.
        """
        return session.changes(self.directory.path, lambda: (self.spec(), self.outcome()))

    # ---- changing

    def cancel(self, force: bool = False) -> None:
        """Ask the job to stop: KeyboardInterrupt in the cell, ten seconds for its ``finally``, then SIGKILL.

        Parameters
        ----------
        force : bool
            SIGKILL at once.

        Does nothing to a job that has ended.
        """
        from .capture.environment import user_name

        status = self.status()
        if status.state.ended:
            return
        request = CancelRequest(time.time(), user_name(), os.uname().nodename, force)
        with told("cancel job", self.directory.path):
            write_atomic(self.directory.cancel_path, request.to_bytes())
        get_backend(self.spec().backend).cancel(self._whole_query(), force)

    def rerun(self, options: Sequence[str] | None = None, failed: bool = False) -> Job:
        """Run the same capture once more, as the next run; the older runs stay.

        Parameters
        ----------
        options : sequence of str, optional
            Options of the backend that come after those of the last run, so that the last word counts.
        failed : bool
            Of a sweep: run only those tasks that are not done; what the others gave stays.

        Raises
        ------
        JobLives
            If it has not ended.
        UsageError
            If no task failed.
        """
        spec = self.spec()
        runner = get_backend(spec.backend)
        with contextlib.ExitStack() as stack, contextlib.ExitStack() as lock, told("rerun job", self.directory.path):
            lock.enter_context(self._root.lock())
            self.require_ended("rerun")
            self.directory.open_trusted(self.directory.script_path).close()
            last = self._run()
            asked_for = self._last_submitted()
            every = (*asked_for.options, *(options or ()))
            number = last.number + 1
            waits = [each for each in asked_for.after if _is_live(each, self._root)]
            again = self._tasks_again(failed)
            tasks = Tasks(len(again), asked_for.wanted_chunk, asked_for.limit) if spec.tasks else None
            settings = settings_of(runner, every, list(predecessors(self.name, waits, self._root)), tasks)
            launch = stack.enter_context(runner.prepare(self.directory, spec.token, number, every, settings))
            if os.path.lexists(self.directory.cancel_path):
                os.unlink(self.directory.cancel_path)
            submitted = Submitted(
                time=time.time(),
                user=spec.user,
                host=os.uname().nodename,
                options=every,
                settings=launch.reserve(),
                after=tuple(waits),
                tasks=written(again) if len(again) < spec.tasks else "",
                chunk=settings.get("chunk", 0),
                limit=asked_for.limit,
                wanted_chunk=asked_for.wanted_chunk,
                process=ProcessId.of(os.getpid()),
                directory=self.directory.path,
            )
            if asked_for.directory not in ("", self.directory.path):  # it has been moved or copied
                script = runner.script(self.directory, spec)
                write_atomic(self.directory.script_path, script.encode("utf-8", "surrogateescape"), mode=0o700)
            run = self.directory.create_run(number, submitted)
            lock.close()
            self._start(launch, number, lambda: self.directory.delete_run(run))
        return self

    def _tasks_again(self, failed: bool) -> Sequence[int]:
        """The tasks of a sweep that are to be run again, which has ended: all of them, or those that are not done."""
        spec = self.spec()
        if not failed:
            return range(spec.tasks)
        if not spec.tasks:
            raise UsageError(f"job {self.name} is one cell and no sweep; %persist_rerun {self.name} runs it again")
        with self._with_chunks() as (known, chunks):
            again = [task for task, word in enumerate(known.words(chunks)) if word != JobState.DONE.value]
        if not again:
            raise UsageError(f"all {spec.tasks} tasks of job {self.name} are done; none is run again")
        return again

    def _last_submitted(self) -> Submitted:
        """How the last run was asked for; a requeue's run has no such record."""
        for number in reversed(self.directory.runs()):
            submitted = self.directory.run(number).submitted()
            if submitted is not None:
                return submitted
        raise Damaged(self.name, "submitted.json", "it is missing")

    def _start(self, launch: Launch, number: int, undo: Callable[[], None]) -> Handle:
        """Let the backend take a run that has been written; `undo` removes it if that is refused.

        Without the root's lock, which others may want while a scheduler takes its time: until there is a handle, or the
        backend knows for certain that it never took the run, the run counts as queued.
        """
        try:
            handle = launch.start(self.directory, self.directory.run(number))
        except Unconfirmed:
            raise
        except PersistError:
            with contextlib.suppress(PersistError, OSError), self._root.lock():  # else the state tells that it never began
                undo()
            raise
        if self.directory.cancel_request() is not None:  # it came while the backend took the run
            get_backend(self.spec().backend).cancel(self._whole_query(), False)
        return handle

    def cleanup(self) -> None:
        """Delete the job directory with all its runs.

        Raises
        ------
        JobLives
            If the job is queued or running.
        """
        with self._root.lock():
            self.require_ended("delete")
            self._root.delete(self.directory)
        session.forget(self.directory.path)

    def require_ended(self, action: str) -> None:
        """Raise JobLives if the job is queued or running; `action` says what was going to be done."""
        status = self.status()
        if not status.state.ended and status.state is not JobState.EMPTY:
            raise JobLives(self.name, action, status.describe(time.time()))

    def __repr__(self) -> str:
        try:
            status = self.status()
            return harmless(f"<Job {self.name}: {'; '.join((status.describe(time.time()), *self.remarks(status)))}>")
        except PersistError as error:
            return f"<Job {self.name}: {error}>"


def taken_names(names: Iterable[str], namespace: Mapping[str, Any]) -> tuple[str, ...]:
    """Return those names under which a session has something of its own, and not just a module."""
    return tuple(name for name in names if name in namespace and not isinstance(namespace[name], types.ModuleType))


def ended_jobs(of: Iterable[Job], states: frozenset[JobState], older: float = 0.0) -> list[Job]:
    """Return those jobs that are in one of the states and ended at least `older` seconds ago."""
    chosen = list(of)
    now = time.time()
    return [
        job
        for job, status in zip(chosen, statuses(chosen), strict=True)
        if isinstance(status, Status) and status.state in states and now - status.seen >= older
    ]
