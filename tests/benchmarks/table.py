"""The comparisons as one table, for a terminal or a file and in Markdown.

Owns how figures, spread, goals and verdicts are shown. Measures nothing.
"""

from __future__ import annotations

import io
import itertools
import statistics
import sys
from collections.abc import Iterable, Sequence

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from .measure import Comparison, spread

WIDTH = 120
_HEADS = ("what", "ours", "beside it", "ratio", "spread", "goal", "")
_SCALES = {
    "s": ((1.0, 1.0, "s"), (0.0, 1e3, "ms")),
    "B": ((1e6, 1e-6, "MB"), (0.0, 1e-3, "kB")),
    "": ((0.0, 1.0, ""),),
}
"""Of each unit: from which size on, times what, is it written with which letters."""


def number(value: float) -> str:
    """Three digits, more before the point."""
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"


def figure(value: float, unit: str) -> str:
    factor, letters = next((factor, letters) for least, factor, letters in _SCALES[unit] if abs(value) >= least)
    return f"{number(value * factor)} {letters}".strip()


def _between(low: float, high: float, unit: str) -> str:
    """A spread, the unit once if it is one."""
    (first, _, letters), last = figure(low, unit).partition(" "), figure(high, unit)
    return f"{first}–{last}" if last.endswith(f" {letters}" if letters else "") else f"{first} {letters}–{last}"


def _middle(values: Sequence[float], unit: str) -> str:
    return figure(statistics.median(values), unit) if values else "–"


def _cells(comparison: Comparison) -> tuple[str, ...]:
    """All columns but `what`."""
    unit = "" if comparison.peer else comparison.unit
    judged = comparison.judged
    between = _between(*spread(judged), unit) if len(judged) > 1 else ""
    beside = f"{comparison.peer}, {_middle(comparison.theirs, comparison.unit)}" if comparison.peer else ""
    return (
        _middle(comparison.ours, comparison.unit),
        beside,
        _middle(comparison.ratios, ""),
        between,
        "" if comparison.goal is None else figure(comparison.goal, unit),
        comparison.verdict,
    )


def line(comparison: Comparison) -> str:
    """One line, while it is measured."""
    ours, beside, ratio, _, _, verdict = _cells(comparison)
    words = [ours, *([f"beside {beside}, ratio {ratio}"] if beside else []), verdict]
    return f"{comparison.part}: {comparison.what}: {'; '.join(words if comparison.ours else [comparison.note])}"


def summary(comparisons: Sequence[Comparison]) -> str:
    """How many there are, and what misses its goal."""
    measured = [each for each in comparisons if each.judged]
    goals = [each for each in measured if each.goal is not None]
    missed = [f"{each.what} ({each.peer})" if each.peer else each.what for each in goals if each.missed]
    words = f"{len(measured)} comparisons, {len(goals)} with a goal, {len(missed)} miss it"
    absent = len(comparisons) - len(measured)
    return f"{words}{': ' if missed else ''}{'; '.join(missed)}{f' ({absent} not measured)' if absent else ''}"


def _numbered(comparisons: Iterable[Comparison]) -> dict[str, int]:
    """The notes, each once, from 1 on."""
    notes = dict.fromkeys(each.note for each in comparisons if each.note)
    return {note: at for at, note in enumerate(notes, 1)}


def _rows(comparisons: Sequence[Comparison], notes: dict[str, int]) -> Iterable[tuple[str, list[tuple[str, ...]]]]:
    """The rows of each part, the notes as numbers in brackets."""
    for part, those in itertools.groupby(comparisons, lambda each: each.part):
        yield part, [(f"{each.what}{f' [{notes[each.note]}]' if each.note else ''}", *_cells(each)) for each in those]


def text(comparisons: Sequence[Comparison], conditions: str) -> str:
    """For reading, in colour if it goes to a terminal."""
    shown = Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    for head in _HEADS:
        numbers = head in ("ours", "ratio", "goal", "spread")
        shown.add_column(head, justify="right" if numbers else "left", no_wrap=numbers or not head)
    notes = _numbered(comparisons)
    for part, rows in _rows(comparisons, notes):
        shown.add_row(Text(part, style="bold"))
        for what, *rest, verdict in rows:
            cells = [Text(f"  {what}"), *map(Text, rest)]
            shown.add_row(*cells, Text(verdict, style={"MISSED": "bold red", "ok": "green"}.get(verdict, "")))
    terminal = sys.stdout.isatty()
    file = io.StringIO()
    console = Console(file=file, width=None if terminal else WIDTH, force_terminal=terminal, highlight=False, markup=False)
    console.print(shown)
    remarks = [*(f"[{at}] {note}" for note, at in notes.items()), ""] if notes else []
    console.print(*remarks, conditions, summary(comparisons), sep="\n")
    return file.getvalue().rstrip()


def markdown(comparisons: Sequence[Comparison], conditions: str) -> str:
    """For the README."""
    notes = _numbered(comparisons)
    heads = ("what", "ours", "beside it", "ratio", "goal")
    lines = [f"{conditions}.", "", f"| {' | '.join(heads)} |", f"|{' --- |' * len(heads)}"]
    for part, rows in _rows(comparisons, notes):
        lines.append(f"| **{part}** |{' |' * (len(heads) - 1)}")
        for what, ours, beside, ratio, _, goal, verdict in rows:
            cells = what, ours, beside or "–", ratio, (goal or "–") + (" (missed)" if verdict == "MISSED" else "")
            lines.append(f"| {' | '.join(cells)} |")
    remarks = ["", *(f"[{at}] {note}  " for note, at in notes.items())] if notes else []
    return "\n".join([*lines, *remarks, "", f"{summary(comparisons)}."])
