"""Slurm in its bad hours: daemons that are stopped while jobs wait and run. States stay true and everything recovers."""

from __future__ import annotations

import os
import re
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from persist_magic.errors import BackendError
from persist_magic.monitor import Poller, rows
from persist_magic.status import JobState
from persist_magic.submission import jobs
from persist_magic.views.table import table

from ..cluster.cluster import Cluster
from ..conftest import Session, started, wait_until
from .conftest import SlurmSession, made_cluster, on, printed, shim

WAIT_FOR = "import os, time\nprint('begun')\nwhile not os.path.exists({path!r}): time.sleep(0.05)\n"


def test_who_watches_does_not_wait_for_a_squeue_that_hangs(
    slurm: SlurmSession, cluster: Cluster, session: Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    queued = slurm.persist("queued", "1", "--hold")
    wait_until(lambda: queued.status().reason.startswith("held by its user"), "the reason")
    answers, asked, marker = tmp_path / "answers", tmp_path / "asked", tmp_path / "marker"
    shim(
        tmp_path / "bin",
        monkeypatch,
        "squeue",
        f'touch "{asked}"\nuntil [ -e "{answers}" ]; do sleep 0.05; done\nexec $REAL "$@"',
    )
    local = session.persist("here", WAIT_FOR.format(path=str(marker)))
    poller = Poller(root=session.root)
    wait_until(lambda: (poller.poll(), asked.exists())[1], "a question")
    wait_until(lambda: (poller.poll(), poller.rows["here"].state)[1] == "running", "the start of the local one")
    marker.touch()
    local.wait(60)
    poller.poll()
    assert (poller.rows["here"].state, poller.rows["queued"].state) == ("done", "queued")
    assert poller.rows["queued"].reason.startswith("held by its user")  # as it was known before
    assert "squeue" not in poller.rows["queued"].note  # it has not been given up
    answers.touch()
    handle = queued.directory.handle()
    assert handle is not None
    cluster.run("scancel", handle.id)
    wait_until(lambda: (poller.poll(), poller.rows["queued"].state)[1] == "cancelled", "its answer")


def test_the_controller_is_stopped_with_jobs_queued_and_running(slurm: SlurmSession, cluster: Cluster, marker: Path) -> None:
    running = slurm.persist("running", WAIT_FOR.format(path=str(marker)) + "'ran'")
    ending = slurm.persist("ending", WAIT_FOR.format(path=f"{marker}-2") + "'ended'")
    queued = slurm.persist("queued", "'waited'", "--hold")
    printed(running, "begun")
    printed(ending, "begun")
    wait_until(lambda: queued.status().reason.startswith("held by its user"), "the reason")
    cluster.stop_daemon("slurmctld")
    try:
        silent = wait_until(lambda: "squeue" in (s := queued.status()).note and s, "the silence of squeue")
        assert silent.state is JobState.QUEUED
        assert silent.reason.startswith("held by its user")
        assert wait_until(
            lambda: (t := queued.status().describe(time.time() + 60)) and "when last seen" in t and t, "the age"
        )
        assert running.status().state is JobState.RUNNING
        shown = wait_until(lambda: "last seen" in (t := table(rows([queued]))) and t, "the age in the table")
        assert re.search(r"when last seen \d+ s ago; held by its user; .*squeue", shown)
        with pytest.raises(BackendError, match=r"job new was not taken: sbatch: |may have taken job new"):
            slurm.persist("new", "1")
        Path(f"{marker}-2").touch()
        assert ending.fetch(60) == "ended"
        with pytest.raises(BackendError, match="cancel of queued was not passed on"):
            queued.cancel()
        assert queued.status().note.startswith("cancel asked for")
    finally:
        cluster.start_daemon("slurmctld")
        cluster.wait_for_nodes()
    wait_until(lambda: "squeue" not in queued.status().note, "squeue's answer", 90)
    queued.cancel()
    assert queued.wait(60).state is JobState.CANCELLED
    marker.touch()
    assert running.fetch(60) == "ran"
    assert slurm.persist("later", "2").fetch(90) == 2


def test_the_worker_dies_while_the_controller_is_stopped(slurm: SlurmSession, cluster: Cluster, marker: Path) -> None:
    """Nothing is claimed while nobody can be asked; afterwards Slurm's word counts."""
    job = slurm.persist("dying", WAIT_FOR.format(path=str(marker)), "--no-requeue")
    record = started(job)
    printed(job, "begun")
    cluster.stop_daemon("slurmctld")
    try:
        os.kill(record.supervisor.pid, signal.SIGKILL)
        silent = wait_until(lambda: "squeue" in (s := job.status()).note and s, "the silence")
        assert silent.state is JobState.RUNNING
        assert " when last seen " in silent.describe(time.time())
    finally:
        cluster.start_daemon("slurmctld")
        cluster.wait_for_nodes()
    assert job.wait(120).state is JobState.FAILED


def test_accounting_is_stopped(slurm: SlurmSession, cluster: Cluster) -> None:
    cluster.stop_daemon("slurmdbd")
    try:
        assert slurm.persist("without", "'accounting'").fetch(60) == "accounting"
        job = slurm.persist("killed", "import os, time\nprint('begun')\ntime.sleep(1000)")
        record = started(job)
        os.kill(record.supervisor.pid, signal.SIGKILL)
        assert job.wait(90).state is JobState.FAILED
    finally:
        cluster.start_daemon("slurmdbd")


@pytest.fixture
def forgetful(monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    """A cluster without accounting that forgets a job five seconds after its end."""
    for cluster in made_cluster(accounting=False, min_job_age=5, nodes=1):
        on(cluster, monkeypatch)
        yield cluster


def test_a_scheduler_that_forgets_at_once(forgetful: Cluster, session: Session, marker: Path) -> None:
    done = session.persist("done", "'kept'", backend="slurm")
    killed = session.persist("killed", WAIT_FOR.format(path=str(marker)), backend="slurm", options=["--no-requeue"])
    held = session.persist("held", "1", backend="slurm", options=["--hold"])
    record = started(killed)
    printed(killed, "begun")
    handle = held.directory.handle()
    assert handle is not None
    forgetful.run("scancel", handle.id)
    os.kill(record.supervisor.pid, signal.SIGKILL)
    wait_until(lambda: not forgetful.run("squeue", "-h", "-t", "all").strip(), "Slurm to forget all", 120)
    assert done.fetch(10) == "kept"
    status = killed.wait(120)
    assert (status.state, status.reason) == (JobState.FAILED, "Slurm no longer knows it, and it left no record of its end")
    assert held.wait(120).state is JobState.FAILED
    assert len(jobs(session.root)) == 3
    assert killed.status().source == "squeue"  # kept in observed.json, for any session
