"""One cell, many tasks.

Owns `Sweep`, a job of many tasks, and `Task`, one of them: their states, results and output, and the table of all. Knows
nothing of IPython.
"""

from __future__ import annotations

import codecs
import importlib
import os
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, TypeVar, overload

from . import outputs, replay
from .backends import get_backend
from .backends.base import Query
from .chunks import Chunk
from .each import bindings, read, written
from .errors import (
    Damaged,
    JobCancelled,
    NoSuchTask,
    PersistError,
    TaskCancelled,
    TaskFailed,
    TasksFailed,
    UsageError,
)
from .job import Job, exception_of, is_over, pauses
from .logs import read_part, read_span, tail_of_span
from .status import JobState, Status
from .store import CancelRequest, CancelRequests, KeptValue, Progress, TaskBegan, TaskEnded, TaskFiles, told, write_atomic
from .tasks import Ledger, files_of, ledger
from .text import aligned, harmless

if TYPE_CHECKING:
    from .each import Axis
    from .outputs import Output

T = TypeVar("T")

_SHOWN = 100
_PART = 1 << 20


class Sweep(Job):
    """A job of many tasks: ``sweep[3]`` is one of them, ``len(sweep)`` tells how many there are.

        sweep = persist_magic.persist(fit, "fits", each={"alpha": alphas, "seed": range(3)})
        sweep.table()          what each task was given, its state, seconds and result; also while it runs
        sweep[3].stdout()
        sweep.fetch()          all results, in order

    `load` and `persist` give one; in a notebook ``%%persist NAME --each``.
    """

    _axes: list[Axis] | None = None

    def __len__(self) -> int:
        return self.spec().tasks

    def __bool__(self) -> bool:
        return True

    @overload
    def __getitem__(self, index: int) -> Task: ...

    @overload
    def __getitem__(self, index: slice) -> list[Task]: ...

    def __getitem__(self, index: int | slice) -> Task | list[Task]:
        numbers = range(len(self))
        if isinstance(index, slice):
            return [Task(self, number) for number in numbers[index]]
        try:
            return Task(self, numbers[index])
        except IndexError:
            raise NoSuchTask(self.name, index, len(self)) from None

    def __iter__(self) -> Iterator[Task]:
        return (Task(self, number) for number in range(len(self)))

    def numbers(self, text: str) -> list[int]:
        """Return the tasks that "3,7,19-40" names, in order.

        Raises
        ------
        UsageError
            If there are none, or one is not there.
        """
        try:
            chosen = read(text)
        except ValueError as error:
            raise UsageError(str(error)) from None
        self[chosen[-1]]
        return chosen

    def values(self, task: int) -> dict[str, Any]:
        """Return what a task is given, by name.

        Raises
        ------
        NotRestored, VersionSkew, Damaged, UnsafePath
            If what was captured cannot be read here.
        """
        if self._axes is None:
            from .restore import load_axes

            self._axes = load_axes(self.directory, self.spec().payload)
        return bindings(self._axes, task)

    def fetch(self, timeout: float | None = None, errors: str = "raise") -> list[Any]:
        """Wait for all tasks and return their results, in order.

        Parameters
        ----------
        timeout : float, optional
            Seconds; None waits for ever.
        errors : str
            "raise", or "return" to have in the place of a result that there is not the error that `Task.fetch` raises.

        Raises
        ------
        TasksFailed
            If a task failed or was cancelled; it lists them.
        JobCancelled
            If no task is done since the job was cancelled.
        JobTimeout, NotSubmitted
        NotPickled, Damaged, VersionSkew, UnsafePath
            If a result could not be written, or is not to be read.
        """
        if errors not in ("raise", "return"):
            raise UsageError(f'errors is "raise" or "return", not {errors!r}')
        status = self.wait(timeout)
        ends = self.ends()
        if errors == "raise":
            failures = tuple(
                (end.task, end.label, end.status.reason) for end in ends if end.status.state is not JobState.DONE
            )
            if status.state is JobState.CANCELLED and len(failures) == len(self):
                raise JobCancelled(self.name, status.reason)
            if failures:
                raise TasksFailed(self.name, len(self), failures)
            return [end.result() for end in ends]
        return [_or_error(end.result) for end in ends]

    def ends(self) -> list[End]:
        """Return what is known of each task, in order."""
        with self._with_chunks() as (known, chunks), known.held():
            statuses = dict(zip(known.chunks, chunks, strict=True))
            return [self._end(known, task, statuses) for task in range(len(self))]

    def end(self, task: int) -> End:
        """Return what is known of one task."""
        with self._with_chunks() as (known, chunks):
            return self._end(known, task, dict(zip(known.chunks, chunks, strict=True)))

    def _end(self, known: Ledger, task: int, statuses: dict[Chunk, Status]) -> End:
        chunk = known.chunk_of(task)
        line = chunk.line(task)
        status = known.status(task, chunk, statuses.get(chunk, _over(chunk.run.number)), line)
        files = files_of(chunk, line, task) if line is not None else None
        return End(self, task, known.labels(task), status, line, files)

    def states(self) -> list[str]:
        """Return the state of each task, in a word."""
        with self._with_chunks() as (known, chunks):
            return list(known.words(chunks))

    def table(self) -> Any:
        """Return all tasks: what each is given, its state, seconds and result, as far as there is one.

        Returns
        -------
        pandas.DataFrame, or list of dict if pandas is not there
            The columns are the names of ``--each``, then "state", "seconds" and "result" (None of a task that is not done),
            with "_" behind, should ``--each`` have such a name. Where the values cannot be restored here, they are in words.
        """
        lines, restored = [], True
        for end in self.ends():
            values: dict[str, Any] = {"task": end.label}
            if restored:
                try:
                    values = self.values(end.task)
                except PersistError:
                    restored = False
            done = end.status.state is JobState.DONE
            result = _or_error(end.result) if done else None
            ours = {"state": end.status.state.value, "seconds": end.seconds, "result": result}
            lines.append({**values, **{f"{name}_" if name in values else name: each for name, each in ours.items()}})
        try:
            pandas: Any = importlib.import_module("pandas")
        except ImportError:
            return lines
        return pandas.DataFrame({name: _column(pandas, [line[name] for line in lines]) for name in lines[0]})

    def summary(self, most: int = _SHOWN, state: str = "") -> str:
        """Return all tasks as text, a line each: number, what it is given, state, seconds, result or reason.

        Parameters
        ----------
        most : int
            So many lines at most.
        state : str
            Only tasks of this state; all if empty.
        """
        chosen = [end for end in self.ends() if state in ("", end.status.state.value)]
        lines = [("task", "given", "state", "seconds", "result")]
        lines += [end.words() for end in chosen[:most]]
        rest = f"\n… and {len(chosen) - most} more" if len(chosen) > most else ""
        return f"{aligned(lines)}{rest}" if chosen else f"no task is {state}"

    def outputs(self) -> list[Output]:
        """Return the table of the tasks; each task has outputs of its own, see `Task.outputs`."""
        return [{"output_type": "stream", "name": "stdout", "text": f"{self.summary()}\n"}]

    def cancel_tasks(self, tasks: str, force: bool = False) -> None:
        """Ask some tasks to stop, as `Job.cancel` does with all of them.

        Parameters
        ----------
        tasks : str
            "3,7,19-40"

        Raises
        ------
        UsageError
            If it names none.
        """
        from .capture.environment import user_name

        request = CancelRequest(time.time(), user_name(), os.uname().nodename, force, written(self.numbers(tasks)))
        run = self.directory.current_run()
        with self._root.lock(), told("cancel tasks of", self.directory.path):
            try:
                older = run.cancel_requests()
            except Damaged:
                older = ()
            write_atomic(run.cancel_tasks_path, CancelRequests((*older, request)).to_bytes())
        for query in self._not_to_be_started():
            get_backend(query.spec.backend).cancel(query, force)

    def _not_to_be_started(self) -> list[Query]:
        """The chunks that wait for a scheduler, and of which all tasks are to be cancelled."""
        with ledger(self.directory, self.spec()) as known:
            if len(known.chunks) == 1:
                return []
            evidences = known.evidences(self._sweep_base(known), {})
            return [
                self._query(evidence, chunk.number)
                for chunk, evidence in zip(known.chunks, evidences, strict=True)
                if chunk.started is None and known.cancelled.keys() >= set(chunk.tasks)
            ]


class End:
    """What is known of one task at a moment.

    Attributes
    ----------
    task : int
    label : str
    status : Status
    line : TaskBegan, TaskEnded or None
        The last record of it.
    files : TaskFiles or None
        Its lane's files, if it has begun.
    """

    def __init__(
        self,
        sweep: Sweep,
        task: int,
        label: str,
        status: Status,
        line: TaskBegan | TaskEnded | None,
        files: TaskFiles | None,
    ) -> None:
        self.sweep, self.task, self.label, self.status, self.line, self.files = sweep, task, label, status, line, files

    @property
    def seconds(self) -> float | None:
        """How long it took, or has taken so far; None if it has not begun."""
        if isinstance(self.line, TaskEnded):
            return self.line.seconds if self.files is not None and self.line.start else None
        return max(0.0, time.time() - self.line.time) if self.line is not None else None

    def for_programs(self) -> dict[str, Any]:
        """Return the same for JSON."""
        facts = {"task": self.task, "given": self.label, "state": self.status.state.value, "reason": self.status.reason}
        return {**facts, "seconds": self.seconds, "result": self.shown or None}

    @property
    def shown(self) -> str:
        """The result in words; "" of a task that is not done, or has none."""
        kept = self.kept("result") if self.status.state is JobState.DONE else None
        return kept.shown if kept is not None else ""

    def words(self) -> tuple[str, str, str, str, str]:
        """Return a line for people: number, what it is given, state, seconds, and what came of it."""
        told = self.shown or (self.status.reason if self.status.state is not JobState.RUNNING else "")
        seconds = "" if self.seconds is None else f"{self.seconds:.1f}"
        return str(self.task), self.label, self.status.state.value, seconds, told

    def span(self, err: bool) -> tuple[str, int, int | None]:
        """Return the file of its stdout or stderr, and where its own begins and ends; None is not yet."""
        if self.files is None or self.line is None or not self.line.start:
            return "", 0, 0
        stop = self.line.stop[int(err)] if isinstance(self.line, TaskEnded) else None
        return self.files.log_path(err), self.line.start[int(err)], stop

    def window(self) -> outputs.Window | None:
        """Return which part of its lane's files is its own; None if it has not begun."""
        if self.line is None or not self.line.start:
            return None
        return outputs.Window(self.line.start, self.line.stop if isinstance(self.line, TaskEnded) else None)

    def kept(self, name: str) -> KeptValue | None:
        """Return what became of "result" or "exception"."""
        return getattr(self.line, name) if isinstance(self.line, TaskEnded) else None

    def value(self, name: str, kept: KeptValue) -> Any:
        """Read the result or the exception."""
        assert self.files is not None
        what = f"{name} of task {self.task}"
        return self.sweep.kept_value(what, kept, self.files.values_path)

    def result(self) -> Any:
        """Return the result of a task that has ended; see `Task.fetch` for what is raised."""
        name = self.sweep.name
        if self.status.state is JobState.CANCELLED:
            raise TaskCancelled(name, self.task, self.status.reason)
        if self.status.state is not JobState.DONE:
            trace = self.line.traceback if isinstance(self.line, TaskEnded) else ""
            failure = TaskFailed(name, self.task, self.label, self.status.reason, trace)
            raise failure from exception_of(self.kept("exception"), lambda kept: self.value("exception", kept))
        kept = self.kept("result")
        return self.value("result", kept) if kept is not None else None


class Task:
    """One task of a sweep, known by its number.

    Parameters
    ----------
    sweep : Sweep
    index : int
        From 0 on.
    """

    def __init__(self, sweep: Sweep, index: int) -> None:
        self.sweep, self.index = sweep, index

    @property
    def values(self) -> dict[str, Any]:
        """What it is given, by name; see `Sweep.values`."""
        return self.sweep.values(self.index)

    @property
    def label(self) -> str:
        """What it is given, in words: "alpha=0.001, seed=3"."""
        return self.sweep.end(self.index).label

    @property
    def seconds(self) -> float | None:
        """How long it took, or has taken so far; None if it has not begun."""
        return self.sweep.end(self.index).seconds

    def status(self) -> Status:
        """Return its state with its reason, source and age."""
        return self.sweep.end(self.index).status

    def is_ready(self) -> bool:
        """Return whether it has ended, well or badly."""
        return self.status().state.ended

    def wait(self, timeout: float | None = None) -> Status:
        """Wait until it has ended.

        Raises
        ------
        JobTimeout
            If it has not ended after so many seconds; None waits for ever.
        """
        return self._ended(timeout).status

    def _ended(self, timeout: float | None) -> End:
        deadline = None if timeout is None else time.monotonic() + timeout
        for pause in pauses(deadline):
            end = self.sweep.end(self.index)
            if is_over(end.status, self.sweep.name, f"{self.sweep.name}[{self.index}]", deadline, timeout):
                return end
            time.sleep(pause)
        raise AssertionError("pauses never ends")

    def fetch(self, timeout: float | None = None) -> Any:
        """Wait for it and return its result.

        Parameters
        ----------
        timeout : float, optional
            Seconds; None waits for ever.

        Raises
        ------
        TaskFailed
            With its traceback, and as ``__cause__`` the original exception if it can be restored.
        TaskCancelled, JobTimeout
        NotPickled, Damaged, VersionSkew, UnsafePath
            If the result could not be written, or is not to be read.
        """
        return self._ended(timeout).result()

    def log(self, err: bool = False, tail: int | None = None) -> str:
        """Return what it has written to stdout or stderr so far; of it only the last `tail` lines if given."""
        return read_span(*self.sweep.end(self.index).span(err), tail)

    def stdout(self, tail: int | None = None) -> str:
        """Return what it has printed so far; of it only the last `tail` lines if given."""
        return self.log(False, tail)

    def stderr(self, tail: int | None = None) -> str:
        """Return what it has written to stderr so far; of it only the last `tail` lines if given."""
        return self.log(True, tail)

    def follow(self, err: bool = False, tail: int | None = None) -> Iterator[str]:
        """Yield what it prints from now on, after the last `tail` lines, until it ends."""
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        path, at = "", -1
        for pause in pauses():
            end = self.sweep.end(self.index)
            over = end.status.state.ended
            file, start, stop = end.span(err)
            if file and (file, start) != (path, at):  # it has begun, perhaps once more
                offset = start if path else start + tail_of_span(file, start, stop, tail)
                path, at = file, start
            while path and (part := read_part(path, offset, _PART if stop is None else max(0, min(_PART, stop - offset)))):
                offset += len(part)
                yield decoder.decode(part)
            if over:
                if rest := decoder.decode(b"", final=True):
                    yield rest
                return
            time.sleep(min(0.2, pause))

    def outputs(self) -> list[Output]:
        """Return what it has put out so far, as `Job.outputs` does; its result is not among it."""
        return self._recorded()[0]

    def outputs_before_error(self) -> list[Output]:
        """Return the same without the error that ended it."""
        found, error = self._recorded()
        return [*found[: error.start], *found[error.stop :]]

    def _recorded(self) -> tuple[list[Output], range]:
        end = self.sweep.end(self.index)
        window = end.window()
        if window is None or end.files is None:
            return [], range(0)
        end.files.job.check_trusted(end.files.path)
        return outputs.read(end.files, window=window)

    def show(self) -> None:
        """Show what it has put out so far, as `Job.show` does."""
        replay.show(self.outputs())

    def progress(self) -> Progress | None:
        """Return how far it says that it is; None if it says nothing, or does not run."""
        end = self.sweep.end(self.index)
        if not isinstance(end.line, TaskBegan) or end.files is None:
            return None
        told_progress = end.files.progress()
        return told_progress if told_progress is not None and told_progress.time >= end.line.time else None

    def checkpoint(self) -> dict[str, Any]:
        """Return the values of the newest checkpoint that it made, in whichever run; empty if there is none."""
        from .restore import load_checkpoint

        return load_checkpoint(TaskFiles(self.sweep.directory.current_run(), 0, 0, self.index))

    def cancel(self, force: bool = False) -> None:
        """Ask it to stop, as `Job.cancel` does; the others go on. Does nothing if it has ended."""
        if not self.status().state.ended:
            self.sweep.cancel_tasks(str(self.index), force)

    def __repr__(self) -> str:
        try:
            end = self.sweep.end(self.index)
            return harmless(f"<Task {self.index} of {self.sweep.name} ({end.label}): {end.status.describe(time.time())}>")
        except PersistError as error:
            return f"<Task {self.index} of {self.sweep.name}: {error}>"


def as_sweep(job: Job) -> Sweep:
    """Return a job that has tasks.

    Raises
    ------
    UsageError
        If it has none.
    """
    if not isinstance(job, Sweep):
        raise UsageError(f"job {job.name} is one cell and no sweep: it has no tasks")
    return job


def _over(run: int) -> Status:
    """What stands for the state of a chunk of an older run, of which only tasks that are done count."""
    return Status(JobState.FAILED, "not run again", "journal", 0.0, run)


def _or_error(result: Callable[[], T]) -> T | PersistError:
    try:
        return result()
    except PersistError as error:
        return error


def _column(pandas: Any, values: list[Any]) -> Any:
    """A column whose values are what they were: pandas would turn numbers beside None to floats, and take lists apart."""
    kinds = set(map(type, values))
    if len(kinds) == 1 and kinds <= {int, float, bool, str}:
        return pandas.Series(values)
    column = pandas.Series([None] * len(values), dtype=object)
    for at, value in enumerate(values):
        column.iat[at] = value
    return column
