"""What a task of a sweep costs, beside multiprocessing and submitit, on this machine and on one cluster, in one run.

Owns the measurements of rate, memory and watching. submitit comes with the extra ``bench``; the cluster is a real one (see
tests/cluster).
"""

from __future__ import annotations

import multiprocessing
import os
import shutil
import sys
import tempfile
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

from ..cluster.cluster import Cluster
from .measure import Absolute, Row, timed

TASKS, FEW, MANY = 1000, 16, 10_000
CORES = len(os.sched_getaffinity(0))


def sweep(root: str, name: str, cell: str, count: int, backend: str = "local", options: tuple[str, ...] = ()) -> Sweep:
    """A sweep of a cell over `n`, submitted from this process's ``__main__``."""
    axes = checked([(("n",), range(count))])
    source = Source("cell", cell, cell)
    job = submit(name, source, sys.modules["__main__"].__dict__, root=root, backend=backend, options=options, each=axes).job
    assert isinstance(job, Sweep)
    return job


def checked_results(job: Sweep) -> None:
    assert job.fetch() == [n * n for n in range(len(job))]


def process_for_each(count: int) -> None:
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
    assert [results[n] for n in range(count)] == [n * n for n in range(count)]


def submitit_local(folder: Path, count: int) -> None:
    import submitit

    executor = submitit.LocalExecutor(folder=folder)
    jobs = [executor.submit(pow, n, 2) for n in range(count)]
    assert [job.result() for job in jobs] == [n * n for n in range(count)]


def rate(runs: int, folder: Path) -> list[Row]:
    """Submit to all results, for each task."""
    ours, forked, theirs = [], [], []
    for number in range(runs):
        begin = time.perf_counter()
        checked_results(sweep(str(folder / "root"), f"rate{number}", "n * n", TASKS))
        ours.append((time.perf_counter() - begin) / TASKS)
        forked.append(timed(lambda: process_for_each(TASKS)) / TASKS)
        theirs.append(timed(lambda number=number: submitit_local(folder / f"submitit{number}", FEW)) / FEW)
    what, remark = "a trivial local task", f"{TASKS} tasks, {CORES} at once"
    return [
        Row(what, ours, "multiprocessing, fork", forked, 3.0, remark),
        Row(what, ours, "submitit, local", theirs, 1 / 50, f"{FEW} tasks of submitit's"),
    ]


def memory(folder: Path) -> Absolute:
    """What four tasks that read a captured array of 500 MB take together, at most, beside its size."""
    import numpy

    sys.modules["__main__"].__dict__["_array"] = numpy.random.default_rng(0).random(500_000_000 // 8)
    ready = folder / "ready"
    ready.mkdir()
    cell = f"import os, time\ntotal = _array.sum()\nopen(os.path.join({str(ready)!r}, str(n)), 'w').close()\nwhile len(os.listdir({str(ready)!r})) < 5: time.sleep(0.01)\nn"
    job = sweep(str(folder / "root"), "memory", cell, 4, options=("--slots", "4"))
    while len(os.listdir(ready)) < 4:
        time.sleep(0.05)
    with ledger(job.directory, job.spec()) as known:
        started = known.chunks[0].started
    assert started is not None
    _, taken = consumption([started.supervisor.pid, *descendants(started.supervisor.pid)])
    (ready / "over").touch()
    job.fetch()
    del sys.modules["__main__"].__dict__["_array"]
    return Absolute("memory of four tasks that read 500 MB", [taken / 1e6], 1000, "MB", "500 MB of it once, not four times")


def watching(runs: int, folder: Path) -> list[Absolute]:
    """The status of a sweep of 10,000 tasks of which nothing has changed; and of one that is read for the first time."""
    root = str(folder / "root")
    job = sweep(root, "many", "n * n", MANY)
    job.wait()
    again = [timed(lambda: load("many", root).status()) * 1e3 for _ in range(runs)]
    code = f"import time, persist_magic\njob = persist_magic.load('many', {root!r})\nbegin = time.perf_counter()\njob.status()\nprint(time.perf_counter() - begin)"
    import subprocess

    first = [
        float(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout) * 1e3
        for _ in range(max(3, runs // 3))
    ]
    files = len([path for path in job.path.rglob("*") if path.is_file()])
    return [
        Absolute(f"status of {MANY} tasks, nothing changed", again, 20),
        Absolute(f"status of {MANY} tasks, in a new process", first, 200),
        Absolute(f"files of {MANY} tasks", [float(files)], 300, ""),
    ]


def submitit_array(folder: Path, count: int) -> None:
    import submitit

    executor = submitit.SlurmExecutor(folder=folder)
    executor.update_parameters(time=10)
    jobs = executor.map_array(_square, range(count))
    assert [job.result() for job in jobs] == [n * n for n in range(count)]


def _square(n: int) -> int:
    return n * n


def on_a_cluster(folder: Path) -> Row:
    """1,000 trivial tasks from submission to all results, once each."""
    begin = time.perf_counter()
    checked_results(sweep(str(folder / "root"), "cluster", "n * n", TASKS, "slurm", ("-t", "10")))
    ours = time.perf_counter() - begin
    theirs = timed(lambda: submitit_array(folder / "submitit", TASKS))
    return Row(f"{TASKS} trivial tasks under Slurm", [ours], "submitit, map_array", [theirs], 1 / 5)


def _inside(make: Callable[[Path], Iterator[str]]) -> Iterator[str]:
    folder = Path(tempfile.mkdtemp(prefix="persist-"))
    before = dict(os.environ)
    try:
        yield from make(folder)
    finally:
        os.environ.clear()
        os.environ.update(before)
        shutil.rmtree(folder, ignore_errors=True)


def lines(runs: int) -> Iterator[str]:
    """Measure, and give one line after the other."""

    def here(folder: Path) -> Iterator[str]:
        for row in rate(max(3, runs // 5), folder):
            yield row.line()
        yield memory(folder).line()
        for figure in watching(runs, folder):
            yield figure.line()

    def there(folder: Path) -> Iterator[str]:
        with Cluster(folder / "c") as cluster:
            os.environ.update(cluster.environment)
            yield on_a_cluster(folder).line()

    yield from _inside(here)
    yield from _inside(there)
