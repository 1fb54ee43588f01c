"""What is known of the tasks of a sweep: from the journals of its chunks to the state of each task, and of the whole.

Owns which run a task belongs to (a rerun may be of some of them only), the evidence for a chunk, and what the states of
chunks amount to. Knows no backend and no process: others ask these about a chunk as about a run.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections import Counter, OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from . import each
from .chunks import FINAL, CancelledTasks, Chunk, division
from .errors import Damaged
from .frozen import Frozen, frozen
from .status import Evidence, JobState, Observation, Status, progress_words
from .store import (
    Bar,
    CancelRequest,
    JobDirectory,
    JobSpec,
    ObservedChunks,
    Outcome,
    Progress,
    RunDirectory,
    Submitted,
    SweepLabels,
    TaskBegan,
    TaskEnded,
    TaskFiles,
)

_HELD = 256
"""So many journals of a run are kept open while all tasks are read."""
_KEPT = 32
"""So many sweeps are kept in memory, so that only what is new is read."""


@frozen
class Counts(Frozen):
    """How many tasks of a sweep are in which state.

    Attributes
    ----------
    total, done, failed, cancelled, running, queued : int
    lost : int
        Those among failed and cancelled that did not come to an end of their own.
    """

    total: int
    done: int = 0
    failed: int = 0
    cancelled: int = 0
    running: int = 0
    queued: int = 0
    lost: int = 0


def progress_remark(progress: Progress | None, counts: Counts | None, now: float) -> str:
    """Return how far a job is: "tasks 60 %, 120/200, 2 min left, 3 failed, 2 running"; of a sweep that has ended nothing."""
    if counts is None:
        return progress_words(progress, now)
    if not counts.queued and not counts.running:
        return ""
    some = [f"{number} {name}" for name in ("failed", "cancelled", "running") if (number := getattr(counts, name))]
    return ", ".join((progress_words(progress, now), *some))


def tasks_progress(counts: Counts, began: float | None, now: float) -> Progress:
    """Return how far a sweep is, as a bar.

    Parameters
    ----------
    began : float or None
        When its run was started, seconds since the epoch.
    """
    over = counts.done + counts.failed + counts.cancelled
    elapsed = max(0.0, now - began) if began is not None else 0.0
    return Progress(now, (Bar("tasks", over, counts.total, "it", elapsed),))


def _evidence(chunk: Chunk, base: Evidence, observed: ObservedChunks | None, observation: Observation | None) -> Evidence:
    """The evidence for a chunk as for a run of its own."""
    now, outcome = base.now, None
    if chunk.ended is None and chunk.started is not None and chunk.over == len(chunk.tasks):
        failed = len(chunk.tasks) - chunk.words["done"]
        word = "failed" if failed else "done"
        outcome = Outcome("", min(now, chunk.beat or now), word, chunk.failure_words(), "", None, None, {})
    return replace(
        base,
        started=chunk.started,
        heartbeat=chunk.beat if chunk.started is not None else None,
        outcome=outcome,
        ended=chunk.ended,
        observed=observed.chunk(chunk.number) if observed is not None else None,
        observation=observation,
    )


def _key(run: RunDirectory) -> tuple[int, int]:
    """What tells a run from others: its number, which comes again if a rerun was refused, and when it was asked for.

    An inode comes again, too. What a worker began by itself was not asked for, and is never refused.
    """
    try:
        return run.number, os.stat(run.submitted_path).st_mtime_ns
    except OSError:
        return run.number, 0


class _Run:
    """One run of a sweep, of all tasks or some."""

    def __init__(self, run: RunDirectory, spec: JobSpec) -> None:
        self.run = run
        self.key = _key(run)
        self.submitted: Submitted | None = run.submitted()
        self.whole = self.submitted is None or not self.submitted.tasks
        tasks, self.size = division(self.submitted, spec.tasks)
        starts = range(0, len(tasks), self.size)
        self.chunks = [Chunk(run, at, tasks[start : start + self.size]) for at, start in enumerate(starts)]
        self.cancelled = CancelledTasks(run)
        self._place = None if self.whole else {task: at for at, task in enumerate(tasks)}

    def chunk_of(self, task: int) -> Chunk | None:
        place = task if self._place is None else self._place.get(task)
        return None if place is None else self.chunks[place // self.size]

    @property
    def over(self) -> bool:
        return all(chunk.ended is not None and chunk.ended.final for chunk in self.chunks)


class Ledger:
    """What is known of all tasks of one sweep. Made by `ledger`; shared by all threads, each under `lock`."""

    def __init__(self, directory: JobDirectory, spec: JobSpec) -> None:
        self._directory, self._spec = directory, spec
        self.lock = threading.RLock()
        self._runs: list[_Run] = []  # the newest first, to the last one of all tasks
        self._sweep: SweepLabels | None = None

    def refresh(self) -> None:
        """Read what is new."""
        numbers = self._directory.runs()
        if not numbers:
            raise Damaged(self._directory.name, "the directory", "it holds no run")
        if not self._runs or self._runs[0].key != _key(self._directory.run(numbers[-1])):
            known = {run.key: run for run in self._runs}
            self._runs = []
            for directory in map(self._directory.run, reversed(numbers)):
                run = known.get(_key(directory)) or _Run(directory, self._spec)
                self._runs.append(run)
                if run.whole:
                    break
        self._runs[0].cancelled.refresh()
        for at, run in enumerate(self._runs):
            if at == 0 or not run.over:
                for chunk in run.chunks:
                    chunk.refresh()

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Keep the journals open, to read of many tasks."""
        with contextlib.ExitStack() as stack:
            for run in self._runs:
                for chunk in run.chunks[:_HELD]:
                    stack.enter_context(chunk.held())
            yield

    @property
    def chunks(self) -> list[Chunk]:
        """Those of the newest run."""
        return self._runs[0].chunks

    @property
    def run(self) -> RunDirectory:
        """The newest run."""
        return self._runs[0].run

    @property
    def submitted(self) -> Submitted | None:
        """How the newest run was asked for."""
        return self._runs[0].submitted

    @property
    def torn(self) -> int:
        """How many lines of the journals are not as they were written."""
        return sum(chunk.torn for run in self._runs for chunk in run.chunks)

    @property
    def began(self) -> float | None:
        """When the newest run's first chunk was started, seconds since the epoch."""
        return min((chunk.started.time for chunk in self.chunks if chunk.started is not None), default=None)

    def traces(self) -> tuple[tuple[int, ...], float]:
        """Return what changes when a chunk writes something, and when the heart that is behind most last beat.

        Nothing is returned as long as chunks wait: of these a scheduler may say something new.
        """
        if any(chunk.started is None for chunk in self.chunks):
            return (), 0.0
        beats = [chunk.beat or 0.0 for chunk in self.chunks if chunk.ended is None]
        return (self.run.number, *(chunk.read for chunk in self.chunks)), min(beats, default=0.0)

    def chunk_of(self, task: int) -> Chunk:
        """Return the chunk that had a task last."""
        for run in self._runs:
            chunk = run.chunk_of(task)
            if chunk is not None:
                return chunk
        raise Damaged(self._directory.name, "the directory", f"no run has had task {task}")

    def labels(self, task: int) -> str:
        """Return what a task is given, in words: "alpha=0.001, seed=3"."""
        if self._sweep is None:
            self._sweep = self._directory.sweep()
        axes = self._sweep.axes
        at = each.places(task, [len(axis.labels) for axis in axes])
        return ", ".join(axis.labels[place] for axis, place in zip(axes, at, strict=True))

    # ---- states

    def evidences(self, base: Evidence, observations: Mapping[int, Observation]) -> list[Evidence]:
        """Return the evidence for each chunk of the newest run; `base` says what is known of the run as a whole."""
        observed = self.run.observed_chunks()
        return [_evidence(chunk, base, observed, observations.get(chunk.number)) for chunk in self.chunks]

    def counts(self, statuses: Sequence[Status]) -> Counts:
        """Return how many tasks are in which state.

        Parameters
        ----------
        statuses : sequence of Status
            Of the chunks of the newest run.
        """
        found: Counter[str] = Counter()
        for chunk, status in zip(self.chunks, statuses, strict=True):
            for word in FINAL:
                found[word] += chunk.words[word]
            rest = len(chunk.tasks) - chunk.over
            if status.state is JobState.EMPTY:
                continue
            if not status.state.ended:
                running = chunk.words["began"] if status.state is JobState.RUNNING else 0
                found["running"] += running
                found["queued"] += rest - running
            elif rest:
                found["cancelled" if status.state is JobState.CANCELLED else "failed"] += rest
                found["lost"] += rest
        for run in self._runs[1:]:
            found["done"] += sum(chunk.words["done"] for chunk in run.chunks)
        return Counts(
            self._spec.tasks, *(found[name] for name in ("done", "failed", "cancelled", "running", "queued", "lost"))
        )

    def first_failure(self) -> str:
        """Return which task failed first of all, and why, in words; "" if none did."""
        task = min((first for chunk in self.chunks if (first := chunk.first("failed")) is not None), default=None)
        if task is None:
            return ""
        line = self.chunk_of(task).line(task)
        return f"task {task} ({self.labels(task)}): {line.reason if isinstance(line, TaskEnded) else ''}"

    def first_loss(self, statuses: Sequence[Status]) -> str:
        """Return why tasks of chunks that have ended were not finished; "" if all were."""
        losses = (
            status.reason
            for chunk, status in zip(self.chunks, statuses, strict=True)
            if status.state.ended and chunk.over < len(chunk.tasks)
        )
        return next(losses, "")

    def status(self, task: int, chunk: Chunk, status: Status, line: TaskBegan | TaskEnded | None) -> Status:
        """Return the state of a task; `status` is that of its chunk, `line` the chunk's last record of it."""
        word = chunk.word(task)
        if isinstance(line, TaskEnded) and word in FINAL:
            return Status(JobState(word), line.reason, "journal", line.time, chunk.run.number, line.note)
        if status.state is JobState.EMPTY:
            return status
        asked = self.cancelled.get(task)
        note = "; ".join(filter(None, ("cancel asked for" if asked is not None else "", status.note)))
        if status.state is JobState.RUNNING and isinstance(line, TaskBegan):
            return replace(status, note=note)
        if not status.state.ended:
            reason = status.reason if status.state is JobState.QUEUED else "waiting for its turn"
            return Status(JobState.QUEUED, reason, status.source, status.seen, chunk.run.number, note)
        ended = JobState.CANCELLED if status.state is JobState.CANCELLED else JobState.FAILED
        begun = "not finished" if line is not None else "never begun"
        return Status(ended, f"{begun}: {status.reason}", status.source, status.seen, chunk.run.number, status.note)

    @property
    def cancelled(self) -> Mapping[int, CancelRequest]:
        """The tasks whose end has been asked for."""
        return self._runs[0].cancelled.requests

    def words(self, statuses: Sequence[Status]) -> Iterator[str]:
        """Yield the state of each task in a word, in order; faster than `status` for all."""
        of_chunks = dict(zip(self.chunks, statuses, strict=True))
        for task in range(self._spec.tasks):
            chunk = self.chunk_of(task)
            word, status = chunk.word(task), of_chunks.get(chunk)
            if word in FINAL:
                yield word
            elif status is not None and status.state is JobState.EMPTY:
                yield JobState.EMPTY.value
            elif status is None or status.state.ended:
                yield "cancelled" if status is not None and status.state is JobState.CANCELLED else "failed"
            else:
                running = word == "began" and status.state is JobState.RUNNING
                yield "running" if running else "queued"


_ledgers: OrderedDict[tuple[str, str], Ledger] = OrderedDict()
_lock = threading.Lock()


@contextlib.contextmanager
def ledger(directory: JobDirectory, spec: JobSpec) -> Iterator[Ledger]:
    """Give what is known of a sweep's tasks, brought up to date, to this thread alone.

    Raises
    ------
    Damaged
        If a journal cannot be read.
    """
    key = directory.path, spec.token
    with _lock:
        found = _ledgers.get(key)
        if found is None:
            found = _ledgers[key] = Ledger(directory, spec)
        _ledgers.move_to_end(key)
        while len(_ledgers) > _KEPT:
            _ledgers.popitem(last=False)
    with found.lock:
        found.refresh()
        yield found


def files_of(chunk: Chunk, line: TaskBegan | TaskEnded, task: int) -> TaskFiles:
    """Return the files of a task that has begun."""
    return TaskFiles(chunk.run, chunk.number, line.lane, task)


def combined(statuses: Sequence[Status], counts: Counts, failure: str = "", lost: str = "", torn: int = 0) -> Status:
    """Return what the states of a sweep's chunks amount to.

    A sweep runs as long as a chunk does, and is queued as long as one is; it is done if all its tasks are.

    Parameters
    ----------
    statuses : sequence of Status
        Of the chunks of its newest run, at least one.
    failure : str
        The first task that failed, in words.
    lost : str
        Why tasks were not finished.
    torn : int
        How many lines of the journals are damaged.
    """
    newest = max(statuses, key=lambda status: status.seen)
    damaged = f"{torn} line{'' if torn == 1 else 's'} of its journal {'is' if torn == 1 else 'are'} damaged" if torn else ""
    notes = "; ".join(filter(None, dict.fromkeys((*(status.note for status in statuses), damaged))))
    for state in (JobState.RUNNING, JobState.QUEUED):
        some = [status for status in statuses if status.state is state]
        if some:
            latest = max(some, key=lambda status: status.seen)
            return replace(latest, note=_with_share(notes, len(some), len(statuses), state))
    if empty := [status for status in statuses if status.state is JobState.EMPTY]:
        return empty[0]
    done = f"{counts.done} of {counts.total} tasks done"
    cancelled = [status for status in statuses if status.state is JobState.CANCELLED]
    end = Status(JobState.DONE, "", newest.source, newest.seen, newest.run, notes)
    if counts.done == counts.total:
        return end
    if cancelled:
        return replace(end, state=JobState.CANCELLED, reason=f"{cancelled[0].reason}; {done}")
    if counts.failed:
        own = counts.failed - counts.lost
        words = [f"{own} of {counts.total} tasks failed", failure] if own else []
        if counts.lost:
            words.append(f"{counts.lost} of {counts.total} tasks were not finished: {lost}")
        return replace(end, state=JobState.FAILED, reason="; ".join(filter(None, words)))
    return replace(end, state=JobState.CANCELLED, reason=f"{counts.cancelled} of {counts.total} tasks were cancelled")


def _with_share(notes: str, some: int, all_: int, state: JobState) -> str:
    share = f"{some} of {all_} chunks {'run' if state is JobState.RUNNING else 'wait'}" if all_ > 1 else ""
    return "; ".join(filter(None, (share, notes)))
