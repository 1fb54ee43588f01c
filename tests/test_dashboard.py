"""The kernel's side of the dashboard, in real kernels of three versions, without a browser."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient
from nbconvert import HTMLExporter

from .conftest import Session, environment, wait_until
from .kernels import Kernel, Page, start, widget_of

OLDEST, FIRST_SUBSHELLS, NEWEST = "6.31.0", "7.1.0", ""
WAIT = "import os, time\nwhile not os.path.exists({!r}): time.sleep(0.01)"


@pytest.fixture(scope="session")
def ipykernels(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Folders with other versions of ipykernel than the one that is installed, by version."""
    folders = {NEWEST: ""}
    for version in (OLDEST, FIRST_SUBSHELLS):
        folder = str(tmp_path_factory.mktemp(f"ipykernel-{version}"))
        wanted = [f"ipykernel=={version}", "nest_asyncio"]
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", folder]
        subprocess.run([*pip, *wanted], check=True, capture_output=True)
        folders[version] = folder
    return folders


@pytest.fixture
def kernel(kernels: list[Kernel], directory: Path) -> Kernel:
    return loaded(kernels, directory)


def loaded(kernels: list[Kernel], directory: Path, **variables: str) -> Kernel:
    kernel = start(kernels, directory, **variables)
    kernel.run("%load_ext persist_magic\nimport threading, time")
    return kernel


def threads(kernel: Kernel) -> int:
    """How many threads of the monitor's there are."""
    return int(kernel.run("sum(each.name == 'persist_magic monitor' for each in threading.enumerate())"))


def shown(messages: list[dict[str, Any]]) -> dict[str, Any]:
    (output,) = [each["content"]["data"] for each in messages if each["msg_type"] in ("display_data", "execute_result")]
    return output


@pytest.mark.parametrize("version", [OLDEST, FIRST_SUBSHELLS, NEWEST], ids=["6.31", "7.1", "newest"])
def test_it_lives_while_a_cell_computes(
    kernels: list[Kernel], directory: Path, session: Session, marker: Path, ipykernels: dict[str, str], version: str
) -> None:
    kernel = loaded(kernels, directory, PYTHONPATH=ipykernels[version])
    assert kernel.run("import ipykernel; ipykernel.__version__").strip("'").startswith(version)
    session.persist("other", "1").wait(60)
    kernel.run(f"%%persist train\n{WAIT.format(str(marker))}")
    page = Page(kernel, widget_of(kernel.messages("%persist_status")), subshell=version != OLDEST)
    page.wait_for(lambda: page.rows.get("train", {}).get("state") == "running", "the first rows")
    busy = directory / "busy"
    session.persist("third", "1").wait(60)
    # the cell speaks to the page, too, from the kernel's main thread
    kernel.client.execute(f"%persist_status\n{WAIT.format(str(busy))}\nprint('free')")
    wait_until(lambda: "busy" in str(kernel.client.get_iopub_msg(timeout=60)["content"].get("execution_state")), "the cell")
    marker.touch()
    page.wait_for(lambda: page.rows["train"]["state"] == "done", "its end, while the kernel computes")
    if version == OLDEST:
        page.say("act", request="late", verb="rerun", name="other", sure=False)
        page.hear(0.5)
        assert not [each for each in page.messages if each.get("request") == "late"]
        busy.touch()
        page.wait_for(lambda: any(each.get("request") == "late" for each in page.messages), "what was queued")
    else:
        assert page.act("rerun", "other")["words"] == "other: run 2"
        page.wait_for(lambda: page.rows["other"].get("run") == 2 and page.rows["other"]["state"] == "done", "the second run")
        busy.touch()
    kernel.run("1")


def test_a_kernel_that_hears_nothing_keeps_the_snapshot_up_to_date(
    kernels: list[Kernel], directory: Path, marker: Path, ipykernels: dict[str, str]
) -> None:
    kernel = loaded(kernels, directory, PYTHONPATH=ipykernels[OLDEST])
    cell = f"%%persist train\n{WAIT.format(str(marker))}"
    kernel.run(cell)
    widget = widget_of(kernel.messages("%persist_status"))
    kernel.client.execute(WAIT.format(str(directory / "busy")))
    marker.touch()

    def kept() -> bool:
        body = kernel.client.get_iopub_msg(timeout=60)["content"]
        state = body.get("data", {}).get("state", {}) if body.get("comm_id") == widget else {}
        return any("done" in row for row in state.get("snapshot", {}).get("rows", []))

    wait_until(kept, "the snapshot that tells of its end")
    (directory / "busy").touch()
    kernel.run("1")


def test_an_output_is_a_widget_and_a_static_page(kernel: Kernel, session: Session) -> None:
    session.persist("bad", "raise ValueError('<b>')").wait(60)
    data = shown(kernel.messages("%persist_status"))
    assert set(data) == {"application/vnd.jupyter.widget-view+json", "text/html", "text/plain"}
    assert "ValueError: &lt;b&gt;" in data["text/html"]
    data = shown(kernel.messages("%persist bad"))
    assert data["text/plain"].startswith("<Job bad: failed")
    assert "ValueError: &lt;b&gt;" in data["text/html"]
    again = shown(kernel.messages("%persist bad"))
    assert again["application/vnd.jupyter.widget-view+json"] == data["application/vnd.jupyter.widget-view+json"]
    assert "widget" not in str(kernel.messages("%persist_status --plain"))
    assert "widget" in str(kernel.messages("%persist_status --watch bad"))


def test_of_very_many_jobs_the_notebook_keeps_some(kernel: Kernel, session: Session) -> None:
    kernel.run("from persist_magic.views import dashboard\ndashboard.MOST_ROWS = 2")
    for name in ("b", "c", "a"):
        session.persist(name, "1").wait(60)
    data = shown(kernel.messages("%persist_status"))
    assert "2 of 3 jobs, as of" in data["text/html"]
    assert [line.split()[0] for line in data["text/plain"].splitlines()] == ["name", "a", "c", "…"]


def test_ended_jobs_are_read_once_a_session(kernel: Kernel, session: Session) -> None:
    for name in ("one", "two"):
        session.persist(name, "1").wait(60)
    count = "from persist_magic import monitor\nread, rows = [], monitor.rows\n"
    count += "monitor.rows = lambda jobs, *more: (read.extend(job.name for job in jobs), rows(jobs, *more))[1]"
    kernel.run(count)
    for cell in ("%persist_status", "%persist one", "%persist_status two", "%persist_status"):
        page = Page(kernel, widget_of(kernel.messages(cell)), name=cell)
        page.answer("rows")
    page.act("details", "one")  # which changes nothing
    page.messages.clear()
    page.say("resync")
    page.answer("rows")
    assert kernel.run("sorted(read)") == "['one', 'two']"


def test_there_is_one_thread_and_none_when_nobody_looks(kernel: Kernel, session: Session) -> None:
    for name in ("one", "two"):
        session.persist(name, "1").wait(60)
    assert threads(kernel) == 0
    pages = []
    for cell in ("%persist_status", "%persist_status one", "%persist one", "%persist two"):
        pages.append(Page(kernel, widget_of(kernel.messages(cell)), name=cell))
        assert pages[-1].answer("rows")["whole"]
    assert [len(page.rows) for page in pages] == [2, 1, 1, 1]
    # how soon the next word comes: of the card of a job that has ended hardly any is expected
    assert [page.messages[-1]["next"] for page in pages] == [5.0, 5.0, 60.0, 60.0]
    assert threads(kernel) == 1
    for page in pages:
        page.say("bye")
    wait_until(lambda: threads(kernel) == 0, "its end")
    pages[0].messages.clear()
    pages[0].say("hello")
    assert pages[0].answer("rows")["whole"]
    assert threads(kernel) == 1


def test_a_page_that_says_nothing_more_is_gone_but_not_while_the_kernel_is_busy(
    kernel: Kernel, session: Session, marker: Path
) -> None:
    session.persist("one", "1").wait(60)
    kernel.run("from persist_magic.views import dashboard\ndashboard.BEAT_SECONDS = 0")
    page = Page(kernel, widget_of(kernel.messages("%persist_status")))
    page.answer("rows")
    page.messages.clear()
    kernel.client.execute(f"dashboard.PAGE_SECONDS = 1\n{WAIT.format(str(marker))}")
    page.wait_for(lambda: len(page.messages) >= 5, "some beats, which come once a second")
    marker.touch()
    # a cell that looks is a sign of life, too: there is a pause before each
    wait_until(lambda: not page.hear(2) and threads(kernel) == 0, "that the page is taken for gone")
    page.messages.clear()
    page.say("alive")  # a laptop was opened again
    assert page.answer("rows")["whole"]


@pytest.mark.parametrize("names", [("one", "two"), ()], ids=["ended jobs", "no jobs"])
def test_an_idle_page_hears_that_the_kernel_lives_and_no_more(
    kernel: Kernel, session: Session, names: tuple[str, ...]
) -> None:
    for name in names:
        session.persist(name, "1").wait(60)
    kernel.run("from persist_magic.views import dashboard\ndashboard.BEAT_SECONDS = 2")
    page = Page(kernel, widget_of(kernel.messages("%persist_status")))
    page.answer("rows")
    begin, page.messages = time.monotonic(), []
    page.wait_for(lambda: len(page.messages) >= 3, "three beats")
    assert {each["do"] for each in page.messages} == {"beat"}
    assert time.monotonic() - begin > 4


def test_two_pages_and_one_that_missed_something(kernel: Kernel, session: Session) -> None:
    session.persist("one", "1").wait(60)
    widget = widget_of(kernel.messages("%persist_status"))
    first, second = Page(kernel, widget), Page(kernel, widget, name="second")
    second.wait_for(lambda: second.rows.get("one"), "the rows")
    session.persist("zero", "1").wait(60)
    second.wait_for(lambda: second.rows.get("zero", {}).get("state") == "done", "a new job")
    told = [each for each in second.messages if each["do"] == "rows"]
    assert [each["number"] for each in told] == list(range(told[0]["number"], told[0]["number"] + len(told)))
    first.say("bye")
    second.messages.clear()
    second.say("resync")
    assert second.answer("rows")["whole"]
    assert second.rows["one"]["state"] == "done"
    session.persist("two", "1").wait(60)
    second.wait_for(lambda: second.rows.get("two", {}).get("state") == "done", "a new job")
    session.job("one").cleanup()
    second.wait_for(lambda: "one" not in second.rows, "a deleted one")


def test_what_is_clicked_is_done_and_acknowledged(kernel: Kernel, session: Session, marker: Path) -> None:
    session.persist("fit-2", "x = 1\ny = lambda: 2\nz = (i for i in [])\nx + 41").wait(60)
    session.persist("sum", "6 * 7").wait(60)
    session.persist("live", WAIT.format(str(marker)))
    page = Page(kernel, widget_of(kernel.messages("%persist_status")))
    page.answer("rows")
    assert page.act("fetch", "sum")["words"] == "sum_ ← sum"
    assert kernel.run("sum([sum_])") == "42"
    assert page.act("fetch", "fit-2")["words"].startswith("x, y, fit_2 ← fit-2; left out: ")
    assert kernel.run("x, y(), fit_2") == "(1, 2, 42)"
    kernel.run("x = 5")
    answer = page.act("fetch", "fit-2")
    assert (answer["ok"], answer["ask"]) == (False, "x, y, fit_2 already in the session.")
    assert kernel.run("x") == "5"
    assert page.act("fetch", "fit-2", sure=True)["ok"]
    assert kernel.run("x") == "1"
    kernel.run("del x, y; fit_2 = 'mine'")
    assert page.act("fetch", "fit-2")["ask"] == "fit_2 already in the session."
    assert kernel.run("fit_2, 'x' in globals()") == "('mine', False)"
    answer = page.act("clean", "live")
    assert not answer["ok"]
    assert "live" in answer["words"]
    assert page.act("cancel", "live")["words"] == "live: cancel asked for"
    page.wait_for(lambda: page.rows["live"]["state"] == "cancelled", "its end")
    assert page.act("clean", "live")["words"] == "deleted live"
    page.wait_for(lambda: "live" not in page.rows, "its disappearance")
    assert not Path(session.root, "live").exists()
    assert "no job 'live'" in page.act("rerun", "live")["words"]
    assert page.act("format", "fit-2")["words"] == "there is no action format"
    taken = [each["request"] for each in page.messages if each["do"] == "taken"]
    assert taken == [each["request"] for each in page.messages if each["do"] == "answer"]


def test_details_and_outputs_come_when_they_are_asked_for(kernel: Kernel, session: Session) -> None:
    session.run("data = [1, 2, 3]\ndef helper(): return data")
    cell = "import sys\nfrom IPython.display import HTML, SVG, display\nprint('out')\nprint('err', file=sys.stderr)\ndisplay(HTML('<b>bold</b>'))\ndisplay(HTML('<script>1</script>'))\ndisplay(SVG('<svg xmlns=\"http://www.w3.org/2000/svg\"/>'))\nhelper()"
    session.persist("a", cell).wait(60)
    page = Page(kernel, widget_of(kernel.messages("%persist_status")))
    data = page.act("details", "a")["data"]
    assert [each[0] for each in data["names"]] == ["helper", "data"]
    assert ["keyword", "import"] in data["cell"]
    assert "".join(text for _, text in data["cell"]).endswith(cell)
    assert data["variables"][0] == ["result", "list len 3", ""]
    assert re.fullmatch(r"started 2.* on \S+, done after \d+ s", data["runs"][0][1])
    assert dict(data["facts"])["backend"] == "local"
    put_out = page.act("outputs", "a")["data"]
    assert [(each["kind"], each["data"]) for each in put_out] == [
        ("stdout", "out\n"),
        ("stderr", "err\n"),
        ("text/html", "<b>bold</b>"),
        ("text", "<IPython.core.display.HTML object>"),
        ("image/svg+xml", '<svg xmlns="http://www.w3.org/2000/svg"/>'),
        ("text", "[1, 2, 3]"),
    ]


def test_a_sweep_and_its_tasks_are_looked_at_and_handled(kernel: Kernel, session: Session, marker: Path) -> None:
    cell = (
        "import os, time\nprint('x is', x)\nif x == 1: raise ValueError('odd')\n"
        f"while x > 1 and not os.path.exists({str(marker)!r}): time.sleep(0.01)\nx * x"
    )
    session.persist("fit", cell, each=[(("x",), [0, 1, 2, 3, 4])], options=("--slots", "1"))
    page = Page(kernel, widget_of(kernel.messages("%persist_status")))
    page.wait_for(lambda: page.rows.get("fit", {}).get("tasks") == [1, 1, 0, 1, 5], "the third task")
    assert page.act("tasks", "fit")["data"] == "dfrq2"
    done = page.act("task", "fit", task=0)["data"]
    assert (done["given"], done["state"], done["result"], done["stdout"]) == ("x=0", "done", "0", ["x is 0\n", 0])
    failed = page.act("task", "fit", task=1)["data"]
    assert (failed["state"], failed["reason"], failed["result"]) == ("failed", "ValueError: odd", "")
    assert "raise ValueError('odd')" in failed["stderr"][0]
    page.wait_for(lambda: page.act("task", "fit", task=2)["data"]["stdout"][0], "what it printed")
    live = page.act("task", "fit", task=2)["data"]
    assert (live["state"], live["stdout"]) == ("running", ["x is 2\n", 0])
    assert live["seconds"] > 0
    waits = page.act("task", "fit", task=4)["data"]
    assert (waits["state"], waits["seconds"], waits["stdout"]) == ("queued", None, ["", 0])
    assert page.act("cancel task", "fit", task=2)["words"] == "task 2 of fit: cancel asked for"
    page.wait_for(lambda: page.rows["fit"]["tasks"][2] == 1, "its end; the others go on")
    assert page.act("cancel task", "fit", task=4)["words"] == "task 4 of fit: cancel asked for"
    page.wait_for(lambda: page.act("task", "fit", task=3)["data"]["state"] == "running", "the fourth task")
    assert page.act("kill task", "fit", task=3)["words"] == "task 3 of fit: kill asked for"
    assert page.act("cancel task", "fit", task=2)["words"] == "task 2 of fit had ended"
    assert "none is None" in page.act("task", "fit")["words"]
    assert "none is 5" in page.act("task", "fit", task=5)["words"]
    page.wait_for(lambda: page.rows["fit"]["state"] == "failed", "the end")
    assert page.act("tasks", "fit")["data"] == "dfc3"
    answer = page.act("fetch", "fit")
    assert not answer["ok"]
    assert answer["words"].startswith("4 of 5 tasks of job fit have no result")
    assert kernel.run("'fit' in globals()") == "False"
    details = page.act("details", "fit")["data"]
    assert dict(details["facts"])["tasks"] == "1 of 5 tasks done, 1 failed, 3 cancelled"
    marker.touch()
    assert page.act("rerun failed", "fit")["words"] == "fit: run 2, of the tasks that were not done"
    page.wait_for(lambda: page.rows["fit"].get("run") == 2 and page.rows["fit"]["state"] == "failed", "the second run")
    assert page.rows["fit"]["tasks"] == [4, 1, 0, 0, 5]
    assert page.act("details", "fit")["data"]["runs"][1][1].endswith("tasks 1-4")


def test_the_results_of_a_sweep_come_into_the_session(kernel: Kernel, session: Session) -> None:
    session.persist("fit", "x * x", each=[(("x",), [1, 2, 3])]).wait(60)
    session.persist("one", "1").wait(60)
    page = Page(kernel, widget_of(kernel.messages("%persist_status")))
    assert page.act("fetch", "fit")["words"] == "fit ← the 3 results of fit"
    assert kernel.run("fit") == "[1, 4, 9]"
    kernel.run("fit = 'mine'")
    assert page.act("fetch", "fit")["ask"] == "fit already in the session."
    assert kernel.run("fit") == "'mine'"
    assert page.act("fetch", "fit", sure=True)["ok"]
    assert kernel.run("fit") == "[1, 4, 9]"
    card = shown(kernel.messages("from persist_magic import load\nload('fit')"))
    assert Page(kernel, widget_of([{"msg_type": "execute_result", "content": {"data": card}}]), name="card").answer("rows")
    assert 'aria-label="3 of 3 tasks done"' in card["text/html"]
    for verb in ("tasks", "rerun failed"):
        assert page.act(verb, "one")["words"] == "job one is one cell and no sweep: it has no tasks"


def test_of_a_long_output_of_a_task_the_end_is_shown(kernel: Kernel, session: Session) -> None:
    session.persist("fit", "print('first')\nfor i in range(5000): print(f'{x}: {i:06}')", each=[(("x",), [1, 2])]).wait(60)
    page = Page(kernel, widget_of(kernel.messages("%persist_status")))
    text, before = page.act("task", "fit", task=1)["data"]["stdout"]
    assert text.endswith("2: 004998\n2: 004999\n")
    assert "first" not in text
    assert (len(text), before) == (20_000, len("first\n") + 5000 * len("2: 000000\n") - 20_000)


def test_a_log_is_sent_as_it_grows(kernel: Kernel, session: Session, marker: Path) -> None:
    session.persist("live", f"print('first')\n{WAIT.format(str(marker))}\nprint('second')")
    page = Page(kernel, widget_of(kernel.messages("%persist_status")))
    page.say("logs", logs=[["live", False]])
    page.wait_for(lambda: any(each.get("text") == "first\n" for each in page.messages), "the first line")
    marker.touch()
    page.wait_for(lambda: any(each.get("text") == "second\n" for each in page.messages), "the second")
    logs = [each for each in page.messages if each["do"] == "log"]
    assert [each["keep"] for each in logs if each["text"].startswith("second")] == [1]
    other = Page(kernel, page.widget, name="other")
    other.say("logs", logs=[["live", False]])
    other.wait_for(lambda: any(each.get("text") == "first\nsecond\n" for each in other.messages), "all of it")
    page.say("logs", logs=[["live", True], ["nowhere", False], ["../..", False]])
    assert (
        page.wait_for(lambda: [each for each in page.messages if each["do"] == "log" and each["err"]], "stderr")[0]["text"]
        == ""
    )


def test_in_colab_all_is_said_while_a_message_of_the_pages_is_handled(kernel: Kernel, session: Session) -> None:
    session.persist("one", "1").wait(60)
    page = Page(kernel, widget_of(kernel.messages("%persist_status")), subshell=False)
    page.messages.clear()
    page.parents.clear()
    asked = [page.say("alive", pull=True), page.say("act", pull=True, request="r", verb="rerun", name="one", sure=False)]
    page.wait_for(lambda: any(each["do"] == "answer" for each in page.messages), "the answer")
    while str(page.rows["one"].get("run")) != "2" or page.rows["one"]["state"] != "done":
        asked.append(page.say("alive", pull=True))
        page.hear(0.2)
    assert set(page.parents) <= {*asked, page.hello}
    wait_until(lambda: threads(kernel) == 0, "no thread of the monitor's")


COUNTED = """
from persist_magic.job import Job
compared, staleness = [], Job.staleness
def counted(job):
    compared.append(job)
    return staleness(job)
Job.staleness = counted"""


def test_what_the_session_has_edited_shows_without_a_question(kernel: Kernel) -> None:
    kernel.run("alpha = 1")
    kernel.run("%%persist fit\nalpha + 1")
    page = Page(kernel, widget_of(kernel.messages("%persist fit")))
    page.wait_for(lambda: page.rows.get("fit", {}).get("state") == "done", "its end")
    assert page.rows["fit"].get("staleness", "") == ""
    kernel.run("alpha = 2")
    page.wait_for(lambda: page.rows["fit"].get("staleness") == "result predates your edit: alpha changed", "the remark")
    kernel.run("alpha = 1")
    page.wait_for(lambda: page.rows["fit"].get("staleness", "") == "", "that it is gone")
    kernel.run(COUNTED)
    page.messages.clear()
    page.wait_for(lambda: (page.say("resync"), page.hear(1.1), len(page.messages) > 20)[2], "some polls")
    assert kernel.run("len(compared)") == "1"  # once for the cell that came before, however often was polled


def test_an_error_of_ours_is_told_and_passes(kernel: Kernel, session: Session, marker: Path) -> None:
    session.persist("one", "1").wait(60)
    page = Page(kernel, widget_of(kernel.messages("%persist_status")))
    page.answer("rows")
    kernel.run(
        "import os\nfrom persist_magic.views import wire\nreal = wire.changes\n"
        f"wire.changes = lambda rows, sent: real(rows, sent) if os.path.exists({str(marker)!r}) else 1 / 0"
    )
    page.wait_for(lambda: any("ZeroDivisionError" in each.get("trouble", "") for each in page.messages), "the error")
    page.messages.clear()
    marker.touch()
    assert page.answer("rows")["whole"]
    session.persist("two", "1").wait(60)
    page.wait_for(lambda: page.rows.get("two", {}).get("state") == "done", "what came after")


def test_a_root_that_is_not_to_be_read_is_told(kernel: Kernel, session: Session) -> None:
    session.persist("one", "1").wait(60)
    kernel.run("from persist_magic import monitor\nmonitor.RELIST_SECONDS = 0")
    page = Page(kernel, widget_of(kernel.messages("%persist_status")))
    page.answer("rows")
    Path(session.root).chmod(0o777)
    assert "others may write" in page.wait_for(
        lambda: page.messages[-1].get("trouble") if page.messages else "", "the trouble"
    )
    Path(session.root).chmod(0o700)
    page.wait_for(lambda: page.messages[-1].get("trouble") == "", "its end")
    assert page.rows["one"]["state"] == "done"


def test_a_notebook_that_was_executed_without_a_page_shows_a_static_table(session: Session, directory: Path) -> None:
    session.persist("bad", "raise ValueError('<b>')").wait(60)
    cells = ["%load_ext persist_magic", "%persist_status", "%persist bad"]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    where = {"metadata": {"path": str(directory)}}
    client = NotebookClient(notebook, timeout=120, kernel_name="python3", resources=where, store_widget_state=False)
    client.execute(env=environment(IPYTHONDIR=str(directory / ".ipython")))
    nbformat.validate(notebook)
    page, _ = HTMLExporter().from_notebook_node(notebook)
    assert page.count("1 job, as of ") == 2
    assert page.count("ValueError: &lt;b&gt;") == 2
    assert "widget-view+json" not in page
