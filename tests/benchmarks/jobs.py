"""What a job costs, as ratios to what the operating system charges.

Owns the measurements of submission, round trip, start of a worker and loading the extension.
"""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator

from persist_magic.capture.cell import Source
from persist_magic.job import Job
from persist_magic.submission import submit

from .measure import Absolute, Row, python, timed

_LOAD = """
from IPython.core.interactiveshell import InteractiveShell
import time
shell = InteractiveShell.instance()
begin = time.perf_counter()
{statement}
print(time.perf_counter() - begin)
"""


class Fsync:
    """Counts what os.fsync takes."""

    def __init__(self) -> None:
        self.seconds, self.calls = 0.0, 0
        self._real = os.fsync

    def __enter__(self) -> Fsync:
        os.fsync = self._timed
        return self

    def __exit__(self, *rest: object) -> None:
        os.fsync = self._real

    def _timed(self, descriptor: int) -> None:
        self.calls += 1
        self.seconds += timed(lambda: self._real(descriptor))


def small_cells(root: str) -> Iterator[Callable[[], Job]]:
    """Submissions of a small cell with a function and a list, each under a new name."""
    namespace = sys.modules["__main__"].__dict__
    namespace["_numbers"], namespace["_total"] = [1, 2, 3], eval("lambda: sum(_numbers)", namespace)
    number = 0
    while True:
        number += 1
        source = Source("cell", "_total()", "_total()")
        yield lambda name=f"job{number}", source=source: submit(name, source, namespace, root=root).job


def submission(runs: int, root: str) -> list[Row]:
    """%%persist of a small cell, without what the disk's syncs take, to one Popen of Python: the call, and the process."""
    ours, theirs, whole, syncs, calls = [], [], [], [], 0
    children = []
    cells = small_cells(root)
    next(cells)().wait()
    for _ in range(runs):
        with Fsync() as sync:
            cell = next(cells)
            took = timed(lambda cell=cell: children.append(cell()))
        ours.append(took - sync.seconds)
        syncs.append(sync.seconds)
        calls = sync.calls
        children.pop().wait()
        process: list[subprocess.Popen[bytes]] = []
        theirs.append(timed(lambda process=process: process.append(subprocess.Popen(python("-c", "pass")))))
        whole.append(theirs[-1] + timed(process[0].wait))
    remark = f"and {calls} fsyncs, {statistics.median(syncs) * 1e3:.1f} ms"
    return [
        Row("submit a small cell", ours, "the call Popen([python])", theirs, 4.0, remark),
        Row("submit a small cell", ours, "that Popen to its end", whole, 4.0),
    ]


def round_trip(runs: int, root: str) -> Row:
    """Submit to result of a trivial cell, to python -c pass; the disk's syncs included."""
    ours, theirs = [], []
    cells = small_cells(root)
    next(cells)().fetch()
    for _ in range(runs):
        cell = next(cells)
        ours.append(timed(lambda cell=cell: cell().fetch()))
        theirs.append(timed(lambda: subprocess.run(python("-c", "pass"), check=True)))
    return Row("submit to result of a trivial cell", ours, "python -c pass", theirs, 4.0)


def load_ext(runs: int) -> Absolute:
    """What %load_ext adds to a session that has IPython."""

    def seconds() -> float:
        script = _LOAD.format(statement="shell.run_line_magic('load_ext', 'persist_magic')")
        return float(subprocess.run(python("-c", script), capture_output=True, text=True, check=True).stdout)

    seconds()
    return Absolute("%load_ext persist_magic", [seconds() * 1e3 for _ in range(runs)], 30)


def worker_start(runs: int) -> Row:
    """The imports of a worker that runs a plain cell, to those of the interpreter alone."""
    code = "import persist_magic.worker.supervisor, persist_magic.worker.execution"
    ours, theirs = [], []
    for _ in range(runs):
        ours.append(timed(lambda: subprocess.run(python("-c", code), check=True)))
        theirs.append(timed(lambda: subprocess.run(python("-c", "pass"), check=True)))
    return Row("a worker's imports", ours, "python -c pass", theirs, 2.5)


def lines(runs: int) -> Iterator[str]:
    """Measure, and give one line after the other."""
    root = tempfile.mkdtemp(prefix="persist-benchmarks-")
    try:
        yield load_ext(runs).line()
        yield worker_start(runs).line()
        for row in submission(runs, os.path.join(root, "a")):
            yield row.line()
        yield round_trip(runs, os.path.join(root, "b")).line()
    finally:
        shutil.rmtree(root)
