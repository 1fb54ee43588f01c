"""The whole product as its user has it: real jobs, a real kernel, JupyterLab and Notebook in a real Chromium."""

from __future__ import annotations

import contextlib
import os
import re
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Locator, expect

from ..conftest import Session, wait_until
from .jupyter import SECONDS, Notebook, Server

expect.set_options(timeout=1000 * SECONDS)

WAIT = "import os, time\nwhile not os.path.exists({path!r}): time.sleep(0.01)\n"


def line(place: Locator, name: str) -> Locator:
    """A job's row in a dashboard."""
    return place.locator(f"tr[data-name='{name}']")


def click(place: Locator, verb: str, name: str, sure: str = "") -> None:
    place.get_by_role("button", name=f"{verb} {name}").click()
    if sure:
        place.get_by_role("button", name=sure).click()


@pytest.mark.parametrize("family", ["lab", "notebook"])
def test_jobs_are_watched_and_handled_while_another_cell_computes(
    notebook: Callable[..., Notebook], session: Session, tmp_path: Path, family: str
) -> None:
    go, free = tmp_path / "go", tmp_path / "free"
    train = f"%%persist train\nprint('epoch 1')\n{WAIT.format(path=str(go))}print('epoch 2')\nbest = 7\nbest * 6"
    other = f"%%persist other\n{WAIT.format(path=str(tmp_path / 'never'))}"
    busy = f"{WAIT.format(path=str(free))}print('free')"
    page = notebook(train, other, "%persist_status", busy, "best, train", family=family)
    page.run(1)
    card = page.output(1)
    expect(card.locator(".persist-card")).to_contain_text("running")
    page.run(2)
    page.run(3)
    table = page.output(3)
    expect(line(table, "train")).to_contain_text(re.compile("running.*epoch 1"))
    page.start(4)  # from here on the kernel is busy
    click(table, "log", "train")
    expect(table.get_by_role("log")).to_have_text(re.compile("^epoch 1\\s*$"))
    go.touch()
    expect(table.get_by_role("log")).to_contain_text("epoch 2")
    expect(line(table, "train")).to_contain_text("done")
    expect(card.locator(".persist-card")).to_contain_text("done")
    click(table, "cancel", "other", "Cancel the job")
    expect(table.get_by_role("status")).to_contain_text("other: cancel asked for")
    expect(line(table, "other")).to_contain_text("cancelled")
    click(table, "clean", "other", "Delete the job")
    expect(line(table, "other")).to_have_count(0)
    assert not Path(session.root, "other").exists()
    click(table, "fetch", "train")
    expect(table.get_by_role("status")).to_contain_text("best, train ← train")
    assert page.cell(4).locator(".jp-InputPrompt").first.inner_text() == "[*]:"
    free.touch()
    page.finish(4)
    page.run(5)
    expect(page.output(5)).to_contain_text("(7, 42)")
    expect(page.output(2).locator(".persist-card")).to_contain_text("deleted")


def test_details_and_outputs_of_a_job(notebook: Callable[..., Notebook], session: Session) -> None:
    cell = "import matplotlib.pyplot as plt\nprint('drawn')\nplt.plot(data)\nsum(data)"
    page = notebook("data = [1, 2, 1]", f"%%persist draw\n{cell}")
    page.run(1)
    page.run(2)
    card = page.output(2)
    expect(card.locator(".persist-card")).to_contain_text("done")
    click(card, "details", "draw")
    panel = card.get_by_role("tabpanel")
    expect(panel).to_contain_text("plt.plot(data)")
    expect(panel.locator(".persist-keyword").first).to_have_text("import")
    expect(panel.get_by_role("row", name="data list")).to_be_visible()
    card.get_by_role("tab", name="Outputs").click()
    expect(panel.get_by_role("img", name="figure")).to_have_js_property("complete", True)
    assert panel.get_by_role("img").evaluate("each => each.naturalWidth") > 100
    expect(panel).to_contain_text("drawn")


def test_a_sweep_is_watched_to_its_end_and_why_a_task_failed_is_read(
    notebook: Callable[..., Notebook], session: Session, tmp_path: Path
) -> None:
    go = tmp_path / "go"
    cell = f"{WAIT.format(path=str(go))}print('x is', x)\n1 / (x - 3)"
    session.persist("fit", cell, each=[(("x",), list(range(8)))])
    page = notebook("%persist_status")
    page.run(1)
    table = page.output(1)
    bar = table.get_by_role("progressbar", name="tasks of fit")
    expect(bar).to_have_attribute("aria-valuetext", re.compile("^0 of 8 tasks done, [1-8] running$"))
    line(table, "fit").focus()
    page.page.keyboard.press("Enter")
    grid = table.get_by_role("slider", name="task of fit")
    expect(grid).to_have_attribute("aria-valuetext", "task 0, running")
    go.touch()
    expect(bar).to_have_attribute("aria-valuetext", "7 of 8 tasks done, 1 failed")
    expect(table.get_by_role("tabpanel")).to_contain_text("7 done")
    expect(table.get_by_role("log", name="stdout of the task")).to_have_text(re.compile(r"^x is 0\s*$"))
    table.get_by_role("button", name="next failed task of fit").click()
    expect(grid).to_have_attribute("aria-valuetext", "task 3, failed")
    expect(table.get_by_role("log", name="stdout of the task")).to_have_text(re.compile(r"^x is 3\s*$"))
    expect(table.get_by_role("log", name="stderr of the task")).to_contain_text("ZeroDivisionError: division by zero")
    expect(table.get_by_role("tabpanel")).to_contain_text("x=3")
    grid.focus()
    page.page.keyboard.press("ArrowDown")  # no other cell of the notebook
    page.page.keyboard.press("Home")
    expect(grid).to_be_focused()
    expect(grid).to_have_attribute("aria-valuetext", "task 0, done")


def test_a_page_that_is_loaded_again_goes_on_and_a_closed_one_costs_nothing(
    notebook: Callable[..., Notebook], session: Session, jupyter: Server, tmp_path: Path
) -> None:
    go, over = tmp_path / "go", tmp_path / "over"
    session.persist("live", WAIT.format(path=str(go)))
    watch = f"""
from persist_magic.monitor import monitor
from persist_magic.views import dashboard
import threading, time
dashboard.PAGE_SECONDS = 3
def watch():
    while monitor._thread is not None: time.sleep(0.05)
    open({str(over)!r}, "w").close()
threading.Thread(target=watch, daemon=True).start()"""
    page = notebook("%persist_status", watch, quick=True)
    page.run(1)
    expect(line(page.output(1), "live")).to_contain_text("running")
    line(page.output(1), "live").focus()
    page.page.keyboard.press("ArrowDown")  # no other cell
    page.page.keyboard.press("Enter")  # no edit of this one
    expect(page.output(1).get_by_role("tabpanel")).to_contain_text("os.path.exists")
    page.page.keyboard.press("Control+s")
    wait_until(lambda: "as of" in (jupyter.directory / page.name).read_text(), "the notebook's saving")
    page.open()
    expect(line(page.output(1), "live")).to_contain_text("running")
    go.touch()
    expect(line(page.output(1), "live")).to_contain_text("done")
    page.run(2)
    assert not over.exists()
    page.close()  # the browser says nothing
    wait_until(over.exists, "the thread's end")


def test_a_killed_kernel_is_no_table_that_looks_live(
    notebook: Callable[..., Notebook], session: Session, tmp_path: Path
) -> None:
    session.persist("live", WAIT.format(path=str(tmp_path / "go")))
    page = notebook("%persist_status", "import os; os.getpid()", quick=True)
    page.run(1)
    page.run(2)
    expect(line(page.output(1), "live")).to_contain_text("running")
    pid = int(page.output(2).inner_text().split()[-1])
    os.kill(pid, signal.SIGKILL)
    expect(page.output(1).get_by_role("alert").first).to_contain_text("no word from the kernel since")
    took = line(page.output(1), "live").locator(".persist-c-elapsed")
    before = took.inner_text()
    page.page.wait_for_timeout(2500)
    assert took.inner_text() == before


def test_a_restarted_kernel_is_told_and_the_cell_shows_a_live_table_again(
    notebook: Callable[..., Notebook], session: Session
) -> None:
    session.persist("one", "1").wait(60)
    page = notebook("%persist_status", quick=True)
    page.run(1)
    expect(line(page.output(1), "one")).to_contain_text("done")
    page.restart()
    expect(page.output(1).get_by_role("alert")).to_contain_text("no word from the kernel since")
    page.run(0)
    page.run(1)
    session.persist("two", "1").wait(60)
    expect(line(page.output(1), "two")).to_contain_text("done")
    expect(page.output(1).get_by_role("alert")).to_have_count(0)


def test_a_page_that_the_kernel_cannot_hear_says_what_to_do(
    notebook: Callable[..., Notebook], session: Session, jupyter: Server
) -> None:
    session.persist("one", "1").wait(60)
    page = notebook("%persist_status", quick=True)
    page.run(1)
    expect(line(page.output(1), "one")).to_contain_text("done")
    alert = page.output(1).get_by_role("alert")
    for attempt in range(3):  # now and then JupyterLab finds the new kernel's subshell
        jupyter.call(f"/api/kernels/{page.kernel()}/restart", "POST")  # not by this page
        expect(alert).to_contain_text("no word from the kernel since")
        page.run(0)
        page.run(1)
        with contextlib.suppress(AssertionError):
            expect(alert).to_contain_text("load the page again")
            break
        assert attempt < 2, "the page was heard three times"
    session.persist("two", "1").wait(60)
    expect(line(page.output(1), "two")).to_contain_text("done")  # it is told all the same
    page.execute("docmanager:save")
    page.open()
    page.run(1)
    expect(line(page.output(1), "two")).to_contain_text("done")
    expect(alert).to_have_count(0)


def test_hostile_texts_of_a_job_stay_texts(notebook: Callable[..., Notebook], session: Session) -> None:
    evil = "<img src=x onerror=\"document.title='hacked'\"><script>document.title='hacked'</script>"
    cell = (
        f"import os, sys\nevil = {evil!r}\nos.write(1, b'\\xff\\xfe\\x1b[31m' + evil.encode() + b'\\x1b]0;t\\x07\\n')\n"
        "sys.stdout.write('x' * 1_000_000 + '\\n')\nprint(evil)\nglobals()['<b>ü</b>'] = 1\nraise ValueError(evil)"
    )
    session.persist("evil", cell).wait(60)
    page = notebook("%persist_status")
    page.run(1)
    table = page.output(1)
    expect(line(table, "evil")).to_contain_text("ValueError: <img")
    click(table, "log", "evil")
    expect(table.get_by_role("log")).to_contain_text("<script>")
    for tab in ("Details", "Outputs"):
        table.get_by_role("tab", name=tab).click()
        expect(table.get_by_role("tabpanel")).to_contain_text("<script>")
    assert page.page.title() != "hacked"
    assert table.locator("img[src=x], script").count() == 0
