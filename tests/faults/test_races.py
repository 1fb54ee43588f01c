"""Several sessions do something to the same job at the same moment: exactly one wins, and the others are told."""

from __future__ import annotations

import collections
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from persist_magic import submission
from persist_magic.errors import NoSuchJob
from persist_magic.status import JobState
from persist_magic.store import Root
from tests.conftest import Session, wait_until

RACERS = 8

RACER = """
import json, os, sys, time
from persist_magic import persist, load, submission
from persist_magic.errors import PersistError
from persist_magic.capture import cell, payload, pickler
action, number, root, gate, lanes = sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4], sys.argv[5]

def work(value):
    return value

def submit(name, value, **options):
    return persist(work, name, args=(value,), root=root, **options)

ACTIONS = {
    "submit": lambda: submit("calc", number),
    "replace": lambda: submit("calc", number, replace=True),
    "cancel": lambda: load("calc", root).cancel(),
    "rerun": lambda: load("calc", root).rerun(),
    "clean": lambda: load("calc", root).cleanup(),
    "many": lambda: [submit(f"job-{number}-{at}", [number, at]) for at in range(int(lanes))],
}
open(f"{gate}.{number}", "w").close()
while not os.path.exists(gate):
    time.sleep(0.001)
try:
    ACTIONS[action]()
    print(json.dumps("won"))
except PersistError as error:
    print(json.dumps(type(error).__name__))
"""


def race(session: Session, folder: Path, *actions: str, lanes: int = 1) -> list[str]:
    """Let a process do each of the actions, all at the same moment; return who won, or the error that each got."""
    gate = folder / f"gate-{len(os.listdir(folder))}"
    racers = [
        subprocess.Popen(
            [sys.executable, "-c", RACER, action, str(number), session.root, str(gate), str(lanes)],
            stdout=subprocess.PIPE,
            text=True,
        )
        for number, action in enumerate(actions)
    ]
    wait_until(lambda: all(os.path.exists(f"{gate}.{number}") for number in range(len(actions))), "the racers")
    gate.touch()
    return [json.loads(racer.communicate(timeout=600)[0]) for racer in racers]


def test_of_many_who_submit_one_name_one_wins(session: Session, tmp_path: Path) -> None:
    told = race(session, tmp_path, *["submit"] * RACERS)
    assert collections.Counter(told) == {"won": 1, "JobExists": RACERS - 1}
    assert session.job("calc").fetch(60) == told.index("won")


def test_of_many_who_replace_a_job_one_wins(session: Session, tmp_path: Path) -> None:
    session.persist("calc", "'older'").wait(60)
    told = race(session, tmp_path, *["replace"] * RACERS)
    # who comes when the winner's job has ended replaces that one
    assert set(told) <= {"won", "JobLives"}
    assert told[session.job("calc").fetch(60)] == "won"
    assert sorted(name for name in os.listdir(session.root) if not name.startswith((".lock", ".git", ".slots"))) == ["calc"]


def test_of_many_who_rerun_a_job_each_run_is_ones(session: Session, tmp_path: Path) -> None:
    session.persist("calc", "'again'").wait(60)
    told = race(session, tmp_path, *["rerun"] * RACERS)
    assert set(told) <= {"won", "JobLives"}
    job = session.job("calc")
    assert job.fetch(60) == "again"
    assert job.directory.runs() == list(range(1, 2 + told.count("won")))
    assert all(job.directory.run(number).ended() is not None for number in job.directory.runs())


def test_of_many_who_delete_a_job_one_does(session: Session, tmp_path: Path) -> None:
    session.persist("calc", "1").wait(60)
    told = race(session, tmp_path, *["clean"] * RACERS)
    assert collections.Counter(told) == {"won": 1, "NoSuchJob": RACERS - 1}
    with pytest.raises(NoSuchJob):
        session.job("calc")


def test_all_who_cancel_a_job_have_done_so(session: Session, tmp_path: Path) -> None:
    job = session.persist("calc", "import time\nwhile True: time.sleep(0.01)")
    wait_until(lambda: job.status().state is JobState.RUNNING, "its start")
    assert race(session, tmp_path, *["cancel"] * RACERS) == ["won"] * RACERS
    assert job.wait(60).state is JobState.CANCELLED


def test_whatever_is_done_at_once_leaves_a_whole_job_or_none(session: Session, tmp_path: Path) -> None:
    session.persist("calc", "'first'").wait(60)
    told = race(session, tmp_path, *["rerun", "clean", "replace", "cancel"] * 2)
    assert set(told) <= {"won", "JobLives", "NoSuchJob"}
    for job in submission.jobs(session.root):
        assert job.wait(60).state in (JobState.DONE, JobState.CANCELLED)
        job.cleanup()
    assert Root(session.root).names() == []


def test_a_hundred_submissions_from_eight_processes(
    session: Session, tmp_path: Path, counted: Callable[[str, int], None]
) -> None:
    each = 13
    assert race(session, tmp_path, *["many"] * RACERS, lanes=each) == ["won"] * RACERS
    found: dict[str, Any] = {job.name: job.fetch(120) for job in submission.jobs(session.root)}
    assert found == {f"job-{number}-{at}": [number, at] for number in range(RACERS) for at in range(each)}
    counted("submissions at once", len(found))
