"""The end of a log that grows, for a page: what it must change to show it.

Owns how much of a log a page is sent, and in which pieces. What it shows is what a terminal would show, without colours.
"""

from __future__ import annotations

import os
from typing import Any

from ..job import Job
from ..logs import log_size, read_part
from ..store import JobDirectory
from ..text import harmless, settle, without_colours

WINDOW = 64 << 10
"""Bytes of a log that a page is sent at first; it may grow to twice as many before the front is cut."""


class Tail:
    """The end of a job's stdout or stderr, also over its later runs.

    Parameters
    ----------
    job : Job
    err : bool
        Whether stderr.
    """

    def __init__(self, job: Job, err: bool) -> None:
        self._job, self._err = job, err
        self._file: tuple[str, int, int] | None = None
        self._part = 0
        self._start = self._end = 0
        self._raw = b""
        self._sent: list[str] | None = None

    def restart(self) -> None:
        """Send everything again: somebody new looks."""
        self._sent = None

    def change(self) -> dict[str, Any] | None:
        """Return what has changed since the last call: how many lines stay, the text after them, and how much is before.

        Returns
        -------
        dict or None
            ``part`` (counts the changes), ``keep`` (lines), ``text``, ``before`` (bytes of the log that are not shown); None
            if nothing has changed.
        """
        path = self._job.directory.current_run().log_path(self._err)
        size, file = log_size(path), _identity(self._job.directory, path)
        if file != self._file or size < self._end:  # a later run, another job of that name, or cut by somebody
            self._file, self._raw, self._sent = file, b"", None
            self._start = self._end = _line_start(path, max(0, size - WINDOW))
        if self._sent is not None and size == self._end:
            return None
        while part := read_part(path, self._end, 2 * WINDOW):
            self._end += len(part)
            self._raw += part
            self._cut()
        lines = harmless(without_colours(settle(self._raw.decode("utf-8", "replace")))).split("\n")
        keep = _common(self._sent, lines) if self._sent is not None else 0
        self._sent = lines
        self._part += 1
        return {"part": self._part, "keep": keep, "text": "\n".join(lines[keep:]), "before": self._start}

    def _cut(self) -> None:
        excess = len(self._raw) - WINDOW
        if excess > WINDOW:
            at = self._raw.find(b"\n", excess) + 1 or excess
            self._raw = self._raw[at:]
            self._start += at
            self._sent = None


def _identity(job: JobDirectory, path: str) -> tuple[str, int, int]:
    """What tells a log from another one that takes its place: its inode may come again, job.json is never changed."""
    try:
        return path, os.stat(path).st_ino, os.stat(job.spec_path).st_mtime_ns
    except OSError:
        return path, 0, 0


def _line_start(path: str, offset: int) -> int:
    """The beginning of the first line after a place, if one begins soon."""
    if offset == 0:
        return 0
    part = read_part(path, offset, WINDOW // 2)
    return offset + part.find(b"\n") + 1


def _common(before: list[str], after: list[str]) -> int:
    """How many lines at the beginning are the same; never all of `after`, so that its last line is always sent."""
    count = 0
    for old, new in zip(before, after[:-1], strict=False):
        if old != new:
            break
        count += 1
    return count
