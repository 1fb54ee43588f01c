"""What an examination found, for people: a mark and a line for each finding, and the sum.

Owns how it looks, in a terminal and as plain text.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence

from ..findings import Finding, Verdict
from ..replay import coloured
from ..text import one_line

_MARKS = {
    Verdict.OK: ("✓", "green"),
    Verdict.FACT: ("–", "dim"),
    Verdict.WARNING: ("!", "yellow"),
    Verdict.TROUBLE: ("✗", "red"),
}


def show(finding: Finding, before: Finding | None) -> None:
    """Print a finding; and above it its topic, if that is another than of the one before."""
    if sys.stdout.isatty():
        _show_wide(finding, before)
    else:
        print("\n".join(_lines(finding, before)), flush=True)


def _lines(finding: Finding, before: Finding | None) -> Iterator[str]:
    if before is None or before.topic != finding.topic:
        yield one_line(finding.topic)
    yield f"  {_MARKS[finding.verdict][0]} {one_line(finding.words)}"
    if finding.advice:
        yield f"    → {one_line(finding.advice)}"


def _show_wide(finding: Finding, before: Finding | None) -> None:
    from rich.console import Console  # rich is imported where a person looks
    from rich.table import Table
    from rich.text import Text

    console = Console(no_color=not coloured(), highlight=False, markup=False)
    if before is None or before.topic != finding.topic:
        console.print(Text(one_line(finding.topic), style="bold"))
    mark, style = _MARKS[finding.verdict]
    grid = Table.grid(padding=(0, 1, 0, 0))
    grid.add_column()
    grid.add_column(overflow="fold")
    grid.add_row(Text(f"  {mark}", style=style), Text(one_line(finding.words)))
    if finding.advice:
        grid.add_row("", Text(f"→ {one_line(finding.advice)}", style="cyan"))
    console.print(grid)


def summary(findings: Sequence[Finding]) -> str:
    """Return the sum in words: "nothing is wrong", "2 things to mend", with how many warnings there are."""
    count = {verdict: sum(each.verdict is verdict for each in findings) for verdict in Verdict}
    bad, doubtful = count[Verdict.TROUBLE], count[Verdict.WARNING]
    head = f"{bad} thing{'' if bad == 1 else 's'} to mend (✗)" if bad else "nothing is wrong"
    return head + (f"; {doubtful} warning{'' if doubtful == 1 else 's'} (!)" if doubtful else "")
