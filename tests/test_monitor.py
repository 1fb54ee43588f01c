"""The rows that views show are kept up to date, and ended jobs are read once."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from persist_magic import monitor
from persist_magic.errors import StoreError
from persist_magic.monitor import Poller, Row

from .conftest import Session, started, wait_until


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


def looked(poller: Poller) -> list[Row]:
    """The rows after one more look."""
    poller.poll()
    return poller.table()


def states(poller: Poller) -> dict[str, str]:
    return {row.name: row.state for row in looked(poller)}


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


def test_what_becomes_of_ended_jobs_is_seen(session: Session) -> None:
    for name in ("again", "gone", "stays"):
        session.persist(name, "1").wait(60)
    poller = Poller()
    version = (looked(poller), poller.since(-1))[1].version
    session.job("gone").cleanup()
    session.job("again").rerun().wait(60)
    session.persist("new", "1").wait(60)
    assert {row.name: row.run for row in looked(poller)} == {"again": 2, "stays": 1, "new": 1}
    news = poller.since(version)
    assert ({row.name for row in news.rows}, news.gone) == ({"again", "new"}, ["gone"])
    looked(poller)
    assert poller.since(news.version) == replace(news, rows=[], gone=[])


def test_of_many_ended_jobs_some_are_looked_at_in_each_poll(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(monitor, "_ENDED_A_LOOK", 1)
    for name in ("one", "two", "three"):
        session.persist(name, "1").wait(60)
    poller = Poller()
    poller.poll()
    session.job("two").rerun().wait(60)
    runs = [next(row.run for row in looked(poller) if row.name == "two") for _ in range(3)]
    assert (runs[-1], sorted(runs)) == (2, runs)


def test_jobs_are_read_as_far_as_there_is_time_the_newest_first(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(monitor, "_BATCH", 1)
    for name in ("b", "c", "a"):
        session.persist(name, "1").wait(60)
    poller = Poller()
    found = []
    while poller.poll(seconds=0) or not found or poller.unread:
        found.append(list(poller.rows))
    assert found == [["a"], ["a", "c"]]
    assert list(poller.rows) == ["a", "c", "b"]


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
    assert states(Poller(["three"])) == {}


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


def test_files_that_are_none_damage_their_own_job_only(session: Session) -> None:
    for name in ("good", "log", "bar"):
        session.persist(name, "1 / 0").wait(60)
    log, bar = (Path(session.root, name, "run-1") for name in ("log", "bar"))
    (log / "stdout").unlink()
    (log / "stdout").mkdir()
    many = "9" * 400
    (bar / "progress.json").write_text(
        f'{{"format": 1, "time": 0, "bars": [{{"text": "", "done": {many}, "total": 1, "unit": "it", "elapsed": 1}}]}}'
    )
    # what became of them other files prove
    assert states(Poller()) == {"bar": "failed", "good": "failed", "log": "failed"}
    with pytest.raises(StoreError, match=r"cannot read .*stdout: it is no regular file"):
        session.job("log").stdout()


def test_a_heart_that_beats_again_takes_the_age_back(session: Session, marker: Path) -> None:
    job = session.persist("live", f"import os, time\nwhile not os.path.exists({str(marker)!r}): time.sleep(0.01)")
    started(job)
    poller = Poller()
    wait_until(lambda: (poller.poll(), poller._running)[1].get("live"), "a look that knows what it has written")
    poller.rows["live"] = replace(poller.rows["live"], stale=True)  # as after a silence
    version = poller.since(-1).version
    os.utime(job.directory.run(1).heartbeat_path)
    (row,) = looked(poller)
    assert not row.stale
    assert [each.name for each in poller.since(version).rows] == ["live"]


def test_of_many_queued_jobs_those_that_wrote_are_read(
    session: Session, marker: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(monitor, "_RESTLESS_A_LOOK", 1)
    cell = f"import os, time\nwhile not os.path.exists({str(marker)!r}): time.sleep(0.01)"
    for at in range(5):  # the first one has the only slot
        session.persist(f"job-{at}", cell, options=("--slots", "1"))
    poller = Poller()
    wait_until(lambda: list(states(poller).values()) == ["running", *["queued"] * 4] and poller._waiting, "the queue")
    other = next(name for name in poller._restless if name != poller._waiting[-1])  # it is not its turn
    session.job(other).cancel()
    session.job(other).wait(60)
    assert states(poller)[other] == "cancelled"


def test_what_was_printed_last_is_a_rows_last_line(session: Session) -> None:
    session.persist("bad", "import sys\nprint('first')\nsys.stdout.write('1 of 2\\r2 of 2\\n\\n')\n1 / 0").wait(60)
    (row,) = looked(Poller())
    assert row.last_line == "2 of 2"


def test_of_a_job_that_runs_nothing_is_read_until_it_writes(
    session: Session, marker: Path, opened: Callable[[], list[str]]
) -> None:
    cell = f"import os, time\nwhile not os.path.exists({str(marker)!r}): time.sleep(0.01)\nprint('seen')\ntime.sleep(60)"
    job = session.persist("live", cell)
    started(job)
    poller = Poller()
    wait_until(lambda: (opened(), poller.poll(), opened())[2] == [], "a look that reads nothing")
    before, begin = looked(poller)[0], time.monotonic()
    wait_until(lambda: time.monotonic() - begin > 0.05, "time to pass")

    def read_nothing() -> Row | None:
        opened()
        row = looked(poller)[0]
        return row if opened() == [] else None

    later = wait_until(read_nothing, "another one")  # not each: now and then it writes what it takes
    assert (later.state, later.last_line) == ("running", "")
    assert (later.started, later.ended) == (before.started, None)
    marker.touch()
    wait_until(lambda: looked(poller)[0].last_line == "seen", "what it printed")
    os.kill(job.directory.run(1).started().supervisor.pid, 9)
    os.kill(job.directory.run(1).started().child.pid, 9)
    beat = job.directory.run(1).heartbeat_path
    os.utime(beat, (os.stat(beat).st_mtime - 10,) * 2)  # as it is some seconds later
    wait_until(lambda: looked(poller)[0].state == "failed", "its end, which nobody wrote")
