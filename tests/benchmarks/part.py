"""``python -m tests.benchmarks.part NAME [--quick]``: one part, whose comparisons are printed as lines of JSON.

A process of its own for each part, so that none finds the imports, the memory or the threads of another: what a fork takes
depends on them. Owns which parts there are, and what is said where one cannot be measured.
"""

from __future__ import annotations

import argparse
import dataclasses
import importlib
import json
import os
import subprocess
from collections.abc import Iterator
from dataclasses import replace

from ..cluster.cluster import Cluster
from .measure import NOT_INSTALLED, Comparison, Missing, Setting, python

PARTS = ("jobs", "capture", "outputs", "views", "sweeps", "slurm")
ON_A_CLUSTER = frozenset({"sweeps", "slurm"})
UNUSUAL = ("PYTHONDONTWRITEBYTECODE", "PYTHONUNBUFFERED")
"""Settings that make Python compile modules anew for each process or write each line for itself; users have neither."""


def measured(name: str, setting: Setting) -> Iterator[Comparison]:
    """What a part measures, as it comes; if its process fails, a comparison that says so."""
    command = python("-m", __name__, name, "--cluster", setting.cluster, *["--quick"] * setting.quick)
    environment = {name: value for name, value in os.environ.items() if name not in UNUSUAL}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as child:
        assert child.stdout is not None
        for line in child.stdout:
            yield Comparison(**json.loads(line))
    if child.returncode:
        yield _rest(name, f"failed, its process ended with {child.returncode}")


def _rest(name: str, note: str) -> Comparison:
    return Comparison(f"the rest of {name}", note=note, part=name)


def _told(name: str, setting: Setting) -> Iterator[Comparison]:
    if setting.cluster:
        os.environ.update(Cluster.attach(setting.cluster).environment)
    try:
        for comparison in importlib.import_module(f"{__package__}.{name}").comparisons(setting):
            yield replace(comparison, part=name)
    except Missing as error:
        yield _rest(name, str(error))
    except ImportError as error:
        yield _rest(name, f"{error}; {NOT_INSTALLED}")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.part")
    parser.add_argument("part", choices=PARTS)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--cluster", default="")
    arguments = parser.parse_args()
    for comparison in _told(arguments.part, Setting(arguments.quick, arguments.cluster)):
        print(json.dumps(dataclasses.asdict(comparison)), flush=True)


if __name__ == "__main__":
    main()
