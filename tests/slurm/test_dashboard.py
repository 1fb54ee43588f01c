"""Slurm's jobs in the dashboard: a real cluster, kernel, JupyterLab and Chromium."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from playwright.sync_api import expect

from ..browser.conftest import browser, jupyter, notebook
from ..browser.jupyter import Notebook
from ..browser.test_jupyter import WAIT, click, line
from ..cluster.cluster import Cluster

__all__ = ["browser", "jupyter", "notebook"]  # the fixtures


def test_a_slurm_job_from_its_queue_to_its_end(cluster: Cluster, notebook: Callable[..., Notebook], tmp_path: Path) -> None:
    go, free = tmp_path / "go", tmp_path / "free"
    setup = (
        f"os.environ.update({cluster.environment!r})\n"
        "from persist_magic.backends import slurm_programs\nslurm_programs.POLITE_SECONDS = 0.3"
    )
    train = f"%%persist train --slurm -- --hold\nprint('begun')\n{WAIT.format(path=str(go))}print('over')\n6 * 7"
    other = "%%persist other --slurm -- --begin=now+1hour\n1"
    page = notebook(setup, train, other, "%persist_status", f"{WAIT.format(path=str(free))}")
    for at in range(1, 5):
        page.run(at)
    table = page.output(4)
    expect(line(table, "train")).to_contain_text(re.compile("queued.*held by its user"))
    expect(line(table, "other")).to_contain_text(re.compile("queued.*its time to begin has not come"))
    page.start(5)  # the kernel is busy from here on
    line(table, "train").click(position={"x": 5, "y": 5})
    panel = table.get_by_role("tabpanel")
    expect(panel).to_contain_text(re.compile("JobState.*PENDING.*Reason.*JobHeldUser", re.DOTALL))
    (id,) = re.findall(r"\d+", cluster.run("squeue", "-h", "-n", "train", "-o", "%i"))
    cluster.run("scontrol", "release", id)
    expect(line(table, "train")).to_contain_text(re.compile("running.*begun"))
    click(table, "log", "train")
    expect(table.get_by_role("log")).to_contain_text("begun")
    expect(line(table, "train").locator(".persist-c-cpu")).to_contain_text("%")  # the supervisor's first sample
    click(table, "cancel", "other", "Cancel the job")
    expect(line(table, "other")).to_contain_text("cancelled")
    go.touch()
    expect(table.get_by_role("log")).to_contain_text("over")
    expect(line(table, "train")).to_contain_text("done")
    click(table, "fetch", "train")
    expect(table.get_by_role("status")).to_contain_text("train ← train")
    click(table, "clean", "other", "Delete the job")
    expect(line(table, "other")).to_have_count(0)
    free.touch()
    page.finish(5)
