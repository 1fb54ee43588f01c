"""What a run takes of cpu and memory is sampled by its supervisor, and seen while it runs."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from persist_magic.processes import consumption
from persist_magic.store import USAGE_SAMPLES, JobDirectory, RunDirectory
from persist_magic.worker import supervisor
from persist_magic.worker.supervisor import Sampler

from ..conftest import Session, wait_until

MEGABYTE = 1 << 20


def test_a_busy_process_takes_cpu_and_its_memory_is_counted() -> None:
    code = "data = bytearray(80 << 20)\nprint('ready', flush=True)\nwhile True: pass"
    child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    try:
        assert child.stdout is not None
        child.stdout.readline()
        seconds, memory = consumption([child.pid])
        assert 80 * MEGABYTE < memory < 200 * MEGABYTE
        wait_until(lambda: consumption([child.pid])[0] > seconds + 0.2, "some cpu time")
    finally:
        child.kill()
        child.wait()


def test_memory_that_forked_processes_share_is_counted_once() -> None:
    code = """
import os, sys, time
data = bytearray(100 << 20)
if not os.fork(): time.sleep(60)
print(os.getpid(), flush=True)
time.sleep(60)
"""
    child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, start_new_session=True)
    try:
        assert child.stdout is not None
        child.stdout.readline()
        family = [child.pid, *supervisor.descendants(child.pid)]
        assert len(family) == 2
        assert 100 * MEGABYTE < consumption(family)[1] < 150 * MEGABYTE
    finally:
        os.killpg(child.pid, 9)
        child.wait()


def test_processes_that_are_gone_take_nothing() -> None:
    assert consumption([2**22 + 1]) == (0.0, 0)


def test_samples_are_written_now_and_then_and_the_last_ones_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "run-1").mkdir()
    run = RunDirectory(JobDirectory(str(tmp_path), "job"), 1)
    clock, taken = [100.0], [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    monkeypatch.setattr(supervisor, "descendants", lambda pid: [pid])
    monkeypatch.setattr(supervisor, "consumption", lambda pids: (taken[0], 7))
    sampler = Sampler(run, os.getpid())
    sampler.sample()
    assert run.usage() is None  # too early to say anything
    for number in range(70):
        clock[0] += 5.0
        taken[0] += number / 10
        sampler.sample()
        sampler.sample()
    usage = run.usage()
    assert usage is not None
    assert usage.every == 5.0
    assert len(usage.cpu) == len(usage.memory) == USAGE_SAMPLES
    assert usage.cpu[-2:] == (136.0, 138.0)  # 6.8 and 6.9 s of cpu in 5 s
    assert set(usage.memory) == {7}


def test_where_sampling_is_slow_it_is_seldom(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "run-1").mkdir()
    run = RunDirectory(JobDirectory(str(tmp_path), "job"), 1)
    clock, looks = [100.0], []

    def slow(pid: int) -> list[int]:
        clock[0] += 0.5
        looks.append(pid)
        return []

    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    monkeypatch.setattr(supervisor, "descendants", slow)
    sampler = Sampler(run, 1)
    for _ in range(200):
        clock[0] += 1.0
        sampler.sample()
    assert len(looks) == 4  # half a second each, so that it is a hundredth of the time


def test_a_running_jobs_usage_is_seen(session: Session, marker: Path) -> None:
    cell = f"import os\ndata = bytearray(60 << 20)\nwhile not os.path.exists({str(marker)!r}): pass"
    job = session.persist("busy", cell)

    def is_busy() -> bool:  # the first sample may come before the array
        usage = job.info()["usage"]
        return usage is not None and usage["cpu"][-1] > 10 and usage["memory"][-1] > 60 * MEGABYTE

    wait_until(is_busy, "a sample")
    marker.touch()
