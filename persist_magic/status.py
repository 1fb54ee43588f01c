"""What state a job is in, and why: a pure function from evidence to verdict.

Owns JobState, Status, Evidence and resolve(). Knows no file, process or scheduler: others gather the evidence.
"""

from __future__ import annotations

import enum
from dataclasses import replace

from .records import Frozen, frozen
from .store import HEARTBEAT_SECONDS, CancelRequest, Ended, Handle, Observed, Outcome, Started

FRESH_SECONDS = 6 * HEARTBEAT_SECONDS
"""A heartbeat younger than this proves that the run lives; file servers cache attributes for up to a minute's part."""

SUBMITTING_SECONDS = 60.0
"""How long a job without a handle is taken to be just being submitted."""


class JobState(enum.Enum):
    """The states of a job, as in Persist.jl."""

    EMPTY = "empty"
    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def ended(self) -> bool:
        """Whether nothing more will happen by itself."""
        return self in (JobState.DONE, JobState.FAILED, JobState.CANCELLED)


class Word(enum.Enum):
    """What a backend says of a run."""

    QUEUED = "queued"
    ALIVE = "alive"
    GONE = "gone"
    UNKNOWN = "unknown"


@frozen
class Observation(Frozen):
    """A backend's answer about one run.

    Attributes
    ----------
    word : Word
        GONE only if it is certain.
    reason : str
        For GONE why, if the backend knows; for QUEUED what it waits for; for UNKNOWN why it cannot tell.
    state : JobState or None
        Of a run that is gone, how it ended, if the backend knows.
    note : str
        A remark on a live run.
    """

    word: Word
    reason: str = ""
    state: JobState | None = None
    note: str = ""


@frozen
class Status(Frozen):
    """A state with what it rests on.

    Attributes
    ----------
    state : JobState
    reason : str
        Why; empty where the state says it all.
    source : str
        Who said so: "ended.json", "process table", "heartbeat", …
    seen : float
        When that was true, seconds since the epoch.
    run : int
        The run it speaks of.
    note : str
        What else is worth knowing.
    """

    state: JobState
    reason: str
    source: str
    seen: float
    run: int
    note: str = ""

    def describe(self, now: float) -> str:
        """Return one line, for example "running, seen 4 s ago"."""
        text = self.state.value
        if self.reason:
            text += f": {self.reason}"
        elif self.state is JobState.RUNNING:
            age = max(0.0, now - self.seen)
            text += f", seen {duration(age)} ago" if age < FRESH_SECONDS else f" when last seen {duration(age)} ago"
        return f"{text}; {self.note}" if self.note else text


@frozen
class Evidence(Frozen):
    """All that is known of a job's newest run. None where there is nothing.

    Attributes
    ----------
    now : float
        When the evidence was gathered, seconds since the epoch.
    run : int
    submitted : float
        When the run was asked for, or its directory made.
    heartbeat : float or None
        When the heartbeat was last touched.
    observation : Observation or None
        The backend's word; None if it was not asked.
    """

    now: float
    run: int
    submitted: float
    handle: Handle | None = None
    started: Started | None = None
    heartbeat: float | None = None
    outcome: Outcome | None = None
    ended: Ended | None = None
    cancel: CancelRequest | None = None
    observed: Observed | None = None
    observation: Observation | None = None


def duration(seconds: float) -> str:
    """Return a span of time in words: "4 s", "12 min", "3 h 20 min", "2 d 4 h"."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = int(seconds // 60)
    if minutes < 90:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 24:
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    days, hours = divmod(hours, 24)
    return f"{days} d {hours} h" if hours else f"{days} d"


def resolve(evidence: Evidence) -> Status:
    """Return what the evidence proves, and no more.

    ``ended.json`` wins over everything. A run is called failed or cancelled without it only if the backend says for
    certain that the run is gone; where the backend cannot be asked, the last proven state stands with its age.
    """
    e = evidence
    if e.ended is not None:
        return Status(JobState(e.ended.outcome), e.ended.reason, "ended.json", e.ended.time, e.run, e.ended.note)
    if e.observed is not None and e.observed.run == e.run and not _newer_life(e):
        return Status(
            JobState(e.observed.state), e.observed.reason, e.observed.source, e.observed.time, e.run, e.observed.note
        )
    word = e.observation.word if e.observation else Word.UNKNOWN
    if e.started is None:
        return _not_started(e, word)
    if word is Word.GONE:
        return _gone(e)
    return _started(e, e.started, word)


def _newer_life(e: Evidence) -> bool:
    """A heartbeat after somebody declared the run over: that somebody was wrong."""
    return e.observed is not None and e.heartbeat is not None and e.heartbeat > e.observed.time + FRESH_SECONDS


def _not_started(e: Evidence, word: Word) -> Status:
    handle = e.handle if e.handle is not None and e.handle.run == e.run else None
    observation = e.observation or Observation(Word.UNKNOWN)
    if handle is None:
        if e.now - e.submitted < SUBMITTING_SECONDS:
            return Status(JobState.QUEUED, "being submitted", "submitted.json", e.submitted, e.run)
        if e.cancel is not None:
            return Status(JobState.CANCELLED, "cancelled before any backend took it", "cancel", e.cancel.time, e.run)
        return Status(JobState.EMPTY, "no backend took it", "submitted.json", e.submitted, e.run)
    if word is Word.GONE:
        if e.cancel is not None:
            return Status(JobState.CANCELLED, "cancelled before it started", "process table", e.now, e.run)
        reason = observation.reason or "ended before the cell could start; launch.log may tell why"
        return Status(observation.state or JobState.FAILED, reason, "process table", e.now, e.run)
    if word is Word.UNKNOWN:
        return Status(JobState.QUEUED, "", "handle.json", handle.time, e.run, observation.reason)
    note = "cancel asked for" if e.cancel is not None else observation.note
    return Status(JobState.QUEUED, observation.reason or "starting", "process table", e.now, e.run, note)


def _by_outcome(e: Evidence, outcome: Outcome, note: str) -> Status:
    """The cell handed over its word, only the supervisor's final record is missing."""
    if outcome.outcome == "failed" and e.cancel is not None and outcome.time >= e.cancel.time:
        # the cancel's own KeyboardInterrupt
        return Status(JobState.CANCELLED, f"cancelled by {e.cancel.user}", "outcome.json", outcome.time, e.run, note)
    return Status(JobState(outcome.outcome), outcome.reason, "outcome.json", outcome.time, e.run, note)


def _gone(e: Evidence) -> Status:
    observation = e.observation or Observation(Word.GONE)
    if e.outcome is not None:
        return _by_outcome(e, e.outcome, "its supervisor ended before it could write the final record")
    if e.cancel is not None:
        return Status(JobState.CANCELLED, f"cancelled by {e.cancel.user}", "process table", e.now, e.run)
    reason = observation.reason or "all its processes vanished without a word (kill -9, or out of memory)"
    return Status(observation.state or JobState.FAILED, reason, "process table", e.now, e.run)


def _started(e: Evidence, started: Started, word: Word) -> Status:
    observation = e.observation or Observation(Word.UNKNOWN)
    note = "cancel asked for" if e.cancel is not None else observation.note
    if word is Word.ALIVE:
        return Status(JobState.RUNNING, "", "process table", e.now, e.run, note)
    last = max(started.time, e.heartbeat or 0.0)
    fresh = e.now - last <= FRESH_SECONDS
    if not fresh and e.outcome is not None:
        return _by_outcome(e, e.outcome, "its supervisor's final record is missing")
    status = Status(JobState.RUNNING, "", "heartbeat", min(last, e.now), e.run, note)
    return status if fresh or not observation.reason else replace(status, note=observation.reason)
