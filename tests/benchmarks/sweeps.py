"""What a task of a sweep costs, beside multiprocessing and the peers, on this machine and under Slurm, in one run.

Owns the measurements of rate, memory and watching.
"""

from __future__ import annotations

import itertools
import multiprocessing
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from multiprocessing import connection
from pathlib import Path
from typing import Any

from persist_magic.capture.cell import Source
from persist_magic.each import checked
from persist_magic.processes import consumption, descendants
from persist_magic.submission import load, submit
from persist_magic.sweep import Sweep
from persist_magic.tasks import ledger

from .measure import (
    CORES,
    NOT_INSTALLED,
    Comparison,
    Peer,
    Setting,
    beside,
    equal,
    folder,
    in_turns,
    joined,
    python,
    timed,
)
from .peers import (
    Candidate,
    Tool,
    executorlib_local,
    ipyparallel_engines,
    joblib_pool,
    opened,
    squares,
    submitit_local,
    submitit_slurm,
)


def sweep(root: str, name: str, cell: str, count: int, backend: str = "local", options: tuple[str, ...] = ()) -> Sweep:
    """A sweep of a cell over `n`, submitted from this process's ``__main__``."""
    axes = checked([(("n",), range(count))])
    source = Source("cell", cell, cell)
    job = submit(name, source, sys.modules["__main__"].__dict__, root=root, backend=backend, options=options, each=axes).job
    assert isinstance(job, Sweep)
    return job


def per_task(results: Callable[[int], list[int]], count: int) -> Callable[[], float]:
    """What each of so many tasks that square their number takes, from submission to all results."""

    def measure() -> float:
        found: list[int] = []
        took = timed(lambda: found.extend(results(count)))
        equal(found, [n * n for n in range(count)])
        return took / count

    return measure


def our_squares(root: str, backend: str = "local", options: tuple[str, ...] = ()) -> Callable[[int], list[int]]:
    """The same by us, under a new name each time."""
    numbers = itertools.count()
    return lambda count: sweep(root, f"squares{next(numbers)}", "n * n", count, backend, options).fetch()


def process_for_each(count: int) -> list[int]:
    """The same with multiprocessing: a forked process for each task, as many at once as there are cores."""
    context = multiprocessing.get_context("fork")

    def square(end: Any, n: int) -> None:
        end.send(n * n)
        end.close()

    waiting, results = list(range(count))[::-1], {}
    running: dict[Any, tuple[Any, Any, int]] = {}
    while waiting or running:
        while waiting and len(running) < CORES:
            n = waiting.pop()
            ours, theirs = context.Pipe(duplex=False)
            process = context.Process(target=square, args=(theirs, n))
            process.start()
            theirs.close()
            running[process.sentinel] = process, ours, n
        for sentinel in connection.wait(list(running)):
            process, ours, n = running.pop(sentinel)
            results[n] = ours.recv()
            ours.close()
            process.join()
    return [results[n] for n in range(count)]


PEERS = {
    "submitit, map_array": Candidate(
        submitit_local, "a process and files for each task, as many at once as there are tasks", goal=1 / 50, slow=True
    ),
    "executorlib, map": Candidate(executorlib_local, "a new process for each task; results are in memory only", slow=True),
    "joblib, loky": Candidate(
        joblib_pool, "not the same: tasks share processes and go out in batches; results are in memory only"
    ),
    "ipyparallel, load-balanced": Candidate(
        ipyparallel_engines, "not the same: tasks share engines that run already; results are in memory only"
    ),
}


def rate(setting: Setting, place: Path) -> Iterator[Comparison]:
    """Submit to all results, for each task."""
    count, few = setting.either(1000, 200), setting.either(16, 8)
    what, note = "a trivial local task", f"for each of {count:,}, {CORES} at once"
    ours = per_task(our_squares(str(place / "root")), count)
    forked = Peer(per_task(process_for_each, count), 3.0)  # before others load what a fork has to copy
    yield from beside(what, ours, {"multiprocessing, fork": forked}, setting.either(6, 2), note)

    def asked(tool: Tool, candidate: Candidate) -> Callable[[], float]:
        return per_task(lambda tasks: squares(tool, tasks), few if candidate.slow else count)

    with opened(PEERS, place, asked, slow_note=f"{few} of theirs") as peers:
        yield from beside(what, ours, peers, setting.either(6, 2), note)


SIZE = 500_000_000
READERS = 4
_READING = """
import os, time
total = _array.sum()
open(os.path.join({ready!r}, str(n)), 'w').close()
while not os.path.exists(os.path.join({ready!r}, 'over')): time.sleep(0.01)
n
"""


def read_and_wait(array: Any, ready: str, number: int) -> float:
    """As `_READING`, as a function."""
    total = float(array.sum())
    Path(ready, str(number)).touch()
    while not Path(ready, "over").exists():
        time.sleep(0.01)
    return total


def taken_when_ready(ready: Path, pids: Callable[[], list[int]]) -> float:
    """Memory of processes when all tasks have read the array; lets them end."""
    while len(os.listdir(ready)) < READERS:
        time.sleep(0.05)
    _, taken = consumption(pids())
    (ready / "over").touch()
    return taken


def our_memory(root: str, ready: Path) -> float:
    job = sweep(root, "memory", _READING.format(ready=str(ready)), READERS, options=("--slots", str(READERS)))

    def pids() -> list[int]:
        with ledger(job.directory, job.spec()) as known:
            started = known.chunks[0].started
        assert started is not None
        return [started.supervisor.pid, *descendants(started.supervisor.pid)]

    taken = taken_when_ready(ready, pids)
    equal(job.fetch(), list(range(READERS)))
    return taken


def joblib_memory(array: Any, place: Path, ready: Path) -> float:
    import joblib
    from joblib.externals.loky import get_reusable_executor

    totals: list[float] = []
    tasks = [joblib.delayed(read_and_wait)(array, str(ready), number) for number in range(READERS)]
    run = threading.Thread(target=lambda: totals.extend(joblib.Parallel(n_jobs=READERS, temp_folder=str(place))(tasks)))
    before = set(descendants(os.getpid()))
    run.start()
    taken = taken_when_ready(ready, lambda: [pid for pid in descendants(os.getpid()) if pid not in before])
    run.join()
    get_reusable_executor().shutdown(wait=True)
    equal(totals, [float(array.sum())] * READERS)
    return taken


def memory(setting: Setting, place: Path) -> Iterator[Comparison]:
    """What tasks that read a captured array take together, at most."""
    import numpy

    array = sys.modules["__main__"].__dict__["_array"] = numpy.random.default_rng(0).random(SIZE // 8)
    ready, theirs = place / "ready", place / "theirs-ready"
    ready.mkdir()
    theirs.mkdir()
    what, ours = f"memory of {READERS} tasks that read {SIZE / 1e6:.0f} MB", [our_memory(str(place / "root"), ready)]
    yield Comparison(what, ours, goal=1e9, note="the array once, not for each task", unit="B")
    try:
        taken, note = [joblib_memory(array, place, theirs)], "it maps a file of the array, too"
    except ImportError:
        taken, note = [], NOT_INSTALLED
    yield Comparison(what, ours, "joblib, loky", taken, note=note, unit="B")
    del sys.modules["__main__"].__dict__["_array"]


_FIRST_STATUS = """
import time, persist_magic
job = persist_magic.load('many', {root!r})
begin = time.perf_counter()
job.status()
print(time.perf_counter() - begin)
"""


def watching(setting: Setting, place: Path) -> Iterator[Comparison]:
    """The status of a large sweep of which nothing has changed; and of one that is read for the first time."""
    root, count = str(place / "root"), setting.either(10_000, 1000)
    job = sweep(root, "many", "n * n", count)
    job.wait()

    def first() -> float:
        script = _FIRST_STATUS.format(root=root)
        return float(subprocess.run(python("-c", script), capture_output=True, text=True, check=True).stdout)

    taken = in_turns({"again": lambda: timed(load("many", root).status), "first": first}, setting.few)
    files = len([path for path in job.path.rglob("*") if path.is_file()])
    yield Comparison(f"status of {count:,} tasks, nothing changed", taken["again"], goal=0.02)
    yield Comparison(f"status of {count:,} tasks, in a new process", taken["first"], goal=0.2)
    yield Comparison(f"files of {count:,} tasks", [files], goal=300, unit="")


def on_a_cluster(setting: Setting, place: Path) -> Iterator[Comparison]:
    """Trivial tasks from submission to all results, once; two tasks of each before, which do not count."""
    setting.require_cluster()
    what, name, count, few = "a trivial task under Slurm", "submitit, map_array", 1000, setting.either(1000, 30)
    ours = our_squares(str(place / "slurm"), "slurm", ("-t", "10"))
    per_task(ours, 2)()
    taken = [per_task(ours, count)()]

    def asked(tool: Tool, _: Candidate) -> Callable[[], float]:
        per_task(lambda tasks: squares(tool, tasks), 2)()
        return per_task(lambda tasks: squares(tool, tasks), few)

    with opened({name: Candidate(submitit_slurm, goal=1 / 5)}, place, asked) as peers:
        peer = peers[name]
        theirs = [peer.measure()] if peer.measure else []
    note = f"for each of {count:,}{f', {few} of theirs' if few < count else ''}"
    yield Comparison(what, taken, name, theirs, peer.goal, joined(note, peer.note))
    if few < count:
        note = f"for each of {few}, ours as theirs; few tasks share what any sweep takes"
        yield Comparison(what, [per_task(ours, few)()], name, theirs, note=joined(note, peer.note))


def comparisons(setting: Setting) -> Iterator[Comparison]:
    """Measure, one after the other."""
    with folder() as place:
        for some in (rate, memory, watching, on_a_cluster):
            yield from some(setting, place)
