"""Job directories that are moved, copied or deleted, also under a running job; and roots that are not what a root should be."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from persist_magic import submission
from persist_magic.errors import JobFailed, NoSuchJob
from persist_magic.job import Job
from persist_magic.slots import Slots
from persist_magic.status import JobState
from persist_magic.store import Root
from persist_magic.sweep import Sweep
from tests.conftest import Session, alive, wait_until
from tests.test_sweeps import sweep

from .laboratory import interpreter

WAITING = "import os, time\nprint('begun')\nwhile not os.path.exists({path!r}): time.sleep(0.01)\nprint('done')\nlist('abc')"


def start_waiting(session: Session, marker: Path, then: str = "", name: str = "calc") -> Job:
    cell = f"{WAITING.format(path=str(marker))}\n{then}"
    job = session.persist(name, cell, options=["--slots", "9"])
    wait_until(lambda: job.status().state is JobState.RUNNING and "begun" in job.stdout(), "its start")
    return job


def supervisor_of(job: Job) -> int:
    started = job.directory.current_run().started()
    assert started is not None
    return started.supervisor.pid


def moved(session: Session) -> Path:
    """Move the root, as somebody does who renames the folder of a project."""
    there = Path(session.root).parent / "moved"
    os.rename(session.root, there)
    return there


def copied(session: Session) -> Path:
    """Copy the root, but for the queue, which changes all the time."""
    there = Path(session.root).parent / "copy"
    shutil.copytree(session.root, there, ignore=shutil.ignore_patterns(".slots"))
    return there


def test_a_running_job_is_moved_and_writes_its_end_where_it_is(session: Session, marker: Path) -> None:
    start_waiting(session, marker)
    there = moved(session)
    job = submission.load("calc", there)
    assert job.status().state is JobState.RUNNING
    marker.touch()
    assert job.fetch(60) == ["a", "b", "c"]
    assert job.stdout() == "begun\ndone\n"
    assert job.status().source == "ended.json"
    assert not os.path.exists(session.root)


def test_a_running_job_that_was_moved_is_cancelled(session: Session, marker: Path) -> None:
    start_waiting(session, marker)
    job = submission.load("calc", moved(session))
    job.cancel()
    assert job.wait(60).state is JobState.CANCELLED


def test_a_job_that_was_moved_leaves_a_new_one_of_its_old_name_alone(session: Session, marker: Path, tmp_path: Path) -> None:
    start_waiting(session, marker)
    there, later = moved(session), tmp_path / "later"
    new = start_waiting(session, later, "'new'")
    marker.touch()
    assert submission.load("calc", there).fetch(60) == ["a", "b", "c"]
    assert new.status().state is JobState.RUNNING
    assert new.directory.current_run().outcome() is None
    later.touch()
    assert new.fetch(60) == "new"


def test_what_a_moved_job_writes_on_its_way_is_where_it_is(session: Session, marker: Path) -> None:
    then = """import persist_magic
persist_magic.progress(1, 2, 'on its way')
persist_magic.checkpoint(step=3)
from IPython.display import display
display('shown')
raise ValueError('as it should be')"""
    start_waiting(session, marker, then)
    job = submission.load("calc", moved(session))
    marker.touch()
    assert job.wait(60).reason == "ValueError: as it should be"
    told = job.progress()
    assert told is not None
    assert [bar.text for bar in told.bars] == ["on its way"]
    assert job.checkpoint() == {"step": 3}
    assert [each["data"]["text/plain"] for each in job.outputs() if each["output_type"] == "display_data"] == ["'shown'"]
    assert "calc:1" not in job.stderr()
    assert "raise ValueError" not in job.stderr()
    assert not os.path.exists(session.root)


def test_a_queued_job_is_moved_and_begins_where_it_is(session: Session, marker: Path) -> None:
    first = start_waiting(session, marker)
    waiting = session.persist("next", "'value'", options=["--slots", "1"])
    asked = waiting.directory.current_run().submitted()
    assert asked is not None
    wait_until(lambda: Slots(Root(session.root)).holder(asked.settings["ticket"]), "its place")
    there = moved(session)
    job = submission.load("next", there)
    assert job.status().state is JobState.QUEUED
    marker.touch()
    assert job.fetch(60) == "value"
    assert submission.load(first.name, there).fetch(60) == ["a", "b", "c"]
    assert not os.path.exists(session.root)


MOVED_ROOT = """
# The root is moved in the middle of the first write to its queue, and of that of the run's start.
import os
real = {{"rename": os.rename, "link": os.link}}
moves = {{"rename": ({root!r}, {there!r}), "link": ({there!r}, {root!r})}}

def moving(word, part):
    def call(source, target):
        if word in moves and part in target:
            real["rename"](*moves.pop(word))
            if not moves:
                open({back!r}, "w").close()
        real[word](source, target)
    return call

os.rename, os.link = moving("rename", "/.slots/"), moving("link", "/started.json")
"""


def test_the_root_is_moved_while_a_job_takes_its_place_and_while_it_starts(session: Session, tmp_path: Path) -> None:
    there, back = Path(session.root).parent / "moved", tmp_path / "back"
    script = interpreter(tmp_path, MOVED_ROOT.format(root=session.root, there=str(there), back=str(back)))
    session.persist("next", "'value'", python=str(script))
    wait_until(back.exists, "the second move")  # nobody finds the job before
    assert session.job("next").fetch(60) == "value"


def test_a_running_sweep_is_moved(session: Session, marker: Path) -> None:
    cell = f"import os, time\nprint('begun')\nwhile not os.path.exists({str(marker)!r}): time.sleep(0.01)\nprint(n)\nn * n"
    job = sweep(session, "calc", cell, n=range(5), options=["--slots", "2"])
    wait_until(lambda: [job[n].stdout() for n in (0, 1)] == ["begun\n"] * 2, "its start")
    there = moved(session)
    marker.touch()
    job = submission.load("calc", there)
    assert isinstance(job, Sweep)
    assert job.fetch(60) == [0, 1, 4, 9, 16]
    assert [task.stdout() for task in job] == [f"begun\n{n}\n" for n in range(5)]
    assert job.status().state is JobState.DONE


def test_a_job_that_was_moved_runs_again_where_it_is(session: Session) -> None:
    session.persist("calc", "'value'").wait(60)
    job = submission.load("calc", moved(session))
    assert job.fetch() == "value"
    assert job.rerun().fetch(60) == "value"
    assert job.directory.runs() == [1, 2]
    assert not os.path.exists(session.root)


def test_a_copy_of_a_running_job_is_no_job_that_runs(session: Session, marker: Path) -> None:
    job = start_waiting(session, marker)
    there = copied(session)
    copy = submission.load("calc", there)
    status = copy.status()
    assert copy.info()["elapsed"] > 0
    assert (status.state, status.reason) == (JobState.FAILED, f"copied from {job.path} before its end was written there")
    with pytest.raises(JobFailed, match="copied from"):
        copy.fetch()
    copy.cancel(force=True)
    assert job.status().state is JobState.RUNNING
    assert alive(supervisor_of(job))
    marker.touch()
    assert copy.rerun().fetch(60) == ["a", "b", "c"]
    assert copy.directory.runs() == [1, 2]
    assert job.fetch(60) == ["a", "b", "c"]
    assert job.directory.runs() == [1]
    copy.cleanup()
    assert job.fetch() == ["a", "b", "c"]


def test_a_running_job_that_is_seen_through_another_mount_is_no_copy(
    session: Session, small_disk: Path, marker: Path, tmp_path: Path
) -> None:
    (small_disk / "nothing").mkdir()
    session.root = str(small_disk / "project" / ".persist")
    job = start_waiting(session, marker)
    there = tmp_path / "there"
    there.mkdir()
    below = f"lowerdir={small_disk}/project:{small_disk}/nothing"
    subprocess.run(["mount", "-t", "overlay", "-o", f"ro,{below}", "none", str(there)], check=True)
    try:
        seen = submission.load("calc", there / ".persist")
        assert os.stat(seen.path).st_dev != os.stat(job.path).st_dev
        assert seen.status().state is JobState.RUNNING
    finally:
        subprocess.run(["umount", str(there)], check=True)
    marker.touch()
    assert job.fetch(60) == ["a", "b", "c"]


def test_a_copy_of_a_queued_job_is_none_that_waits(session: Session, marker: Path) -> None:
    first = session.persist("first", WAITING.format(path=str(marker)), options=["--slots", "1"])
    waiting = session.persist("calc", "1", options=["--slots", "1"])
    wait_until(lambda: "begun" in first.stdout() and "before it" in waiting.status().reason, "its place")
    there = copied(session)
    copy = submission.load("calc", there)
    assert copy.status().state is JobState.FAILED
    copy.cancel(force=True)
    copy.cleanup()
    assert waiting.status().state is JobState.QUEUED
    marker.touch()
    assert (first.fetch(60), waiting.fetch(60)) == (["a", "b", "c"], 1)


def test_a_copy_of_an_ended_job_is_as_good_as_the_original(session: Session) -> None:
    job = session.persist("calc", "x = [1]\n'value'")
    job.wait(60)
    there = copied(session)
    job.cleanup()
    copy = submission.load("calc", there)
    assert (copy.fetch(), dict(copy.variables)) == ("value", {"x": [1]})


def test_a_directory_that_is_deleted_under_its_job_is_gone(session: Session, marker: Path, tmp_path: Path) -> None:
    came_to_its_end, later = tmp_path / "end", tmp_path / "later"
    other = session.persist("other", "1")
    job = start_waiting(session, marker, f"open({str(came_to_its_end)!r}, 'w').close()")
    succeeded = start_waiting(session, marker, name="again")
    pids = supervisor_of(job), supervisor_of(succeeded)
    for each in (job, succeeded):
        shutil.rmtree(each.path)
        with pytest.raises(NoSuchJob):
            each.status()
    new = start_waiting(session, later, "'new'", name="again")
    marker.touch()
    wait_until(lambda: not any(map(alive, pids)), "the end of their supervisors")
    assert came_to_its_end.exists()
    assert [each.name for each in submission.jobs(session.root)] == ["again", "other"]
    assert not job.path.exists()
    assert other.fetch(60) == 1
    assert new.status().state is JobState.RUNNING
    later.touch()
    assert new.fetch(60) == "new"
