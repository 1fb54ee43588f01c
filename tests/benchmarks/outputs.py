"""What recording costs a cell that prints much, beside the same cell with stdout to a file.

Owns the measurements of printing. Both run the same source and time their own loop: what a job costs besides, `jobs` measures.
"""

from __future__ import annotations

import functools
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from persist_magic.capture.cell import Source
from persist_magic.submission import submit

from .measure import Comparison, Peer, Setting, beside, equal, folder, python

_PRINT = """
import sys, time
begin = time.perf_counter()
{loop}
took = time.perf_counter() - begin
"""
PRINTS = 1_000_000
LOOPS = {
    "print 10⁶ short lines": ("for number in range(10**6): print('line', number)", "\n"),
    "print 10⁶ dots, no newline": ("for number in range(10**6): print('.', end='')", "."),
}


def _as_job(cell: str, mark: str, root: str) -> float:
    source = Source("cell", f"{cell}took", f"{cell}took")
    job = submit("prints", source, sys.modules["__main__"].__dict__, root=root).job
    took: float = job.fetch()
    equal(job.stdout().count(mark), PRINTS)
    job.cleanup()
    return took


def _to_file(cell: str, mark: str, place: Path) -> float:
    """The cell as a script, its streams two files, buffered as Python does it by default."""
    paths = [place / name for name in ("stdout", "stderr", "took")]
    script = f"{cell}open({str(paths[2])!r}, 'w').write(str(took))"
    with open(paths[0], "w") as out, open(paths[1], "w") as err:
        subprocess.run(python("-c", script), stdout=out, stderr=err, check=True)
    equal(paths[0].read_text().count(mark), PRINTS)
    return float(paths[2].read_text())


def comparisons(setting: Setting) -> Iterator[Comparison]:
    """Measure, one after the other."""
    with folder() as place:
        for what, (loop, mark) in LOOPS.items():
            cell = _PRINT.format(loop=loop)
            ours = functools.partial(_as_job, cell, mark, str(place / "jobs"))
            peer = Peer(functools.partial(_to_file, cell, mark, place), 1.3)
            yield from beside(what, ours, {"stdout to a file": peer}, setting.either(15, 2))
