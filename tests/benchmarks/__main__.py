"""``python -m tests.benchmarks [PART …] [--quick] [--markdown]``: speed and memory as ratios to peers, side by side in one run.

Owns the command line, the cluster that the parts share, and what is told while they run.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from ..cluster.cluster import Cluster, ClusterError
from . import table
from .measure import CORES, Comparison, Setting
from .part import ON_A_CLUSTER, PARTS, measured

PEERS = ("cloudpickle", "dill", "executorlib", "ipyparallel", "ipywidgets", "joblib", "numpy", "submitit")
EPILOG = """
Each comparison is measured once without counting it, then in turns with its peers (A B A B ...), so that a machine that grows
slower slows both. Told are medians, the median of the pairs' ratios and its quartiles (the extremes of less than four).

--quick takes 10 runs instead of 30; 2 instead of 10 of what takes a quarter of a second, 1 instead of 3 of what takes seconds;
  capture: dill, which takes seconds, is measured beside two workloads only;
  outputs: 2 runs instead of 15;
  views: 2,000 jobs instead of 10,000; 5 changes instead of 30; 4 idle seconds instead of 12; no browser;
  sweeps: 2 runs instead of 6, of 200 local tasks instead of 1,000 and 8 instead of 16 of peers that start a process for each,
    compared for each task; 30 instead of 1,000 of submitit's tasks under Slurm; the status of 1,000 tasks instead of 10,000;
  slurm: 2 round trips instead of 30; jobs are watched for 10 s instead of 60, with a goal to scale.

Needs pip install '.[bench]', Slurm (python -m tests.cluster packages) and Chromium. What is missing is told, the rest goes on.
"""


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(
        prog="python -m tests.benchmarks",
        description="Speed and memory as ratios to peers, measured side by side in one run.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument(
        "parts", nargs="*", metavar="PART", help=f"what to measure, of {', '.join(PARTS)}; all of it by default"
    )
    made.add_argument("--quick", action="store_true", help="less of it, in three minutes; see below")
    made.add_argument("--markdown", action="store_true", help="print the table as Markdown")
    return made


@contextlib.contextmanager
def cluster(parts: Sequence[str]) -> Iterator[str]:
    """Where Slurm runs for those parts that need it; empty if none does or it cannot be started."""
    if ON_A_CLUSTER.isdisjoint(parts):
        yield ""
        return
    with tempfile.TemporaryDirectory(prefix="persist-") as place, contextlib.ExitStack() as stack:
        try:
            started = str(stack.enter_context(Cluster(Path(place, "c"))).directory)
        except ClusterError as error:
            print(f"no cluster: {error}", file=sys.stderr)
            started = ""
        yield started


def told(parts: Sequence[str], quick: bool) -> Iterator[Comparison]:
    """All comparisons of some parts, a line of progress for each."""
    with cluster(parts) as place:
        for part in parts:
            begin = time.monotonic()
            for comparison in measured(part, Setting(quick, place)):
                print(table.line(comparison), file=sys.stderr, flush=True)
                yield comparison
            print(f"{part}: {time.monotonic() - begin:.0f} s", file=sys.stderr, flush=True)


def conditions(setting: Setting, seconds: float) -> str:
    """Under what the figures were taken."""
    versions = []
    for peer in PEERS:
        with contextlib.suppress(PackageNotFoundError):
            versions.append(f"{peer} {version(peer)}")
    runs = f"{setting.runs} runs ({setting.few} or {setting.fewest} of what is slow)"
    python = f"Python {sys.version.split()[0]}, {CORES} of {os.cpu_count()} cores"
    return f"{python}, {runs}, {', '.join(versions)}; {seconds:.0f} s in all"


def main() -> None:
    made = parser()
    arguments = made.parse_args()
    unknown = [part for part in arguments.parts if part not in PARTS]
    if unknown:
        made.error(f"no such part: {', '.join(unknown)}; there are {', '.join(PARTS)}")
    begin = time.monotonic()
    parts = [part for part in PARTS if part in arguments.parts or not arguments.parts]
    comparisons = list(told(parts, arguments.quick))
    under = conditions(Setting(arguments.quick), time.monotonic() - begin)
    print(table.markdown(comparisons, under) if arguments.markdown else table.text(comparisons, under))


if __name__ == "__main__":
    main()
