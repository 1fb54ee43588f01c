"""Logs that may be growing and may be large: their text, their tail, what has come since.

Owns how they are read: never more of them than is asked for. Standard library only. What is no log (a directory, a link, a
FIFO) is told by a StoreError.
"""

from __future__ import annotations

import contextlib
import os

from .errors import StoreError
from .files import open_regular
from .text import settle

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import BinaryIO

_BLOCK = 1 << 16
_PART = 1 << 20
_LAST = 1 << 12
_LONGEST_LINE = 1 << 20
"""Bytes; looking back for a line's beginning ends there."""


@contextlib.contextmanager
def _opened(path: str) -> Iterator[BinaryIO | None]:
    """Open a log anew: a file system on another host then looks what is new (close-to-open consistency, nfs(5)).

    None if there is none.
    """
    try:
        with open_regular(path) as file:
            yield file
    except FileNotFoundError:
        yield None
    except OSError as error:
        raise StoreError("read", path, error.strerror or str(error)) from None


def read_log(path: str, tail: int | None = None, most: int | None = None) -> str:
    """Return a log's text, or its last `tail` lines without reading the rest; "" if there is none.

    Parameters
    ----------
    most : int, optional
        Of how many bytes it is what it should be.

    Raises
    ------
    StoreError
        If it is larger, or no file that can be read.
    """
    if most is not None and (size := log_size(path)) > most:
        raise StoreError("read", path, f"{size} bytes are too many")
    offset = tail_offset(path, tail)
    parts = []
    while part := read_part(path, offset):
        offset += len(part)
        parts.append(part)
    return b"".join(parts).decode("utf-8", "replace")


def read_span(path: str, start: int, stop: int | None, tail: int | None = None) -> str:
    """Return what stands in a log between two places, or its last `tail` lines; up to the end if `stop` is None."""
    data = _span(path, start, stop)
    return data[_before_tail(data, tail) :].decode("utf-8", "replace")


def tail_of_span(path: str, start: int, stop: int | None, tail: int | None) -> int:
    """Return how many bytes of a part of a log stand before its last `tail` lines; 0 for None."""
    return 0 if tail is None else _before_tail(_span(path, start, stop), tail)


def _before_tail(data: bytes, tail: int | None) -> int:
    if tail is None:
        return 0
    lines = data.splitlines(keepends=True)
    return sum(map(len, lines[: max(0, len(lines) - tail)]))


def _span(path: str, start: int, stop: int | None) -> bytes:
    stop = log_size(path) if stop is None else stop
    parts = []
    while start < stop and (part := read_part(path, start, min(_PART, stop - start))):
        start += len(part)
        parts.append(part)
    return b"".join(parts)


def log_size(path: str) -> int:
    """Return how many bytes a log has; 0 if there is none."""
    try:
        return os.stat(path, follow_symlinks=False).st_size
    except FileNotFoundError:
        return 0
    except OSError as error:
        raise StoreError("read", path, error.strerror or str(error)) from None


def read_part(path: str, offset: int, size: int = _PART) -> bytes:
    """Return what stands from a place on, at most `size` bytes."""
    with _opened(path) as file:
        if file is None:
            return b""
        file.seek(offset)
        return file.read(size)


def last_line(path: str) -> str:
    """Return the last line of a log that holds anything, as a terminal shows it; of a long one the end; of none ""."""
    try:
        end = log_size(path)
        text = read_part(path, max(0, end - _LAST), _LAST).decode("utf-8", "replace")
    except StoreError:
        return ""
    return next((line.strip() for line in reversed(settle(text).split("\n")) if line.strip()), "")


def tail_offset(path: str, lines: int | None) -> int:
    """Return where the last `lines` lines begin, bytes; 0 for None.

    At most a megabyte and 64 kB a line are looked through: of a progress bar's endless line the last piece is given.
    """
    if lines is None:
        return 0
    with _opened(path) as file:
        if file is None:
            return 0
        end = at = file.seek(0, os.SEEK_END)
        farthest = max(0, end - _LONGEST_LINE - lines * _BLOCK)
        seen = 0
        while at > farthest:
            step = min(_BLOCK, at - farthest)
            at -= step
            file.seek(at)
            block = file.read(step)
            position = len(block)
            while (position := block.rfind(b"\n", 0, position)) >= 0:
                if at + position == end - 1:
                    continue  # the newline that ends the last line
                seen += 1
                if seen == lines:
                    return at + position + 1
        return farthest if lines else end
