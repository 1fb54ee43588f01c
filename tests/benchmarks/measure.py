"""What every part of the benchmarks needs.

Owns the rows that are printed, how an action is timed, and how Python is called.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """One comparison; times in seconds."""

    what: str
    ours: list[float]
    peer: str
    theirs: list[float]
    goal: float
    remark: str = ""

    def line(self) -> str:
        ratios = sorted(a / b for a, b in zip(self.ours, self.theirs, strict=True))
        ratio = statistics.median(ratios)
        verdict = "ok" if round(ratio, 2) <= self.goal else "MISSED"
        return (
            f"{self.what:<44} {statistics.median(self.ours) * 1e3:8.1f} ms   {self.peer:<24} "
            f"{statistics.median(self.theirs) * 1e3:7.1f} ms   ratio {ratio:5.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})   "
            f"goal {self.goal:g}   {verdict}{'   ' + self.remark if self.remark else ''}"
        )


@dataclass(frozen=True)
class Absolute:
    """What is to stay below a figure, whatever others need."""

    what: str
    measured: list[float]
    goal: float
    unit: str = "ms"
    remark: str = ""

    def line(self) -> str:
        median = statistics.median(self.measured)
        verdict = "ok" if median < self.goal else "MISSED"
        remark = f"   {self.remark}" if self.remark else ""
        return f"{self.what:<44} {median:8.1f} {self.unit}   goal {self.goal:g} {self.unit}   {verdict}{remark}"


def timed(action: Callable[[], object]) -> float:
    begin = time.perf_counter()
    action()
    return time.perf_counter() - begin


def python(*words: str) -> list[str]:
    return [sys.executable, *words]
