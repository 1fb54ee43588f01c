"""What is known of Slurm's jobs while a question is on its way: as much as before, and never half an answer."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import pytest

from persist_magic.backends import slurm_programs
from persist_magic.backends.slurm_programs import Watch


@pytest.fixture
def sacct_waits(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """Squeue knows no job, and sacct does not answer before this is set."""
    may_answer = threading.Event()

    def run(words: Sequence[str], seconds: float = 0.0) -> str:
        if words[0] == "sacct":
            assert may_answer.wait(60)
        return ""

    monkeypatch.setattr(slurm_programs, "run", run)
    return may_answer


def test_an_answer_counts_when_it_is_whole(sacct_waits: threading.Event) -> None:
    watch = Watch("")
    watch.refresh(["7"], seconds=0.05)
    assert watch.asked is None  # who would take the job for forgotten would call it gone
    sacct_waits.set()
    watch.refresh(["7"])
    assert watch.asked is not None


def test_who_wants_to_know_at_once_gets_an_answer_to_a_question_put_after(sacct_waits: threading.Event) -> None:
    watch = Watch("")
    watch.refresh(["7"], seconds=0.0)
    sacct_waits.set()
    watch.refresh(["7"])
    first = watch.asked
    assert first is not None
    watch.refresh(["7"])  # it would not be polite
    assert watch.asked == first
    watch.refresh(["7"], at_once=True)
    assert watch.asked is not None
    assert watch.asked > first


def test_an_answer_that_cannot_be_read_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(text: str) -> None:
        raise RuntimeError("no such column")

    monkeypatch.setattr(slurm_programs, "run", lambda words: "")
    monkeypatch.setattr(slurm_programs, "parse_squeue", broken)
    watch = Watch("")
    watch.refresh([])
    assert watch.silence == "Slurm's answer cannot be read: RuntimeError: no such column"
    assert watch._question is None
