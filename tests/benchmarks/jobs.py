"""What a job costs, beside what the operating system charges and what the peers need for the same.

Owns the measurements of submission, round trip, start of a worker and loading the extension.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from persist_magic.capture.cell import Source
from persist_magic.job import Job
from persist_magic.submission import submit

from .measure import (
    Comparison,
    Peer,
    Setting,
    beside,
    equal,
    folder,
    in_turns,
    milliseconds,
    python,
    timed,
    timing,
)
from .peers import Candidate, Tool, executorlib_local, ipyparallel_engines, joblib_pool, opened, submitit_local

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


def small_cells(root: str, backend: str = "local", *options: str) -> Iterator[Callable[[], Job]]:
    """Submissions of a small cell with a function and a list, each under a new name."""
    namespace = sys.modules["__main__"].__dict__
    namespace["_numbers"], namespace["_total"] = [1, 2, 3], eval("lambda: sum(_numbers)", namespace)
    source = Source("cell", "_total()", "_total()")
    number = 0
    while True:
        number += 1
        name = f"job{number}"
        yield lambda name=name: submit(name, source, namespace, backend=backend, options=options, root=root).job


def unsynced(cell: Callable[[], Job]) -> tuple[Job, dict[str, float]]:
    """Submit a cell: how long it took, with and without the disk's syncs, and these."""
    made: list[Job] = []
    with Fsync() as sync:
        took = timed(lambda: made.append(cell()))
    return made[0], {"ours": took, "unsynced": took - sync.seconds, "syncs": sync.seconds, "calls": sync.calls}


def submission(setting: Setting, root: str) -> Iterator[Comparison]:
    """%%persist of a small cell, without what the disk's syncs take, to one Popen of Python: the call, and the process."""
    cells = small_cells(root)

    def ours() -> dict[str, float]:
        job, took = unsynced(next(cells))
        equal(job.fetch(), 6)
        return took

    def theirs() -> dict[str, float]:
        made: list[subprocess.Popen[bytes]] = []
        call = timed(lambda: made.append(subprocess.Popen(python("-c", "pass"))))
        return {"call": call, "whole": call + timed(made[0].wait)}

    taken = in_turns({"ours": ours, "theirs": theirs}, setting.runs)
    note = f"without its {taken['calls'][0]:.0f} fsyncs, {milliseconds(taken['syncs'])}"
    yield Comparison("submit a small cell", taken["unsynced"], "the call Popen([python, …])", taken["call"], 4.0, note)
    yield Comparison("submit a small cell", taken["unsynced"], "that Popen to its end", taken["whole"], 4.0, note)


def printed_total() -> None:
    found = subprocess.run(python("-c", "print(sum([1, 2, 3]))"), capture_output=True, check=True).stdout
    equal(found, b"6\n")


PEERS = {
    "submitit, LocalExecutor": Candidate(
        submitit_local, "a process and files for each, as ours; its result is looked for once a second", slow=True
    ),
    "executorlib, SingleNodeExecutor": Candidate(
        executorlib_local, "a new process for each, which ends with the session; its result is in memory only"
    ),
    "ipyparallel": Candidate(
        ipyparallel_engines, "not the same: engines that run already and end with their cluster; results are in memory only"
    ),
    "joblib, loky": Candidate(
        joblib_pool, "not the same: a pool that runs already and ends with the session; results are in memory only"
    ),
}


def round_trip(setting: Setting, place: Path) -> Iterator[Comparison]:
    """Submit to result of a trivial cell, to python -c pass and to the peers; the disk's syncs included."""
    what, cells = "submit to result of a trivial cell", small_cells(str(place / "ran"))

    def ours() -> float:
        return timed(lambda: equal(next(cells)().fetch(), 6))

    alone = {
        "python -c pass": Peer(timing(lambda: subprocess.run(python("-c", "pass"), check=True)), 4.0),
        "subprocess, what it printed": Peer(timing(printed_total), note="no record, no captured function"),
    }
    yield from beside(what, ours, alone, setting.runs)

    def asked(tool: Tool, _: Candidate) -> Callable[[], float]:
        return timing(lambda: equal(tool.call(sum, [1, 2, 3]), 6))

    with opened(PEERS, place, asked, setting.few) as peers:
        yield from beside(what, ours, peers, setting.runs)


def load_ext(setting: Setting) -> Comparison:
    """What %load_ext adds to a session that has IPython."""

    def seconds() -> float:
        script = _LOAD.format(statement="shell.run_line_magic('load_ext', 'persist_magic')")
        return float(subprocess.run(python("-c", script), capture_output=True, text=True, check=True).stdout)

    return Comparison("%load_ext persist_magic", in_turns({"ours": seconds}, setting.runs)["ours"], goal=0.030)


def worker_start(setting: Setting) -> Iterator[Comparison]:
    """The imports of a worker that runs a plain cell, to those of the interpreter alone."""
    code = "import persist_magic.worker.supervisor, persist_magic.worker.execution"
    bare = timing(lambda: subprocess.run(python("-c", "pass"), check=True))
    ours = timing(lambda: subprocess.run(python("-c", code), check=True))
    yield from beside("a worker's imports", ours, {"python -c pass": Peer(bare, 2.5)}, setting.runs)


def comparisons(setting: Setting) -> Iterator[Comparison]:
    """Measure, one after the other."""
    with folder() as place:
        yield load_ext(setting)
        yield from worker_start(setting)
        yield from submission(setting, str(place / "submitted"))
        yield from round_trip(setting, place)
