"""The exceptions of persist_magic, under one base.

Owns the words of every error: what happened, to which job and variable, and what to type next.
Knows nothing of files, processes or IPython, and imports next to nothing.

Every class takes only plain values, which are its ``args``, so that each error can be pickled.
"""

from __future__ import annotations

_FAILURES_SHOWN = 10


class PersistError(Exception):
    """Base of all errors that persist_magic raises on purpose."""


class InvalidName(PersistError, ValueError):
    """A job name that could not be a safe directory name."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name

    def __str__(self) -> str:
        return (
            f"{self.name!r} is no name for a job: use letters, digits, '.', '_' and '-', "
            "not starting with '.' or '-', at most 100 characters"
        )


class NoSuchJob(PersistError, LookupError):
    """No job of that name in the root."""

    def __init__(self, name: str, root: str, similar: tuple[str, ...] = ()) -> None:
        super().__init__(name, root, similar)
        self.name, self.root, self.similar = name, root, similar

    def __str__(self) -> str:
        hint = f"; did you mean {' or '.join(self.similar)}?" if self.similar else ""
        return f"no job {self.name!r} in {self.root}{hint or ' (%persist_status lists the jobs)'}"


class JobExists(PersistError):
    """The name is taken by a job with another cell or other inputs."""

    def __init__(self, name: str, differences: tuple[str, ...], alive: bool) -> None:
        super().__init__(name, differences, alive)
        self.name, self.differences, self.alive = name, differences, alive

    def __str__(self) -> str:
        advice = (
            f"it is still live: %persist_cancel {self.name} first, or take another name"
            if self.alive
            else f"take another name, or --replace to delete the job {self.name} and submit this one"
        )
        return f"job {self.name} exists and is not the same: {'; '.join(self.differences)}; {advice}"


class JobLives(PersistError):
    """Something was asked for that is only done to a job that has ended."""

    def __init__(self, name: str, action: str, state: str) -> None:
        super().__init__(name, action, state)
        self.name, self.action, self.state = name, action, state

    def __str__(self) -> str:
        return f"cannot {self.action} job {self.name} while it lives ({self.state}); %persist_cancel {self.name} first"


class JobTimeout(PersistError, TimeoutError):
    """The job had not ended when the time given for waiting was over; the job goes on."""

    def __init__(self, name: str, seconds: float, state: str) -> None:
        super().__init__(name, seconds, state)
        self.name, self.seconds, self.state = name, seconds, state

    def __str__(self) -> str:
        return f"job {self.name} has not ended after {self.seconds:g} s ({self.state}); it goes on, wait again when you like"


class JobFailed(PersistError):
    """The job failed.

    Attributes
    ----------
    name : str
    reason : str
        One line, as the status shows it.
    traceback : str
        The job's own traceback, from the cell's line inwards; empty if a signal ended it.
    shown : tuple of str
        The same as IPython shows it, for those who see this error there.
    """

    shown: tuple[str, ...] = ()

    def __init__(self, name: str, reason: str, traceback: str = "") -> None:
        super().__init__(name, reason, traceback)
        self.name, self.reason, self.traceback = name, reason, traceback

    def __str__(self) -> str:
        if self.traceback:
            return f"{self._head()}\n\n{self.traceback.rstrip()}"
        return f"{self._head()} (%persist_log {self._log()} --err)"

    def _head(self) -> str:
        return f"job {self.name} failed: {self.reason}"

    def _log(self) -> str:
        """What %persist_log takes to show its log."""
        return self.name

    def _render_traceback_(self) -> list[str]:
        """What IPython shows instead of a traceback: the job's own, none of our frames."""
        from .text import harmless

        return [*self.shown, harmless(f"{type(self).__name__}: {self._head() if self.shown else self}")]


class JobCancelled(PersistError):
    """The job was cancelled, so there is no result."""

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(name, reason)
        self.name, self.reason = name, reason

    def __str__(self) -> str:
        return f"job {self.name} has no result: {self.reason}; %persist_rerun {self.name} runs it again"


class NoSuchTask(PersistError, IndexError):
    """A sweep has no task of that number."""

    def __init__(self, name: str, task: int, total: int) -> None:
        super().__init__(name, task, total)
        self.name, self.task, self.total = name, task, total

    def __str__(self) -> str:
        return f"job {self.name} has {self.total} tasks, numbered from 0; there is no task {self.task}"


class TaskFailed(JobFailed):
    """A task of a sweep failed; ``__cause__`` is the original exception, if it can be restored.

    Attributes
    ----------
    task : int
    label : str
        What it was given: "alpha=0.001".
    """

    def __init__(self, name: str, task: int, label: str, reason: str, traceback: str = "") -> None:
        super().__init__(name, reason, traceback)
        self.args = name, task, label, reason, traceback
        self.task, self.label = task, label

    def _head(self) -> str:
        return f"task {self.task} ({self.label}) of job {self.name} failed: {self.reason}"

    def _log(self) -> str:
        return f"{self.name} --task {self.task}"


class TaskCancelled(JobCancelled):
    """A task of a sweep was cancelled, so it has no result."""

    def __init__(self, name: str, task: int, reason: str) -> None:
        super().__init__(name, reason)
        self.args = name, task, reason
        self.task = task

    def __str__(self) -> str:
        again = f"%persist_rerun {self.name} --failed runs it again"
        return f"task {self.task} of job {self.name} has no result: {self.reason}; {again}"


class TasksFailed(PersistError):
    """Not all tasks of a sweep are done.

    Attributes
    ----------
    name : str
    total : int
    failures : tuple of (int, str, str)
        Of each task that failed, or was cancelled: its number, what it was given, why.
    """

    def __init__(self, name: str, total: int, failures: tuple[tuple[int, str, str], ...]) -> None:
        super().__init__(name, total, failures)
        self.name, self.total, self.failures = name, total, failures

    @property
    def tasks(self) -> tuple[int, ...]:
        """The numbers of these tasks."""
        return tuple(task for task, _, _ in self.failures)

    def __str__(self) -> str:
        alike: dict[str, list[str]] = {}
        for task, label, reason in self.failures:
            alike.setdefault(reason, []).append(f"task {task} ({label})")
        lines = [
            f"  {tasks[0]}{f' and {len(tasks) - 1} more' if tasks[1:] else ''}: {reason}"
            for reason, tasks in list(alike.items())[:_FAILURES_SHOWN]
        ]
        if rest := len(alike) - len(lines):
            lines.append(
                f"  … and {rest} other reason{'s' if rest > 1 else ''}; %persist_tasks {self.name} --state failed lists all"
            )
        again = f"%persist_rerun {self.name} --failed runs them again"
        others = f'%persist_fetch {self.name} --errors return, or fetch(errors="return"), gives the others'
        head = f"{len(self.failures)} of {self.total} tasks of job {self.name} have no result; {again}; {others}"
        return "\n".join((head, *lines))


class NotSubmitted(PersistError):
    """The job directory is there, but no backend ever took the job."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name

    def __str__(self) -> str:
        return f"job {self.name} was written but never started; %persist_rerun {self.name} starts it"


class NoSuchVariable(PersistError, LookupError):
    """The job has no variable of that name."""

    def __init__(self, job: str, variable: str, available: tuple[str, ...]) -> None:
        super().__init__(job, variable, available)
        self.job, self.variable, self.available = job, variable, available

    def __str__(self) -> str:
        have = ", ".join(self.available) if self.available else "no variables"
        return f"job {self.job} has no variable {self.variable!r}; it has {have}"


class NotPickled(PersistError):
    """The job made this value but it could not be written.

    Attributes
    ----------
    job, variable : str
        ``variable`` is "result" for the result.
    reason : str
        Why it could not be pickled.
    shown : str
        The value's repr, cut.
    """

    def __init__(self, job: str, variable: str, reason: str, shown: str) -> None:
        super().__init__(job, variable, reason, shown)
        self.job, self.variable, self.reason, self.shown = job, variable, reason, shown

    def __str__(self) -> str:
        return f"{self.variable} of job {self.job} could not be kept: {self.reason}; it was {self.shown}"


class NotRestored(PersistError):
    """A value was written, but cannot be read in this process; ``__cause__`` is the error that unpickling it raised."""

    def __init__(self, job: str, variable: str, reason: str) -> None:
        super().__init__(job, variable, reason)
        self.job, self.variable, self.reason = job, variable, reason

    def __str__(self) -> str:
        return f"{self.variable} of job {self.job} cannot be restored here: {self.reason}"


class PackageSkew(UserWarning):
    """A value was written with another version of a package; it was read all the same."""


class NameTaken(PersistError):
    """Fetching would overwrite names of the session."""

    def __init__(self, job: str, names: tuple[str, ...]) -> None:
        super().__init__(job, names)
        self.job, self.names = job, names

    def __str__(self) -> str:
        return (
            f"{', '.join(self.names)} already in the session, nothing fetched from job {self.job}; "
            "add --overwrite to replace them"
        )


class UsageError(PersistError, ValueError):
    """Words of a command that do not fit."""


class CaptureError(PersistError):
    """The cell or function cannot be captured; nothing was written."""


class MissingNames(CaptureError):
    """The cell reads names that the session does not have."""

    def __init__(self, job: str, names: tuple[str, ...]) -> None:
        super().__init__(job, names)
        self.job, self.names = job, names

    def __str__(self) -> str:
        listed = ", ".join(self.names)
        return f"job {self.job} not submitted: the cell reads {listed}, not defined here; define or correct it first"


class Unpicklable(CaptureError):
    """A captured variable holds something that cannot be written down.

    Attributes
    ----------
    job : str
    variable : str
        The session's name that was being written; empty for an argument of a persisted function.
    path : str
        Where in the variable the culprit sits, for example ``model.loader._lock``.
    reason : str
    advice : str
        What to do instead; empty for "make it inside the cell".
    """

    def __init__(self, job: str, variable: str, path: str, reason: str, advice: str) -> None:
        super().__init__(job, variable, path, reason, advice)
        self.job, self.variable, self.path, self.reason, self.advice = job, variable, path, reason, advice

    def __str__(self) -> str:
        advice = self.advice or f"make it inside the {'cell' if self.variable else 'function'}"
        if self.variable:
            advice += f"; or leave {self.variable} out with --without {self.variable}"
        return f"job {self.job} not submitted: {self.path}: {self.reason}; {advice}"


class UnsafePath(PersistError):
    """A root, directory or file that another user owns or may write."""

    def __init__(self, path: str, why: str, advice: str) -> None:
        super().__init__(path, why, advice)
        self.path, self.why, self.advice = path, why, advice

    def __str__(self) -> str:
        return f"{self.path} is not safe: {self.why}; {self.advice}"


class StoreError(PersistError):
    """The file system refused: disk full, read-only, no permission."""

    def __init__(self, action: str, path: str, why: str, advice: str = "") -> None:
        super().__init__(action, path, why, advice)
        self.action, self.path, self.why, self.advice = action, path, why, advice

    def __str__(self) -> str:
        return "; ".join(filter(None, (f"cannot {self.action} {self.path}: {self.why}", self.advice)))


class Damaged(PersistError):
    """A file of a job directory is missing, cut off or altered."""

    def __init__(self, job: str, what: str, why: str) -> None:
        super().__init__(job, what, why)
        self.job, self.what, self.why = job, what, why

    def __str__(self) -> str:
        return f"{self.what} of {self.job} is damaged: {self.why}"


class VersionSkew(PersistError):
    """Written by a Python or a format that this one must not read."""

    def __init__(self, job: str, what: str, written_by: str, read_by: str) -> None:
        super().__init__(job, what, written_by, read_by)
        self.job, self.what, self.written_by, self.read_by = job, what, written_by, read_by

    def __str__(self) -> str:
        return f"{self.what} of {self.job} was written by {self.written_by} and cannot be read by {self.read_by}"


class BackendError(PersistError):
    """A backend is unknown, refuses its options or did not take the job."""

    def __init__(self, backend: str, why: str) -> None:
        super().__init__(backend, why)
        self.backend, self.why = backend, why

    def __str__(self) -> str:
        return f"backend {self.backend}: {self.why}"


class Unconfirmed(BackendError):
    """The backend did not say whether it took the job; the job directory stays, and its status will tell."""

    def __init__(self, backend: str, job: str, why: str) -> None:
        super().__init__(backend, why)
        self.args = backend, job, why
        self.job = job

    def __str__(self) -> str:
        return (
            f"backend {self.backend} may have taken job {self.job} or not: {self.why}; "
            f"%persist_status {self.job} finds out, do not submit it again before"
        )


class PredecessorFailed(PersistError):
    """A job was to start after another that is not going to be done."""

    def __init__(self, job: str, predecessor: str, state: str) -> None:
        super().__init__(job, predecessor, state)
        self.job, self.predecessor, self.state = job, predecessor, state

    def __str__(self) -> str:
        return (
            f"job {self.job} not submitted: it was to start after {self.predecessor}, which is {self.state}; "
            f"%persist_rerun {self.predecessor} first, or leave --after away"
        )
