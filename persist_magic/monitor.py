"""The one loop of a session that watches jobs.

Owns the rows that every view shows, how they are kept up to date with as little reading as possible, the thread that polls,
and what is told when a job ends. There is one thread for all jobs that are watched, and none when there are none. Knows
nothing of how anything is shown.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from .errors import NoSuchJob, PersistError
from .job import Job, jobs, load, pauses, statuses
from .logs import last_line
from .status import JobState, Status
from .store import HEARTBEAT_SECONDS

RESCAN_SECONDS = 5.0
"""How often all jobs are looked at, whatever is known of them."""

ENDED = frozenset(state.value for state in JobState if state.ended)


@dataclass(frozen=True)
class Row:
    """One job of the table.

    Attributes
    ----------
    elapsed : float or None
        Seconds that the run took, or has taken so far.
    submitted : float or None
        Seconds since the epoch.
    progress, usage : dict or None
        As `store.Progress` and `store.Usage`.
    last_line : str
        What the cell printed last, if the job lives or failed.
    remarks : list of str
        What else is to be said, in words.
    """

    name: str
    state: str
    reason: str
    note: str
    source: str
    seen: float | None
    backend: str
    id: str
    run: int | None
    submitted: float | None
    elapsed: float | None
    progress: dict[str, Any] | None = None
    usage: dict[str, Any] | None = None
    last_line: str = ""
    remarks: list[str] = field(default_factory=list)

    @property
    def state_words(self) -> str:
        """The state, with the number of a run that is not the first."""
        return self.state if self.run in (None, 1) else f"{self.state} (run {self.run})"

    @property
    def share(self) -> float | None:
        """How much of the outermost progress bar is done, 0 to 1; None without one, or if the job is done or queued."""
        bars = self.progress["bars"] if self.progress is not None and self.state not in ("done", "queued") else []
        if not bars or not bars[0]["total"]:
            return None
        return float(min(1.0, max(0.0, bars[0]["done"] / bars[0]["total"])))

    def samples(self, what: str) -> list[float]:
        """Return what a job that runs has taken lately, of "cpu" in percent of a core or of "memory" in bytes."""
        return list(self.usage[what]) if self.usage is not None and self.state == "running" else []


def rows(jobs: Sequence[Job]) -> list[Row]:
    """Return a row for each job; a job directory that cannot be read is a row of state "damaged"."""
    return [_row(job, status) for job, status in zip(jobs, statuses(jobs), strict=True)]


def _row(job: Job, status: Status | PersistError) -> Row:
    if isinstance(status, PersistError):
        return Row(job.name, "damaged", str(status), "", "", None, "", "", None, None, None)
    try:
        spec, handle, run = job.spec(), job.directory.handle(), job.directory.run(status.run)
        started, progress, usage = run.started(), run.progress(), run.usage()
    except PersistError as error:
        return Row(job.name, "damaged", str(error), "", "", None, "", "", None, None, None)
    end = status.seen if status.state.ended else time.time()
    return Row(
        name=job.name,
        state=status.state.value,
        reason=status.reason,
        note=status.note,
        source=status.source,
        seen=status.seen,
        backend=spec.backend,
        id=handle.id if handle is not None else "",
        run=status.run,
        submitted=spec.time,
        elapsed=max(0.0, end - started.time) if started is not None else None,
        progress=asdict(progress) if progress is not None else None,
        usage=asdict(usage) if usage is not None else None,
        last_line=last_line(run.stdout_path) if status.state is not JobState.DONE else "",
        remarks=job.remarks(status),
    )


class Poller:
    """The rows of some jobs, kept up to date.

    Ended jobs are read once, and whether they are still what they were is looked at every `RESCAN_SECONDS`. Of jobs that run
    it is looked at whether they have written anything; as long as they have not, and their heart beats, nothing is read.

    Parameters
    ----------
    names : sequence of str, optional
        The jobs to look at; all of the root if not given.
    """

    def __init__(self, names: Sequence[str] = ()) -> None:
        self._names = tuple(names)
        self._jobs: dict[str, Job] = {}
        self._ended: dict[str, tuple[tuple[int, ...], Row]] = {}
        self._running: dict[str, tuple[tuple[int, ...], Row, float]] = {}
        self._scan_at = 0.0

    def poll(self) -> list[Row]:
        """Return the rows as they are now, by name."""
        now = time.monotonic()
        if rescan := now >= self._scan_at:
            found = [load(name) for name in self._names] if self._names else jobs()
            self._jobs = {job.name: self._jobs.get(job.name, job) for job in found}
            self._scan_at = now + RESCAN_SECONDS
        known = {
            name: row
            for name, (key, row) in self._ended.items()
            if name in self._jobs and (not rescan or key == _key(self._jobs[name]))
        }
        # taken before anything is read, as the keys below: what is written meanwhile shows next time
        traces = {name: _traces(self._jobs[name], row) for name, (_, row, _) in self._running.items() if name in self._jobs}
        known |= {name: row for name, found in traces.items() if (row := self._unchanged(name, *found)) is not None}
        unknown = [job for name, job in self._jobs.items() if name not in known]
        keys, now = {job.name: _key(job) for job in unknown}, time.time()
        fresh = rows(unknown)
        for row in fresh:
            self._running.pop(row.name, None)
            self._ended.pop(row.name, None)
            if row.state in ENDED:
                self._ended[row.name] = keys[row.name], row
            elif row.state == JobState.RUNNING.value:
                self._running[row.name] = traces.get(row.name, ((), 0.0))[0], row, now
        every = known | {row.name: row for row in fresh}
        return [every[name] for name in self._jobs]

    def _unchanged(self, name: str, traces: tuple[int, ...], beat: float) -> Row | None:
        """The row of a job that runs and has written nothing since; None if it must be read."""
        before, row, at = self._running[name]
        now = time.time()
        if not traces or traces != before or not 0 <= now - beat < HEARTBEAT_SECONDS + 2 or row.elapsed is None:
            return None
        return replace(row, seen=max(row.seen or 0.0, beat), elapsed=row.elapsed + now - at)


def _key(job: Job) -> tuple[int, ...]:
    """What changes when a job that had ended is run again, or another one takes its name."""
    try:
        info = os.stat(job.directory.path)
    except OSError:
        return ()
    return info.st_ino, info.st_mtime_ns


def _traces(job: Job, row: Row) -> tuple[tuple[int, ...], float]:
    """What a run that writes leaves behind in its directories and its stdout; and when its heart last beat."""
    run = job.directory.run(row.run or 1)
    try:
        infos = [os.stat(path) for path in (job.directory.path, run.path)]
        beat = os.stat(run.heartbeat_path).st_mtime
        size = os.stat(run.stdout_path).st_size
    except OSError:
        return (), 0.0
    return (*(info.st_mtime_ns for info in infos), size), beat


class Monitor:
    """Watches jobs from a thread of its own."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._watched: list[tuple[Job, Callable[[Job, Status], None]]] = []
        self._thread: threading.Thread | None = None
        self._news = threading.Event()

    def when_ended(self, job: Job, tell: Callable[[Job, Status], None]) -> None:
        """Call a function, in the monitor's thread, once a job has ended; not if it is deleted before.

        The thread keeps no process from ending.
        """
        with self._lock:
            self._watched.append((job, tell))
            self._news.set()
            if self._thread is None:
                self._thread = threading.Thread(target=self._watch, name="persist_magic monitor", daemon=True)
                self._thread.start()

    def _watch(self) -> None:
        pause = pauses()
        while True:
            with self._lock:
                watched = list(self._watched)
                if not watched:
                    self._thread = None
                    return
            with _reported():
                self._look(watched)
            if self._news.wait(next(pause)):
                self._news.clear()
                pause = pauses()

    def _look(self, watched: list[tuple[Job, Callable[[Job, Status], None]]]) -> None:
        for each, status in zip(watched, statuses([job for job, _ in watched]), strict=True):
            job, tell = each
            ended = isinstance(status, Status) and (status.state.ended or status.state is JobState.EMPTY)
            if ended or isinstance(status, NoSuchJob):
                with self._lock:
                    self._watched.remove(each)
            if isinstance(status, Status) and ended:
                with _reported():
                    tell(job, status)


@contextlib.contextmanager
def _reported() -> Iterator[None]:
    """Tell of an error and go on: one that fails must not silence the others."""
    try:
        yield
    except PersistError as error:
        print(f"persist_magic: {error}", file=sys.stderr, flush=True)
    except Exception:  # noqa: BLE001  whatever it is
        traceback.print_exc()


monitor = Monitor()
