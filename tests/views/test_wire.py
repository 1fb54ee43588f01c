"""Rows on the way to a page arrive as they are, whatever changes; and what does not change is not sent."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from persist_magic.monitor import Row
from persist_magic.store import Bar, Progress, Usage
from persist_magic.tasks import Counts
from persist_magic.views import wire

from ..kernels import taken

TIMES = st.none() | st.floats(0, 2e9)
TEXTS = st.text(max_size=20)


def usages() -> st.SearchStrategy[Usage]:
    samples = st.lists(st.floats(0, 1e12), min_size=1, max_size=6).map(tuple)
    return st.builds(Usage, st.just(0.0), st.just(5.0), samples, samples)


def bars() -> st.SearchStrategy[Progress]:
    bar = st.builds(Bar, TEXTS, st.floats(allow_nan=True), st.none() | st.floats(), TEXTS, st.floats(0, 1e9))
    return st.builds(Progress, st.floats(0, 2e9), st.lists(bar, max_size=2).map(tuple))


ROWS = st.builds(
    Row,
    name=st.sampled_from("abc"),
    state=st.sampled_from(["running", "queued", "done", "failed", "damaged"]),
    reason=TEXTS,
    note=TEXTS,
    seen=TIMES,
    stale=st.booleans(),
    backend=TEXTS,
    run=st.none() | st.integers(1, 3),
    submitted=TIMES,
    started=TIMES,
    ended=TIMES,
    progress=st.none() | bars(),
    tasks=st.none() | st.builds(Counts, *[st.integers(0, 9)] * 7),
    usage=st.none() | usages(),
    last_line=TEXTS,
    staleness=TEXTS,
)


@given(st.lists(st.lists(ROWS, max_size=4), max_size=6))
def test_a_page_has_what_it_was_told(polls: list[list[Row]]) -> None:
    sent: dict[str, wire.Values] = {}
    page: dict[str, dict[str, Any]] = {}
    last: dict[str, Row] = {}
    for poll in polls:
        text = json.dumps(wire.changes(poll, sent), allow_nan=False)
        taken(page, json.loads(text))
        last.update((row.name, row) for row in poll)
    defaults = dict(zip(wire.FIELDS, wire._DEFAULTS, strict=True))
    for name, row in last.items():
        told = dict(zip(wire.FIELDS, json.loads(json.dumps(wire.values(row))), strict=True))
        assert {**defaults, **page[name], "name": name} == told


@given(ROWS)
def test_what_did_not_change_is_not_sent(row: Row) -> None:
    sent: dict[str, wire.Values] = {}
    wire.changes([row], sent)
    if row.state in ("running", "queued"):
        assert wire.changes([replace(row)], sent) == []


def running(**more: Any) -> Row:
    return Row("a", "running", "", usage=Usage(0.0, 5.0, (1.0, 2.0), (5e8, 6e8)), started=100.04, run=1, **more)


@pytest.mark.parametrize(
    ("after", "change"),
    [
        (running(last_line="epoch 2"), ["a", 0, 17, "epoch 2"]),
        (replace(running(), run=2), ["a", 0, 2, 2]),
        (replace(running(), usage=Usage(5.0, 5.0, (1.0, 2.0, 3.0), (5e8, 6e8, 7e8))), ["a", 0, -15, 3, -16, 7e8]),
        (replace(running(), usage=Usage(5.0, 5.0, (2.0, 3.0), (6e8, 7e8))), ["a", 0, 15, [2, 3], 16, [6e8, 7e8]]),
        (replace(running(), usage=Usage(5.0, 5.0, (9.0,), (6e8,))), ["a", 0, 15, [9], 16, [6e8]]),
        (replace(running(), usage=None), ["a", 0, 15, [], 16, []]),
        (running(tasks=Counts(200, 120, 3, 1, 2, 74)), ["a", 0, 19, [120, 3, 1, 2, 200]]),
        (running(seen=50.0, stale=True), ["a", 0, 6, 50.0]),
        (running(seen=50.0), None),
    ],
)
def test_only_what_changed_is_written(after: Row, change: list[Any] | None) -> None:
    sent: dict[str, wire.Values] = {}
    wire.changes([running()], sent)
    assert wire.changes([after], sent) == ([] if change is None else [change])


def test_twenty_changed_rows_are_small() -> None:
    progress = [Progress(1.7e9 + at, (Bar("epochs", at, 60, "it", 1.0 + at),)) for at in range(2)]
    sent: dict[str, wire.Values] = {}
    for at in range(2):
        usage = Usage(1.7e9, 5.0, tuple(map(float, range(30 + at))), tuple(1e9 + 1e7 * each for each in range(30 + at)))
        rows = [
            Row(f"train-{n}", "running", "", run=1, usage=usage, progress=progress[at], last_line=f"epoch {at} loss 0.1234")
            for n in range(20)
        ]
        data = json.dumps(wire.changes(rows, sent), separators=(",", ":"))
    assert len(data) < 5000


def test_of_a_sweep_that_goes_on_only_counts_and_words_are_sent() -> None:
    sent: dict[str, wire.Values] = {}
    for at in (1000, 1001):
        progress = Progress(1.7e9 + at, (Bar("tasks", at, 10_000, "it", 60.0),))
        sweep = Row("a", "running", "", run=1, progress=progress, tasks=Counts(10_000, at, running=2, queued=9998 - at))
        (change,) = wire.changes([sweep], sent)
    assert change == ["a", 0, 13, "tasks 10 %, 1001/10000, 8 min left", 19, [1001, 0, 0, 2, 10_000]]


def test_a_job_that_is_run_again_as_one_cell_is_no_sweep() -> None:
    sent: dict[str, wire.Values] = {}
    wire.changes([running(tasks=Counts(2, running=2))], sent)
    assert wire.changes([running()], sent) == [["a", 0, 19, None]]
