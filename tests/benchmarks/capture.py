"""What capture and restore cost, beside the picklers and what writes arrays.

Owns the comparisons and their goals; each is measured by a child process, see `capture_child`.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

from persist_magic.capture.cell import Source
from persist_magic.submission import submit

from .capture_child import ARRAY, WORKLOADS
from .measure import NOT_INSTALLED, Comparison, Setting, folder, in_memory, joined, milliseconds, python

SLOW = frozenset({"1e5 nested dataclasses", "1e6-row DataFrame", "500 MB float64", "1 GB float64"})
"""Workloads of a quarter of a second and more: a third of the runs tells as much."""
QUICK_FOR_DILL = frozenset({"1e6 ints", "1e5 str→tuple"})
"""Beside which it is measured in a quick run: it takes a second even there."""
LARGEST = "1 GB float64"
PICKLERS: dict[str, float | None] = {"C pickle": 1.15, "cloudpickle": 1.0, "dill": 1.0}
PEERS: dict[str, dict[str, float | None]] = {
    **dict.fromkeys(WORKLOADS, PICKLERS),
    "500 MB float64": {**PICKLERS, "joblib.dump": None},
    LARGEST: {"np.save": 1.1, "joblib.dump": None},
}
"""Beside whom each is written, with the goals."""


def measured(*words: object) -> Any:
    """What a fresh process measures."""
    command = python("-m", "tests.benchmarks.capture_child", *map(str, words))
    return json.loads(subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout)


def compared(
    what: str, taken: dict[str, list[float]], peers: dict[str, float | None], note: str = ""
) -> Iterator[Comparison]:
    """What one process measured of ours and of peers."""
    for name, goal in peers.items():
        there = taken.get(name, [])
        yield Comparison(what, taken["ours"], name, there, goal, joined(note, "" if there else NOT_INSTALLED))


def dumps(setting: Setting, place: str) -> Iterator[Comparison]:
    """Each workload beside the peers; the largest is the last, and is left there."""
    for workload, goals in PEERS.items():
        slow = workload in SLOW
        peers = {
            name: goal for name, goal in goals.items() if name != "dill" or not setting.quick or workload in QUICK_FOR_DILL
        }
        counts = dict.fromkeys(["ours", *peers], setting.few if slow else setting.runs)
        if "dill" in counts:
            counts["dill"] = setting.fewest
        yield from compared(f"dump {workload}", measured("dump", place, workload, json.dumps(counts)), peers)


def tiny(setting: Setting, place: str) -> Iterator[Comparison]:
    """The smallest job; C pickle, which writes the function's name only, is told beside."""
    what, taken = "capture a tiny job", measured("tiny", place, 10 * setting.runs)
    note = "without fsync"
    more = f"the session's first {milliseconds(taken['first'])}; C pickle, the function by name, {milliseconds(taken['C pickle'])}"
    yield Comparison(what, taken["ours"], goal=1e-3, note=joined(note, more))
    yield from compared(what, taken, {"cloudpickle": 1.0, "dill": 1.0}, note)


def fingerprints(setting: Setting, place: str) -> Iterator[Comparison]:
    """What the digests add to a write, as a share of it."""
    for workload in ("500 MB float64", "1e6 ints", "1e5 small dicts"):
        taken = measured("digests", place, workload, setting.few if workload in SLOW else setting.runs)
        added = [a - b for a, b in zip(taken["with"], taken["without"], strict=True)]
        yield Comparison(f"fingerprint of {workload}", added, "the write with it", taken["with"], 0.1)


def restore(setting: Setting, place: str) -> Iterator[Comparison]:
    """The largest, which `dumps` left there; and the memory that its dump takes."""
    measured("restored", place)
    found = [measured("restored", place) for _ in range(setting.few)]
    touched = statistics.median(each["touched"] for each in found) / 1e6
    note = f"{touched:.1f} MB touched"
    yield Comparison(f"restore {LARGEST}", [each["seconds"] for each in found], goal=0.02, note=note)
    extra = [measured("extra_memory", place) for _ in range(setting.fewest)]
    if None not in extra:
        yield Comparison(f"dump {LARGEST}, extra memory", extra, goal=64e6, unit="B")


def fetch(setting: Setting, place: str) -> Comparison:
    """A small variable of a job that also brings a large one back."""
    cell = f"import numpy\nbig = {ARRAY.format(10**9 // 8)}\nsmall = {{'loss': 0.5, 'steps': 10}}"
    root = os.path.join(place, "root")
    submit("large", Source("cell", cell, cell), sys.modules["__main__"].__dict__, root=root).job.wait()
    taken = [measured("fetched", root, "large") for _ in range(setting.few + 1)]
    return Comparison("fetch a small variable beside 1 GB", taken[1:], goal=0.02)


def comparisons(setting: Setting) -> Iterator[Comparison]:
    """Measure, one after the other."""
    with folder(in_memory()) as place:
        for some in (dumps, restore, tiny, fingerprints):
            yield from some(setting, str(place))
        yield fetch(setting, str(place))
