"""What recording costs a cell that prints much, beside the same cell with stdout to a file.

Owns the measurements of printing. Both run the same source and time their own loop: what a job costs besides, `jobs` measures.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator

from persist_magic.capture.cell import Source
from persist_magic.submission import submit

from .measure import Row, python

_PRINT = """
import sys, time
begin = time.perf_counter()
{loop}
took = time.perf_counter() - begin
"""
LOOPS = {
    "print 10⁶ short lines": "for number in range(1_000_000): print('line', number)",
    "print 10⁶ dots, no newline": "for number in range(1_000_000): print('.', end='')",
}


def _as_job(name: str, cell: str, root: str) -> float:
    source = Source("cell", f"{cell}took", f"{cell}took")
    job = submit(name, source, sys.modules["__main__"].__dict__, root=root).job
    took: float = job.fetch()
    job.cleanup()
    return took


def _to_file(cell: str, root: str) -> float:
    """The cell as a script, its streams two files, buffered as Python does it by default."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    paths = [os.path.join(root, name) for name in ("stdout", "stderr", "took")]
    script = f"{cell}open({paths[2]!r}, 'w').write(str(took))"
    with open(paths[0], "w") as out, open(paths[1], "w") as err:
        subprocess.run(python("-c", script), env=environment, stdout=out, stderr=err, check=True)
    with open(paths[2]) as file:
        return float(file.read())


def lines(runs: int) -> Iterator[str]:
    """Measure, and give one line after the other."""
    root = tempfile.mkdtemp(prefix="persist-benchmarks-")
    try:
        for number, (what, loop) in enumerate(LOOPS.items()):
            cell = _PRINT.format(loop=loop)
            ours, theirs = [], []
            for run in range(max(5, runs // 2)):
                ours.append(_as_job(f"job{number}-{run}", cell, os.path.join(root, "jobs")))
                theirs.append(_to_file(cell, root))
            yield Row(what, ours, "stdout to a file", theirs, 1.3).line()
    finally:
        shutil.rmtree(root)
