"""What a job under Slurm costs, beside sbatch itself and submitit, on one cluster in one run.

Owns the measurements of submission, round trip and watching. Starts a real cluster on this machine (see tests/cluster);
submitit comes with the extra ``bench``.
"""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from persist_magic.job import Job, statuses
from persist_magic.status import Status
from persist_magic.submission import jobs, submit

from ..cluster.cluster import Cluster
from .jobs import Fsync
from .measure import Absolute, Row, timed

WATCHED = 300
PROGRAMS = ("sbatch", "squeue", "sacct", "scontrol", "scancel")


def cells(root: str, *options: str) -> Iterator[Callable[[], Job]]:
    """Submissions to Slurm of a small cell with a function and a list, each under a new name."""
    from persist_magic.capture.cell import Source

    namespace = sys.modules["__main__"].__dict__
    namespace["_numbers"], namespace["_total"] = [1, 2, 3], eval("lambda: sum(_numbers)", namespace)
    source = Source("cell", "_total()", "_total()")
    number = 0
    while True:
        number += 1
        name = f"job{number}"
        yield lambda name=name: submit(name, source, namespace, backend="slurm", options=options, root=root).job


def bare_script(folder: Path) -> str:
    """A script that runs the same with Python and nothing of ours."""
    path = folder / "bare.sh"
    path.write_text(f"#!/bin/sh\nexec {sys.executable} -c 'print(sum([1, 2, 3]))'\n")
    return str(path)


def submission(runs: int, folder: Path) -> list[Row]:
    """%%persist --slurm to its return, beside sbatch's; the jobs are held, so that none runs meanwhile."""
    bare = ["sbatch", "--parsable", "--hold", "--output=/dev/null", bare_script(folder)]
    ours, theirs, unsynced = [], [], []
    made = cells(str(folder / "held"), "--hold")
    next(made)()
    for _ in range(runs):
        cell = next(made)
        with Fsync() as sync:
            ours.append(timed(cell))
        unsynced.append(ours[-1] - sync.seconds)
        theirs.append(timed(lambda: subprocess.run(bare, check=True, capture_output=True)))
    subprocess.run(["scancel", "--state=PENDING", "--me"], check=True)
    return [
        Row("%%persist --slurm", ours, "sbatch", theirs, 1.3, "the disk's syncs included"),
        Row("%%persist --slurm, without fsync", unsynced, "sbatch", theirs, 1.3),
    ]


def submitit_round_trip(folder: Path) -> Callable[[], object]:
    """Submit to result by submitit, as its users write it."""
    import submitit

    executor = submitit.SlurmExecutor(folder=folder / "submitit")
    executor.update_parameters(time=5)
    return lambda: executor.submit(sum, [1, 2, 3]).result()


def round_trip(runs: int, folder: Path) -> list[Row]:
    """Submit to result, beside ``sbatch --wait`` of the same in Python, and submitit.

    slurmctld starts jobs at its ticks, one or two a second. The pauses between the measurements are random, so that none falls
    in step with them.
    """
    waiting = ["sbatch", "--wait", "--output=/dev/null", bare_script(folder)]
    peers: dict[str, tuple[Callable[[], object], float]] = {
        "sbatch --wait": (lambda: subprocess.run(waiting, check=True, capture_output=True), 1.2),
        "submitit": (submitit_round_trip(folder), 0.33),
    }
    made = cells(str(folder / "ran"))
    next(made)().fetch()
    ours: list[float] = []
    own: list[float] = []
    theirs: dict[str, list[float]] = {name: [] for name in peers}
    for _ in range(runs):
        submit_cell = next(made)
        time.sleep(random.random())
        begin = time.perf_counter()
        job = submit_cell()
        job.fetch()
        ours.append(time.perf_counter() - begin)
        started = job.directory.current_run().started()
        assert started is not None
        own.append(time.time() - started.time)
        for name, (action, _) in peers.items():
            time.sleep(random.random())
            theirs[name].append(timed(action))
    remark = f"{statistics.median(own) * 1e3:.0f} ms of it from the worker's start on, the rest is Slurm's"
    return [Row("submit to result under Slurm", ours, name, theirs[name], goal, remark) for name, (_, goal) in peers.items()]


@contextlib.contextmanager
def counted_programs(folder: Path) -> Iterator[Callable[[], list[str]]]:
    """Let every call of Slurm's programs be written down."""
    shims, log = folder / "bin", folder / "calls"
    shims.mkdir()
    log.touch()
    for program in PROGRAMS:
        path = shims / program
        path.write_text(f'#!/bin/sh\necho {program} >>"{log}"\nexec {shutil.which(program)} "$@"\n')
        path.chmod(0o755)
    before = os.environ["PATH"]
    os.environ["PATH"] = f"{shims}:{before}"
    try:
        yield lambda: log.read_text().split()
    finally:
        os.environ["PATH"] = before


def watching(folder: Path, seconds: float = 60.0) -> Absolute:
    """How many of the scheduler's programs are called while somebody looks twice a second at 300 jobs, a few of which run."""
    root = str(folder / "watched")
    held, running = cells(root, "--hold"), cells(root)
    for _ in range(WATCHED - 30):
        next(held)()
    for _ in range(WATCHED - 30):
        next(running)  # their names are taken
    for _ in range(30):
        next(running)()
    with counted_programs(folder) as calls:
        begin = time.monotonic()
        looks = 0
        while time.monotonic() - begin < seconds:
            found = statuses(jobs(root))
            assert len(found) == WATCHED
            assert all(isinstance(each, Status) for each in found)
            looks += 1
            time.sleep(0.5)
        made = calls()
    subprocess.run(["scancel", "--state=PENDING", "--me"], check=True)
    remark = f"{looks} looks; {', '.join(f'{program} {made.count(program)}' for program in PROGRAMS if program in made)}"
    return Absolute(f"calls while {WATCHED} jobs are watched a minute", [float(len(made))], 12.01, "", remark)


def lines(runs: int) -> Iterator[str]:
    """Measure, and give one line after the other."""
    folder = Path(tempfile.mkdtemp(prefix="persist-"))
    before: dict[str, Any] = dict(os.environ)
    try:
        with Cluster(folder / "c") as cluster:
            os.environ.update(cluster.environment)
            yield cluster.run("sbatch", "--version").strip()
            for row in submission(runs, folder):
                yield row.line()
            for row in round_trip(runs, folder):
                yield row.line()
            yield watching(folder).line()
    finally:
        os.environ.clear()
        os.environ.update(before)
        shutil.rmtree(folder, ignore_errors=True)
