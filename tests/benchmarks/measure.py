"""What every part of the benchmarks needs.

Owns the record of a comparison with its verdict, how things are measured in turns, and how much in a quick run.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from ..cluster.cluster import PACKAGES

CORES = len(os.sched_getaffinity(0))
NOT_INSTALLED = "not installed: pip install '.[bench]'"
ROOM = 4 << 30
Measurement = Callable[[], float | dict[str, float]]
"""Measures once: a figure, or several by name. Times in seconds, memory in bytes."""

Taken = dict[str, list[float]]
"""What was measured, by name, once for each run."""
_T = TypeVar("_T")


def _rounded(value: float) -> float:
    """As it is shown, so that what is judged is what is read."""
    return float(f"{value:.3g}")


@dataclass(frozen=True)
class Comparison:
    """What something takes, beside what a peer takes for the same or beside a figure.

    Parameters
    ----------
    what
        What is done.
    ours
        What it took, once for each run; empty if it could not be measured, as `note` says then.
    peer
        Who does the same; empty if `ours` itself is to stay within the goal.
    theirs
        What the peer took, each in turn with one of `ours`; a slow peer may have fewer. Empty if it is not there.
    goal
        What the ratio to the peer, or `ours`, is at most; None if it is only told.
    note
        What one should know who reads the figures.
    unit
        s (seconds), B (bytes), or empty for a number.
    part
        Of which part of the benchmarks.
    """

    what: str
    ours: Sequence[float] = ()
    peer: str = ""
    theirs: Sequence[float] = ()
    goal: float | None = None
    note: str = ""
    unit: str = "s"
    part: str = ""

    @property
    def ratios(self) -> list[float]:
        """Of each pair; none without a peer."""
        return [a / b for a, b in zip(self.ours, self.theirs, strict=False)]

    @property
    def judged(self) -> list[float]:
        """What the goal is about."""
        return self.ratios if self.peer else list(self.ours)

    @property
    def missed(self) -> bool:
        """Whether there is a goal and the median is beyond it."""
        return self.goal is not None and bool(self.judged) and _rounded(statistics.median(self.judged)) > self.goal

    @property
    def verdict(self) -> str:
        if self.goal is None or not self.judged:
            return "–"
        return "MISSED" if self.missed else "ok"


def spread(values: Sequence[float]) -> tuple[float, float]:
    """The quartiles; the extremes of less than four."""
    if len(values) < 4:
        return min(values), max(values)
    low, _, high = statistics.quantiles(values, n=4, method="inclusive")
    return low, high


class Missing(Exception):
    """A program that is measured is not there; the words say what to install."""


@dataclass(frozen=True)
class Setting:
    """How much is measured, and where a cluster runs, if one does."""

    quick: bool
    cluster: str = ""

    def require_cluster(self) -> None:
        """Raise `Missing` if there is none."""
        if not self.cluster:
            raise Missing(f"there is no Slurm, or it did not start; as root: apt-get install {' '.join(PACKAGES)}")

    def either(self, full: _T, quick: _T) -> _T:
        return quick if self.quick else full

    @property
    def runs(self) -> int:
        return self.either(30, 10)

    @property
    def few(self) -> int:
        """Where one takes a quarter of a second or more."""
        return self.either(10, 2)

    @property
    def fewest(self) -> int:
        """Where one takes seconds."""
        return self.either(3, 1)


def in_turns(
    measurements: Mapping[str, Measurement],
    runs: int | Mapping[str, int],
    before: Callable[[], object] = lambda: None,
) -> dict[str, list[float]]:
    """Measure each once without counting it, for imports and first pages, then A B C A B C ….

    In turns, a machine that grows slower slows all of them.

    Parameters
    ----------
    runs
        How many of each; those with fewer take part in the first rounds only.
    before
        What is done before each of them.
    """
    counts = runs if isinstance(runs, Mapping) else dict.fromkeys(measurements, runs)
    taken: dict[str, list[float]] = {}
    for number in range(-1, max(counts.values())):
        for name, measurement in measurements.items():
            if number < counts[name]:
                before()
                figures = measurement()
                if number >= 0:
                    for key, figure in (figures if isinstance(figures, dict) else {name: figures}).items():
                        taken.setdefault(key, []).append(figure)
    return taken


@dataclass(frozen=True)
class Peer:
    """Somebody who does the same, with the goal of the ratio to them; without a measurement they are not installed."""

    measure: Measurement | None
    goal: float | None = None
    note: str = ""
    runs: int | None = None


def beside(
    what: str, ours: Measurement, peers: Mapping[str, Peer], runs: int, note: str | Callable[[Taken], str] = ""
) -> list[Comparison]:
    """Compare with several peers in the same turns; a note may tell of what was measured besides."""
    present = {name: peer for name, peer in peers.items() if peer.measure is not None}
    measurements = {"ours": ours, **{name: peer.measure for name, peer in present.items() if peer.measure}}
    taken = in_turns(measurements, {"ours": runs, **{name: peer.runs or runs for name, peer in present.items()}})
    words = note if isinstance(note, str) else note(taken)
    return [
        Comparison(what, taken["ours"], name, taken.get(name, ()), peer.goal, joined(words, peer.note))
        for name, peer in peers.items()
    ]


def joined(*notes: str) -> str:
    return "; ".join(note for note in notes if note)


def scaled(a_minute: float, seconds: float) -> float:
    """A goal for a minute, of so many seconds."""
    return a_minute * seconds / 60


def timed(action: Callable[[], object]) -> float:
    begin = time.perf_counter()
    action()
    return time.perf_counter() - begin


def timing(action: Callable[[], object]) -> Callable[[], float]:
    """The measurement of how long an action takes."""
    return lambda: timed(action)


def equal(found: object, expected: object) -> None:
    """A benchmark checks what it times."""
    assert found == expected, (found, expected)


def python(*words: str) -> list[str]:
    return [sys.executable, *words]


def milliseconds(taken: Sequence[float]) -> str:
    """A median, for a note."""
    return f"{statistics.median(taken) * 1e3:.3g} ms"


def in_memory() -> str | None:
    """Where files lie in memory, if there is room: a disk would hide the differences."""
    place = "/dev/shm"
    return place if os.access(place, os.W_OK | os.X_OK) and shutil.disk_usage(place).free >= ROOM else None


@contextlib.contextmanager
def folder(beneath: str | None = None) -> Iterator[Path]:
    """A new directory, removed at the end; its name is short, since sockets may lie in it."""
    path = tempfile.mkdtemp(prefix="persist-", dir=beneath)
    try:
        yield Path(path)
    finally:
        shutil.rmtree(path, ignore_errors=True)
