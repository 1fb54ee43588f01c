"""``python -m tests.benchmarks [jobs|capture|outputs|views|sweeps|slurm]``: speed and memory as ratios to peers, measured side by side.

Each pair is measured in turns (A B A B …), so that a machine that grows slower slows both. Printed are the medians, the
median of the pairs' ratios, their spread, and the goal. Owns which parts run.
"""

from __future__ import annotations

import argparse
import os
import sys

from . import capture, jobs, outputs, slurm, sweeps, views

PARTS = {
    "jobs": jobs.lines,
    "capture": capture.lines,
    "outputs": outputs.lines,
    "views": views.lines,
    "sweeps": sweeps.lines,
    "slurm": slurm.lines,
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks")
    parser.add_argument("part", nargs="?", choices=[*PARTS, "all"], default="all", help="what to measure; all by default")
    parser.add_argument("--quick", action="store_true", help="a third of the runs")
    arguments = parser.parse_args()
    runs = 10 if arguments.quick else 30
    print(f"Python {sys.version.split()[0]}, {os.cpu_count()} cores, {runs} runs each, medians")
    for name, lines in PARTS.items():
        if arguments.part in (name, "all"):
            for line in lines(runs):
                print(line, flush=True)


if __name__ == "__main__":
    main()
