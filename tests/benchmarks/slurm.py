"""What a job under Slurm costs, beside sbatch itself and the peers, on one cluster in one run.

Owns the measurements of submission, round trip and watching.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

from persist_magic.job import statuses
from persist_magic.status import Status
from persist_magic.submission import jobs

from .jobs import small_cells, unsynced
from .measure import (
    Comparison,
    Peer,
    Setting,
    Taken,
    beside,
    equal,
    folder,
    in_turns,
    milliseconds,
    scaled,
    timed,
    timing,
)
from .peers import Candidate, Tool, executorlib_slurm, opened, submitit_slurm

WATCHED, CALLS_A_MINUTE = 300, 12
PROGRAMS = ("sbatch", "squeue", "sacct", "scontrol", "scancel")


def bare_script(folder: Path) -> str:
    """A script that runs the same with Python and nothing of ours."""
    path = folder / "bare.sh"
    path.write_text(f"#!/bin/sh\nexec {sys.executable} -c 'print(sum([1, 2, 3]))'\n")
    return str(path)


def cancel_held() -> None:
    subprocess.run(["scancel", "--state=PENDING", "--me"], check=True)


def submission(setting: Setting, place: Path) -> Iterator[Comparison]:
    """%%persist --slurm to its return, beside sbatch's; the jobs are held, so that none runs meanwhile."""
    bare = ["sbatch", "--parsable", "--hold", "--output=/dev/null", bare_script(place)]
    cells = small_cells(str(place / "held"), "slurm", "--hold")
    theirs = timing(lambda: subprocess.run(bare, check=True, capture_output=True))
    taken = in_turns({"ours": lambda: unsynced(next(cells))[1], "sbatch": theirs}, setting.runs)
    cancel_held()
    yield Comparison("%%persist --slurm", taken["ours"], "sbatch", taken["sbatch"], 1.3, "the disk's syncs included")
    note = f"without its {taken['calls'][0]:.0f} fsyncs, {milliseconds(taken['syncs'])}"
    yield Comparison("%%persist --slurm", taken["unsynced"], "sbatch", taken["sbatch"], 1.3, note)


PEERS = {"submitit": Candidate(submitit_slurm, goal=0.33), "executorlib": Candidate(executorlib_slurm)}


_Figures = TypeVar("_Figures")


def out_of_step(measure: Callable[[], _Figures]) -> Callable[[], _Figures]:
    """After a random pause: slurmctld starts jobs at its ticks, one or two a second, with which none is to fall in step."""

    def later() -> _Figures:
        time.sleep(random.random())
        return measure()

    return later


def round_trip(setting: Setting, place: Path) -> Iterator[Comparison]:
    """Submit to result, beside ``sbatch --wait`` of the same in Python, and the peers."""
    cells, numbers = small_cells(str(place / "ran"), "slurm"), itertools.count()

    def ours() -> dict[str, float]:
        cell, begin = next(cells), time.perf_counter()
        job = cell()
        equal(job.fetch(), 6)
        took = time.perf_counter() - begin
        started = job.directory.current_run().started()
        assert started is not None
        return {"ours": took, "own": time.time() - started.time}

    def asked(tool: Tool, _: Candidate) -> Callable[[], float]:
        """Of other numbers each time: executorlib would answer from its cache."""

        def theirs() -> float:
            number = next(numbers)
            return timed(lambda: equal(tool.call(sum, [number, 2, 3]), number + 5))

        return out_of_step(theirs)

    waiting = ["sbatch", "--wait", "--output=/dev/null", bare_script(place)]
    bare = out_of_step(timing(lambda: subprocess.run(waiting, check=True, capture_output=True)))

    def own(taken: Taken) -> str:
        return f"{milliseconds(taken['own'])} of it from the worker's start on, the rest is Slurm's"

    with opened(PEERS, place, asked) as tools:
        peers = {"sbatch --wait": Peer(bare, 1.2), **tools}
        yield from beside("submit to result under Slurm", out_of_step(ours), peers, setting.either(30, 2), own)


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


def watching(setting: Setting, place: Path) -> Comparison:
    """How many of the scheduler's programs are called while somebody looks twice a second at many jobs, a few of which run."""
    root, seconds = str(place / "watched"), setting.either(60, 10)
    held, running = small_cells(root, "slurm", "--hold"), small_cells(root, "slurm")
    for _ in range(WATCHED - 30):
        next(held)()
        next(running)  # its name is taken
    for _ in range(30):
        next(running)()
    with counted_programs(place) as calls:
        begin = time.monotonic()
        looks = 0
        while time.monotonic() - begin < seconds:
            found = statuses(jobs(root))
            equal(len(found), WATCHED)
            assert all(isinstance(each, Status) for each in found)
            looks += 1
            time.sleep(0.5)
        made = calls()
    cancel_held()
    note = f"{looks} looks; {', '.join(f'{program} {made.count(program)}' for program in PROGRAMS if program in made)}"
    what = f"calls of Slurm's programs for {WATCHED} jobs in {seconds} s"
    return Comparison(what, [len(made)], goal=scaled(CALLS_A_MINUTE, seconds), note=note, unit="")


def comparisons(setting: Setting) -> Iterator[Comparison]:
    """Measure, one after the other."""
    setting.require_cluster()
    with folder() as place:
        yield from submission(setting, place)
        yield from round_trip(setting, place)
        yield watching(setting, place)
