"""What control characters leave of a text: carried out, as a terminal does it, or taken out.

Owns both. Knows nothing of where texts come from; imports nothing of the package.
"""

from __future__ import annotations

import re

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")
_STEERS = re.compile(r"[\r\b]|\x1b(?!\[[0-9;]*m)")
_MOVES_UP = re.compile(r"\x1b\[[0-9]*A")
_PARTS = re.compile(r"([\r\n\b]|\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)?|\x1b.?)")
_FARTHEST = 10_000  # to which column a cursor may be moved, and how far below all lines


def settle(text: str) -> str:
    r"""Return what a terminal would show in the end: carriage returns, backspaces and cursor movements carried out.

    Colours stay. A progress bar, which is many texts parted by ``\r``, is one line, nested ones a line each.
    """
    if not _STEERS.search(text):
        return text
    if _MOVES_UP.search(text):
        return _settled(text)
    return "\n".join(_settled(line) if _STEERS.search(line) else line for line in text.split("\n"))


def _settled(text: str) -> str:
    lines: list[list[str]] = [[]]  # of cells: a character with the colours that begin before it
    bottom = text.count("\n") + _FARTHEST
    row = column = 0
    colours = ""
    for part in filter(None, _PARTS.split(text)):
        if part == "\n":
            row, column = row + 1, 0
        elif part == "\r":
            column = 0
        elif part == "\b":
            column = max(0, column - 1)
        elif part[0] != "\x1b":
            line = lines[row]
            line.extend(" " * (column - len(line)))
            cells = list(part)
            cells[0], colours = colours + cells[0], ""
            line[column : column + len(cells)] = cells
            column += len(cells)
        elif part.startswith("\x1b[") and part[-1] == "m":
            colours += part
        elif part.startswith("\x1b["):
            row, column = _moved(lines, row, column, part)
            row, column = min(row, bottom), min(column, _FARTHEST)
        while len(lines) <= row:
            lines[-1], colours = [*lines[-1], colours] if colours else lines[-1], ""
            lines.append([])
    if colours:
        lines[row].append(colours)
    return "\n".join("".join(line) for line in lines)


def _moved(lines: list[list[str]], row: int, column: int, sequence: str) -> tuple[int, int]:
    """Carry out a control sequence (ECMA-48): cursor up, down, right, left, to a column; erase in line."""
    digits = sequence[2:-1]
    number = min(int(digits), _FARTHEST) if digits.isdecimal() else 0
    many = max(1, number)
    kind = sequence[-1]
    if kind == "A":
        return max(0, row - many), column
    if kind == "B":
        return row + many, column
    if kind in "CD":
        return row, max(0, column + (many if kind == "C" else -many))
    if kind == "G":
        return row, many - 1
    if kind == "K":
        line = lines[row]
        if number in (0, 2):
            del line[column if number == 0 else 0 :]
        else:
            line[: column + 1] = " " * min(len(line), column + 1)
    return row, column


def harmless(text: str) -> str:
    """Return text without what could steer a terminal (control characters) or cannot be printed (lone surrogates)."""
    return _CONTROL.sub("�", text)


def one_line(text: str) -> str:
    """Return text as one line that is `harmless`."""
    return harmless(" ".join(text.split()))


def without_colours(text: str) -> str:
    """Return text without its colours."""
    return _COLOURS.sub("", text)


def aligned(lines: Iterable[Sequence[str]]) -> str:
    """Return lines of words as text in columns; each has as many."""
    cells = [tuple(map(one_line, line)) for line in lines]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    padded = ("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) for line in cells)
    return "\n".join(line.rstrip() for line in padded)
