"""The rows that views show are kept up to date, and ended jobs are read once."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from persist_magic import monitor
from persist_magic.errors import NoSuchJob
from persist_magic.monitor import Poller

from .conftest import Session, wait_until


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> Callable[[], list[str]]:
    """Which files this process has opened since the last look."""
    files: list[str] = []
    real = os.open

    def counted(path: str, *rest: int, **options: int) -> int:
        files.append(os.fspath(path))
        return real(path, *rest, **options)

    def take() -> list[str]:
        taken = list(files)
        files.clear()
        return taken

    monkeypatch.setattr(os, "open", counted)
    return take


def states(poller: Poller) -> dict[str, str]:
    return {row.name: row.state for row in poller.poll()}


def test_ended_jobs_are_read_once(session: Session, marker: Path, opened: Callable[[], list[str]]) -> None:
    for name in ("one", "two"):
        session.persist(name, "1").wait(60)
    wait = f"import os, time\nwhile not os.path.exists({str(marker)!r}): time.sleep(0.01)"
    live = session.persist("live", wait)
    wait_until(lambda: live.status().state.value == "running", "the start")
    poller = Poller()
    assert states(poller) == {"live": "running", "one": "done", "two": "done"}
    opened()
    assert states(poller) == {"live": "running", "one": "done", "two": "done"}
    looked_at = {Path(path).parts[-2 if "run-" not in path else -3] for path in opened() if ".persist/" in path}
    assert looked_at <= {"live"}
    marker.touch()
    wait_until(lambda: states(poller)["live"] == "done", "its end")
    opened()
    states(poller)
    assert [path for path in opened() if "/live/" in path] == []


def test_what_becomes_of_ended_jobs_is_seen_at_the_next_scan(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("again", "gone", "stays"):
        session.persist(name, "1").wait(60)
    poller = Poller()
    poller.poll()
    session.job("gone").cleanup()
    session.job("again").rerun().wait(60)
    session.persist("new", "1").wait(60)
    assert [row.run for row in poller.poll()] == [1, 1, 1]  # not looked at yet
    monkeypatch.setattr(monitor, "RESCAN_SECONDS", 0.0)
    poller = Poller()
    poller.poll()
    session.job("stays").cleanup()
    session.job("again").rerun().wait(60)
    assert {row.name: row.run for row in poller.poll()} == {"again": 3, "new": 1}


def test_a_job_that_ended_and_runs_again_is_not_taken_for_ended(session: Session, marker: Path) -> None:
    job = session.persist("again", f"import os, time\nwhile not os.path.exists({str(marker)!r}): time.sleep(0.01)")
    marker.touch()
    job.wait(60)
    poller = Poller()
    assert states(poller) == {"again": "done"}
    marker.unlink()
    job.rerun()
    wait_until(lambda: states(poller) == {"again": "running"}, "the next scan")
    for number in range(3):  # looks between two scans, at which it has and has not written something
        os.utime(job.directory.run(2).path, (time.time() + number // 2,) * 2)
        assert states(poller) == {"again": "running"}
    marker.touch()
    wait_until(lambda: states(poller) == {"again": "done"}, "its second end")


def test_chosen_names_only_and_one_that_is_not_there(session: Session) -> None:
    for name in ("one", "two"):
        session.persist(name, "1").wait(60)
    assert states(Poller(["two"])) == {"two": "done"}
    with pytest.raises(NoSuchJob):
        Poller(["three"]).poll()


def test_a_damaged_job_disturbs_no_other_and_is_looked_at_again(session: Session) -> None:
    for name in ("good", "bad"):
        session.persist(name, "1").wait(60)
    spec = Path(session.root, "bad", "job.json")
    whole = spec.read_text()
    spec.write_text("{}")
    poller = Poller()
    assert states(poller) == {"bad": "damaged", "good": "done"}
    spec.write_text(whole)
    assert states(poller) == {"bad": "done", "good": "done"}


def test_what_was_printed_last_is_a_rows_last_line(session: Session) -> None:
    session.persist("bad", "import sys\nprint('first')\nsys.stdout.write('1 of 2\\r2 of 2\\n\\n')\n1 / 0").wait(60)
    (row,) = Poller().poll()
    assert row.last_line == "2 of 2"


def test_of_a_job_that_runs_nothing_is_read_until_it_writes(
    session: Session, marker: Path, opened: Callable[[], list[str]]
) -> None:
    cell = f"import os, time\nwhile not os.path.exists({str(marker)!r}): time.sleep(0.01)\nprint('seen')\ntime.sleep(60)"
    job = session.persist("live", cell)
    wait_until(lambda: job.directory.run(1).started() and job.directory.run(1).started().child, "the start")
    poller = Poller()
    wait_until(lambda: (opened(), poller.poll(), opened())[2] == [], "a look that reads nothing")
    before = poller.poll()[0]
    later = wait_until(lambda: (row := poller.poll()[0]).elapsed > before.elapsed + 0.05 and row, "time to pass")
    assert (later.state, later.last_line) == ("running", "")
    assert opened() == []
    marker.touch()
    wait_until(lambda: poller.poll()[0].last_line == "seen", "what it printed")
    os.kill(job.directory.run(1).started().supervisor.pid, 9)
    os.kill(job.directory.run(1).started().child.pid, 9)
    beat = job.directory.run(1).heartbeat_path
    os.utime(beat, (os.stat(beat).st_mtime - 10,) * 2)  # as it is some seconds later
    wait_until(lambda: poller.poll()[0].state == "failed", "its end, which nobody wrote")
