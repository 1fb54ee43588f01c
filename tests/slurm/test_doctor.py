"""``persist-magic doctor --slurm`` on a real cluster: what it says of it, and that its tiny job is out of the queue again."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path

import pytest

from persist_magic import doctor
from persist_magic.__main__ import main
from persist_magic.backends import get_backend
from persist_magic.doctor import trial

from ..cluster.cluster import Cluster
from ..conftest import wait_until

Found = list[tuple[str, str]]


def look(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, Found]:
    """The exit code; verdict and words of what is said of Slurm."""
    capsys.readouterr()
    code = main(["doctor", "--json", "--slurm", *words])
    found = json.loads(capsys.readouterr().out)
    return code, [(each["verdict"], each["words"]) for each in found if each["topic"] == "slurm"]


def is_left(cluster: Cluster, root: str) -> str:
    """What is left in the queue or in the root."""
    return cluster.run("squeue", "--me", "--noheader") + " ".join(os.listdir(root))


@pytest.fixture
def empty(root: str) -> str:
    """A root without a job."""
    os.makedirs(root, 0o700)
    return root


def test_a_healthy_cluster_and_a_partition_that_is_not_there(
    cluster: Cluster, empty: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trial, "SOON_SECONDS", math.inf)
    code, said = look(capsys)
    assert code == 0
    assert [verdict for verdict, _ in said] == ["ok"] * 3
    assert said[0][1].startswith("cluster test, Slurm 2")
    assert "partitions debug* urgent; squeue answers in" in said[0][1]
    assert said[2][1].startswith("a tiny job took ")
    code, said = look(capsys, "--", "-p", "nosuch")
    assert code == 1
    verdict, words = said[-1]
    assert verdict == "trouble"
    assert words.startswith("a tiny job with -p nosuch came to nothing: ")
    assert "invalid partition specified: nosuch" in words
    wait_until(lambda: not is_left(cluster, empty), "the end of the tiny job")


def test_a_job_that_waits_says_why_and_is_taken_back(
    cluster: Cluster, empty: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    code, said = look(capsys, "--timeout", "1.5", "--", "--hold")
    assert code == 0
    verdict, words = said[-1]
    assert verdict == "warning"
    assert words.startswith("after 1.5 s a tiny job is queued: held by its user")
    assert not is_left(cluster, empty)
    monkeypatch.setattr(trial, "SOON_SECONDS", 0.2)
    findings = doctor.examine(["slurm"], ["--hold"], 60.0)
    waiting = next(each for each in findings if "has no result yet" in each.words)
    assert "it is waited for, up to 60 s" in waiting.words
    assert "persist-" in cluster.run("squeue", "--me", "--noheader")
    findings.close()  # as Ctrl-C does it
    assert not is_left(cluster, empty)


def test_a_host_on_which_nothing_is_written_into_the_root(
    cluster: Cluster, empty: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """It hangs in the lines before the worker, which looks the same as a root that the host does not have."""
    monkeypatch.setattr(get_backend("slurm"), "setup", ["sleep 1000"])
    code, said = look(capsys, "--timeout", "10")
    assert code == 1
    verdict, words = said[-1]
    assert verdict == "trouble"
    assert words.endswith(f"but it has written nothing into {empty}")
    wait_until(lambda: not is_left(cluster, empty), "the end of the tiny job")
