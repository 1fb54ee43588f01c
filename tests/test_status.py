"""resolve(): from evidence to state, by table and by random evidence."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from persist_magic.processes import ProcessId
from persist_magic.status import (
    Evidence,
    JobState,
    Observation,
    Status,
    Word,
    duration,
    progress_words,
    resolve,
    staleness_words,
)
from persist_magic.store import FRESH_SECONDS, Bar, CancelRequest, Ended, Handle, Observed, Outcome, Progress, Started

NOW = 1_000_000.0
HERE = ProcessId("here", "boot", "ns", 10, "1")
HANDLE = Handle("local", 1, NOW - 50, "pid 10", HERE)
STARTED = Started(NOW - 40, HERE, replace(HERE, pid=11))
CANCEL = CancelRequest(NOW - 5, "ann", "here", False)
BASE = Evidence(now=NOW, run=1, submitted=NOW - 100, handle=HANDLE)
RUNNING = replace(BASE, started=STARTED, heartbeat=NOW - 2)

ALIVE = Observation(Word.ALIVE)
GONE = Observation(Word.GONE)
ABSENT = Observation(Word.ABSENT)
SILENT = Observation(Word.UNKNOWN, "squeue does not answer")


def ended(word: str, reason: str = "") -> Ended:
    return Ended(NOW - 1, word, reason, 0, None, 1.0, 1, "")


def outcome(word: str, reason: str = "", age: float = 1.0) -> Outcome:
    return Outcome("t", NOW - age, word, reason, "", None, None, {})


INTERRUPTED = replace(RUNNING, ended=replace(ended("failed", "SIGTERM"), final=False))

CASES: list[tuple[str, Evidence, JobState, str]] = [
    ("ended.json wins over a living process", replace(RUNNING, ended=ended("done"), observation=ALIVE), JobState.DONE, ""),
    (
        "ended.json wins over an older verdict",
        replace(RUNNING, ended=ended("done"), observed=Observed(1, NOW - 9, "failed", "x", "y")),
        JobState.DONE,
        "",
    ),
    ("failure with its reason", replace(RUNNING, ended=ended("failed", "KeyError: 3")), JobState.FAILED, "KeyError: 3"),
    ("alive", replace(RUNNING, observation=ALIVE), JobState.RUNNING, ""),
    ("beats, though nobody can be asked", replace(RUNNING, observation=SILENT), JobState.RUNNING, ""),
    (
        "silent and nobody can be asked: never a failure",
        replace(RUNNING, heartbeat=NOW - 720, started=replace(STARTED, time=NOW - 900), observation=SILENT),
        JobState.RUNNING,
        "",
    ),
    (
        "gone without a word",
        replace(RUNNING, observation=GONE),
        JobState.FAILED,
        "all its processes vanished without a word (kill -9, or out of memory)",
    ),
    (
        "gone, the scheduler knows why",
        replace(RUNNING, observation=Observation(Word.GONE, "out of memory", JobState.FAILED)),
        JobState.FAILED,
        "out of memory",
    ),
    ("gone after a cancel", replace(RUNNING, observation=GONE, cancel=CANCEL), JobState.CANCELLED, "cancelled by ann"),
    ("gone, but the cell had handed over", replace(RUNNING, observation=GONE, outcome=outcome("done")), JobState.DONE, ""),
    (
        "gone, the cell had failed before",
        replace(RUNNING, observation=GONE, outcome=outcome("failed", "ValueError")),
        JobState.FAILED,
        "ValueError",
    ),
    (
        "the cancel's own KeyboardInterrupt is no failure",
        replace(RUNNING, observation=GONE, cancel=CANCEL, outcome=outcome("failed", "KeyboardInterrupt")),
        JobState.CANCELLED,
        "cancelled by ann",
    ),
    (
        "failed first, cancelled later",
        replace(RUNNING, observation=GONE, cancel=CANCEL, outcome=outcome("failed", "ValueError", age=9)),
        JobState.FAILED,
        "ValueError",
    ),
    (
        "an older verdict stands",
        replace(RUNNING, observed=Observed(1, NOW - 100, "failed", "node failure", "sacct"), heartbeat=NOW - 200),
        JobState.FAILED,
        "node failure",
    ),
    (
        "a beat after the verdict refutes it",
        replace(RUNNING, observed=Observed(1, NOW - 100, "failed", "x", "y"), observation=ALIVE),
        JobState.RUNNING,
        "",
    ),
    (
        "a verdict on an older run says nothing",
        replace(RUNNING, run=2, observed=Observed(1, NOW - 1, "failed", "x", "y"), observation=ALIVE),
        JobState.RUNNING,
        "",
    ),
    (
        "waits for a slot",
        replace(BASE, observation=Observation(Word.QUEUED, "waiting for a slot, 2 before it")),
        JobState.QUEUED,
        "waiting for a slot, 2 before it",
    ),
    (
        "what waited when the backend was asked has begun since: nothing was queued again",
        replace(RUNNING, observation=Observation(Word.QUEUED, "starting", before_start=True)),
        JobState.RUNNING,
        "",
    ),
    ("queued and nobody can be asked", replace(BASE, observation=SILENT), JobState.QUEUED, "accepted by local"),
    (
        "died before it started",
        replace(BASE, observation=GONE),
        JobState.FAILED,
        "ended before the cell could start; launch.log may tell why",
    ),
    (
        "cancelled before it started",
        replace(BASE, observation=GONE, cancel=CANCEL),
        JobState.CANCELLED,
        "cancelled before it started",
    ),
    ("no handle yet", replace(BASE, handle=None, submitted=NOW - 1), JobState.QUEUED, "being submitted"),
    ("no handle for long", replace(BASE, handle=None, observation=ABSENT), JobState.EMPTY, "no backend took it"),
    (
        "no handle, cancelled",
        replace(BASE, handle=None, cancel=CANCEL, observation=ABSENT),
        JobState.CANCELLED,
        "cancelled before any backend took it",
    ),
    (
        "a rerun just asked for, the handle is the old run's",
        replace(BASE, run=2, submitted=NOW - 1),
        JobState.QUEUED,
        "being submitted",
    ),
    (
        "no handle, and the scheduler that may have it cannot be asked",
        replace(BASE, handle=None, observation=SILENT),
        JobState.QUEUED,
        "submitted, perhaps: whether the backend took it is not known",
    ),
    (
        "runs by the scheduler's word, its files come late",
        replace(BASE, observation=Observation(Word.ALIVE, "starting on n1", source="squeue")),
        JobState.RUNNING,
        "starting on n1",
    ),
    (
        "ended by a signal, the scheduler ends it still",
        replace(INTERRUPTED, observation=ALIVE),
        JobState.RUNNING,
        "ending: SIGTERM",
    ),
    (
        "ended by a signal, nobody can be asked",
        replace(INTERRUPTED, observation=SILENT),
        JobState.RUNNING,
        "ending: SIGTERM",
    ),
    (
        "ended by a signal and queued again",
        replace(INTERRUPTED, observation=Observation(Word.QUEUED, "its time to begin has not come")),
        JobState.QUEUED,
        "to run again; its time to begin has not come",
    ),
    (
        "ended by a signal, the scheduler knows why",
        replace(INTERRUPTED, observation=Observation(Word.GONE, "ran out of time", JobState.FAILED)),
        JobState.FAILED,
        "ran out of time",
    ),
    (
        "ended by a signal, but the cell came to its end in the grace",
        replace(
            INTERRUPTED,
            ended=replace(ended("done"), final=False),
            observation=Observation(Word.GONE, "ran out of time", JobState.FAILED),
        ),
        JobState.DONE,
        "",
    ),
    ("ended by a signal, the scheduler knows no more", replace(INTERRUPTED, observation=GONE), JobState.FAILED, "SIGTERM"),
    (
        "ended by a signal, and the scheduler's last word was kept",
        replace(INTERRUPTED, observed=Observed(1, NOW - 1, "failed", "ran out of time", "sacct"), observation=SILENT),
        JobState.FAILED,
        "ran out of time",
    ),
    (
        "killed without a word and queued again",
        replace(RUNNING, observation=Observation(Word.QUEUED, "waiting for resources")),
        JobState.QUEUED,
        "to run again; waiting for resources",
    ),
    (
        "a heartbeat from the future proves nothing",
        replace(RUNNING, heartbeat=NOW + 3600, outcome=outcome("done"), observation=SILENT),
        JobState.DONE,
        "",
    ),
]


@pytest.mark.parametrize(("evidence", "state", "reason"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_evidence_to_state(evidence: Evidence, state: JobState, reason: str) -> None:
    status = resolve(evidence)
    assert (status.state, status.reason) == (state, reason)


def test_a_silent_job_is_told_with_its_age_and_why() -> None:
    silent = replace(RUNNING, heartbeat=NOW - 720, started=replace(STARTED, time=NOW - 900), observation=SILENT)
    assert resolve(silent).describe(NOW) == "running when last seen 12 min ago; squeue does not answer"


def test_a_living_job_is_told_with_its_age() -> None:
    assert resolve(replace(RUNNING, observation=ALIVE)).describe(NOW + 4) == "running, seen 4 s ago"


def test_a_queued_job_of_which_nothing_new_is_heard_is_told_with_its_age() -> None:
    last = Observation(Word.QUEUED, "waiting for resources", note="squeue does not answer", source="squeue", time=NOW - 720)
    words = "queued when last seen 12 min ago: waiting for resources; squeue does not answer"
    assert resolve(replace(BASE, observation=last)).describe(NOW) == words


def test_a_cancel_under_way_is_told() -> None:
    assert resolve(replace(RUNNING, observation=ALIVE, cancel=CANCEL)).note == "cancel asked for"


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0, "0 s"), (89, "89 s"), (90, "1 min"), (720, "12 min"), (12_000, "3 h 20 min"), (187_200, "2 d 4 h")],
)
def test_durations(seconds: float, words: str) -> None:
    assert duration(seconds) == words


times = st.floats(NOW - 1000, NOW)
observations = st.one_of(
    st.none(),
    st.builds(
        Observation,
        st.sampled_from(Word),
        st.sampled_from(["", "why"]),
        st.sampled_from([None, JobState.FAILED, JobState.CANCELLED]),
    ),
)
evidences = st.builds(
    Evidence,
    now=st.just(NOW),
    run=st.integers(1, 2),
    submitted=times,
    handle=st.one_of(st.none(), st.builds(lambda t: replace(HANDLE, time=t), times)),
    started=st.one_of(st.none(), st.builds(lambda t: replace(STARTED, time=t), times)),
    heartbeat=st.one_of(st.none(), times),
    outcome=st.one_of(
        st.none(), st.builds(lambda w, t: outcome(w, "r", NOW - t), st.sampled_from(["done", "failed"]), times)
    ),
    ended=st.none(),
    cancel=st.one_of(st.none(), st.builds(lambda t: replace(CANCEL, time=t), times)),
    observed=st.none(),
    observation=observations,
)


@given(evidences)
def test_no_end_without_proof(evidence: Evidence) -> None:
    """Without ended.json a run is over only by the backend's certain word or the cell's own; DONE only by the cell's own."""
    status = resolve(evidence)
    word = evidence.observation.word if evidence.observation else None
    if status.state.ended:
        assert (
            word is Word.GONE
            or evidence.outcome is not None
            or (evidence.handle is None and evidence.cancel is not None)
            or (evidence.run == 2 and evidence.cancel is not None)
        )
    if status.state is JobState.DONE:
        assert evidence.outcome is not None
        assert evidence.outcome.outcome == "done"
    assert status.seen <= NOW


@given(evidences, st.sampled_from(["done", "failed", "cancelled"]))
def test_the_final_record_always_wins(evidence: Evidence, word: str) -> None:
    assert resolve(replace(evidence, ended=ended(word))).state is JobState(word)


@given(evidences)
def test_an_outage_never_ends_a_beating_job(evidence: Evidence) -> None:
    beating = replace(evidence, started=STARTED, heartbeat=NOW - FRESH_SECONDS / 2, observation=SILENT)
    status: Status = resolve(beating)
    assert status.state is JobState.RUNNING


def test_states_are_those_of_the_julia_package() -> None:
    names: list[Any] = [state.name for state in JobState]
    assert names == ["EMPTY", "QUEUED", "RUNNING", "DONE", "FAILED", "CANCELLED"]


# ---------------------------------------------------------------- progress and staleness, in words

BARS = [
    ((), ""),
    ((Bar("", 0, 10, "it", 0.0),), "0 %, 0/10"),
    ((Bar("", 450, 1000, "it", 45.0),), "45 %, 450/1000, 55 s left"),
    ((Bar("", 450, 1000, "it", 45.0, 4.0),), "45 %, 450/1000, 2 min left"),
    ((Bar("fit", 10, 10, "it", 45.0),), "fit 100 %, 10/10"),
    ((Bar("fit", 12, 10, "it", 45.0),), "fit 100 %, 12/10"),
    ((Bar("fit", 9.99, 10, "it", 0.0),), "fit 99 %, 10.0/10"),
    ((Bar("rows", 5, None, "row", 1.0),), "rows 5 row"),
    ((Bar("", 5, None, "it", 1.0),), "5"),
    ((Bar("", 5, 0, "it", 1.0),), "5"),
    ((Bar("", -1, 4, "it", 1.0),), "0 %, -1/4"),
    ((Bar("", 1e-300, 1e308, "it", 1.0),), f"0 %, 0.0/{10**308:.0f}"),
    ((Bar("", 5, float("inf"), "it", 1.0),), "5"),
    ((Bar("", float("nan"), 5, "it", 1.0),), "nan"),
    (
        (Bar("epochs", 3, 10, "it", 60.0), Bar("batches", 45, 100, "it", 2.0)),
        "epochs 30 %, 3/10, 2 min left; batches 45 %, 45/100",
    ),
]


@pytest.mark.parametrize(("bars", "words"), BARS, ids=[words or "none" for _, words in BARS])
def test_progress_in_words(bars: tuple[Bar, ...], words: str) -> None:
    assert progress_words(Progress(1000.0, bars), 1001.0) == words
    old = f"{words} (10 min ago)" if words else ""
    assert progress_words(Progress(1000.0, bars), 1600.0) == old


def test_a_run_that_says_nothing_of_its_progress() -> None:
    assert progress_words(None, 0.0) == ""


@pytest.mark.parametrize(
    ("state", "differences", "words"),
    [
        (JobState.DONE, (), ""),
        (JobState.DONE, ("alpha changed",), "result predates your edit: alpha changed"),
        (
            JobState.FAILED,
            ("the cell changed", "alpha changed"),
            "result predates your edit: the cell changed, alpha changed",
        ),
        (JobState.RUNNING, ("alpha changed",), "runs without your edit: alpha changed"),
        (JobState.QUEUED, ("alpha changed",), "runs without your edit: alpha changed"),
    ],
)
def test_staleness_in_words(state: JobState, differences: tuple[str, ...], words: str) -> None:
    assert staleness_words(state, differences) == words
