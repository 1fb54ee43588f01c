"""The queue of local jobs: order, slots, and tickets whose process is gone."""

from __future__ import annotations

import dataclasses
import os
import time
from pathlib import Path

import pytest

from persist_magic.job import Job
from persist_magic.processes import ProcessId
from persist_magic.slots import UNCLAIMED_SECONDS, Slots
from persist_magic.status import JobState
from persist_magic.store import Root

from .conftest import Session

ME = ProcessId.of(os.getpid())
GONE = dataclasses.replace(ME, start_time="1")


@pytest.fixture
def slots(root: str) -> Slots:
    place = Root(root)
    place.prepare()
    return Slots(place)


def test_first_come_first_served(slots: Slots) -> None:
    first, second, third = (slots.draw(name) for name in ("b", "a", "c"))
    for ticket in (first, second, third):
        slots.claim(ticket, ME)
    assert [slots.before(ticket) for ticket in (first, second, third)] == [0, 1, 2]
    assert not slots.try_start(third, ME, 2)
    assert slots.try_start(first, ME, 2)
    assert slots.try_start(second, ME, 2)
    assert not slots.try_start(third, ME, 2)
    slots.release(first)
    assert slots.try_start(third, ME, 2)


def test_a_later_job_that_runs_already_takes_a_slot(slots: Slots) -> None:
    """It saw no other when it started; the earlier one, whose supervisor came late, must not run beside it."""
    early, late = slots.draw("early"), slots.draw("late")
    slots.claim(late, ME, started=True)
    slots.claim(early, ME)
    assert not slots.try_start(early, ME, 1)
    slots.release(late)
    assert slots.try_start(early, ME, 1)


def test_tickets_of_the_dead_count_for_nothing_and_go(slots: Slots, root: str) -> None:
    dead, mine = slots.draw("dead"), slots.draw("mine")
    slots.claim(dead, GONE, started=True)
    assert slots.try_start(mine, ME, 1)
    assert not (Path(root) / ".slots" / os.uname().nodename / dead).exists()


def test_a_ticket_whose_supervisor_never_came_holds_its_place_for_a_minute(slots: Slots, root: str) -> None:
    unclaimed, mine = slots.draw("unclaimed"), slots.draw("mine")
    assert not slots.try_start(mine, ME, 1)
    place = Path(root) / ".slots" / os.uname().nodename
    (place / unclaimed).rename(place / f"{time.time_ns() - int((UNCLAIMED_SECONDS + 1) * 1e9):020d}-unclaimed")
    assert slots.try_start(mine, ME, 1)


def test_damaged_tickets_stop_nobody(slots: Slots, root: str) -> None:
    place = Path(root) / ".slots" / os.uname().nodename
    mine = slots.draw("mine")
    for name, content in [
        ("00000000000000000001-x", "not json"),
        ("00000000000000000002-y", '{"process": 3}'),
        ("odd", "{}"),
    ]:
        (place / name).write_text(content)
    (place / "00000000000000000003-directory").mkdir()
    os.mkfifo(place / "00000000000000000004-fifo")
    assert slots.try_start(mine, ME, 1)


def test_many_jobs_pass_through_few_slots(session: Session) -> None:
    made: list[Job] = [session.persist(f"job{i}", f"{i}", options=["--slots", "2"]) for i in range(40)]
    assert [job.fetch(60) for job in made] == list(range(40))
    assert {job.status().state for job in made} == {JobState.DONE}
    records = [(job.directory.run(1).started(), job.directory.run(1).ended()) for job in made]
    spans = [(start.time, end.time) for start, end in records if start is not None and end is not None]
    for i, (start, _) in enumerate(spans):
        assert sum(ended > start for _, ended in spans[:i]) < 2, "one of the two slots was free"
