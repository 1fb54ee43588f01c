"""What capture and restore cost, beside the picklers and np.save.

Owns the comparisons and their goals; each is measured by a child process, see `capture_child`.
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from typing import Any

from persist_magic.capture.cell import Source
from persist_magic.submission import submit

from .capture_child import ARRAY, WORKLOADS
from .measure import Absolute, Row, python

SLOW = frozenset({"1e5 nested dataclasses", "1e6-row DataFrame", "500 MB float64"})
"""Workloads of a quarter of a second and more: a third of the runs tells as much."""
GOALS = {"C pickle": 1.15, "cloudpickle": 1.0, "dill": 1.0}
ROOM = 4 << 30
MEGABYTE = 1e6


def memory_folder() -> str:
    """A new directory in memory if there is room, so that the disk does not hide differences; else in the temporary one."""
    memory = "/dev/shm"
    usable = os.access(memory, os.W_OK | os.X_OK) and shutil.disk_usage(memory).free >= ROOM
    return tempfile.mkdtemp(prefix="persist-benchmarks-", dir=memory if usable else None)


def measured(*words: object) -> Any:
    """What a fresh process measures."""
    command = python("-m", "tests.benchmarks.capture_child", *map(str, words))
    return json.loads(subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout)


def spread(values: list[float], unit: str = "ms") -> str:
    return f"{min(values):.1f} to {max(values):.1f} {unit}"


def dumps(runs: int, folder: str) -> Iterator[Row]:
    """Each workload beside the picklers."""
    for workload in WORKLOADS:
        if workload != "1 GB float64":
            taken = measured("dump", folder, workload, runs // 3 if workload in SLOW else runs, max(1, runs // 15))
            for peer, goal in GOALS.items():
                yield Row(f"dump {workload}", taken["ours"][: len(taken[peer])], peer, taken[peer], goal)


def tiny(runs: int, folder: str) -> list[Row | Absolute]:
    """The smallest job; C pickle, which writes the function's name only, is told beside."""
    taken = measured("tiny", folder, 10 * runs)
    ours = taken["ours"]
    by_name = f"C pickle, the function by name, {statistics.median(taken['C pickle']) * 1e3:.2f} ms"
    first = f"the session's first {taken['first'][0] * 1e3:.1f} ms"
    return [
        Absolute("capture a tiny job, without fsync", [each * 1e3 for each in ours], 1.0, "ms", f"{by_name}; {first}"),
        *(Row("capture a tiny job, without fsync", ours, peer, taken[peer], 1.0) for peer in ("cloudpickle", "dill")),
    ]


def fingerprints(runs: int, folder: str) -> Iterator[Row]:
    """What the digests add to a write, as a share of it."""
    for workload in ("500 MB float64", "1e6 ints", "1e5 small dicts"):
        taken = measured("digests", folder, workload, runs // 3 if workload in SLOW else runs)
        added = [a - b for a, b in zip(taken["with"], taken["without"], strict=True)]
        yield Row(f"fingerprint, {workload}", added, "the write with it", taken["with"], 0.1)


def array(runs: int, folder: str) -> Iterator[Row | Absolute]:
    """1 GB: dump, memory and restore."""
    what = "1 GB float64"
    taken = measured("array", folder, runs // 3)
    yield Row(f"dump {what}", taken["ours"], "np.save", taken["np.save"], 1.1)
    restored = [measured("restored", folder) for _ in range(runs // 3)]
    milliseconds = [each["seconds"] * 1e3 for each in restored]
    touched = statistics.median(each["touched"] for each in restored) / MEGABYTE
    yield Absolute(f"restore {what}", milliseconds, 20, "ms", f"{spread(milliseconds)}; {touched:.1f} MB touched")
    extra = [measured("extra_memory", folder) for _ in range(max(1, runs // 10))]
    if None not in extra:
        megabytes = [each / MEGABYTE for each in extra]
        yield Absolute(f"dump {what}, extra memory", megabytes, 64, "MB", spread(megabytes, "MB"))


def fetch(runs: int, folder: str) -> Absolute:
    """A small variable of a job that also brings a large one back."""
    cell = f"import numpy\nbig = {ARRAY.format(10**9 // 8)}\nsmall = {{'loss': 0.5, 'steps': 10}}"
    root = os.path.join(folder, "root")
    submit("large", Source("cell", cell, cell), sys.modules["__main__"].__dict__, root=root).job.wait()
    milliseconds = [measured("fetched", root, "large") * 1e3 for _ in range(runs)]
    return Absolute("fetch a small variable beside 1 GB", milliseconds, 20, "ms", spread(milliseconds))


def lines(runs: int) -> Iterator[str]:
    """Measure, and give one line after the other."""
    folder = memory_folder()
    try:
        yield f"captures are written to {os.path.dirname(folder)}; a third of the runs where each is slow, one in fifteen of dill"
        for row in dumps(runs, folder):
            yield row.line()
        for each in tiny(runs, folder):
            yield each.line()
        for row in fingerprints(runs, folder):
            yield row.line()
        for each in array(runs, folder):
            yield each.line()
        yield fetch(runs, folder).line()
    finally:
        shutil.rmtree(folder)
