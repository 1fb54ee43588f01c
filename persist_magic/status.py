"""What state a job is in, and why: a pure function from evidence to verdict.

Owns JobState, Status, Evidence, resolve(), and the words for what they hold. Knows no file, process or scheduler: others
gather the evidence.
"""

from __future__ import annotations

import enum
import math
import time
from collections.abc import Sequence
from dataclasses import replace

from .frozen import Frozen, frozen
from .store import FRESH_SECONDS, Bar, CancelRequest, Ended, Handle, Observed, Outcome, Progress, Started

_LONGEST = 1e9  # seconds; who says that so much is left knows nothing

QUIET_SECONDS = 60.0
"""From this age on what a cell said of its progress is told with its age."""

SUBMITTING_SECONDS = 60.0
"""How long a job without a handle is taken to be just being submitted."""
ABANDONED_SECONDS = 3.0
"""The same if the session that submitted it is gone: as long as what it had started may take to say so."""


class JobState(enum.Enum):
    """The states of a job, as in Persist.jl.

    Attributes
    ----------
    EMPTY
        It was written down, and no backend ever took it.
    QUEUED
        It waits: for its start, for resources, for other jobs, or to run again after a requeue.
    RUNNING
        Its cell runs, or is stopped for a while.
    DONE
        The cell came to its end.
    FAILED
        It raised, was killed, or disappeared for certain.
    CANCELLED
        Somebody stopped it.
    """

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
    ABSENT = "absent"


@frozen
class Observation(Frozen):
    """A backend's answer about one run.

    Attributes
    ----------
    word : Word
        GONE and ABSENT (never taken by the backend) only if that is certain.
    reason : str
        For GONE why, if the backend knows; for QUEUED what it waits for; for UNKNOWN why it cannot tell.
    state : JobState or None
        Of a run that is gone, how it ended, if the backend knows better than the run's own records.
    note : str
        A remark on a live run.
    source : str
        Who said so.
    time : float or None
        When that was true, seconds since the epoch; None is just now.
    before_start : bool
        Whether the backend was asked before the run's start was known: that it waits then says nothing of a requeue.
    """

    word: Word
    reason: str = ""
    state: JobState | None = None
    note: str = ""
    source: str = "process table"
    time: float | None = None
    before_start: bool = False


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

    def __repr__(self) -> str:
        return f"<Status {self.describe(time.time())}>"

    def describe(self, now: float) -> str:
        """Return one line, for example "running, seen 4 s ago"."""
        text = self.state.value
        if words := seen_words(self.state, self.reason, now - self.seen):
            text += f" {words}" if words.startswith("when") else f", {words}"
        if self.reason:
            text += f": {self.reason}"
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
    abandoned : bool
        Whether the session that asked for it is certainly gone.
    copy_of : str
        The job directory that runs, if this one is a copy of it; empty if it is none.
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
    abandoned: bool = False
    copy_of: str = ""


def seen_words(state: JobState, reason: str, age: float) -> str:
    """Return how old the word on a live job is: "seen 4 s ago", "when last seen 12 min ago"; "" where that need not be said.

    Parameters
    ----------
    age : float
        Seconds.
    """
    if age >= FRESH_SECONDS and state in (JobState.QUEUED, JobState.RUNNING):
        return f"when last seen {duration(age)} ago"
    return f"seen {duration(max(0.0, age))} ago" if state is JobState.RUNNING and not reason else ""


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


def progress_words(progress: Progress | None, now: float) -> str:
    """Return how far a run is, or "": "epochs 30 %, 3/10, 2 min left; batches 45 %, 45/100", the outermost bar first.

    What has not been heard of for a minute is told with its age.
    """
    if progress is None or not progress.bars:
        return ""
    words = "; ".join(_bar_words(bar, index == 0) for index, bar in enumerate(progress.bars))
    age = now - progress.time
    return f"{words} ({duration(age)} ago)" if age >= QUIET_SECONDS else words


def _bar_words(bar: Bar, with_rest: bool) -> str:
    done = _count_words(bar.done)
    if not bar.total or bar.total < 0 or not math.isfinite(bar.total) or not math.isfinite(bar.done):
        unit = "" if bar.unit == "it" else f" {bar.unit}"
        return " ".join(filter(None, (bar.text, done + unit)))
    share = min(1.0, max(0.0, bar.done / bar.total))
    words = [f"{bar.text} {int(100 * share)} %".strip(), f"{done}/{_count_words(bar.total)}"]
    rate = bar.rate or (bar.done / bar.elapsed if bar.elapsed > 0 else 0)
    left = (bar.total - bar.done) / rate if rate > 0 else math.inf
    if with_rest and share < 1 and 0 <= left < _LONGEST:
        words.append(f"{duration(left)} left")
    return ", ".join(words)


def _count_words(number: float) -> str:
    return f"{number:.0f}" if float(number).is_integer() else f"{number:.1f}"


def staleness_words(state: JobState, differences: Sequence[str]) -> str:
    """Return "result predates your edit: alpha changed"; "" if nothing differs."""
    if not differences:
        return ""
    head = "result predates your edit" if state.ended else "runs without your edit"
    return f"{head}: {', '.join(differences)}"


def moment(seconds: float) -> str:
    """Return a time since the epoch as a date and a time here: "2026-03-01 14:05:09"; "?" for one that no calendar has."""
    try:
        return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds))
    except (OverflowError, ValueError, OSError):
        return "?"


def heartbeat_is_fresh(evidence: Evidence) -> bool:
    """Return whether the files alone prove that the newest run lives.

    A heartbeat from the future, by a file server's wrong clock, proves nothing: it would stay fresh after the run's death.
    """
    if evidence.started is None:
        return False
    age = evidence.now - max(evidence.started.time, evidence.heartbeat or 0.0)
    return -FRESH_SECONDS <= age <= FRESH_SECONDS


def resolve(evidence: Evidence) -> Status:
    """Return what the evidence proves, and no more.

    ``ended.json`` wins over everything, unless a scheduler's signal ended the run: then the scheduler knows why, and whether
    it runs again. Without that record a run is called failed or cancelled only if the backend says for certain that it is
    gone; where the backend cannot be asked, the last proven state stands with its age.
    """
    e = evidence
    if e.ended is not None and e.ended.final:
        return _by_record(e, e.ended)
    if e.observed is not None and e.observed.run == e.run and not _newer_life(e):
        return Status(
            JobState(e.observed.state), e.observed.reason, e.observed.source, e.observed.time, e.run, e.observed.note
        )
    if e.copy_of:
        return _of_copy(e)
    observation = e.observation or Observation(Word.UNKNOWN)
    if e.ended is not None:
        return _interrupted(e, e.ended, observation)
    if e.started is None:
        return _not_started(e, observation)
    if observation.word is Word.GONE:
        return _gone(e, observation)
    return _started(e, e.started, observation)


def _by_record(e: Evidence, ended: Ended) -> Status:
    return Status(JobState(ended.outcome), ended.reason, "ended.json", ended.time, e.run, ended.note)


def _of_copy(e: Evidence) -> Status:
    """What runs, runs in the original and will never come to an end here."""
    words = f"copied from {e.copy_of} before its end was written there"
    if e.outcome is not None:
        return _by_outcome(e, e.outcome, words)
    last = max(e.submitted, e.heartbeat or 0.0, e.started.time if e.started is not None else 0.0)
    return Status(JobState.FAILED, words, "submitted.json", min(last, e.now), e.run)


def _newer_life(e: Evidence) -> bool:
    """A heartbeat after somebody declared the run over: that somebody was wrong."""
    return e.observed is not None and e.heartbeat is not None and e.heartbeat > e.observed.time + FRESH_SECONDS


def _said(e: Evidence, observation: Observation, state: JobState, reason: str, note: str = "") -> Status:
    """A state by the backend's word."""
    return Status(state, reason, observation.source, e.now if observation.time is None else observation.time, e.run, note)


def _live_note(e: Evidence, observation: Observation) -> str:
    asked = e.cancel is not None and (e.ended is None or e.cancel.time > e.ended.time)
    return "; ".join(filter(None, ("cancel asked for" if asked else "", observation.note)))


def _queued_again(e: Evidence, observation: Observation) -> Status:
    """The run is over, and the scheduler has queued the job for the next one."""
    reason = "; ".join(filter(None, ("to run again", observation.reason)))
    return _said(e, observation, JobState.QUEUED, reason, _live_note(e, observation))


def _interrupted(e: Evidence, ended: Ended, observation: Observation) -> Status:
    """A scheduler's signal ended the run."""
    if observation.word is Word.QUEUED:
        return _queued_again(e, observation)
    if observation.word is Word.GONE:
        if observation.state is None or ended.outcome == "done":  # the cell made use of its grace and came to its end
            return _by_record(e, ended)
        return _said(e, observation, observation.state, observation.reason, ended.note)
    note = _live_note(e, observation) or observation.reason
    if observation.word is Word.ALIVE:
        return _said(e, observation, JobState.RUNNING, f"ending: {ended.reason}", note)
    return Status(JobState.RUNNING, f"ending: {ended.reason}", "ended.json", ended.time, e.run, note)


def _not_started(e: Evidence, observation: Observation) -> Status:
    handle = e.handle if e.handle is not None and e.handle.run == e.run else None
    word, note = observation.word, _live_note(e, observation)
    if word is Word.GONE:
        if e.cancel is not None:
            return _said(e, observation, JobState.CANCELLED, "cancelled before it started")
        reason = observation.reason or "ended before the cell could start; launch.log may tell why"
        return _said(e, observation, observation.state or JobState.FAILED, reason)
    if word is Word.QUEUED:
        return _said(e, observation, JobState.QUEUED, observation.reason or "starting", note)
    if word is Word.ALIVE:
        return _said(e, observation, JobState.RUNNING, observation.reason or "starting", note)
    if handle is not None:
        return Status(
            JobState.QUEUED, f"accepted by {handle.backend}", "handle.json", handle.time, e.run, note or observation.reason
        )
    if e.now - e.submitted < (ABANDONED_SECONDS if e.abandoned else SUBMITTING_SECONDS):
        return Status(JobState.QUEUED, "being submitted", "submitted.json", e.submitted, e.run)
    if word is Word.UNKNOWN:
        reason = "submitted, perhaps: whether the backend took it is not known"
        return Status(JobState.QUEUED, reason, "submitted.json", e.submitted, e.run, note or observation.reason)
    if e.cancel is not None:
        return Status(JobState.CANCELLED, "cancelled before any backend took it", "cancel", e.cancel.time, e.run)
    return Status(JobState.EMPTY, "no backend took it", "submitted.json", e.submitted, e.run)


def _by_outcome(e: Evidence, outcome: Outcome, note: str) -> Status:
    """The cell handed over its word, only the supervisor's final record is missing."""
    if outcome.outcome == "failed" and e.cancel is not None and outcome.time >= e.cancel.time:
        # the cancel's own KeyboardInterrupt
        return Status(JobState.CANCELLED, f"cancelled by {e.cancel.user}", "outcome.json", outcome.time, e.run, note)
    return Status(JobState(outcome.outcome), outcome.reason, "outcome.json", outcome.time, e.run, note)


def _gone(e: Evidence, observation: Observation) -> Status:
    if e.outcome is not None:
        return _by_outcome(e, e.outcome, "its supervisor ended before it could write the final record")
    if e.cancel is not None:
        return _said(e, observation, JobState.CANCELLED, f"cancelled by {e.cancel.user}")
    reason = observation.reason or "all its processes vanished without a word (kill -9, or out of memory)"
    return _said(e, observation, observation.state or JobState.FAILED, reason)


def _started(e: Evidence, started: Started, observation: Observation) -> Status:
    note = _live_note(e, observation)
    if observation.word is Word.ALIVE:
        return _said(e, observation, JobState.RUNNING, "", note)
    if observation.word is Word.QUEUED and not observation.before_start:
        return _queued_again(e, observation)
    fresh = heartbeat_is_fresh(e)
    if not fresh and e.outcome is not None:
        return _by_outcome(e, e.outcome, "its supervisor's final record is missing")
    last = max(started.time, e.heartbeat or 0.0)
    status = Status(JobState.RUNNING, "", "heartbeat", min(last, e.now), e.run, note)
    return status if fresh or not observation.reason else replace(status, note=observation.reason)
