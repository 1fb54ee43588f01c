"""The one loop of a session that watches jobs.

Owns the rows that every view shows, how they are kept up to date with as little reading as possible, and the thread that
polls for all views and for all who want to hear of a job's end: there is one, and none when nobody looks. Knows nothing of
how anything is shown.
"""

from __future__ import annotations

import contextlib
import math
import os
import sys
import threading
import time
import traceback
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Protocol

from .errors import NoSuchJob, PersistError
from .job import Job, pauses, statuses
from .logs import last_line
from .session import asked_names, default_root
from .status import JobState, Status, staleness_words
from .store import FRESH_SECONDS, HEARTBEAT_SECONDS, Progress, Root, Usage
from .tasks import Counts, ledger, progress_remark

RELIST_SECONDS = 30.0
"""How often the root is listed although its modification time says that nothing came or went: file servers may lie."""
_SETTLED_SECONDS = 2.0
"""A modification time that is younger may stay the same although something changes: clocks of file systems have grains."""
_ENDED_A_LOOK = 200
"""How many of the ended jobs are looked at in each poll, one after the other: whether they are still what they were."""
_RESTLESS_A_LOOK = 100
"""How many of the jobs that neither run nor have ended are read in each poll although nothing was written: a scheduler may
say something new of them."""
_BATCH = 100
"""How many jobs are read before it is asked whether there is time for more."""
_QUICK_SECONDS = 0.5
"""How long a poll waits for a scheduler's answer; what comes later is told by the next one."""

POLL_SECONDS = 1.0
"""How often the monitor polls for its views."""
_SLICE_SECONDS = 0.2
"""How long it reads jobs before its views show those that it has."""
_RESTING_SECONDS = 0.3
"""How long a session must have run no cell before jobs are compared with its data."""

ENDED = frozenset(state.value for state in JobState if state.ended)
_STATES = frozenset(state.value for state in JobState)


@dataclass(frozen=True)
class Row:
    """One job of the table.

    Attributes
    ----------
    state : str
        A `JobState`'s value, or "damaged" for a job directory that cannot be read; then `reason` tells why.
    seen : float or None
        When that was true, seconds since the epoch.
    stale : bool
        Whether that was so long ago, of a job that lives, that it is to be told with its age.
    submitted, started, ended : float or None
        Of this run, seconds since the epoch.
    tasks : Counts or None
        Of a sweep.
    last_line : str
        What the cell printed last, unless the job is done.
    staleness : str
        What has changed since, in words; see `Job.staleness`.
    """

    name: str
    state: str
    reason: str
    note: str = ""
    source: str = ""
    seen: float | None = None
    stale: bool = False
    backend: str = ""
    id: str = ""
    run: int | None = None
    submitted: float | None = None
    started: float | None = None
    ended: float | None = None
    progress: Progress | None = None
    tasks: Counts | None = None
    usage: Usage | None = None
    last_line: str = ""
    staleness: str = ""

    @property
    def state_words(self) -> str:
        """The state, with the number of a run that is not the first."""
        return self.state if self.run in (None, 1) else f"{self.state} (run {self.run})"

    @property
    def share(self) -> float | None:
        """How much of the outermost progress bar is done, 0 to 1; None without one, or if the job is done or queued."""
        bars = self.progress.bars if self.progress is not None and self.state not in ("done", "queued") else ()
        if not bars or not bars[0].total:
            return None
        share = bars[0].done / bars[0].total
        return float(min(1.0, max(0.0, share))) if math.isfinite(share) else None

    def elapsed(self, now: float) -> float | None:
        """Return the seconds that the run took, or has taken so far."""
        if self.started is None:
            return None
        return max(0.0, (now if self.ended is None else self.ended) - self.started)

    def samples(self, what: str) -> list[float]:
        """Return what a job that runs has taken lately, of "cpu" in percent of a core or of "memory" in bytes."""
        return list(getattr(self.usage, what)) if self.usage is not None and self.state == "running" else []

    def remarks(self, now: float) -> list[str]:
        """Return what is to be said besides the state, as `Job.remarks` does."""
        progress = "" if self.state == JobState.DONE.value else progress_remark(self.progress, self.tasks, now)
        return list(filter(None, (progress, self.staleness)))

    def for_programs(self, now: float) -> dict[str, Any]:
        """Return all that there is, and what follows from it at a moment, for JSON."""
        return asdict(self) | {"elapsed": self.elapsed(now), "remarks": self.remarks(now)}


def rows(jobs: Sequence[Job], compared: bool = True, seconds: float | None = None) -> list[Row]:
    """Return a row for each job that there is; one that cannot be read is a row of state "damaged".

    Parameters
    ----------
    compared : bool
        Whether to tell what has changed since, which may capture the session's data anew.
    seconds : float, optional
        See `statuses`.
    """
    found = (_row(job, status, compared) for job, status in zip(jobs, statuses(jobs, seconds), strict=True))
    return [row for row in found if row is not None]


def _row(job: Job, status: Status | PersistError, compared: bool) -> Row | None:
    if isinstance(status, NoSuchJob):
        return None
    if isinstance(status, PersistError):
        return Row(job.name, "damaged", str(status))
    try:
        spec, handle, run = job.spec(), job.directory.handle(), job.directory.run(status.run)
        began, progress, usage = job.began(), job.progress(), run.usage()
        submitted = run.submitted() if run.number > 1 else None
        line = last_line(run.stdout_path) if status.state is not JobState.DONE else ""
    except NoSuchJob:
        return None
    except (PersistError, OSError) as error:
        return Row(job.name, "damaged", str(error))
    return Row(
        name=job.name,
        state=status.state.value,
        reason=status.reason,
        note=status.note,
        source=status.source,
        seen=status.seen,
        stale=not status.state.ended and time.time() - status.seen >= FRESH_SECONDS,
        backend=spec.backend,
        id=handle.id if handle is not None else "",
        run=status.run,
        submitted=submitted.time if submitted is not None else spec.time if run.number == 1 else None,
        started=began,
        ended=status.seen if status.state.ended else None,
        progress=progress,
        tasks=job.counts,
        usage=usage,
        last_line=line,
        staleness=staleness_words(status.state, job.staleness()) if compared else "",
    )


# ---------------------------------------------------------------- keeping up to date


@dataclass(frozen=True)
class Changes:
    """What polls have found since some time.

    Attributes
    ----------
    rows : list of Row
        Those that are new or not what they were.
    gone : list of str
        Jobs that are no longer there.
    version : int
        For the next `Poller.since`.
    """

    rows: list[Row]
    gone: list[str]
    version: int


class Poller:
    """The rows of the jobs of a root, kept up to date.

    Ended jobs are read once; in each poll some of them are looked at, one after the other, whether they are still what they
    were. Of jobs that run it is looked at whether they have written anything; as long as they have not, and their heart
    beats, nothing is read. Jobs that wait are read if anything was written, and in turns all the same, since a scheduler may
    say something new. New and deleted ones show in the root's modification time.

    Parameters
    ----------
    names : collection of str, optional
        The jobs to look at; all of the root if not given.
    root : path, optional
        See `default_root`.

    Attributes
    ----------
    rows : dict of str to Row
        As the last poll found them.
    unread : int
        How many jobs there are that have not been read yet, for want of time.
    """

    def __init__(self, names: Collection[str] | None = None, root: str | os.PathLike[str] | None = None) -> None:
        self.rows: dict[str, Row] = {}
        self.unread = 0
        self._version = 0
        self._news: dict[str, int] = {}  # the version in which a job last changed or went, the newest last
        self._root = Root(os.fspath(root) if root is not None else default_root())
        self._names = frozenset(names) if names is not None else None
        self._jobs: dict[str, Job] = {}
        self._unread: dict[str, None] = {}  # an ordered set
        self._ended: dict[str, tuple[int, ...]] = {}
        self._running: dict[str, tuple[int, ...]] = {}
        self._restless: dict[str, tuple[int, ...]] = {}
        self._waiting: list[str] = []
        self._round: list[str] = []
        self._listed: tuple[int, float] | None = None  # the root's modification time, and when it was listed

    def look_at(self, names: Collection[str] | None) -> None:
        """Look at these jobs from now on, or at all; what is known of others stays as it was."""
        chosen = frozenset(names) if names is not None else None
        if chosen != self._names:
            self._names, self._listed, self._round, self._waiting = chosen, None, [], []

    def _chosen(self, names: Iterable[str]) -> list[str]:
        return [name for name in names if self._names is None or name in self._names]

    def table(self) -> list[Row]:
        """Return the rows by name."""
        return [self.rows[name] for name in sorted(self.rows)]

    def since(self, version: int) -> Changes:
        """Return what has changed after a version; after -1 that is all."""
        changed: list[Row] = []
        gone = []
        for name in reversed(self._news):
            if self._news[name] <= version:
                break
            if name in self.rows:
                changed.append(self.rows[name])
            else:
                gone.append(name)
        return Changes(changed, gone, self._version)

    def _tell(self, name: str) -> None:
        self._version += 1
        self._news.pop(name, None)
        self._news[name] = self._version

    def forget(self, name: str) -> None:
        """Read a job again in the next poll, whatever is known of it."""
        if name in self.rows:
            self._ended.pop(name, None)
            self._running.pop(name, None)
            self._restless[name] = ()

    def poll(self, seconds: float = math.inf, wait: float | None = _QUICK_SECONDS, compared: bool = True) -> None:
        """Look again.

        Parameters
        ----------
        seconds : float
            How long to read jobs that are not known yet, the newest first; the next poll goes on.
        wait, compared
            As `rows` has them.

        Raises
        ------
        UnsafePath, StoreError
            If the root is not to be read.
        """
        deadline = time.monotonic() + seconds
        self._find()
        due = [*self._restless_that_are_due(), *self._ended_that_changed()]
        # taken before anything is read, as the keys below: what is written meanwhile shows next time
        traces = {name: _traces(self._jobs[name], self.rows[name]) for name in self._chosen(self._running)}
        due += [name for name, found in traces.items() if not self._as_before(name, *found)]
        unread = self._chosen(self._unread)
        batch = [*due, *unread[:_BATCH]]
        done = min(len(unread), _BATCH)
        while batch:
            self._read(batch, traces, wait, compared)
            batch = unread[done : done + _BATCH] if time.monotonic() < deadline else []
            done += len(batch)
        self.unread = len(unread) - done

    # ---- which jobs there are

    def _find(self) -> None:
        """Learn of jobs that came and went."""
        if self._names is not None:
            there = {name for name in self._names if self._root.directory(name).exists()}
        else:
            now = time.time()
            try:
                changed_at = os.stat(self._root.path).st_mtime_ns
            except OSError:
                changed_at = 0
            if self._listed is not None and self._listed[0] == changed_at and now - self._listed[1] < RELIST_SECONDS:
                return
            there = set(self._root.names(known=self._jobs))
            settled = abs(now - changed_at / 1e9) > _SETTLED_SECONDS
            self._listed = (changed_at, now) if settled else None
        for name in self._chosen(self._jobs):
            if name not in there:
                self._drop(name)
        new = [name for name in there if name not in self._jobs]
        self._jobs.update((name, Job(name, self._root.path)) for name in new)
        self._unread.update(dict.fromkeys(sorted(new, key=lambda name: (*_key(self._jobs[name])[1:], name), reverse=True)))

    def _drop(self, name: str) -> None:
        for known in (self._jobs, self.rows, self._unread, self._ended, self._running, self._restless):
            known.pop(name, None)
        self._tell(name)

    # ---- what has become of them

    def _ended_that_changed(self) -> list[str]:
        """Look at the next of the ended jobs; return those that may have been run again."""
        if not self._round:
            self._round = self._chosen(self._ended)
        looked_at = [name for name in self._round[-_ENDED_A_LOOK:] if name in self._ended]
        del self._round[-_ENDED_A_LOOK:]
        return [name for name in looked_at if self._ended[name] != _key(self._jobs[name])]

    def _restless_that_are_due(self) -> list[str]:
        """Those for which something has been written, and in turns the others."""
        chosen = self._chosen(self._restless)
        if not self._waiting:
            self._waiting = list(chosen)
        due = dict.fromkeys(name for name in self._waiting[-_RESTLESS_A_LOOK:] if name in self._restless)
        del self._waiting[-_RESTLESS_A_LOOK:]
        if len(chosen) > len(due):
            wrote = (name for name in chosen if self._restless[name] != _written(self._jobs[name], self.rows[name]))
            due |= dict.fromkeys(wrote)
        return list(due)

    def unread_of(self, names: Collection[str] | None) -> int:
        """Return how many of these jobs, or of all, have not been read yet."""
        return self.unread if names is None else sum(name in self._unread for name in names)

    def _as_before(self, name: str, traces: tuple[int, ...], beat: float) -> bool:
        """Whether a job that runs has written nothing since, and its heart beats."""
        row = self.rows[name]
        if row.stale or not traces or traces != self._running[name] or not 0 <= time.time() - beat < HEARTBEAT_SECONDS + 2:
            return False
        self.rows[name] = replace(row, seen=max(row.seen or 0.0, beat))
        return True

    def _read(
        self, names: Sequence[str], traces: dict[str, tuple[tuple[int, ...], float]], wait: float | None, compared: bool
    ) -> None:
        keys = {name: _key(self._jobs[name]) for name in names}
        written = {name: _written(self._jobs[name], self.rows[name]) for name in names if name in self._restless}
        fresh = {row.name: row for row in rows([self._jobs[name] for name in names], compared, wait)}
        for name in names:
            before = self.rows.get(name)
            if name not in fresh:
                self._drop(name)
                continue
            row = fresh[name] if compared or before is None else replace(fresh[name], staleness=before.staleness)
            for known in (self._unread, self._ended, self._running, self._restless):
                known.pop(name, None)
            if row.state in ENDED:
                self._ended[name] = keys[name]
            elif row.state == JobState.RUNNING.value:
                self._running[name] = traces.get(name, ((), 0.0))[0]
            else:
                self._restless[name] = written.get(name, ())
            self.rows[name] = row
            if row != before:
                self._tell(name)

    def compare(self, names: Iterable[str]) -> None:
        """Look whether the session differs by now from what some jobs ran."""
        for name in names:
            row = self.rows.get(name)
            if row is None or row.state not in _STATES:
                continue
            words = staleness_words(JobState(row.state), self._jobs[name].staleness())
            if words != row.staleness:
                self.rows[name] = replace(row, staleness=words)
                self._tell(name)


def _key(job: Job) -> tuple[int, ...]:
    """What changes when a job that had ended is run again, or another one takes its name."""
    try:
        info = os.stat(job.directory.path)
    except OSError:
        return ()
    return info.st_ino, info.st_mtime_ns


def _written(job: Job, row: Row) -> tuple[int, ...]:
    """What changes when something is written to a job's directory, or to that of its run."""
    run = job.directory.run(row.run or 1)
    times = []
    for path in (job.directory.path, run.path):
        try:
            times.append(os.stat(path).st_mtime_ns)
        except OSError:
            times.append(0)
    return tuple(times)


def _traces(job: Job, row: Row) -> tuple[tuple[int, ...], float]:
    """What a run that writes leaves behind in its directories and its stdout; and when its heart last beat."""
    run = job.directory.run(row.run or 1)
    try:
        if row.tasks is not None:
            with ledger(job.directory, job.spec()) as known:
                (*traces,), beat = known.traces()
                return (*traces, os.stat(job.directory.path).st_mtime_ns) if traces else (), beat
        infos = [os.stat(path) for path in (job.directory.path, run.path)]
        beat = os.stat(run.heartbeat_path).st_mtime
        size = os.stat(run.stdout_path).st_size
    except (OSError, PersistError):
        return (), 0.0
    return (*(info.st_mtime_ns for info in infos), size), beat


# ---------------------------------------------------------------- the loop


class View(Protocol):
    """Who shows jobs of a root, as long as somebody looks.

    Attributes
    ----------
    root : str
    names : frozenset of str or None
        The jobs that it shows; None are all.
    """

    @property
    def root(self) -> str: ...

    @property
    def names(self) -> frozenset[str] | None: ...

    def look(self, poller: Poller, trouble: str) -> bool:
        """Show what a poll has found, or why it could not; return whether somebody still looks.

        Called in the monitor's thread.
        """
        ...


@dataclass
class _Shared:
    """The poller of a root, for one thread at a time; it is kept as long as the session lives."""

    poller: Poller
    lock: threading.RLock = field(default_factory=threading.RLock)


class Monitor:
    """Watches jobs from a thread of its own, which keeps no process from ending.

    Attributes
    ----------
    idle_since : float
        When the session last came to an end, on the monotonic clock.
    """

    def __init__(self) -> None:
        self.idle_since = 0.0
        self._cells = 0  # that run, one within the other
        self._lock = threading.Lock()
        self._watched: list[tuple[Job, Callable[[Job, Status], None]]] = []
        self._views: dict[View, int] = {}  # how often each has been attached
        self._touched: set[tuple[str, str]] = set()
        self._pollers: dict[str, _Shared] = {}
        self._compared_at = 0.0
        self._thread: threading.Thread | None = None
        self._news = threading.Event()

    # ---- who is told

    def when_ended(self, job: Job, tell: Callable[[Job, Status], None]) -> None:
        """Call a function, in the monitor's thread, once a job has ended; not if it is deleted before."""
        with self._lock:
            self._watched.append((job, tell))
            self._run()

    def attach(self, view: View) -> None:
        """Let a view look after each poll, until it says that nobody looks any more."""
        with self._lock:
            self._views[view] = self._views.get(view, 0) + 1
            self._run()

    def detach(self, view: View) -> None:
        """Let a view look no more."""
        with self._lock:
            self._views.pop(view, None)

    def look_for(self, view: View) -> None:
        """Poll, and let a view look, in this thread."""
        self._show([view])

    def touched(self, root: str, name: str) -> None:
        """Poll at once, and read a job again: this process has done something to it."""
        with self._lock:
            if root in self._pollers:
                self._touched.add((root, name))
        self._news.set()

    def snapshot(self, root: str, names: Collection[str] | None, seconds: float) -> tuple[list[Row], int]:
        """Return the rows of some jobs, or of all, by name, and how many could not be read in so many seconds."""
        with self._of(root) as poller:
            poller.look_at(names)
            poller.poll(seconds, wait=0.0)
            shown = [row for row in poller.table() if names is None or row.name in names]
            return shown, poller.unread_of(names)

    def cell_begins(self, *_: object) -> None:
        """The session computes from now on."""
        self._cells += 1

    def cell_ends(self, *_: object) -> None:
        """The session is free again; its data may have changed."""
        self._cells, self.idle_since = max(0, self._cells - 1), time.monotonic()

    @property
    def busy(self) -> bool:
        """Whether the session computes, as far as it has said so."""
        return self._cells > 0

    @contextlib.contextmanager
    def _of(self, root: str) -> Iterator[Poller]:
        with self._lock:
            shared = self._pollers.setdefault(root, _Shared(Poller(root=root)))
        with shared.lock:
            yield shared.poller

    # ---- the thread

    def _run(self) -> None:
        """See that the thread runs, and looks at once. The caller holds the lock."""
        self._news.set()
        if self._thread is None:
            self._thread = threading.Thread(target=self._watch, name="persist_magic monitor", daemon=True)
            self._thread.start()

    def _watch(self) -> None:
        pause, views_at = pauses(), 0.0
        while True:
            with self._lock:
                watched, views = list(self._watched), list(self._views)
                if not watched and not views:
                    self._thread = None
                    return
            if watched:
                with _reported():
                    self._look(watched)
            if views and time.monotonic() >= views_at:
                unread = 0
                with _reported():
                    unread = self._show(views)
                views_at = time.monotonic() + (0.0 if unread else POLL_SECONDS)
            until_views = max(0.0, views_at - time.monotonic()) if views else math.inf
            if self._news.wait(min(until_views, next(pause) if watched else math.inf)):
                self._news.clear()
                pause, views_at = pauses(), 0.0

    def _look(self, watched: list[tuple[Job, Callable[[Job, Status], None]]]) -> None:
        for each, status in zip(watched, statuses([job for job, _ in watched], _QUICK_SECONDS), strict=True):
            job, tell = each
            ended = isinstance(status, Status) and (status.state.ended or status.state is JobState.EMPTY)
            if ended or isinstance(status, NoSuchJob):
                with self._lock:
                    self._watched.remove(each)
            if isinstance(status, Status) and ended:
                with _reported():
                    tell(job, status)

    def _show(self, views: list[View]) -> int:
        """Poll for the views, and let each look; return how many jobs are still to be read."""
        unread = 0
        compared = self._may_compare()
        for root in dict.fromkeys(view.root for view in views):
            mine = [view for view in views if view.root == root]
            names = [view.names for view in mine]
            with self._of(root) as poller:
                poller.look_at(None if None in names else frozenset().union(*filter(None, names)))
                trouble = self._poll(poller, root, compared)
                unread += poller.unread if not trouble else 0
                for view in mine:
                    attached = self._views.get(view)
                    if not view.look(poller, trouble):
                        with self._lock:  # unless somebody has come meanwhile
                            if self._views.get(view) == attached:
                                self._views.pop(view, None)
        return unread

    def _poll(self, poller: Poller, root: str, compared: bool) -> str:
        """Poll once; return what went wrong, or nothing."""
        with self._lock:
            names = [name for place, name in self._touched if place == root]
            self._touched.difference_update((root, name) for name in names)
        for name in names:
            poller.forget(name)
        try:
            poller.poll(_SLICE_SECONDS, compared=False)
            if compared:
                poller.compare(asked_names(root))
        except PersistError as error:
            return str(error)
        except Exception as error:  # noqa: BLE001  views are told of it, and the next poll may go well
            return f"{type(error).__name__}: {error}"
        return ""

    def _may_compare(self) -> bool:
        """Whether the session has run a cell since jobs were last compared with it, and rests: its data hold still."""
        if self.busy or self._compared_at > self.idle_since or time.monotonic() - self.idle_since < _RESTING_SECONDS:
            return False
        self._compared_at = time.monotonic()
        return True


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
