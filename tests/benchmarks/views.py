"""What it costs to watch many jobs: 10,000 job directories, of which 50 live.

Owns how the directories are made (by the project's own store) and the measurements of the first look and of those that follow.
"""

from __future__ import annotations

import os
import resource
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace

from persist_magic.capture.cell import Source
from persist_magic.job import load, set_session_root, submit
from persist_magic.monitor import Poller
from persist_magic.processes import ProcessId
from persist_magic.store import Ended, Handle, Root, Started, Submitted, write_new

from .measure import Absolute, timed

JOBS, LIVE = 10_000, 50


def make_jobs(path: str) -> None:
    """Fill a root: copies of one real job under other names, most of them done, some run by this process."""
    submit("first", Source("cell", "1", "1"), sys.modules["__main__"].__dict__, root=path).job.wait()
    place = Root(path)
    spec = load("first", path).spec()
    me, now = ProcessId.of(os.getpid()), time.time()
    for number in range(JOBS - 1):
        name, live = f"job-{number:05}", number < LIVE
        with place.new_directory(name) as work:
            run = work.run(1)
            write_new(work.spec_path, replace(spec, name=name).to_bytes(), sync=False)
            write_new(work.handle_path, Handle("local", 1, now, f"pid {me.pid}", me).to_bytes(), sync=False)
            write_new(run.submitted_path, Submitted(now, "me", me.host, (), {}).to_bytes(), sync=False)
            write_new(run.started_path, Started(now, me, me if live else None).to_bytes(), sync=False)
            write_new(run.heartbeat_path, b"", sync=False)
            write_new(run.stdout_path, b"epoch 1\nepoch 2\n", sync=False)
            if not live:
                write_new(run.ended_path, Ended(now, "done", "", 0, None, 1.0, 1, "").to_bytes(), sync=False)
            place.publish(work, replace=False)


def cpu(action: Callable[[], object]) -> float:
    """Seconds of this process's cpu time."""
    before = resource.getrusage(resource.RUSAGE_SELF)
    action()
    after = resource.getrusage(resource.RUSAGE_SELF)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def running(poller: Poller) -> list[str]:
    """The jobs that live."""
    poller.poll()
    return [row.name for row in poller.table() if row.state == "running"]


def lines(runs: int) -> Iterator[str]:
    """Measure, and give one line after the other."""
    root = tempfile.mkdtemp(prefix="persist-benchmarks-")
    set_session_root(lambda: os.path.join(root, "jobs"))
    try:
        make_jobs(os.path.join(root, "jobs"))
        poller = Poller()
        first = timed(poller.poll) * 1e3
        assert len(poller.rows) == JOBS
        yield Absolute(f"first look at {JOBS} jobs, each read once", [first], 5000).line()
        live = [job.directory.run(1).heartbeat_path for job in map(load, running(poller))]
        every = []
        for _ in range(runs + 2):
            for path in live:
                os.utime(path)
            every.append(cpu(poller.poll) * 1e3)
        yield Absolute(f"cpu of a later look, {LIVE} of them live", every[2:], 2).line()
    finally:
        set_session_root(None)
        shutil.rmtree(root)
