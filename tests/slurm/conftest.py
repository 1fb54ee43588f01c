"""A cluster for all the tests of a run, a session on it, and programs of Slurm's that are watched or replaced."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from persist_magic import backends, status
from persist_magic.backends import slurm_programs
from persist_magic.job import Job

from ..cluster.cluster import Cluster
from ..conftest import Session, wait_until


def made_cluster(**options: Any) -> Iterator[Cluster]:
    """A cluster under a short path: sockets' paths may have 108 characters."""
    place = tempfile.mkdtemp(prefix="persist-slurm-")
    cluster = Cluster(os.path.join(place, "c"), **options)
    cluster.start()
    try:
        yield cluster
    finally:
        cluster.stop()
        shutil.rmtree(place, ignore_errors=True)


@pytest.fixture(scope="session")
def main_cluster() -> Iterator[Cluster]:
    yield from made_cluster()


@pytest.fixture
def cluster(main_cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    """The cluster with accounting; what a test leaves in its queue is removed."""
    on(main_cluster, monkeypatch)
    yield main_cluster
    main_cluster.run("scancel", "--me")


def on(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let this process talk to a cluster, ask it often, and remember nothing of another one."""
    for name, value in cluster.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(backends, "_made", {})
    monkeypatch.setattr(slurm_programs, "POLITE_SECONDS", 0.3)
    monkeypatch.setattr(status, "FRESH_SECONDS", 8.0)  # a heart beats every 5 s


class SlurmSession(Session):
    """A session that submits to Slurm."""

    def persist(self, name: str, cell: str, *words: str, **options: Any) -> Job:
        return super().persist(name, cell, backend="slurm", options=words, **options)


@pytest.fixture
def slurm(cluster: Cluster, session: Session) -> SlurmSession:
    made = SlurmSession.__new__(SlurmSession)
    made.root, made.namespace = session.root, session.namespace
    return made


def printed(job: Job, text: str) -> str:
    """What the newest run has printed, once a text is in it."""
    return wait_until(lambda: text in job.stdout() and job.stdout(), f"{text!r} from {job.name}")


def shim(folder: Path, monkeypatch: pytest.MonkeyPatch, program: str, script: str) -> None:
    """Put a script in the place of a program; in it $REAL is the real one."""
    real = shutil.which(program)
    folder.mkdir(exist_ok=True)
    path = folder / program
    path.write_text(f"#!/bin/sh\nREAL={real}\n{script}\n")
    path.chmod(0o755)
    if not os.environ["PATH"].startswith(f"{folder}:"):
        monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")


@pytest.fixture
def calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], list[str]]:
    """Which of Slurm's programs have been called so far."""
    log = tmp_path / "calls"
    log.touch()
    for program in ("sbatch", "squeue", "sacct", "scontrol", "scancel"):
        shim(tmp_path / "bin", monkeypatch, program, f'echo {program} >>"{log}"\nexec $REAL "$@"')
    return lambda: log.read_text().split()
