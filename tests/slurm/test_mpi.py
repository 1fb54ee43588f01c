"""MPI: a cell in several processes, started by mpiexec here and by srun under Slurm, with Debian's Open MPI and mpi4py."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from persist_magic.errors import JobExists, JobFailed
from persist_magic.job import Job
from persist_magic.status import JobState
from persist_magic.worker.ranks import own_rank

from ..conftest import Session, wait_until

ADD = """
from mpi4py import MPI
world = MPI.COMM_WORLD
print("rank", world.rank)
total = world.allreduce((world.rank + 1) * factor)
(world.size, total)
"""


@dataclass
class Place:
    """Where the ranks run."""

    session: Session
    options: dict[str, Any]

    def persist(self, name: str, cell: str, ranks: int) -> Job:
        return self.session.persist(name, cell, mpi=ranks, **self.options)


@pytest.fixture(params=["local", "slurm"])
def place(request: pytest.FixtureRequest, session: Session, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    """Open MPI refuses root, which these tests may be, unless it is told twice."""
    monkeypatch.setenv("OMPI_ALLOW_RUN_AS_ROOT", "1")
    monkeypatch.setenv("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1")
    if request.param == "local":
        yield Place(session, {"mpi_options": ["--oversubscribe"]})
    else:
        request.getfixturevalue("cluster")
        yield Place(session, {"backend": "slurm", "options": ["-N", "2", "-t", "10"]})


def rank_log(job: Job, rank: int) -> str:
    try:
        return (job.path / f"run-1/rank-{rank}/stdout").read_text()
    except FileNotFoundError:
        return ""


def test_the_result_is_rank_0s_and_each_rank_has_its_log(place: Place) -> None:
    place.session.run("factor = 10")
    job = place.persist("add", ADD, 3)
    assert job.fetch(90) == (3, 60)
    assert job.variables["total"] == 60
    assert [job.stdout(), rank_log(job, 1), rank_log(job, 2)] == ["rank 0\n", "rank 1\n", "rank 2\n"]
    assert job.info()["ranks"] == 3
    assert job.launch_log() == ""
    with pytest.raises(JobExists, match="the number of MPI processes changed"):
        place.persist("add", ADD, 2)


def test_what_is_shown_is_rank_0s(place: Place) -> None:
    cell = "import persist_magic\nfrom mpi4py import MPI\nrank = MPI.COMM_WORLD.rank\ndisplay(rank)\npersist_magic.progress(rank + 1, 2, 'ranks')\nMPI.COMM_WORLD.Barrier()\n'result'"
    job = place.persist("shown", cell, 2)
    assert job.fetch(90) == "result"
    assert [each["data"]["text/plain"] for each in job.outputs()] == ["0", "'result'"]
    assert [bar.done for bar in job.progress().bars] == [1]


def test_a_rank_that_fails_ends_all_and_is_named(place: Place) -> None:
    cell = "from mpi4py import MPI\nrank = MPI.COMM_WORLD.rank\nif rank == 1:\n    raise ValueError('only here')\nMPI.COMM_WORLD.Barrier()"
    job = place.persist("one", cell, 3)
    with pytest.raises(JobFailed, match=r"rank 1: ValueError: only here[\s\S]*line 5"):
        job.fetch(90)


def test_a_rank_that_dies_without_a_word_is_a_failure_though_rank_0_is_done(place: Place) -> None:
    cell = """
from mpi4py import MPI
import os, time
if MPI.COMM_WORLD.rank == 1:
    while not os.path.exists(os.path.join(os.environ["PERSIST_JOB_DIRECTORY"], "run-1", "outcome.json")):
        time.sleep(0.01)
    os._exit(3)
kept = "rank 0's"
"""
    job = place.persist("silent", cell, 2)
    with pytest.raises(JobFailed, match="rank 1 ended badly without a word of its own"):
        job.fetch(90)
    assert job.variables["kept"] == "rank 0's"


def test_a_cancel_lets_every_rank_run_its_finally(place: Place) -> None:
    cell = "import time\ntry:\n    print('begun')\n    time.sleep(1000)\nfinally:\n    print('tidied')"
    job = place.persist("long", cell, 2)
    wait_until(lambda: "begun" in job.stdout() and "begun" in rank_log(job, 1), "both ranks")
    job.cancel()
    assert job.wait(60).state is JobState.CANCELLED
    assert [job.stdout(), rank_log(job, 1)] == ["begun\ntidied\n"] * 2


def test_each_rank_has_its_own_checkpoint(place: Place) -> None:
    cell = """
import persist_magic
from mpi4py import MPI
rank = MPI.COMM_WORLD.rank
before = persist_magic.restored()
persist_magic.checkpoint(rank=rank, runs=before.get("runs", 0) + 1)
MPI.COMM_WORLD.gather((before.get("rank"), persist_magic.restored()["runs"]))
"""
    job = place.persist("kept", cell, 2)
    assert job.fetch(90) == [(None, 1), (None, 1)]
    assert job.rerun().fetch(90) == [(0, 2), (1, 2)]
    assert job.checkpoint() == {"rank": 0, "runs": 2}


def test_a_launcher_that_is_not_there_is_told(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    job = session.persist("none", "1", mpi=2)
    assert job.wait(60).state is JobState.FAILED
    assert "mpiexec cannot be run: No such file or directory" in job.status().reason


@pytest.mark.parametrize(
    ("variables", "rank"),
    [
        ({}, 0),
        ({"OMPI_COMM_WORLD_RANK": "3", "SLURM_PROCID": "0"}, 3),
        ({"PMI_RANK": "2"}, 2),
        ({"SLURM_PROCID": "1"}, 1),
        ({"PMIX_RANK": "x", "SLURM_PROCID": "4"}, 4),
    ],
)
def test_a_ranks_number_is_the_innermost_launchers(variables: dict[str, str], rank: int) -> None:
    assert own_rank(variables) == rank
