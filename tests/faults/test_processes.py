"""Processes that are killed or stopped, clocks that are wrong, and disks that are not what they should be, under a running job."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from persist_magic import submission
from persist_magic.errors import JobFailed, PersistError, StoreError
from persist_magic.job import Job
from persist_magic.status import JobState
from tests.conftest import Session, alive, started, wait_until

from .laboratory import interpreter, workers

CELL = """
import os, subprocess, time
helper = subprocess.Popen(["sleep", "1000"])
print(helper.pid, flush=True)
while not os.path.exists({path!r}):
    time.sleep(0.01)
helper.kill()
helper.wait()
'value'
"""

EACH = {"supervisor": 0, "child": 1, "helper": 2}


def start(session: Session, marker: Path) -> tuple[Job, list[int]]:
    """Start a job; return it and its processes: supervisor, child, and what the cell has started."""
    job = session.persist("calc", CELL.format(path=str(marker)))
    wait_until(lambda: job.stdout().strip(), "its start")
    record = started(job)
    assert record.child is not None
    return job, [record.supervisor.pid, record.child.pid, int(job.stdout())]


@pytest.mark.parametrize(
    ("killed", "comes_to_its_end"),
    [
        (("supervisor",), True),
        (("helper",), True),
        (("supervisor", "helper"), True),
        (("child",), False),
        (("supervisor", "child"), False),
        (("child", "helper"), False),
        (("supervisor", "child", "helper"), False),
    ],
    ids=lambda value: "+".join(value) if isinstance(value, tuple) else "",
)
def test_kill_9_of_any_of_its_processes(
    session: Session, marker: Path, killed: tuple[str, ...], comes_to_its_end: bool
) -> None:
    job, pids = start(session, marker)
    bystander = session.persist("bystander", "1")
    for which in killed:
        os.kill(pids[EACH[which]], signal.SIGKILL)
    if comes_to_its_end:
        wait_until(lambda: not any(alive(pids[EACH[which]]) for which in killed), "the end of what was killed")
        assert job.status().state is JobState.RUNNING
        marker.touch()
        assert job.fetch(60) == "value"
    else:
        with pytest.raises(JobFailed):
            job.fetch(60)
        assert "SIGKILL" in job.status().reason or "vanished" in job.status().reason
        if "supervisor" in killed and "helper" not in killed:  # nobody was left to end it
            os.kill(pids[2], signal.SIGKILL)
    wait_until(lambda: not any(map(alive, pids)), "the end of all")
    marker.touch()
    assert job.rerun().fetch(60) == "value"
    assert bystander.fetch(60) == 1


KILLED_SUPERVISOR = """
# The supervisor is killed instead of a call.
import os, signal, time
real = os.{call}

def call(*arguments):
    if arguments[1]{which}:
        deadline = time.monotonic() + 1
        while not os.path.exists({marker!r}) and time.monotonic() < deadline:  # the cell does not begin
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGKILL)
    return real(*arguments)

os.{call} = call
"""


def killed_supervisor(folder: Path, marker: Path, call: str, which: str) -> Path:
    return interpreter(folder, KILLED_SUPERVISOR.format(marker=str(marker), call=call, which=which))


def test_no_cell_begins_that_nobody_would_find(session: Session, marker: Path, tmp_path: Path) -> None:
    """The supervisor dies when it is about to write which process is the child."""
    script = killed_supervisor(tmp_path, marker, "rename", ".endswith('/started.json')")
    job = session.persist("calc", f"open({str(marker)!r}, 'w').close()\n'value'", python=str(script))
    assert "vanished" in job.wait(60).reason
    wait_until(lambda: not workers(job.path), "the child's end")
    assert not marker.exists()
    assert "vanished" in job.status().reason
    script.unlink()
    script.symlink_to(sys.executable)
    assert job.rerun().fetch(60) == "value"


@pytest.mark.parametrize(("each", "result"), [((), "value"), ([(("n",), [1, 2])], ["value"] * 2)], ids=["cell", "sweep"])
def test_a_cell_that_is_found_begins(session: Session, marker: Path, tmp_path: Path, each: Any, result: Any) -> None:
    """The supervisor has written which process is the child, and dies when it is about to tell that process so."""
    script = killed_supervisor(tmp_path, marker, "write", " == b'.'")
    job = session.persist("calc", "'value'", python=str(script), each=each)
    assert job.fetch(60) == result
    assert "its supervisor ended" in job.status().note


@pytest.mark.parametrize("which", ["supervisor", "child"])
def test_a_stopped_process_is_told_and_goes_on(session: Session, marker: Path, which: str) -> None:
    job, pids = start(session, marker)
    os.kill(pids[EACH[which]], signal.SIGSTOP)
    wait_until(lambda: "not responding" in job.status().note, "the stop to be seen")
    assert job.status().state is JobState.RUNNING
    os.kill(pids[EACH[which]], signal.SIGCONT)
    marker.touch()
    assert job.fetch(60) == "value"


@pytest.mark.parametrize("which", ["supervisor", "child"])
def test_a_stopped_job_is_cancelled(session: Session, marker: Path, which: str) -> None:
    job, pids = start(session, marker)
    os.kill(pids[EACH[which]], signal.SIGSTOP)
    job.cancel()
    assert job.wait(60).state is JobState.CANCELLED
    wait_until(lambda: not any(map(alive, pids)), "the end of all")


@pytest.mark.parametrize("off", [-3600.0, 3600.0], ids=["behind", "ahead"])
def test_the_clock_of_a_session_is_an_hour_off(
    session: Session, marker: Path, off: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    true = time.time
    monkeypatch.setattr(time, "time", lambda: true() + off)
    job, _ = start(session, marker)
    waiting = session.persist("waiting", "2", options=["--slots", "1"])
    assert job.status().state is JobState.RUNNING
    assert not job.status().reason
    assert waiting.status().state is JobState.QUEUED
    repr(job)
    job.info()
    marker.touch()
    assert (job.fetch(60), waiting.fetch(60)) == ("value", 2)
    assert job.rerun().fetch(60) == "value"
    other = session.persist("other", CELL.format(path="/nowhere"))
    wait_until(lambda: other.status().state is JobState.RUNNING, "its start")
    other.cancel()
    assert other.wait(60).state is JobState.CANCELLED
    assert other.rerun().status().state in (JobState.QUEUED, JobState.RUNNING)  # the older cancel is not its own
    other.cancel(force=True)


def test_the_clock_of_the_files_is_an_hour_off(session: Session, marker: Path) -> None:
    job, _ = start(session, marker)
    for off in (-3600.0, 3600.0):
        os.utime(job.path / "run-1" / "heartbeat", (time.time() + off,) * 2)
        assert job.status().state is JobState.RUNNING
        repr(job)
    marker.touch()
    assert job.fetch(60) == "value"


def fill(path: Path) -> None:
    """Take all the room that there is."""
    with path.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(4096))


def test_a_disk_that_becomes_full_keeps_what_is_there(session: Session, small_disk: Path, marker: Path) -> None:
    session.root = str(small_disk / ".persist")
    kept = session.persist("kept", "'kept'")
    assert kept.fetch(60) == "kept"
    fill(small_disk / "ballast")
    for refused in (lambda: session.persist("refused", "1"), kept.rerun):
        with pytest.raises(StoreError, match="No space left on device"):
            refused()
    assert [job.name for job in submission.jobs(session.root)] == ["kept"]
    assert kept.fetch() == "kept"
    kept.cleanup()  # which makes room
    (small_disk / "ballast").unlink()
    assert session.persist("kept", "'again'").fetch(60) == "again"


def test_a_memory_disk_is_as_good_as_another(session: Session, small_disk: Path) -> None:
    session.root = str(small_disk / "folder" / ".persist")
    assert session.persist("calc", "x = 1\nx + 1").fetch(60) == 2
    assert session.job("calc").rerun().fetch(60) == 2
    session.job("calc").cleanup()
    with pytest.raises(PersistError):
        session.job("calc")
