"""Many short jobs of one session, and what they leave behind in it: python -m tests.faults.soak JOBS

Owns the measure: child processes, threads, descriptors, Python's objects and bytes, after the first jobs and after the last.
"""

from __future__ import annotations

import gc
import os
import sys
import tempfile
import threading
import time
import tracemalloc
from dataclasses import dataclass

import psutil

from persist_magic import monitor, submission


@dataclass(frozen=True)
class Held:
    """What a process holds.

    Attributes
    ----------
    children, threads, descriptors, objects : int
    size : int
        Bytes of Python's memory.
    resident : int
        Bytes of the process's.
    """

    children: int
    threads: int
    descriptors: int
    objects: int
    size: int
    resident: int

    @classmethod
    def now(cls) -> Held:
        gc.collect()
        process = psutil.Process()
        size, _ = tracemalloc.get_traced_memory()
        return cls(
            len(process.children()),
            threading.active_count(),
            len(os.listdir("/proc/self/fd")),
            len(gc.get_objects()),
            size,
            process.memory_info().rss,
        )


def work(number: int) -> list[int]:
    print("job", number)
    return [number, number * number]


def one_job(root: str, number: int) -> None:
    """What a session does with a job, from its submission to its end."""
    name = f"job-{number}"
    job = submission.persist(work, name, args=(number,), root=root)
    assert job.fetch(60) == [number, number * number]
    assert job.stdout() == f"job {number}\n"
    job.outputs()
    repr(job)
    assert {row.state for row in monitor.rows(submission.jobs(root))} == {"done"}
    if number % 2:
        job.rerun().wait(60)
    job.cleanup()


def soak(root: str, jobs: int, first: int) -> tuple[Held, Held]:
    """Run jobs one after the other; return what is held after the first ones and after all."""
    tracemalloc.start()
    try:
        for number in range(first):
            one_job(root, number)
        before = Held.now()
        for number in range(first, jobs):
            one_job(root, number)
        return before, Held.now()
    finally:
        tracemalloc.stop()


def main() -> None:
    jobs, begin = int(sys.argv[1]), time.monotonic()
    with tempfile.TemporaryDirectory() as root:
        before, after = soak(root, jobs, jobs // 10)
    print(f"{jobs} jobs, {time.monotonic() - begin:.0f} s\n{before}\n{after}")
    rest = jobs - jobs // 10
    print(
        f"a job leaves {(after.objects - before.objects) / rest:.2f} objects, {(after.size - before.size) / rest:.1f} bytes"
    )


if __name__ == "__main__":
    main()
