"""Jobs in a terminal: a table in colours and of its width, once or live.

Owns what a person at a terminal sees of many jobs. What goes into a pipe or a notebook is `table`'s. Knows rows, no files.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from ..capture.explain import size
from ..errors import UsageError
from ..monitor import ENDED, Poller, Row
from ..replay import coloured
from ..status import duration
from ..text import one_line
from .table import elapsed, remarks, segments

WATCH_SECONDS = 1.0
"""How often a live table is brought up to date."""

_STYLES = {
    "running": "blue",
    "queued": "yellow",
    "done": "green",
    "failed": "red",
    "cancelled": "magenta",
    "damaged": "bold red",
}
_BAR = 12
"""Columns of a progress bar."""
_SEGMENTS = (("━", "green"), ("╳", "red"), ("╍", "blue"), ("─", "dim"))
"""Of a sweep's bar, where no colours are: tasks that are done, failed or cancelled, running, waiting."""
_BLOCKS = "▁▂▃▄▅▆▇█"
_SPARKS = 10
_WIDE = 120
"""From so many columns on there is room for the less important."""


def show(rows: Sequence[Row]) -> None:
    """Print the table."""
    console = _console()
    console.print(_table(rows, console.width) if rows else "no jobs")


def watch(poller: Poller) -> None:
    """Show the table live, until Ctrl-C.

    Raises
    ------
    UsageError
        If there is no terminal to show it on.
    """
    if not sys.stdout.isatty():
        raise UsageError("--watch needs a terminal; without it the table is printed once, and --json is for programs")
    console = _console()
    try:
        with Live(console=console, auto_refresh=False) as live:
            while True:
                poller.poll()
                live.update(_fitting(poller.table(), console), refresh=True)
                time.sleep(WATCH_SECONDS)
    except KeyboardInterrupt:
        console.print("stopped watching; the jobs go on")


def _console() -> Console:
    return Console(no_color=not coloured(), highlight=False, markup=False)


def _fitting(rows: Sequence[Row], console: Console) -> RenderableType:
    """The table with those rows that have room: what lives first, then what ended last."""
    if not rows:
        return Text("no jobs")
    room = max(1, console.height - 4)
    chosen = rows
    if len(rows) > room:
        ordered = sorted(rows, key=lambda row: (row.state in ENDED, -(row.seen or 0.0)))
        kept = {row.name for row in ordered[: room - 1]}
        chosen = [row for row in rows if row.name in kept]
    table = _table(chosen, console.width)
    hidden = len(rows) - len(chosen)
    return Group(table, Text(f"… and {hidden} more", style="dim")) if hidden else table


def _table(rows: Sequence[Row], width: int) -> Table:
    """The columns that some row fills and that have room; remarks, which tell why, take what is left."""
    now = time.time()
    table = Table(box=None, pad_edge=False, header_style="dim", expand=True)
    columns: list[tuple[str, list[RenderableType]]] = [
        ("job", [_text(row.name, "bold") for row in rows]),
        ("state", [_text(row.state_words, _STYLES.get(row.state, "")) for row in rows]),
        ("where", [_text(f"{row.backend} {row.id}".strip() if width >= _WIDE else row.backend) for row in rows]),
        ("progress", [_progress(row) for row in rows]),
        ("cpu", [_cpu(row, _SPARKS if width >= _WIDE else 0) for row in rows]),
        ("memory", [_memory(row) for row in rows]),
        ("elapsed", [_text(elapsed(row.elapsed(now))) for row in rows]),
        ("submitted", [_submitted(row, now) if width >= _WIDE else Text("") for row in rows]),
        ("remarks", [_text(_words(row, now)) for row in rows]),
    ]
    shown = [(title, cells) for title, cells in columns if any(not isinstance(cell, Text) or cell.plain for cell in cells)]
    for title, _ in shown:
        last = title == "remarks"
        table.add_column(title, no_wrap=True, overflow="ellipsis", ratio=1 if last else None, min_width=12 if last else None)
    for line in zip(*(cells for _, cells in shown), strict=True):
        table.add_row(*line)
    return table


def _text(words: str, style: str = "") -> Text:
    return Text(one_line(words), style=style)


def _progress(row: Row) -> RenderableType:
    if row.tasks is not None:
        lengths = segments(row.tasks, _BAR)
        parts = zip(_SEGMENTS, (*lengths, _BAR - sum(lengths)), strict=True)
        return Text.assemble(*((glyph * length, style) for (glyph, style), length in parts))
    return Text("") if row.share is None else ProgressBar(total=1.0, completed=row.share, width=_BAR)


def _submitted(row: Row, now: float) -> Text:
    return _text(f"{duration(now - row.submitted)} ago" if row.submitted is not None else "", "dim")


def _memory(row: Row) -> Text:
    samples = row.samples("memory")
    return _text(size(int(samples[-1])) if samples else "")


def _cpu(row: Row, sparks: int) -> Text:
    """The last samples as a line of blocks, and the last one in percent of a core."""
    cpu = row.samples("cpu")
    if not cpu:
        return Text("")
    top = max(100.0, *cpu)
    blocks = (_BLOCKS[min(len(_BLOCKS) - 1, int(each / top * len(_BLOCKS)))] for each in cpu[max(0, len(cpu) - sparks) :])
    return _text(f"{''.join(blocks)} {cpu[-1]:.0f} %")


def _words(row: Row, now: float) -> str:
    """Remarks, and what the cell printed last; that it was just seen goes without saying."""
    return "; ".join(filter(None, (remarks(row, now, with_fresh=False), row.last_line)))
