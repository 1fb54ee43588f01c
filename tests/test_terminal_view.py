"""The table that a person at a terminal sees: of its width, in colours, live; and plain where it is no terminal."""

from __future__ import annotations

import html.parser
import io
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pexpect
import pytest
from rich.console import Console

from persist_magic.monitor import Row
from persist_magic.store import Bar, Progress, Usage
from persist_magic.tasks import Counts
from persist_magic.views import terminal
from persist_magic.views.page import table as page_table
from persist_magic.views.table import facts, segments

from .conftest import Session, environment, in_terminal, wait_until


def row(name: str, state: str = "done", **more: Any) -> Row:
    now = time.time()
    facts: dict[str, Any] = {
        "reason": "",
        "note": "",
        "source": "ended.json",
        "seen": now - 60,
        "backend": "local",
        "id": "pid 7",
    }
    facts |= {"run": 1, "submitted": now - 95, "started": now - 90, "ended": now - 60, **more}
    return Row(name, state, **facts)


def drawn(rows: list[Row], width: int = 140, height: int = 25) -> list[str]:
    console = Console(file=io.StringIO(), width=width, height=height, force_terminal=False, highlight=False, markup=False)
    console.print(terminal._fitting(rows, console))
    file: Any = console.file
    return [line.rstrip() for line in file.getvalue().splitlines()]


RUNNING: dict[str, Any] = {
    "seen": time.time() + 1e6,  # just now, whenever it is drawn
    "source": "heartbeat",
    "ended": None,
    "progress": Progress(time.time() + 1e6, (Bar("epochs", 1, 2, "it", 0.0),)),
    "usage": Usage(0.0, 5.0, (0.0, 50.0, 100.0, 400.0), (1e6, 2e9)),
    "last_line": "epoch 7",
}


def test_a_wide_table_has_all_of_it() -> None:
    head, line = drawn([row("train", "running", **RUNNING)])
    assert head.split() == ["job", "state", "where", "progress", "cpu", "memory", "elapsed", "submitted", "remarks"]
    assert line.startswith("train  running  local pid 7  ━")
    assert "▁▂▃█ 400 %" in line
    assert " 2.0 GB " in line
    assert line.endswith("epochs 50 %, 1/2; epoch 7")


def test_a_narrow_one_keeps_what_tells_why() -> None:
    lines = drawn([row("train", "running", **RUNNING), row("bad", "failed", reason="ValueError: no")], width=80)
    assert "submitted" not in lines[0]
    assert lines[2].endswith("ValueError: no")
    assert all(len(line) <= 80 for line in lines)


def test_columns_that_nothing_fills_are_left_out() -> None:
    assert drawn([row("a")])[0].split() == ["job", "state", "where", "elapsed", "submitted"]
    assert drawn([]) == ["no jobs"]


def test_of_more_jobs_than_lines_the_live_and_the_newest_are_shown() -> None:
    rows = [row(f"old{n}", seen=1000.0 + n) for n in range(50)] + [row("live", "running", **RUNNING)]
    lines = drawn(rows, height=10)
    assert len(lines) == 7
    assert [line.split()[0] for line in lines[1:-1]] == ["old46", "old47", "old48", "old49", "live"]
    assert lines[-1] == "… and 46 more"


HOSTILE = "\x1b]0;x\x07[bold]b[/bold]\n<script>\x9b31m\udc80"


@pytest.mark.parametrize("field", ["reason", "note", "id", "backend", "last_line"])
def test_no_text_steers_the_terminal(field: str) -> None:
    text = "\n".join(drawn([row("a", "failed", **{field: HOSTILE})], width=200))
    assert "[bold]b[/bold] <script>" in text
    assert not set("\x1b\x07\x9b\udc80") & set(text)


def test_a_job_without_samples_or_total_has_no_bar() -> None:
    progress = Progress(0.0, (Bar("", 5, None, "it", 1.0),))
    more = {**RUNNING, "usage": Usage(0.0, 5.0, (), ()), "progress": progress}
    assert "━" not in "".join(drawn([row("a", "running", **more)]))


SWEEP = Counts(200, done=120, failed=3, cancelled=1, running=2, queued=74)


def test_a_sweep_is_one_line_with_a_bar_of_its_tasks() -> None:
    progress = Progress(time.time() + 1e6, (Bar("tasks", 124, 200, "it", 0.0),))
    lines = drawn([row("fit", "running", **{**RUNNING, "tasks": SWEEP, "progress": progress, "last_line": ""})])
    assert " ━━━━━━━╳╍─── " in lines[1]
    assert lines[1].endswith("tasks 62 %, 124/200, 3 failed, 1 cancelled, 2 running")
    assert " ━━━━━━━━━━━━ " in drawn([row("fit", tasks=Counts(200, done=200), run=1)])[1]
    failed = drawn([row("fit", "failed", tasks=Counts(200, done=199, failed=1), reason="1 of 200 tasks failed")])[1]
    assert " ━━━━━━━━━━━╳ " in failed
    assert failed.endswith("1 of 200 tasks failed")


@pytest.mark.parametrize(
    ("counts", "width", "parts"),
    [
        (Counts(200, queued=200), 12, (0, 0, 0)),
        (Counts(200, done=67, failed=133), 12, (4, 8, 0)),
        (Counts(10_000, done=9_990, failed=1, running=1, queued=8), 12, (10, 1, 1)),
        (Counts(10_000, failed=1, cancelled=1, queued=9_998), 100, (0, 1, 0)),
        (Counts(3, done=1, failed=1, running=1), 3, (1, 1, 1)),
    ],
)
def test_what_there_is_of_tasks_has_its_part_of_the_bar(counts: Counts, width: int, parts: tuple[int, int, int]) -> None:
    assert segments(counts, width) == parts


# ---------------------------------------------------------------- a static page


class Parsed(html.parser.HTMLParser):
    """The texts of a table's cells, line by line; other elements than a table's and a bar's are an error."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.lines: list[list[str]] = []
        self.spans: list[dict[str, str | None]] = []
        self.caption = ""
        self._in_cell = self._in_caption = False
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        assert tag in {"table", "caption", "thead", "tbody", "tr", "th", "td", "progress", "span"}
        assert {name for name, _ in attributes} <= {"style", "scope", "max", "value", "role", "aria-label"}
        if tag == "span":
            self.spans.append(dict(attributes))
        if tag == "tr":
            self.lines.append([])
        if tag in ("td", "th"):
            self.lines[-1].append("")
        self._in_caption = tag == "caption"

    def handle_data(self, data: str) -> None:
        if self._in_caption:
            self.caption += data
        else:
            self.lines[-1][-1] += data


def test_a_page_says_all_and_of_when_it_is() -> None:
    page = Parsed(
        page_table([row("train", "running", **RUNNING), row("bad", "failed", reason="ValueError: 1 < 2", run=2)], 2)
    )
    assert page.lines[1][:3] == ["train", "running", "local pid 7"]
    assert page.lines[1][4:6] == ["400 %", "2.0 GB"]
    assert page.lines[1][-1].endswith("epochs 50 %, 1/2")
    assert (page.lines[2][1], page.lines[2][-1]) == ("failed (run 2)", "ValueError: 1 < 2")
    assert re.fullmatch(r"2 jobs, as of \d{4}-\d\d-\d\d \d\d:\d\d:\d\d", page.caption)
    assert Parsed(page_table([], 0)).caption.startswith("no jobs, as of ")


def test_a_sweep_on_a_page_has_a_bar_and_its_words() -> None:
    page = Parsed(page_table([row("fit", "running", **{**RUNNING, "tasks": SWEEP}), row("all", tasks=Counts(5, done=5))], 2))
    bar, *parts = page.spans[:4]
    assert bar["aria-label"] == "120 of 200 tasks done, 3 failed, 1 cancelled, 2 running"
    widths = [re.findall(r";width:(\d+)%$", str(part["style"])) for part in parts]
    assert widths == [["60"], ["2"], ["1"]]
    assert page.lines[1][3].strip() == "120/200"
    assert page.spans[4]["aria-label"] == "5 of 5 tasks done"
    assert page.lines[2][3].strip() == "5/5"


def test_the_tasks_of_a_sweep_are_a_fact_in_words() -> None:
    counts = {"total": 200, "done": 171, "failed": 29, "cancelled": 0, "running": 0, "queued": 0, "lost": 2}
    assert "171 of 200 tasks done, 29 failed" in facts({"name": "fit", "state": "failed", "tasks": counts})


@pytest.mark.parametrize(
    ("state", "cpu", "told"), [("running", [50.0], True), ("running", [], False), ("done", [50.0], False)]
)
def test_usage_is_a_fact_of_a_job_that_runs(state: str, cpu: list[float], told: bool) -> None:
    usage = {"time": 0.0, "every": 5.0, "cpu": cpu, "memory": [1e6]}
    assert ("50 % of a core, 1.0 MB" in facts({"name": "a", "state": state, "usage": usage})) == told


@pytest.mark.parametrize("field", ["reason", "note", "id", "backend"])
def test_no_text_becomes_an_element(field: str) -> None:
    hostile = "\"'><script>alert(1)</script><img src=x onerror=y>" + HOSTILE
    page = page_table([row("a", "failed", **{field: hostile})], 1)
    assert "<script>alert(1)" in "".join(Parsed(page).lines[1])
    assert not set("\x1b\x07\x9b\udc80") & set(page)


# ---------------------------------------------------------------- a real terminal


@pytest.fixture
def spawned() -> Iterator[list[Any]]:
    children: list[Any] = []
    yield children
    for child in children:
        child.close(force=True)


def spawn(children: list[Any], *words: str) -> Any:
    child = in_terminal(["-m", "persist_magic", "status", *words], 20, 140, environment(TERM="xterm-256color"))
    children.append(child)
    return child


def test_watching_is_live_until_ctrl_c(session: Session, marker: Path, spawned: list[Any]) -> None:
    job = session.persist(
        "live", f"import os, time\nprint('working')\nwhile not os.path.exists({str(marker)!r}): time.sleep(0.01)"
    )
    wait_until(lambda: job.status().state.value == "running", "the start")
    child = spawn(spawned, "--watch")
    child.expect("running.*working")
    session.persist("second", "1 / 0").wait(60)
    child.expect("second.*failed.*ZeroDivisionError")
    marker.touch()
    child.expect("live.*done")
    child.sendintr()
    child.expect("stopped watching; the jobs go on")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 0


def test_a_terminal_gets_colours_and_plain_and_pipes_do_not(session: Session, spawned: list[Any]) -> None:
    session.persist("bad", "1 / 0").wait(60)
    assert "\x1b[31mfailed" in spawn(spawned).read()
    assert "\x1b[" not in spawn(spawned, "--plain").read()
    piped = subprocess.run(
        [sys.executable, "-m", "persist_magic", "status"], env=environment(), capture_output=True, text=True, check=True
    )
    assert piped.stdout.startswith("name  state   backend")


def test_watching_needs_a_terminal(session: Session) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "persist_magic", "status", "--watch"],
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "--watch needs a terminal" in done.stderr
