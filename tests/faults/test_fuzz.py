"""Readers are given texts that are nearly right, and such as nobody wrote: each takes them, or raises one of our errors."""

from __future__ import annotations

import dataclasses
import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from persist_magic import each, outputs, status, store
from persist_magic.backends import slurm_answers
from persist_magic.chunks import Chunk
from persist_magic.errors import PersistError
from persist_magic.journal import framed
from persist_magic.monitor import Row
from persist_magic.processes import ProcessId
from persist_magic.slots import Slots
from persist_magic.status import JobState, Status
from persist_magic.store import JobDirectory, Record, Root
from persist_magic.views import table, wire

EXAMPLES = settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])

RECORDS = sorted(
    (
        value
        for value in vars(store).values()
        if isinstance(value, type) and issubclass(value, Record) and value is not Record
    ),
    key=lambda cls: cls.__name__,
)

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


def names_of(cls: type[Record]) -> list[str]:
    return ["format", *(each.name for each in dataclasses.fields(cls))]


@pytest.mark.parametrize("cls", RECORDS, ids=lambda cls: cls.__name__)
@EXAMPLES
@given(data=st.data())
def test_a_record_of_anything_is_one_or_our_error(cls: type[Record], data: st.DataObject) -> None:
    values = data.draw(st.dictionaries(st.sampled_from(names_of(cls)), JSON))
    text = json.dumps({"format": 1, **values}).encode()
    cut = data.draw(st.integers(0, len(text)))
    for content in (text, text[:cut] + data.draw(st.binary(max_size=4)) + text[cut:], text[:cut]):
        try:
            record = cls.from_bytes(content, "calc", "x.json")
        except PersistError as error:
            assert "x.json of calc" in str(error)
        else:
            assert cls.from_bytes(record.to_bytes(), "calc", "x.json").to_bytes() == record.to_bytes()


@EXAMPLES
@given(
    lines=st.lists(
        st.tuples(st.sampled_from(["started", "ended", "began", "done", "failed", "broken", "x"]), st.integers(-5, 9), JSON),
        max_size=6,
    ),
    at=st.integers(0, 400),
    noise=st.binary(max_size=6),
)
def test_a_journal_of_anything_is_read_or_our_error(tmp_path: Path, lines: list[Any], at: int, noise: bytes) -> None:
    job = JobDirectory(str(tmp_path), "calc")
    whole = b"".join(
        framed(word, number, json.dumps({"format": 1, "time": 1.0, "more": value}).encode()) for word, number, value in lines
    )
    os.makedirs(job.run(1).path, exist_ok=True)
    Path(job.run(1).journal_path(0)).write_bytes(whole[:at] + noise + whole[at:])
    chunk = Chunk(job.run(1), 0, range(10))
    try:
        chunk.refresh()
        for task in range(10):
            chunk.word(task)
            chunk.line(task)
    except PersistError:
        pass
    assert chunk.torn <= len(lines) + 3


@EXAMPLES
@given(data=st.binary(max_size=60), events=st.lists(JSON, max_size=4))
def test_recorded_outputs_of_anything_are_events(data: bytes, events: list[Any]) -> None:
    lines = b"\n".join(json.dumps(event).encode() for event in events)
    for content in (data, lines, lines + data):
        found, _ = outputs.decode(content)
        outputs.condense(found)
        outputs.arrange(found, (10, 10))


TICKET_NAMES = st.from_regex(r"[0-9]{1,22}(-[a-z]{0,6})?", fullmatch=True)
TICKETS = (
    st.binary(max_size=30)
    | JSON.map(lambda value: json.dumps(value).encode())
    | JSON.map(lambda value: json.dumps({"process": value, "drawn_by": value, "started": value}).encode())
)


@EXAMPLES
@given(tickets=st.dictionaries(TICKET_NAMES, TICKETS, max_size=4))
def test_tickets_of_anything_stop_nobody(tmp_path: Path, tickets: dict[str, bytes]) -> None:
    root = Root(str(tmp_path))
    slots, me = Slots(root), ProcessId.of(os.getpid())
    mine = slots.draw("calc", me)
    queue = tmp_path / ".slots" / os.uname().nodename
    for name, content in tickets.items():
        (queue / name).write_bytes(content)
    slots.before(mine)
    slots.others_wait(mine, me)
    assert slots.try_start(mine, me, len(tickets) + 1)
    for path in queue.iterdir():
        path.unlink()


SQUEUE = "7_[1-3%2]|PENDING|2026-01-01T10:00:00|N/A|5:00||Resources|mine persist_magic:0123456789abcdef0123456789abcdef:2:5"
SACCT = "7_2.batch|CANCELLED by 1000|2026-01-01T10:00:00|2026-01-01T10:01:00|1-02:03:04|n[1-3]|0:9"


def mutated(text: str) -> st.SearchStrategy[str]:
    """Texts near to one: a piece doubled, cut out or replaced."""
    places = st.tuples(st.integers(0, len(text)), st.integers(0, len(text))).map(sorted)
    pieces = st.sampled_from(["", "|", "\n", "[", "]", "-", "%", "0", "999999999999", "_", ":", "é", "\x00", " "]) | st.text(
        max_size=4
    )
    return st.builds(lambda place, piece: text[: place[0]] + piece + text[place[1] :], places, pieces)


@EXAMPLES
@given(st.lists(mutated(SQUEUE) | mutated(SACCT), max_size=3))
def test_answers_near_to_slurms_are_rows(lines: list[str]) -> None:
    text = "\n".join(lines)
    for parse in (slurm_answers.parse_squeue, slurm_answers.parse_sacct):
        for id, row in parse(text).items():
            assert row.id == id
            slurm_answers.observation(row, name="calc", now=2e9, asked=2e9, first_seen=1e9, interrupted=False)
            slurm_answers.reason_words(row.detail, id)


@EXAMPLES
@given(mutated("0-3,7,9-12:2") | st.text(max_size=12))
def test_numbers_of_tasks_are_read_or_refused(text: str) -> None:
    try:
        tasks = each.read(text)
    except ValueError:
        return
    assert each.read(each.written(tasks)) == list(tasks)


def test_the_record_readers_are_all_there() -> None:
    assert {"JobSpec", "Submitted", "Handle", "Started", "Outcome", "Ended", "TaskEnded", "Progress"} <= {
        cls.__name__ for cls in RECORDS
    }


TIMES = st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(10**18), 10**18).map(float)


@EXAMPLES
@given(time=TIMES, other=TIMES, text=st.text(max_size=9), done=TIMES, total=st.none() | TIMES)
def test_words_for_any_amount_are_words(time: float, other: float, text: str, done: float, total: float | None) -> None:
    bar = store.Bar(text, done, total, "it", other)
    row = Row(
        "calc", "running", text, submitted=time, started=other, ended=done, progress=store.Progress(time, (bar,)), run=1
    )
    for state in JobState:
        assert Status(state, text, "heartbeat", time, 1).describe(other)
    assert status.moment(time)
    assert status.duration(abs(time))
    status.progress_words(row.progress, other)
    table.table([row])
    json.dumps(wire.changes([row], {}), allow_nan=False)
