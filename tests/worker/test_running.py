"""What a cell may ask and say while it runs: checkpoints, time left. The wall time of a real Slurm is tried in tests/slurm."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import psutil
import pytest

import persist_magic
from persist_magic.errors import JobFailed, PredecessorFailed, UsageError
from persist_magic.job import Job
from persist_magic.status import JobState

from ..conftest import Session, wait_until

COUNTING = """
import persist_magic
before = persist_magic.restored()
count = before.get("count", 0) + 1
persist_magic.checkpoint(count=count, box=Box(count), big=bytearray(200_000))
"""


@pytest.fixture
def counting(session: Session) -> Session:
    session.run("class Box:\n    def __init__(self, value): self.value = value")
    return session


def files_of_checkpoints(job: Job) -> list[str]:
    return sorted(path.name for path in (job.path / f"run-{job.status().run}").glob("checkpoint*"))


def test_a_checkpoint_is_given_back_to_the_next_run_and_seen_from_outside(counting: Session, marker: Path) -> None:
    wait = f"\nimport os, time\nwhile not os.path.exists({str(marker)!r}): time.sleep(0.01)\n(count, before and before['box'].value)"
    job = counting.persist("counting", COUNTING + wait)
    seen = wait_until(job.checkpoint, "the checkpoint")
    assert (seen["count"], len(seen["big"])) == (1, 200_000)
    assert type(seen["box"]) is counting.namespace["Box"]
    marker.touch()
    assert job.fetch(60) == (1, {})
    assert job.rerun().fetch(60) == (2, 1)
    assert job.checkpoint()["count"] == 2


def test_a_checkpoint_outlives_kill_9(counting: Session) -> None:
    job = counting.persist("killed", COUNTING + "if count == 1:\n    import os\n    os.kill(os.getpid(), 9)\ncount")
    assert job.wait(60).state is JobState.FAILED
    assert job.rerun().fetch(60) == 2


def test_only_the_newest_checkpoint_is_kept(session: Session) -> None:
    cell = "import persist_magic\nfor step in range(5):\n    persist_magic.checkpoint(step=step)\npersist_magic.restored()"
    job = session.persist("many", cell)
    assert job.fetch(60) == {"step": 4}
    assert len(files_of_checkpoints(job)) == 2


def test_a_checkpoint_that_is_interrupted_at_its_last_step_is_there(session: Session) -> None:
    cell = """
import persist_magic
from persist_magic.worker import running
persist_magic.checkpoint(step=1)
real = running.write_atomic
def interrupted(*words):
    real(*words)
    raise KeyboardInterrupt
running.write_atomic = interrupted
try:
    persist_magic.checkpoint(step=2)
except KeyboardInterrupt:
    seen = True
(seen, persist_magic.restored())
"""
    assert session.persist("interrupted", cell).fetch(60) == (True, {"step": 2})


def test_a_checkpoint_that_cannot_be_written_leaves_the_one_before(session: Session) -> None:
    cell = "import persist_magic, socket\npersist_magic.checkpoint(step=1)\npersist_magic.checkpoint(step=2, bad=socket.socket())"
    job = session.persist("bad", cell)
    with pytest.raises(JobFailed, match=r"NotPickled: bad of job bad could not be kept: .*socket"):
        job.fetch(60)
    assert job.checkpoint() == {"step": 1}
    assert len(files_of_checkpoints(job)) == 2


def test_a_checkpoint_of_which_the_file_was_cut_off_is_told(session: Session) -> None:
    job = session.persist("cut", "import persist_magic\npersist_magic.checkpoint(step=1)")
    job.wait(60)
    (path,) = (job.path / "run-1").glob("checkpoint-*.pkl")
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(persist_magic.PersistError, match="step of cut is damaged"):
        job.checkpoint()


def test_processes_that_the_cell_starts_find_the_job_too(session: Session) -> None:
    script = "import persist_magic; persist_magic.checkpoint(who='child')"
    job = session.persist(
        "parent", f"import subprocess, sys\nsubprocess.run([sys.executable, '-c', {script!r}], check=True)"
    )
    job.wait(60)
    assert job.checkpoint() == {"who": "child"}


def test_the_same_cell_runs_in_a_session(session: Session) -> None:
    session.run("import persist_magic")
    session.run("persist_magic.checkpoint(a=1)\nleft = persist_magic.time_left()\nback = persist_magic.restored()")
    session.run("with persist_magic.until_wall_time(): word = 'went on'")
    assert [session.namespace[name] for name in ("left", "back", "word")] == [None, {}, "went on"]


def test_a_warning_signal_harms_nobody_who_did_not_ask_for_it(session: Session, marker: Path) -> None:
    cell = f"import os, time\nprint(os.getppid(), flush=True)\nwhile not os.path.exists({str(marker)!r}): time.sleep(0.01)\n'went on'"
    job = session.persist("warned", cell)
    supervisor = int(wait_until(job.stdout, "its pid"))
    os.kill(supervisor, signal.SIGUSR1)
    marker.touch()
    assert job.fetch(60) == "went on"


def test_a_warning_signal_ends_the_block_that_asked_for_it(session: Session) -> None:
    cell = """
import os, time
import persist_magic
try:
    with persist_magic.until_wall_time():
        print(os.getppid(), flush=True)
        time.sleep(1000)
except Exception:
    word = "taken by except Exception"
except persist_magic.WallTimeSoon as soon:
    word = str(soon)
word
"""
    job = session.persist("told", cell)
    os.kill(int(wait_until(job.stdout, "its pid")), signal.SIGUSR1)
    assert job.fetch(60) == "wall time is nearly over"


def test_the_time_left_comes_from_the_schedulers_command(monkeypatch: pytest.MonkeyPatch) -> None:
    from persist_magic.worker import running

    monkeypatch.setattr(running, "_end", None)
    monkeypatch.setenv("PERSIST_TIME_LEFT", "echo 1-00:00:30")
    first = persist_magic.time_left()
    assert first is not None
    assert 86000 < first <= 86430
    monkeypatch.setenv("PERSIST_TIME_LEFT", "false")  # an outage: the last word counts
    monkeypatch.setattr(running, "ASK_AGAIN_SECONDS", -1.0)
    again = persist_magic.time_left()
    assert again is not None
    assert 0 <= first - again < 60
    monkeypatch.setenv("PERSIST_TIME_LEFT", "echo UNLIMITED")
    assert persist_magic.time_left() is None


# ---------------------------------------------------------------- jobs after jobs


def test_jobs_of_this_machine_start_one_after_the_other(session: Session, marker: Path) -> None:
    wait = f"import os, time\nwhile not os.path.exists({str(marker)!r}): time.sleep(0.01)\n"
    one = ["--slots", "1"]
    first = session.persist("first", wait + "1", options=["--slots", "2"])
    second = session.persist("second", "2", after=["first"], options=one)
    assert wait_until(lambda: second.status().reason == "waiting for first", "the reason")
    free = session.persist("free", "3", options=["--slots", "2"])
    assert free.fetch(60) == 3  # one that waits for a job takes no slot from others
    marker.touch()
    assert second.fetch(60) == 2
    assert first.info()["ended"] <= second.info()["started"]
    assert second.info()["after"] == ["first"]


def waiters(root: str) -> list[int]:
    """The processes that wait in a supervisor's place for other jobs of a root."""
    commands = {each.pid: each.info["cmdline"] or [] for each in psutil.process_iter(["cmdline"])}
    return [pid for pid, words in commands.items() if root in words and "wait" in words]


def test_one_that_waits_for_a_job_is_cancelled(session: Session, marker: Path) -> None:
    session.persist("first", f"import os, time\nwhile not os.path.exists({str(marker)!r}): time.sleep(0.01)\n")
    second = session.persist("second", "2", after=["first"])
    wait_until(lambda: waiters(session.root), "the waiting process")
    second.cancel()
    assert second.wait(60).reason == "cancelled by root before it started"
    wait_until(lambda: not waiters(session.root), "its end")
    marker.touch()


def test_jobs_after_what_cannot_be_are_refused(session: Session) -> None:
    session.persist("bad", "1 / 0").wait(60)
    with pytest.raises(
        PredecessorFailed, match=r"to start after bad, which is failed: ZeroDivisionError.*; %persist_rerun bad first"
    ):
        session.persist("next", "1", after=["bad"])
    with pytest.raises(UsageError, match="job next cannot start after itself"):
        session.persist("next", "1", after=["next"])
    with pytest.raises(persist_magic.PersistError, match="no job 'nosuch'"):
        session.persist("next", "1", after=["nosuch"])
    assert [job.name for job in persist_magic.jobs(session.root)] == ["bad"]
