"""Jobs as plain text: the table of many, the facts of one, the line that a submission prints.

Owns columns and words. Knows rows and statuses, no files.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any

from ..capture.explain import size
from ..each import CALL, EACH
from ..job import Job
from ..monitor import Row
from ..status import JobState, duration, moment, progress_words, seen_words
from ..store import FRESH_SECONDS, Bar, CapturedName, LocalModule, Progress
from ..submission import Submission
from ..tasks import Counts
from ..text import aligned, harmless

LARGE = 100_000_000
"""Captured values from this many bytes on stand out."""
_NAMES_SHOWN = 6


def table(of: Iterable[Row]) -> str:
    """Return the table as aligned text."""
    now = time.time()
    lines = [("name", "state", "backend", "id", "elapsed", "submitted", "remarks")]
    for row in of:
        lines.append(
            (
                row.name,
                row.state_words,
                row.backend,
                row.id,
                elapsed(row.elapsed(now)),
                f"{duration(now - row.submitted)} ago" if row.submitted is not None else "",
                remarks(row, now),
            )
        )
    if len(lines) == 1:
        return "no jobs"
    return aligned(lines)


def remarks(row: Row, now: float, with_fresh: bool = True) -> str:
    """Return what is to be said of a job besides its state: when it was seen, why, how far it is, what has changed since.

    Parameters
    ----------
    with_fresh : bool
        Whether also to say that it was seen just now.
    """
    seen = ""
    if row.seen is not None and (with_fresh or now - row.seen >= FRESH_SECONDS):
        seen = seen_words(JobState(row.state), row.reason, now - row.seen)
    return "; ".join(filter(None, (seen, row.reason, row.note, *row.remarks(now))))


def tasks_words(counts: Counts) -> str:
    """Return how many tasks of a sweep are in which state: "120 of 200 tasks done, 3 failed, 2 running"."""
    some = (f"{number} {name}" for name in ("failed", "cancelled", "running") if (number := getattr(counts, name)))
    return ", ".join((f"{counts.done} of {counts.total} tasks done", *some))


def segments(counts: Counts, width: int) -> tuple[int, int, int]:
    """Return how long the parts of a sweep's bar are: tasks done, those failed or cancelled, those that run.

    What there is has a part, however few: one failure among thousands is seen.
    """
    parts = [counts.done, counts.failed + counts.cancelled, counts.running]
    ends = [sum(parts[:at]) * width // counts.total for at in range(len(parts) + 1)]
    lengths = [max(stop - start, int(part > 0)) for part, (start, stop) in zip(parts, pairwise(ends), strict=True)]
    while sum(lengths) > width:
        lengths[lengths.index(max(lengths))] -= 1
    return lengths[0], lengths[1], lengths[2]


def elapsed(seconds: float | None) -> str:
    """Return how long a run has taken, in words; "" if it has not started."""
    if seconds is None:
        return ""
    return f"{seconds:.1f} s" if seconds < 10 else duration(seconds)


def submission_line(submission: Submission, now: float) -> str:
    """Return the line that a submission prints: name, backend, id, and what was shipped."""
    job = submission.job
    if submission.attached:
        status = job.status()
        line = f"{job.name}: the identical job exists, {status.describe(now)}; attached to it, nothing submitted"
        if status.state.ended and status.state.value != "done":
            line += f"; %persist_rerun {job.name} runs it again"
        return harmless(line)
    tasks = f"{grouping_words(job)}; " if job.spec().tasks else ""
    return harmless(
        f"{job.name} → {job.spec().backend}, {submission.id}; {tasks}"
        f"shipped {shipped(submission.capture.names, submission.capture.size)}"
    )


def grouping_words(job: Job) -> str:
    """Return how many tasks a sweep has, and how they are grouped: "10000 tasks in 48 chunks of 209"."""
    submitted, count = job.directory.current_run().submitted(), job.spec().tasks
    words = f"{count} task{'' if count == 1 else 's'}"
    chunk = submitted.chunk if submitted is not None else 0
    return f"{words} in {-(-count // chunk)} chunks of {chunk}, one after the other" if 1 < chunk < count else words


def shipped(names: Sequence[CapturedName], total: int) -> str:
    """Return what a capture holds, the largest first."""
    if not names:
        return "no names"
    ordered = sorted(names, key=lambda each: (-each.size, each.name))
    parts = [_shipped_name(each) for each in ordered[:_NAMES_SHOWN]]
    if rest := ordered[_NAMES_SHOWN:]:
        parts.append(f"{len(rest)} more")
    return f"{', '.join(parts)}; {size(total)}"


def _name(each: CapturedName) -> str:
    """What a captured value is called; those that are ours by what they are."""
    return {CALL: "the call", EACH: "--each"}.get(each.name, each.name)


def _shipped_name(each: CapturedName) -> str:
    if each.type in ("function", "class", "module") or not each.size:
        return f"{_name(each)} ({each.type})"
    mark = "⚠ " if each.size >= LARGE else ""
    return f"{mark}{_name(each)} ({each.kind}, {size(each.size)})"


def names_lines(names: Sequence[CapturedName]) -> list[tuple[str, str, str, str]]:
    """Return name, type, size and who asked for it, of each captured name, the largest first."""
    lines = []
    for each in sorted(names, key=lambda each: (-each.size, each.name)):
        mark = " ⚠" if each.size >= LARGE else ""
        lines.append((_name(each), each.kind, f"{size(each.size)}{mark}" if each.size else "", each.asked_by))
    return lines


def names_table(names: Sequence[CapturedName]) -> str:
    """Return captured names as aligned text."""
    lines = [("name", "type", "size", "used by"), *names_lines(names)]
    return aligned(lines)


def modules_line(modules: Sequence[LocalModule]) -> str:
    """Return which of the user's own modules a job imports."""
    return harmless("imports " + ", ".join(f"{each.name} ({each.path or 'a folder'})" for each in modules))


_TIMES = ("submitted", "started", "ended", "seen")


def facts_lines(info: dict[str, Any]) -> list[tuple[str, str]]:
    """Return what `Job.info` tells, but for captured names and modules, each with its label, in words."""
    lines = []
    for key, value in info.items():
        if value in (None, "", [], {}, False) or key in ("names", "modules"):
            continue
        if key == "usage" and (info["state"] != JobState.RUNNING.value or not value["cpu"] or not value["memory"]):
            continue  # what an ended job took last says nothing
        lines.append((key.replace("_", " "), _fact(key, value)))
    return lines


def facts(info: dict[str, Any]) -> str:
    """Return what `Job.info` tells as lines for people."""
    text = "\n".join(f"{label:<12} {words}" for label, words in facts_lines(info))
    if info.get("names"):
        text += "\n\ncaptured\n" + names_table([CapturedName(**each) for each in info["names"]])
    if info.get("modules"):
        text += "\n" + modules_line([LocalModule(**each) for each in info["modules"]])
    return harmless(text)


def _fact(key: str, value: Any) -> str:
    if key == "usage":
        return f"{value['cpu'][-1]:.0f} % of a core, {size(int(value['memory'][-1]))}"
    if key == "tasks":
        return tasks_words(Counts(**value))
    if key == "progress":
        return progress_words(Progress(value["time"], tuple(Bar(**bar) for bar in value["bars"])), time.time())
    if key in _TIMES:
        return moment(value)
    if key in ("elapsed", "cpu_seconds"):
        return f"{value:.1f} s"
    if key in ("peak_memory", "memory"):
        return size(value)
    if isinstance(value, dict):
        return ", ".join(f"{name}: {_fact(name, words)}" for name, words in value.items())
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
