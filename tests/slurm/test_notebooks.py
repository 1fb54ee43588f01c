"""The tutorial of training under Slurm: it is preempted in the middle, and goes on as if nothing had happened."""

from __future__ import annotations

import re
from pathlib import Path

from ..cluster.cluster import Cluster
from ..notebooks.execution import changed_kinds, executed, pictures_of, read, shown_by


def test_a_training_is_preempted_and_is_the_same_training(cluster: Cluster, tmp_path: Path) -> None:
    notebook = executed(read("training_on_slurm"), cluster.environment, tmp_path)
    assert changed_kinds(notebook, read("training_on_slurm")) == {}, "python -m tests.notebooks training_on_slurm"
    assert re.search(r"train +running +slurm .*epochs \d+ %", shown_by(notebook, "import time"))
    preempted = shown_by(notebook, "while train.status()")
    assert "<Job train: queued: to run again" in preempted
    safe = int(re.search(r"(\d+) epochs are safe", shown_by(notebook, "last = "))[1])
    assert 100 <= safe < 600
    assert shown_by(notebook, "%persist_log train") == f"starting after {safe} epochs\n"
    whole = shown_by(notebook, "accuracy = ")
    assert re.search(r"is done, after the runs \[1, 2\]\n600 epochs", whole)
    assert float(re.search(r"accuracy (\d\.\d+)", whole)[1]) > 0.95
    compared = shown_by(notebook, "random = ")
    assert float(re.search(r"differ by at most (\S+) up to five epochs after the preemption", compared)[1]) < 1e-9
    assert len(pictures_of(notebook, "random = ")) == len(pictures_of(notebook, "guesses = ")) == 1
