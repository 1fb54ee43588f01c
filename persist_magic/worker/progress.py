"""How far the cell is: tqdm's bars and those of `track` and `progress`, written for others to see.

Owns progress.json: who has a bar, how often it is written, and the ear at tqdm. Standard library only; tqdm is listened to
if the cell imports it.
"""

from __future__ import annotations

import _thread
import contextlib
import math
import sys
import time

from ..store import Bar, Progress, RunDirectory, write_atomic
from .recording import in_forked_process
from .ticker import ticker

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Hashable
    from typing import Any

WRITE_SECONDS = 0.25
"""How often the file is written at most."""


class Board:
    """The bars of one run, the outermost first.

    Parameters
    ----------
    run : RunDirectory
    """

    def __init__(self, run: RunDirectory) -> None:
        self._run = run
        self._bars: dict[Hashable, Bar] = {}
        self._over: set[Hashable] = set()
        self._written, self._due = 0.0, False
        self._lock = _thread.RLock()  # threads of the cell, and handlers of signals

    def set(self, key: Hashable, bar: Bar) -> None:
        """Show a bar; a new one stands within those that are not over."""
        if in_forked_process():  # it has bars of its own, which are not the job's
            return
        with self._lock:
            if key not in self._bars:
                for each in self._over:
                    self._bars.pop(each, None)
                self._over.clear()
            self._over.discard(key)
            self._bars[key] = bar
            if time.monotonic() - self._written >= WRITE_SECONDS:
                self._write()
            elif not self._due:  # the last word must not be lost if nothing comes after it
                self._due = ticker.add(self._write_due)

    def finish(self, key: Hashable) -> None:
        """Take away a bar that is over; the outermost stays until the next one, to say how far it came."""
        with self._lock:
            if len(self._bars) > 1:
                self._bars.pop(key, None)
            else:
                self._over.add(key)

    def close(self) -> None:
        """Write what has not been written."""
        with self._lock:
            if self._due:
                self._write()

    def _write_due(self) -> bool:
        with self._lock:
            if self._due and time.monotonic() - self._written >= WRITE_SECONDS:
                self._write()
            return self._due

    def _write(self) -> None:
        self._written, self._due = time.monotonic(), False
        record = Progress(time.time(), tuple(self._bars.values()))
        with contextlib.suppress(OSError):  # a full disk must not end the cell for its progress
            self._run.follow()
            write_atomic(self._run.progress_path, record.to_bytes(), sync=False)


_boards: dict[str, Board] = {}


def board_of(run: RunDirectory) -> Board:
    """Return this process's bars of a run."""
    key = run.job.relative(run.progress_path)  # the job directory may be moved
    board = _boards.get(key)
    return board if board is not None else _boards.setdefault(key, Board(run))


def number(value: Any) -> float | None:
    """Return what a record can hold of a number; None for what is none, or not finite."""
    try:
        found = int(value) if float(value).is_integer() else float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return found if math.isfinite(found) else None


def listen_to_tqdm(board: Callable[[], Board]) -> None:
    """Let tqdm's bars, those of its subclasses too, be shown on a board; `tqdm.std` has just been imported."""
    kind: Any = sys.modules["tqdm.std"].tqdm
    refresh, close = kind.refresh, kind.close

    def note(bar: Any) -> None:
        facts = bar.format_dict
        board().set(
            id(bar),
            Bar(
                text=str(facts["prefix"] or "").removesuffix(": "),
                done=number(facts["n"]) or 0,
                total=number(facts["total"]),
                unit=str(facts["unit"]),
                elapsed=float(facts["elapsed"]),
                rate=number(facts["rate"]),
            ),
        )

    def listening_refresh(self: Any, *arguments: Any, **named: Any) -> Any:
        answer = refresh(self, *arguments, **named)
        if not self.disable:
            with contextlib.suppress(Exception):  # what tqdm becomes one day must not end the cell
                note(self)
        return answer

    def listening_close(self: Any) -> None:
        shown = not getattr(self, "disable", True)
        close(self)
        if shown:
            with contextlib.suppress(Exception):
                note(self)
                board().finish(id(self))

    kind.refresh, kind.close = listening_refresh, listening_close
