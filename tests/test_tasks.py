"""What the states of a sweep's chunks amount to, and what is said of how far it is."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from persist_magic.chunks import Chunk
from persist_magic.journal import Journal
from persist_magic.processes import ProcessId
from persist_magic.status import JobState, Status
from persist_magic.store import Ended, JobDirectory, Started, TaskBegan, TaskEnded
from persist_magic.tasks import Counts, combined, progress_remark, tasks_progress

E, Q, R, D, F, C = (
    JobState.EMPTY,
    JobState.QUEUED,
    JobState.RUNNING,
    JobState.DONE,
    JobState.FAILED,
    JobState.CANCELLED,
)


def chunk(state: JobState, reason: str = "", seen: float = 100.0, note: str = "") -> Status:
    return Status(state, reason, "journal", seen, 1, note)


CASES = [
    ("all done", [chunk(D), chunk(D)], Counts(6, done=6), "", D, "", ""),
    ("one runs", [chunk(D), chunk(R)], Counts(6, done=3, running=1, queued=2), "", R, "", "1 of 2 chunks run"),
    ("alone", [chunk(R)], Counts(6, running=1, queued=5), "", R, "", ""),
    (
        "one waits, one failed",
        [chunk(F, "1 of 3 tasks failed"), chunk(Q, "waiting for resources")],
        Counts(6, done=2, failed=1, queued=3),
        "task 1 (n=1): no",
        Q,
        "waiting for resources",
        "1 of 2 chunks wait",
    ),
    ("one runs, one waits", [chunk(Q, "why"), chunk(R)], Counts(6, running=1, queued=5), "", R, "", "1 of 2 chunks run"),
    (
        "some failed",
        [chunk(D), chunk(F, "1 of 3 tasks failed")],
        Counts(6, done=5, failed=1),
        "task 4 (n=4): no",
        F,
        "1 of 6 tasks failed; task 4 (n=4): no",
        "",
    ),
    (
        "a chunk was killed",
        [chunk(D), chunk(F, "killed by signal 9 (SIGKILL)")],
        Counts(6, done=4, failed=2, lost=2),
        "",
        F,
        "2 of 6 tasks were not finished: killed by signal 9 (SIGKILL)",
        "",
    ),
    (
        "one failed, others were lost",
        [chunk(F, "1 of 3 tasks failed"), chunk(F, "ran out of time")],
        Counts(6, done=2, failed=4, lost=3),
        "task 1 (n=1): no",
        F,
        "1 of 6 tasks failed; task 1 (n=1): no; 3 of 6 tasks were not finished: killed by signal 9 (SIGKILL)",
        "",
    ),
    (
        "cancelled",
        [chunk(D), chunk(C, "cancelled by ada")],
        Counts(6, done=3, cancelled=3, lost=3),
        "",
        C,
        "cancelled by ada; 3 of 6 tasks done",
        "",
    ),
    (
        "single tasks were cancelled",
        [chunk(F, "1 of 3 tasks failed"), chunk(D)],
        Counts(6, done=5, cancelled=1),
        "",
        C,
        "1 of 6 tasks were cancelled",
        "",
    ),
    (
        "cancelled when all was done",
        [chunk(D, note="cancel was asked for"), chunk(D)],
        Counts(6, done=6),
        "",
        D,
        "",
        "cancel was asked for",
    ),
    ("never taken", [chunk(E, "no backend took it")] * 2, Counts(6, queued=6), "", E, "no backend took it", ""),
]


@pytest.mark.parametrize(
    ("chunks", "counts", "failure", "state", "reason", "note"), [case[1:] for case in CASES], ids=[case[0] for case in CASES]
)
def test_what_chunks_amount_to(
    chunks: list[Status], counts: Counts, failure: str, state: JobState, reason: str, note: str
) -> None:
    found = combined(chunks, counts, failure, "killed by signal 9 (SIGKILL)")
    assert (found.state, found.reason, found.note) == (state, reason, note)


def test_a_live_sweep_is_as_fresh_as_its_freshest_chunk_and_an_ended_one_as_old_as_its_last() -> None:
    assert combined([chunk(R, seen=10), chunk(R, seen=30), chunk(D, seen=99)], Counts(3), "").seen == 30
    assert combined([chunk(D, seen=10), chunk(D, seen=30)], Counts(2, done=2), "").seen == 30


def test_damaged_lines_are_told() -> None:
    assert combined([chunk(D)], Counts(1, done=1), torn=1).note == "1 line of its journal is damaged"
    assert combined([chunk(D)], Counts(1, done=1), torn=2).note == "2 lines of its journal are damaged"


@given(st.lists(st.sampled_from([Q, R, D, F, C]), min_size=1), st.data())
def test_success_is_claimed_only_if_all_tasks_are_done(states: list[JobState], data: st.DataObject) -> None:
    """Whatever the chunks say: what is not done is never shown as done, and what lives never as ended."""
    done = data.draw(st.integers(0, len(states)))
    rest = len(states) - done
    failed = data.draw(st.integers(0, rest))
    counts = Counts(len(states), done=done, failed=failed, cancelled=rest - failed)
    found = combined([chunk(state) for state in states], counts, "")
    assert found.state.ended == all(state.ended for state in states)
    if found.state is D:
        assert done == len(states)
    if found.state.ended and done < len(states):
        assert found.state in (F, C)
        assert found.reason


def test_what_had_begun_when_a_chunk_was_cut_off_waits_again(tmp_path: Path) -> None:
    (tmp_path / "run-1").mkdir()
    run = JobDirectory(str(tmp_path), "job").run(1)
    journal, known = Journal(run.journal_path(0)), Chunk(run, 0, range(4))
    started = Started(1.0, ProcessId.of(1), None).to_line()
    ended = TaskEnded(2.0, 1.0, 0, (0, 0, 0), (0, 0, 0), "why").to_line()
    began = TaskBegan(1.0, 0, (0, 0, 0)).to_line()
    for word, task, content in (
        ("started", 0, started),
        ("began", 0, began),
        ("done", 0, ended),
        ("began", 1, began),
        ("interrupted", 1, ended),
        ("began", 2, began),
    ):
        journal.append(word, task, content)
    known.refresh()
    assert [known.word(task) for task in range(4)] == ["done", "interrupted", "began", ""]
    journal.append("ended", 0, Ended(3.0, "failed", "", None, 9, 0.0, 0, "", final=False).to_line())
    known.refresh()
    assert known.ended is not None
    journal.append("started", 0, started)  # the same supervisor's second word, with its child
    known.refresh()
    assert known.word(2) == "began"
    journal.append("started", 0, Started(4.0, ProcessId.of(os.getpid()), None).to_line())
    known.refresh()
    assert [known.word(task) for task in range(4)] == ["done", "", "", ""]
    assert (known.ended, known.over, known.words["began"]) == (None, 1, 0)


@pytest.mark.parametrize(
    ("counts", "words"),
    [
        (Counts(200, done=100, failed=20, running=2, queued=78), "tasks 60 %, 120/200, 7 s left, 20 failed, 2 running"),
        (Counts(200, queued=200), "tasks 0 %, 0/200"),
        (Counts(200, done=150, cancelled=50), ""),
        (Counts(4, done=1, cancelled=1, running=2), "tasks 50 %, 2/4, 10 s left, 1 cancelled, 2 running"),
    ],
)
def test_how_far_it_is_in_words(counts: Counts, words: str) -> None:
    assert progress_remark(tasks_progress(counts, 90.0, 100.0), counts, 100.0) == words
