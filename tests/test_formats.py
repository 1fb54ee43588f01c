"""Directories that older versions wrote are read, and those of newer ones refused with words."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from persist_magic import monitor, submission
from persist_magic.errors import JobFailed, TasksFailed, VersionSkew
from persist_magic.status import JobState
from persist_magic.store import FORMAT
from persist_magic.sweep import Sweep

WRITTEN = sorted((Path(__file__).parent / "formats").glob("format-*"))


@pytest.fixture(params=WRITTEN, ids=lambda path: path.name)
def old(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A copy of a directory that a version with some format has written."""
    root = tmp_path / ".persist"
    shutil.copytree(request.param, root)
    os.chmod(root, 0o700)
    return root


def test_every_format_so_far_is_kept() -> None:
    assert [path.name for path in WRITTEN] == [f"format-{number}" for number in range(1, FORMAT + 1)]


def test_jobs_of_an_older_version_are_listed(old: Path) -> None:
    states = {row.name: row.state for row in monitor.rows(submission.jobs(old))}
    assert states == {name: "failed" if name in ("failed", "many") else "done" for name in states}
    assert set(states) == {"plain", "failed", "checkpointed", "array", "shown", "many"}


def test_what_they_gave_is_fetched(old: Path) -> None:
    plain = submission.load("plain", old)
    assert (plain.fetch(), plain.variables["found"], plain.stdout()) == (3.5, {"a": [1, 2.5], "b": ("x", None)}, "printed\n")
    assert plain.directory.runs() == [1, 2]
    assert submission.load("checkpointed", old).checkpoint() == {"step": 7, "parts": [1, 2]}
    array = submission.load("array", old)
    assert array.fetch().tolist() == [9.0, 0.0, 0.0]
    assert (array.variables["start"].shape, array.variables["table"].shape) == ((20_000,), (6, 100))
    shown = submission.load("shown", old).outputs()
    assert [output["data"].get("text/html") for output in shown] == ["<b>bold</b>", None]
    with pytest.raises(JobFailed, match="no such luck") as failure:
        submission.load("failed", old).fetch()
    assert isinstance(failure.value.__cause__, ValueError)


def test_a_sweep_of_theirs_is_read(old: Path) -> None:
    job = submission.load("many", old)
    assert isinstance(job, Sweep)
    with pytest.raises(TasksFailed):
        job.fetch()
    assert [job[0].fetch(), job[2].fetch(), job[1].status().state] == [10, 30, JobState.FAILED]
    assert job[1].stdout() == "task 2\n"


def test_what_they_captured_runs_again(old: Path) -> None:
    for name, value in (("plain", 3.5), ("array", [9.0, 0.0, 0.0])):
        path = old / name / "job.json"
        spec = json.loads(path.read_text())
        here = submission.persist(sum, f"new-{name}", args=([1],), root=old).spec()
        path.write_text(json.dumps({**spec, "cwd": str(old), "sys_path": here.sys_path, "executable": here.executable}))
        job = submission.load(name, old).rerun()
        found = job.fetch(60)
        assert (found.tolist() if name == "array" else found) == value


def test_what_a_newer_version_wrote_is_refused_with_words(old: Path) -> None:
    path = old / "plain" / "job.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "format": FORMAT + 1}))
    job = submission.load("plain", old)
    for ask in (job.status, job.fetch, job.rerun, job.cleanup):
        with pytest.raises(VersionSkew, match=f"written by format {FORMAT + 1} .* update persist_magic"):
            ask()
    assert path.exists()
    rows = {row.name: row.state for row in monitor.rows(submission.jobs(old))}
    assert rows["array"] == "done"
