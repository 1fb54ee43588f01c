"""How far a job is: tqdm's bars are seen by themselves, `track` and `progress` do it without tqdm, every view shows it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import persist_magic
from persist_magic.job import Job
from persist_magic.monitor import rows
from persist_magic.store import Bar, JobDirectory, RunDirectory
from persist_magic.views.table import table
from persist_magic.worker import progress as progress_module
from persist_magic.worker.progress import Board, number

from .conftest import Session, environment, wait_until

WAIT = "while not os.path.exists({marker!r}): time.sleep(0.01)"
CELL = """
import os, time
{setup}
for step in {loop}:
    if step == 3:
        {wait}
"""

LOOPS = {
    "tqdm": ("from tqdm import tqdm", "tqdm(range(10), desc='epochs', mininterval=0)", Bar("epochs", 3, 10, "it", 0.0)),
    "tqdm.auto": ("from tqdm.auto import trange", "trange(10, unit='epoch', mininterval=0)", Bar("", 3, 10, "epoch", 0.0)),
    "tqdm without total": ("import tqdm", "tqdm.tqdm(iter(range(10)), mininterval=0)", Bar("", 3, None, "it", 0.0)),
    "a subclass of tqdm": (
        "import tqdm\nclass Own(tqdm.tqdm): pass",
        "Own(range(10), 'own', mininterval=0)",
        Bar("own", 3, 10, "it", 0.0),
    ),
    "track": ("import persist_magic as pm", "pm.track(range(10), text='epochs')", Bar("epochs", 3, 10, "it", 0.0)),
    "track an iterator": (
        "import persist_magic as pm",
        "pm.track(iter(range(10)), total=20, unit='step')",
        Bar("", 3, 20, "step", 0.0),
    ),
    "track what has no length": ("import persist_magic as pm", "pm.track(iter(range(10)))", Bar("", 3, None, "it", 0.0)),
}


def bars(job: Job) -> list[tuple[str, float, float | None, str]]:
    progress = job.progress()
    return [] if progress is None else [(bar.text, bar.done, bar.total, bar.unit) for bar in progress.bars]


@pytest.mark.parametrize("kind", LOOPS)
def test_a_loop_tells_how_far_it_is(session: Session, marker: Path, kind: str) -> None:
    setup, loop, bar = LOOPS[kind]
    cell = CELL.format(setup=setup, loop=loop, wait=WAIT.format(marker=str(marker)))
    if "track" in kind:  # it tells ten times a second at most
        cell = cell.replace("    if step == 3:", "    time.sleep(0.12)\n    if step == 3:")
    job = session.persist("loop", cell)
    wait_until(lambda: bars(job) == [(bar.text, bar.done, bar.total, bar.unit)], f"the bar; there was {bars(job)}")
    marker.touch()
    assert job.wait(60).state.value == "done"
    done = bar.done + 7
    assert bars(job) == [(bar.text, done, bar.total, bar.unit)], "the last word is kept"


def test_a_tqdm_that_the_session_imported_is_heard_too(session: Session, marker: Path) -> None:
    session.run("from tqdm import tqdm")
    job = session.persist(
        "captured", CELL.format(setup="", loop="tqdm(range(9), mininterval=0)", wait=WAIT.format(marker=str(marker)))
    )
    wait_until(lambda: bars(job) == [("", 3, 9, "it")], "the bar")
    marker.touch()


def test_nested_bars_stand_in_their_order_and_go_when_they_are_over(session: Session, marker: Path) -> None:
    cell = f"""
import os, time
from tqdm.auto import tqdm
for epoch in tqdm(range(2), desc="epochs", mininterval=0):
    for batch in tqdm(range(4), desc="batches", mininterval=0, leave=False):
        if (epoch, batch) == (1, 2):
            {WAIT.format(marker=str(marker))}
for last in tqdm(range(5), desc="last", mininterval=0): pass
"""
    job = session.persist("nested", cell)
    wait_until(lambda: bars(job) == [("epochs", 1, 2, "it"), ("batches", 2, 4, "it")], "both bars")
    assert re.search(r"epochs 50 %, 1/2, \d+ s left; batches 50 %, 2/4", table(rows([job])))
    marker.touch()
    job.wait(60)
    assert bars(job) == [("last", 5, 5, "it")]


def test_nested_tracks(session: Session, marker: Path) -> None:
    cell = f"""
import os, time
import persist_magic as pm
for epoch in pm.track(range(2), text="epochs"):
    for batch in pm.track("abcd", text="batches"):
        time.sleep(0.11)
        if (epoch, batch) == (1, "c"):
            {WAIT.format(marker=str(marker))}
"""
    job = session.persist("nested", cell)
    wait_until(lambda: bars(job) == [("epochs", 1, 2, "it"), ("batches", 2, 4, "it")], "both bars")
    marker.touch()


def test_progress_is_shown_by_every_view_while_the_job_runs(session: Session, marker: Path, root: str) -> None:
    cell = f"import os, time, persist_magic\npersist_magic.progress(1, 4, 'relaxing', 'step')\npersist_magic.progress(2.5, 4, 'relaxing', 'step')\n{WAIT.format(marker=str(marker))}"
    job = session.persist("steps", cell)
    wait_until(lambda: bars(job) == [("relaxing", 2.5, 4, "step")], "the last word, although it came at once after another")
    words = "relaxing 62 %, 2.5/4"
    assert words in repr(job)
    assert words in table(rows([job]))
    assert job.info()["progress"]["bars"][0]["done"] == 2.5

    def shell(*arguments: str) -> str:
        return subprocess.run(
            [sys.executable, "-m", "persist_magic", *arguments],
            env=environment(),
            capture_output=True,
            text=True,
            check=True,
        ).stdout

    assert words in shell("status")
    assert words in shell("info", "steps")
    (row,) = json.loads(shell("status", "--json"))
    assert row["progress"]["bars"][0]["total"] == 4
    marker.touch()
    job.wait(60)
    assert words not in table(rows([job]))


def test_a_failed_job_tells_how_far_it_came(session: Session) -> None:
    job = session.persist("bad", "import persist_magic as pm\nfor n in pm.track(range(4), text='n'):\n    if n == 2: 1 / 0")
    assert job.wait(60).state.value == "failed"
    assert "n 50 %, 2/4" in table(rows([job]))


def test_in_a_session_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert list(persist_magic.track(iter("abc"))) == ["a", "b", "c"]
    persist_magic.progress(1, 2, "x")
    assert os.listdir(tmp_path) == []


def test_a_process_that_the_cell_forked_does_not_speak_for_the_job(session: Session) -> None:
    cell = """
import multiprocessing
from tqdm import tqdm
def work(number):
    return sum(tqdm([number], desc="child", mininterval=0))
with multiprocessing.get_context("fork").Pool(2) as pool:
    for _ in tqdm(pool.imap(work, range(10)), desc="all", total=10, mininterval=0): pass
"""
    job = session.persist("pool", cell)
    assert job.wait(60).describe(0) == "done"
    assert bars(job) == [("all", 10, 10, "it")]


def test_nor_does_one_whose_parent_has_no_bar(session: Session) -> None:
    cell = """
import multiprocessing, persist_magic
def work(number): return sum(persist_magic.track([number, number]))
with multiprocessing.get_context("fork").Pool(2) as pool: result = pool.map(work, range(4))
"""
    job = session.persist("pool", cell)
    assert job.wait(60).describe(0) == "done"
    assert bars(job) == []


def test_threads_and_handlers_may_tell_at_once(session: Session) -> None:
    cell = """
import persist_magic, signal, threading, time
persist_magic.progress(0, 2, "handler")  # imports are not re-entrant
signal.signal(signal.SIGALRM, lambda *_: persist_magic.progress(1, 2, "handler"))
signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
errors = []
def work(text):
    try:
        end = time.monotonic() + 1
        while time.monotonic() < end:
            persist_magic.progress(1, 10, text)
            for _ in persist_magic.track(range(3), text=text): pass
    except Exception as error:
        errors.append(error)
threads = [threading.Thread(target=work, args=(str(number),)) for number in range(4)]
for thread in threads: thread.start()
for thread in threads: thread.join()
signal.setitimer(signal.ITIMER_REAL, 0)
errors
"""
    assert session.persist("threads", cell).fetch(60) == []


def test_a_fork_does_not_lose_the_last_word(session: Session, marker: Path) -> None:
    cell = f"""
import os, time, persist_magic
persist_magic.progress(5, 10, "a"); persist_magic.progress(6, 10, "a")
pid = os.fork()
if not pid: os._exit(0)
os.waitpid(pid, 0)
{WAIT.format(marker=str(marker))}
"""
    job = session.persist("fork", cell)
    wait_until(lambda: bars(job) == [("a", 6, 10, "it")], "the last word")
    marker.touch()


@pytest.mark.parametrize("text", ["", "[]", '{"format": 1, "time": 1, "bars": [3]}', '{"format": 99}'])
def test_a_damaged_record_only_takes_the_progress_away(session: Session, text: str) -> None:
    job = session.persist("bad", "import persist_magic as pm\npm.progress(1, 2)\n1 / 0")
    job.wait(60)
    Path(job.directory.run(1).progress_path).write_text(text)
    assert job.progress() is None
    (row,) = rows([job])
    assert (row.state, row.reason) == ("failed", "ZeroDivisionError: division by zero")


def test_a_bar_that_cannot_be_understood_harms_nothing(session: Session) -> None:
    cell = "from tqdm import tqdm\nclass Odd(tqdm):\n    format_dict = None\n    def display(self, *a, **k): return True\nsum(Odd([1, 2], mininterval=0))"
    assert session.persist("odd", cell).fetch(60) == 3


def test_the_file_is_written_now_and_then_and_at_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[int] = []
    real: Callable[..., None] = progress_module.write_atomic

    def counted(*arguments: object, **options: object) -> None:
        written.append(1)
        real(*arguments, **options)

    monkeypatch.setattr(progress_module, "write_atomic", counted)
    (tmp_path / "run-1").mkdir()
    run = RunDirectory(JobDirectory(str(tmp_path), "job"), 1)
    board = Board(run)
    begin = time.monotonic()
    for done in range(20_000):
        board.set("key", Bar("", done, None, "it", 0.0))
    took = time.monotonic() - begin
    wait_until(lambda: (found := run.progress()) is not None and found.bars[0].done == 19_999, "the last word")
    assert 2 <= len(written) <= 3 + took / progress_module.WRITE_SECONDS


NUMBERS = [
    (3, 3),
    (2.5, 2.5),
    (3.0, 3),
    (None, None),
    ("many", None),
    (float("inf"), None),
    (float("nan"), None),
    (10**400, None),
    (True, 1),
]


@pytest.mark.parametrize(("value", "kept"), NUMBERS, ids=[str(value)[:10] for value, _ in NUMBERS])
def test_numbers_that_a_record_can_hold(value: object, kept: object) -> None:
    assert number(value) == kept
