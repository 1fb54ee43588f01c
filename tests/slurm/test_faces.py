"""Slurm through the magics and the shell: the lines a person types and reads."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from persist_magic import backends

from ..cluster.cluster import Cluster
from ..conftest import environment, wait_until
from ..shell import Shell


def status_line(shell: Shell, name: str) -> str:
    shell.said()
    shell.run(f"%persist_status {name}")
    return shell.said().splitlines()[1]


def test_the_headline(cluster: Cluster, shell: Shell) -> None:
    shell.run("scale = 3")
    shell.run(
        "%%persist train --slurm -- -p debug -t 4:00:00\nimport os\nlimit = os.environ['SLURM_JOB_PARTITION']\nscale * 14"
    )
    line = shell.said().splitlines()[0]
    assert re.fullmatch(r"train → slurm, \d+; shipped scale \(int, \d+ B\); \d+ B", line)
    assert shell.run("%persist_fetch train limit") == 42
    assert shell.run("limit") == "debug"
    assert re.match(r"train +done +slurm +\d+ ", status_line(shell, "train"))


def test_a_queued_job_and_its_reason_and_its_cancel(cluster: Cluster, shell: Shell) -> None:
    shell.run("%%persist held --slurm -- --hold\n1")
    wait_until(
        lambda: re.search(r"held +queued +slurm .* held by its user; scontrol release \d+$", status_line(shell, "held")),
        "the reason",
    )
    shell.run("%persist_cancel held")
    assert "held: cancelled" in shell.said() or wait_until(lambda: "cancelled" in status_line(shell, "held"), "the cancel")


def test_jobs_after_jobs_and_a_rerun_with_more_time(cluster: Cluster, shell: Shell) -> None:
    shell.run("%%persist one --slurm -- -t 5\n1")
    shell.run("%%persist two --slurm --after one\n2")
    assert shell.run("%persist_fetch two") == 2
    shell.run("%persist_rerun one -- -t 8:00:00")
    assert shell.run("%persist_fetch one") == 1
    shell.run("job = %persist one")
    assert shell.run("job.info()['options']") == ["-t", "5", "-t", "8:00:00"]


def test_settings(cluster: Cluster, shell: Shell) -> None:
    shell.run("%config SlurmBackend.options = '-t 7'")
    shell.run("%config SlurmBackend.setup = ['export COLOUR=blue']")
    shell.run("%%persist coloured --slurm\nimport os\nos.environ['COLOUR']")
    assert shell.run("%persist_fetch coloured") == "blue"
    assert backends.get_backend("slurm").options == "-t 7"  # type: ignore[attr-defined]
    shell.said()
    shell.run("%config SlurmBackend.options = '-t \"7'")
    assert shell.refused("%%persist other --slurm\n1").startswith(
        "BackendError: backend slurm: No closing quotation in the options"
    )


def test_an_mpi_cell(cluster: Cluster, shell: Shell) -> None:
    shell.run("%%persist ranks --slurm --mpi 2 --mpi-options '--label'\nfrom mpi4py import MPI\nMPI.COMM_WORLD.allreduce(1)")
    assert shell.run("%persist_fetch ranks") == 2


@pytest.mark.parametrize(
    ("cell", "words"),
    [
        ("%%persist bad --slurm -- -p nosuch\n1", "BackendError: backend slurm: job bad was not taken: sbatch: "),
        ("%%persist bad --slurm -- 4:00:00\n1", "BackendError: backend slurm: '4:00:00' is no option of sbatch; after --"),
        ("%%persist bad --slurm --backend local\n1", "UsageError: argument --backend: not allowed with argument --slurm"),
        ("%%persist bad --slurm --after nosuch\n1", "NoSuchJob: no job 'nosuch' in "),
        ("%%persist bad --mpi -1\n1", "UsageError: -1 is no number of MPI processes"),
    ],
)
def test_errors_are_one_line(cluster: Cluster, shell: Shell, cell: str, words: str) -> None:
    (line,) = shell.refused(cell).splitlines()
    assert line.startswith(words)


def test_the_shell(cluster: Cluster, shell: Shell, root: str) -> None:
    def command(*words: str) -> str:
        program = [sys.executable, "-m", "persist_magic", *words]
        return subprocess.run(program, env=environment(), capture_output=True, text=True, check=True).stdout

    shell.run("%%persist there --slurm -- --hold\n1")
    assert re.search(r"there +queued +slurm", command("status"))
    assert re.search(r"native +JobId: \d+, JobName: there", command("info", "there"))
    command("cancel", "there")
    assert (
        subprocess.run([sys.executable, "-m", "persist_magic", "wait", "there"], env=environment(), check=False).returncode
        == 1
    )
