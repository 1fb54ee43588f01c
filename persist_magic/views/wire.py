"""Rows as a page is sent them: small, and only what is new.

Owns the fields that a page knows of a job, their order, and how a change of some of them is written. dashboard.js reads it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from ..monitor import ENDED, Row
from ..status import progress_words
from ..store import USAGE_SAMPLES
from ..text import one_line

FIELDS = (
    "name",
    "state",
    "run",
    "reason",
    "note",
    "source",
    "seen",  # only if it is to be told
    "backend",
    "id",
    "submitted",
    "started",
    "ended",
    "share",
    "progress",
    "told",  # when the cell said so
    "cpu",
    "memory",
    "line",
    "staleness",
    "tasks",  # of a sweep: how many are done, failed, cancelled, running; and how many there are
)
_DEFAULTS: tuple[Any, ...] = ("", "", None, "", "", "", None, "", "", None, None, None, None, "", None, [], [], "", "", None)
_LONGEST = 300
"""Characters of a text in a row; the rest is among the details."""
_SERIES = FIELDS.index("cpu"), FIELDS.index("memory")

Values = tuple[Any, ...]


def values(row: Row) -> Values:
    """Return what a page knows of a job, in the order of `FIELDS`; times in seconds since the epoch."""
    progress = row.progress if row.state not in ("done", "queued") else None
    counts = row.tasks
    return (
        row.name,
        row.state,
        row.run if row.run != 1 else None,
        _text(row.reason),
        _text(row.note),
        row.source if row.state not in ENDED else "",
        _time(row.seen) if row.stale else None,
        _text(row.backend),
        _text(row.id),
        _time(row.submitted),
        _time(row.started),
        _time(row.ended),
        None if row.share is None or counts is not None else round(row.share, 3),
        _text(progress_words(progress, progress.time)) if progress is not None else "",
        _time(progress.time) if progress is not None and counts is None else None,
        [round(each) if math.isfinite(each) else 0 for each in row.samples("cpu")],
        [_rounded(each) for each in row.samples("memory")],
        _text(row.last_line),
        _text(row.staleness),
        [counts.done, counts.failed, counts.cancelled, counts.running, counts.total] if counts is not None else None,
    )


def change(row: Values, before: Values | None) -> list[Any]:
    """Return a row's name, whether the rest is the whole row, and in turns a field's number and its value.

    Of samples that only went on by one the new one is written, as ``[new]`` below the field's negative number.

    Parameters
    ----------
    before : Values or None
        What the page has; None writes all that is not the default.
    """
    written: list[Any] = [row[0], int(before is None)]
    for index, (new, old) in enumerate(zip(row, before or _DEFAULTS, strict=True)):
        if index == 0 or new == old:
            continue
        if before is not None and index in _SERIES and old and new and _goes_on(old, new):
            written += [-index, new[-1]]
        else:
            written += [index, new]
    return written


def changes(rows: Iterable[Row], sent: dict[str, Values]) -> list[list[Any]]:
    """Return what a page that has `sent` must be told of some rows, and bring `sent` up to date.

    Only rows of jobs that live are kept in it: what has ended is written whole, should it ever change.
    """
    written = []
    for row in rows:
        new, before = values(row), sent.get(row.name)
        if row.state in ENDED:
            sent.pop(row.name, None)
        else:
            sent[row.name] = new
        if new != before:
            written.append(change(new, before if row.state not in ENDED else None))
    return written


def _goes_on(old: list[float], new: list[float]) -> bool:
    """Whether there is one sample more, or of the longest series the next one in place of the oldest."""
    return new[:-1] == old or (len(new) == len(old) == USAGE_SAMPLES and new[:-1] == old[1:])


def _text(words: str) -> str:
    words = one_line(words)
    return words if len(words) <= _LONGEST else f"{words[:_LONGEST]}…"


def _time(seconds: float | None) -> float | None:
    return None if seconds is None or not math.isfinite(seconds) else round(seconds, 1)


def _rounded(amount: float) -> float:
    """Three figures of a number of bytes, which is more than a page shows."""
    return float(f"{amount:.3g}") if math.isfinite(amount) else 0
