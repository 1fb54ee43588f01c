"""What a cell has put out, and how it is put together again.

Owns the events of display.jsonl (what was displayed, cleared or updated, with its place in the streams), the fold from
events and streams to a notebook's outputs. Standard library only: the worker writes what is read here. Knows nothing of how
outputs are shown.

An event is one line of JSON, named after Jupyter's messages. ``at`` holds the sizes of stdout and stderr, in bytes, when it
happened: what a stream holds between two events was written between them. An event of type "order" marks only a place.
Two of type "result" stand around what shows the value of the last expression, or the error that ended the cell.
"""

from __future__ import annotations

import errno
import json
import math
import os
from collections.abc import Iterable

from .errors import Damaged
from .files import open_regular
from .frozen import Frozen, frozen
from .logs import log_size
from .store import RunDirectory
from .text import settle

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Event = dict[str, Any]
    Output = dict[str, Any]

STREAM_LIMIT = 1_000_000
"""How many bytes of the streams are put into outputs, the last ones; the logs have all of it."""

_LARGEST = 1 << 30
_MOST_TURNS = 200
"""Between two displays; a frontend chokes on more."""
_STREAMS = ("stdout", "stderr")
_WIDGET = "application/vnd.jupyter.widget-view+json"


@frozen
class Span(Frozen):
    """A piece of a stream among the outputs, in bytes.

    Attributes
    ----------
    stream : int
        0 is stdout, 1 stderr.
    """

    stream: int
    start: int
    stop: int


@frozen
class Window(Frozen):
    """A part of a run's files, which several share one after the other.

    Attributes
    ----------
    start : tuple of int
        Where in stdout, stderr and the events it begins, bytes.
    stop : tuple of int or None
        Where it ends; None is where they end now.
    """

    start: tuple[int, ...]
    stop: tuple[int, ...] | None


# ---------------------------------------------------------------- events


def encode(event: Event) -> bytes:
    """Return an event as its line."""
    try:
        return _ENCODER.encode(event).encode() + b"\n"
    except (TypeError, ValueError):  # keys that are no text, numbers that JSON has not
        return _ENCODER.encode(_cleaned(event)).encode() + b"\n"


def _encodable(value: Any) -> Any:
    """What JSON has no type for, as Jupyter's kernel sends it."""
    import numbers

    if isinstance(value, (bytes, bytearray, memoryview)):
        import base64

        return base64.b64encode(value).decode("ascii")
    if isinstance(value, numbers.Integral):
        return int(value)
    if isinstance(value, numbers.Real):
        return float(value)
    return list(value) if isinstance(value, Iterable) else str(value)


_ENCODER = json.JSONEncoder(separators=(",", ":"), allow_nan=False, default=_encodable)


def _cleaned(value: Any) -> Any:
    """The same with text for keys, and for numbers that are not finite."""
    if isinstance(value, dict):
        return {key if isinstance(key, str) else str(key): _cleaned(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_cleaned(each) for each in value]
    if isinstance(value, (str, int, type(None))):
        return value
    if not isinstance(value, float):
        return _cleaned(_encodable(value))
    return value if math.isfinite(value) else repr(value)


def decode(data: bytes) -> tuple[list[Event], int]:
    """Return the events of whole lines, and how many lines are none.

    A last line without its end is still being written and does not count.
    """
    events, damaged = [], 0
    for line in data.split(b"\n")[:-1]:
        try:
            event = json.loads(line)
        except (ValueError, RecursionError):
            event = None
        if _is_event(event):
            events.append(event)
        else:
            damaged += 1
    return events, damaged


_FIELDS: dict[str, dict[str, type]] = {
    "order": {},
    "result": {"begins": bool},
    "clear_output": {"wait": bool},
    "display_data": {"data": dict, "metadata": dict},
    "update_display_data": {"data": dict, "metadata": dict, "display_id": str},
    "execute_result": {"data": dict, "metadata": dict},
    "error": {"ename": str, "evalue": str, "traceback": list, "echo": int},
}
_OUTPUTS = ("display_data", "execute_result", "error")


def _is_event(event: Any) -> bool:
    kind = event.get("type") if isinstance(event, dict) else None
    if not isinstance(kind, str) or kind not in _FIELDS:
        return False
    at = event.get("at")
    if not isinstance(at, list) or len(at) != 2 or not all(type(each) is int and each >= 0 for each in at):
        return False
    return all(isinstance(event.get(name), expected) for name, expected in _FIELDS[kind].items())


def arrange(events: Iterable[Event], sizes: tuple[int, int]) -> list[Span | Event]:
    """Return what is to be seen when all events have happened, in order; events of type "result" keep their place.

    Parameters
    ----------
    sizes : (int, int)
        Bytes that stdout and stderr hold.
    """
    shown: list[Span | Event] = []
    places: dict[str, list[int]] = {}  # of a display_id, the indices in `shown`
    waiting = -1  # how much there was to see when it was to be cleared with the next output
    position = [0, 0]

    def add(piece: Span | Event) -> None:
        nonlocal waiting
        if waiting >= 0:
            del shown[:waiting]
            waiting = -1
            places.clear()
        shown.append(piece)

    def advance(at: list[int]) -> None:
        for stream in (0, 1):
            stop = min(at[stream], sizes[stream])
            if stop > position[stream]:
                last = shown[-1] if shown and waiting < 0 else None
                if isinstance(last, Span) and (last.stream, last.stop) == (stream, position[stream]):
                    shown[-1] = Span(stream, last.start, stop)
                else:
                    add(Span(stream, position[stream], stop))
                position[stream] = stop

    for event in events:
        advance(event["at"])
        kind = event["type"]
        if kind == "clear_output":
            waiting = len(shown) if event["wait"] else -1
            if not event["wait"]:
                shown.clear()
                places.clear()
        elif kind == "update_display_data":
            for place in places.get(event["display_id"], ()):
                old = shown[place]
                assert isinstance(old, dict)
                shown[place] = {**old, "data": event["data"], "metadata": event["metadata"]}
        elif kind == "result":
            shown.append(event)
        elif kind in _OUTPUTS:
            add(event)
            if isinstance(event.get("display_id"), str):
                places.setdefault(event["display_id"], []).append(len(shown) - 1)
            if kind == "error":  # stderr repeats it for those who read the log
                position[1] = max(position[1], min(event["at"][1] + event["echo"], sizes[1]))
    advance(list(sizes))
    return shown


def condense(events: list[Event]) -> list[Event]:
    """Return fewer events that amount to the same, whatever comes later: what was cleared or updated since is left out."""
    kept: list[Event] = []
    waiting = -1  # the index of a clear_output that takes effect with the next output
    places: dict[str, list[int]] = {}
    for event in events:
        kind = event["type"]
        if waiting >= 0 and (kind in _OUTPUTS or event["at"] != kept[waiting]["at"]):  # there was output, so it has
            kept = [{**kept[waiting], "wait": False}, *kept[waiting + 1 :]]
            waiting, places = -1, {}
        if kind == "clear_output" and not event["wait"]:
            kept, waiting, places = [event], -1, {}
        elif kind == "update_display_data":
            for place in places.get(event["display_id"], ()):
                kept[place] = {**kept[place], "data": event["data"], "metadata": event["metadata"]}
            kept.append({"at": event["at"], "type": "order"})
        else:
            if kind == "clear_output":
                waiting = len(kept)
            elif isinstance(event.get("display_id"), str):
                places.setdefault(event["display_id"], []).append(len(kept))
            kept.append(event)
    return kept


# ---------------------------------------------------------------- outputs


def read(run: RunDirectory, limit: int = STREAM_LIMIT, window: Window | None = None) -> tuple[list[Output], range]:
    """Return what a run has put out so far, as a notebook's outputs (nbformat 4), and which of them are its result or error.

    Parameters
    ----------
    limit : int
        So many bytes of the streams at most, the last ones.
    window : Window, optional
        Only this part of its files.

    Raises
    ------
    Damaged
        If one of the files cannot be read.
    """
    paths = run.stdout_path, run.stderr_path
    start = window.start if window is not None else (0, 0, 0)
    stop: tuple[int, ...] = (log_size(paths[0]), log_size(paths[1]))
    if window is not None and window.stop is not None:
        stop = window.stop
    events, damaged = decode(_part(run, run.display_path, start[2], stop[2] if len(stop) > 2 else None))
    if window is not None:
        events = [
            {**event, "at": [max(0, at - begin) for at, begin in zip(event["at"], start, strict=False)]} for event in events
        ]
    sizes = max(0, stop[0] - start[0]), max(0, stop[1] - start[1])
    pieces = _joined(arrange(events, sizes))
    excess = sum(piece.stop - piece.start for piece in pieces if isinstance(piece, Span)) - limit
    outputs: list[Output] = []
    result: list[int] = []
    if excess > 0:
        outputs.append(_stream(1, f"… {excess} bytes left out; %persist_log {run.job.name} shows them\n"))
    for piece in pieces:
        if not isinstance(piece, Span):
            if piece["type"] != "result":
                outputs.append(_output(piece))
            elif piece["begins"]:
                result = [len(outputs), len(outputs)]
            else:
                result = [result[0] if result else 0, len(outputs)]  # the cell may have cleared its beginning
            continue
        cut = min(max(0, excess), piece.stop - piece.start)
        excess -= cut
        if piece.start + cut < piece.stop:
            begin = start[piece.stream]
            text = _part(run, paths[piece.stream], begin + piece.start + cut, begin + piece.stop).decode("utf-8", "replace")
            outputs.append(_stream(piece.stream, settle(text)))
    if damaged:
        outputs.append(_stream(1, f"persist_magic: {damaged} lines of {run.display_path} are damaged and left out\n"))
    return outputs, range(*(result or (len(outputs), len(outputs))))


def _joined(pieces: list[Span | Event]) -> list[Span | Event]:
    """The same pieces; where the streams take turns too often to be shown so, several turns of each are one piece."""
    joined: list[Span | Event] = []
    spans: list[Span] = []

    def put() -> None:
        if len(spans) <= _MOST_TURNS:
            joined.extend(spans)
        else:
            many = -(-2 * len(spans) // _MOST_TURNS)
            for at in range(0, len(spans), many):
                for stream in (0, 1):
                    part = [span for span in spans[at : at + many] if span.stream == stream]
                    if part:
                        joined.append(Span(stream, part[0].start, part[-1].stop))
        spans.clear()

    for piece in pieces:
        if isinstance(piece, Span):
            spans.append(piece)
        else:
            put()
            joined.append(piece)
    put()
    return joined


def _output(event: Event) -> Output:
    kind = event["type"]
    if kind == "error":
        words = {name: event[name] for name in ("ename", "evalue")}
        return {"output_type": "error", **words, "traceback": [str(line) for line in event["traceback"]]}
    data = {mime: value for mime, value in event["data"].items() if mime != _WIDGET}  # its model died with the worker
    output: Output = {"output_type": kind, "data": data, "metadata": event["metadata"]}
    return {**output, "execution_count": None} if kind == "execute_result" else output


def _stream(stream: int, text: str) -> Output:
    return {"output_type": "stream", "name": _STREAMS[stream], "text": text}


def _part(run: RunDirectory, path: str, start: int = 0, stop: int | None = None) -> bytes:
    """A piece of a file, or all of it; b"" if there is none."""
    try:
        with open_regular(path) as file:
            end = os.fstat(file.fileno()).st_size if stop is None else stop
            if end - start > _LARGEST:
                raise OSError(errno.EFBIG, f"{end - start} bytes are too many to be shown")
            file.seek(start)
            return file.read(end - start)
    except FileNotFoundError:
        return b""
    except OSError as error:
        raise Damaged(run.job.name, run.job.relative(path), error.strerror or str(error)) from None
