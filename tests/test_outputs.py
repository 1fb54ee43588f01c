"""What is made of events and streams: order, clearing, updates, control characters. By table and by hypothesis."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from persist_magic.outputs import Span, arrange, condense, decode, encode, read
from persist_magic.store import JobDirectory, RunDirectory
from persist_magic.text import settle

Event = dict[str, Any]


def order(*at: int) -> Event:
    return {"at": list(at), "type": "order"}


def clear(*at: int, wait: bool = False) -> Event:
    return {"at": list(at), "type": "clear_output", "wait": wait}


def shown(text: str, *at: int, identity: str | None = None) -> Event:
    event = {"at": list(at), "type": "display_data", "data": {"text/plain": text}, "metadata": {}}
    return event if identity is None else {**event, "display_id": identity}


def update(text: str, identity: str, *at: int) -> Event:
    return {**shown(text, *at, identity=identity), "type": "update_display_data"}


def result(text: str, *at: int) -> Event:
    return {"at": list(at), "type": "execute_result", "data": {"text/plain": text}, "metadata": {}}


def around(begins: bool, *at: int) -> Event:
    return {"at": list(at), "type": "result", "begins": begins}


def error(echo: int, *at: int) -> Event:
    return {"at": list(at), "type": "error", "ename": "E", "evalue": "v", "traceback": ["E: v"], "echo": echo}


def words(pieces: list[Span | Event]) -> list[str]:
    """Pieces in short: o0-3 and e0-3 for spans, the text of displays."""
    return [
        f"{'oe'[each.stream]}{each.start}-{each.stop}"
        if isinstance(each, Span)
        else each.get("data", {}).get("text/plain", each["type"])
        for each in pieces
    ]


ARRANGED = [
    ("nothing", [], (0, 0), []),
    ("one stream", [], (3, 0), ["o0-3"]),
    ("a display between two prints", [shown("x", 3, 0)], (5, 0), ["o0-3", "x", "o3-5"]),
    ("streams in turns", [order(3, 0), order(3, 4)], (6, 4), ["o0-3", "e0-4", "o3-6"]),
    ("marks that part nothing", [order(3, 0), order(3, 0)], (6, 0), ["o0-6"]),
    ("clear", [shown("x", 3, 0), clear(5, 0)], (7, 0), ["o5-7"]),
    ("clear and wait, and nothing comes", [shown("x", 3, 0), clear(3, 0, wait=True)], (3, 0), ["o0-3", "x"]),
    ("clear and wait for a print", [shown("x", 3, 0), clear(3, 0, wait=True)], (4, 0), ["o3-4"]),
    ("clear and wait for a display", [shown("x", 3, 0), clear(3, 0, wait=True), shown("y", 3, 0)], (3, 0), ["y"]),
    ("clear, wait, clear", [shown("x", 1, 0), clear(1, 0, wait=True), clear(1, 0)], (2, 0), ["o1-2"]),
    ("an update", [shown("x", 0, 0, identity="i"), update("y", "i", 2, 0)], (2, 0), ["y", "o0-2"]),
    (
        "an update of two",
        [shown("a", 0, 0, identity="i"), shown("b", 0, 0, identity="i"), update("c", "i", 0, 0)],
        (0, 0),
        ["c", "c"],
    ),
    ("an update of nothing", [update("y", "i", 0, 0)], (0, 0), []),
    ("an update of what was cleared", [shown("x", 0, 0, identity="i"), clear(0, 0), update("y", "i", 0, 0)], (0, 0), []),
    ("an error, repeated in stderr", [error(5, 2, 1)], (2, 9), ["o0-2", "e0-1", "error", "e6-9"]),
    (
        "a result, then figures",
        [around(True, 2, 0), result("r", 2, 0), around(False, 2, 0), shown("f", 2, 0)],
        (2, 0),
        ["o0-2", "result", "r", "result", "f"],
    ),
    ("sizes that lag behind the events", [shown("x", 9, 9)], (3, 0), ["o0-3", "x"]),
]


@pytest.mark.parametrize(
    ("events", "sizes", "expected"), [case[1:] for case in ARRANGED], ids=[case[0] for case in ARRANGED]
)
def test_events_are_put_into_order(events: list[Event], sizes: tuple[int, int], expected: list[str]) -> None:
    assert words(arrange(events, sizes)) == expected


IDENTITIES = st.sampled_from(["i", "j"])
TEXTS = st.sampled_from("abc")
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("print"), st.integers(0, 1), st.integers(1, 3)),
        st.tuples(st.just("order")),
        st.tuples(st.just("clear"), st.booleans()),
        st.tuples(st.just("shown"), TEXTS, st.none() | IDENTITIES),
        st.tuples(st.just("update"), TEXTS, IDENTITIES),
        st.tuples(st.just("error"), st.integers(0, 2)),
        st.tuples(st.just("around"), st.booleans()),
    ),
    max_size=25,
)


def history(steps: list[tuple[Any, ...]]) -> tuple[list[Event], tuple[int, int]]:
    """Events as a recorder writes them, and the sizes of the streams in the end."""
    at, events = [0, 0], []
    for kind, *rest in steps:
        if kind == "print":
            at[rest[0]] += rest[1]
        elif kind == "order":
            events.append(order(*at))
        elif kind == "clear":
            events.append(clear(*at, wait=rest[0]))
        elif kind == "shown":
            events.append(shown(rest[0], *at, identity=rest[1]))
        elif kind == "update":
            events.append(update(*rest, *at))
        elif kind == "around":
            events.append(around(*rest, *at))
        else:
            events.append(error(rest[0], *at))
            at[1] += rest[0]
    return events, (at[0], at[1])


@given(STEPS, st.integers(0, 25))
def test_condensed_events_amount_to_the_same_whatever_comes_later(steps: list[tuple[Any, ...]], cut: int) -> None:
    events, sizes = history(steps)
    fewer = condense(events[:cut]) + events[cut:]
    assert arrange(fewer, sizes) == arrange(events, sizes)


@given(STEPS)
def test_every_byte_is_shown_once_and_in_order_unless_it_was_cleared(steps: list[tuple[Any, ...]]) -> None:
    steps = [step for step in steps if step[0] not in ("clear", "error")]
    events, sizes = history(steps)
    for stream in (0, 1):
        spans = [each for each in arrange(events, sizes) if isinstance(each, Span) and each.stream == stream]
        assert [span.start for span in spans] == [0, *(span.stop for span in spans[:-1])][: len(spans)]
        assert (spans[-1].stop if spans else 0) == sizes[stream]


def test_a_live_plots_frames_are_condensed_to_the_last_one() -> None:
    frames = [each for number in range(100) for each in (clear(0, 0, wait=True), shown(f"frame {number}", 0, 0))]
    assert condense(frames) == [clear(0, 0), shown("frame 99", 0, 0)]
    updates = [shown("frame 0", 0, 0, identity="i"), *(update(f"frame {number}", "i", 0, 0) for number in range(100))]
    assert [each for each in condense(updates) if each["type"] != "order"] == [shown("frame 99", 0, 0, identity="i")]


@given(st.lists(st.sampled_from([shown("é\n", 1, 2), order(0, 1), clear(3, 4), result("r", 0, 0), error(3, 0, 0)])))
def test_events_survive_their_file(events: list[Event]) -> None:
    data = b"".join(map(encode, events))
    assert decode(data) == (events, 0)
    assert decode(data + b'{"at":[0,') == (events, 0)  # the last line is being written


@given(
    st.binary()
    | st.recursive(st.none() | st.integers() | st.text(), lambda x: st.lists(x) | st.dictionaries(st.text(), x)).map(
        lambda x: json.dumps(x).encode()
    )
)
def test_any_line_is_an_event_or_damaged(line: bytes) -> None:
    events, damaged = decode(line + b"\n")
    assert len(events) + damaged == line.count(b"\n") + 1
    arrange(events, (10, 10))


STRANGE = [
    {"type": "order"},
    {"at": [0], "type": "order"},
    {"at": [0, -1], "type": "order"},
    {"at": [0, 1.5], "type": "order"},
    {"at": [0, 0], "type": "unheard of"},
    {"at": [0, 0], "type": ["order"]},
    {"at": [0, 0], "type": "display_data", "data": []},
    {"at": [0, 0], "type": "error", "ename": 3},
]


@pytest.mark.parametrize("event", STRANGE, ids=str)
def test_what_is_no_event_is_damaged(event: object) -> None:
    assert decode(json.dumps(event).encode() + b"\n") == ([], 1)


class Index:
    def __str__(self) -> str:
        return "index"


ENCODED = [
    (b"\x89PNG", "iVBORw=="),
    (range(3), [0, 1, 2]),
    ({"x"}, ["x"]),
    (Index(), "index"),
    (float("nan"), "nan"),
    ([float("inf"), 1.5], ["inf", 1.5]),
    ({1: 2, (1, 2): {None: b"\x89PNG"}}, {"1": 2, "(1, 2)": {"None": "iVBORw=="}}),
    ("\udc80", "\udc80"),
]


@pytest.mark.parametrize(("value", "sent"), ENCODED, ids=[repr(value)[:20] for value, _ in ENCODED])
def test_data_that_json_has_no_type_for_is_sent_as_a_kernel_sends_it(value: object, sent: object) -> None:
    line = encode({**shown("", 0, 0), "data": {"application/x": value}})
    ((event,), damaged) = decode(line)
    assert (event["data"]["application/x"], damaged) == (sent, 0)
    json.loads(line, parse_constant=lambda word: pytest.fail(f"{word} is no JSON"))


def test_numbers_of_numpy_are_numbers() -> None:
    data = {"n": np.int64(3), "x": np.float32(0.5), "a": np.arange(2)}
    ((event,), _) = decode(encode({**shown("", 0, 0), "data": data}))
    assert event["data"] == {"n": 3, "x": 0.5, "a": [0, 1]}


# ---------------------------------------------------------------- reading


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    (tmp_path / "run-1").mkdir()
    return RunDirectory(JobDirectory(str(tmp_path), "job"), 1)


def test_a_run_that_has_put_out_nothing(run: RunDirectory) -> None:
    assert read(run) == ([], range(0))


def test_of_long_streams_the_end_is_shown_and_the_rest_told(run: RunDirectory) -> None:
    Path(run.stdout_path).write_text("a" * 50 + "b" * 50)
    Path(run.stderr_path).write_text("e" * 10)
    Path(run.display_path).write_bytes(encode(shown("x", 50, 0)) + encode(order(50, 10)))
    outputs, _ = read(run, limit=30)
    assert [each.get("text", each.get("data")) for each in outputs] == [
        "… 80 bytes left out; %persist_log job shows them\n",
        {"text/plain": "x"},
        "b" * 30,
    ]


def test_streams_that_take_turns_too_often_are_shown_in_fewer_pieces(run: RunDirectory) -> None:
    Path(run.stdout_path).write_text("".join(f"o{n:04}\n" for n in range(3000)))
    Path(run.stderr_path).write_text("".join(f"e{n:04}\n" for n in range(3000)))
    turns = [order(6 * n, 6 * m) for n in range(1, 3001) for m in (n - 1, n)]
    Path(run.display_path).write_bytes(b"".join(map(encode, [*turns[:3000], shown("x", 9000, 9000), *turns[3000:]])))
    outputs, _ = read(run)
    assert 300 < len(outputs) <= 2 * 200 + 1
    for name, letter in (("stdout", "o"), ("stderr", "e")):
        text = "".join(each["text"] for each in outputs if each.get("name") == name)
        assert text == "".join(f"{letter}{n:04}\n" for n in range(3000))
    at = next(index for index, each in enumerate(outputs) if "data" in each)
    assert "o1499" in "".join(each["text"] for each in outputs[at - 2 : at])


def test_damaged_lines_are_told_and_disturb_no_other(run: RunDirectory) -> None:
    Path(run.display_path).write_bytes(b"\0\0\n" + encode(shown("x", 0, 0)) + b"{}\n")
    outputs, _ = read(run)
    assert outputs[0]["data"] == {"text/plain": "x"}
    assert "2 lines of" in outputs[1]["text"]


def test_a_widgets_view_is_left_out_for_its_model_is_gone(run: RunDirectory) -> None:
    event = {**shown("IntSlider(value=0)", 0, 0)}
    event["data"] = {**event["data"], "application/vnd.jupyter.widget-view+json": {"model_id": "1"}}
    Path(run.display_path).write_bytes(encode(event))
    assert read(run)[0][0]["data"] == {"text/plain": "IntSlider(value=0)"}


def test_the_result_and_the_error_are_told_apart(run: RunDirectory) -> None:
    events = [shown("x", 0, 0), around(True, 0, 0), result("r", 0, 0), around(False, 0, 0), shown("f", 0, 0)]
    Path(run.display_path).write_bytes(b"".join(map(encode, events)))
    outputs, of_result = read(run)
    assert of_result == range(1, 2)
    assert outputs[1] == {
        "output_type": "execute_result",
        "data": {"text/plain": "r"},
        "metadata": {},
        "execution_count": None,
    }


# ---------------------------------------------------------------- control characters

SETTLED = [
    ("plain\ntext\n", "plain\ntext\n"),
    ("10 %\r50 %\r100 %\n", "100 %\n"),
    ("long line\rshort\n", "shortline\n"),
    ("bar\r\n", "bar\n"),
    ("typo\b\b\bhree", "three"),
    ("\x1b[31mred\x1b[0m\n", "\x1b[31mred\x1b[0m\n"),
    ("50 %\r\x1b[32m100 %\x1b[0m\n", "\x1b[32m100 %\x1b[0m\n"),
    ("outer 1\n\rinner 1\x1b[A\router 2\n\rinner 2\x1b[A\n\n", "outer 2\ninner 2\n"),
    ("one\ntwo\x1b[1A\x1b[2Kthree\n", "   three\ntwo"),
    ("abcdef\x1b[3D\x1b[K", "abc"),
    ("abcdef\x1b[3D\x1b[1K", "    ef"),
    ("abc\x1b[2Gx", "axc"),
    ("a\x1b[3Cb", "a   b"),
    ("\x1b]0;title\x07text", "text"),
    ("\x1b[?25lspinner\x1b[?25h", "spinner"),
    ("a\x1b[99999999999B", "a" + "\n" * 10_000),
    ("a" + "\x1b[9999B" * 50, "a" + "\n" * 10_000),
]


@pytest.mark.parametrize(("text", "expected"), SETTLED, ids=[repr(text)[:30] for text, _ in SETTLED])
def test_a_text_settles_as_in_a_terminal(text: str, expected: str) -> None:
    assert settle(text) == expected


STEERING = st.lists(
    st.sampled_from(["ab", "c", "\n", "\r", "\b", "\x1b[A", "\x1b[2B", "\x1b[K", "\x1b[31m", "\x1b[3G", "\x1b", "é"])
).map("".join)


@given(STEERING)
def test_what_has_settled_stays(text: str) -> None:
    assert settle(settle(text)) == settle(text)
    assert "\r" not in settle(text)


@given(st.text(st.characters(exclude_characters="\r\b\x1b")))
def test_a_text_that_steers_nothing_is_left_alone(text: str) -> None:
    assert settle(text) == text


@given(st.lists(st.text("ab ", max_size=5), min_size=1))
def test_a_line_by_carriage_returns_is_each_text_over_the_ones_before(texts: list[str]) -> None:
    line: list[str] = []
    for text in texts:
        line[: len(text)] = text
    assert settle("\r".join(texts)) == "".join(line)
