"""The page's side alone: what it draws of the kernel's words, and what it asks for."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, expect

from persist_magic.store import Bar, Progress, Usage
from persist_magic.tasks import Counts
from persist_magic.views import wire

from ..conftest import wait_until
from .module import Module, row

HOSTILE = "<script>window.hacked = 1</script><img src=x onerror='window.hacked = 1'>\x1b[31mred\x07 \u202e"


@pytest.fixture
def module(browser: Browser) -> Iterator[Callable[..., Module]]:
    opened: list[Module] = []

    def make(**options: Any) -> Module:
        opened.append(Module(browser, **options))
        return opened[-1]

    yield make
    for each in opened:
        assert each.errors == []
        each.close()


def running(name: str, done: float = 3, **more: Any) -> Any:
    progress = Progress(time.time(), (Bar("epochs", done, 10, "it", 1.0),))
    usage = Usage(time.time(), 5.0, (50.0, 100.0), (1e9, 2e9))
    return row(name, progress=progress, usage=usage, last_line=f"epoch {done}", **more)


def test_a_table_tells_all_of_each_job(module: Callable[..., Module]) -> None:
    m = module()
    m.rows(
        running("train"),
        row("fit", "queued", reason="waiting for resources", backend="slurm", id="42"),
        row("bad", "failed", reason="ValueError: no"),
        whole=True,
    )
    assert m.names() == ["fit", "train", "bad"]
    train = m.page.locator("tr[data-name=train]")
    expect(train).to_contain_text(
        re.compile(r"train.*running.*local pid 7.*30 %.*\d+ (s|min).*100 %.*2\.0 GB.*epoch 3", re.DOTALL)
    )
    expect(train.locator("progress")).to_have_js_property("value", 0.3)
    expect(train.locator("svg.persist-cpu polyline")).to_have_attribute("points", "10,8.0 11,1.0")
    expect(train.locator(".persist-progress")).to_have_attribute("title", re.compile("epochs 30 %, 3/10"))
    fit = m.page.locator("tr[data-name=fit]")
    expect(fit).to_contain_text("waiting for resources")
    expect(fit.locator(".persist-c-waited")).to_have_text(re.compile(r"^\d+ (s|min)$"))
    expect(fit.locator(".persist-state")).to_have_attribute("title", re.compile("queued; waiting for resources"))
    expect(m.page.locator("tr[data-name=bad]")).to_contain_text("ValueError: no")
    expect(m.page.get_by_role("button", name="all 3")).to_have_attribute("aria-pressed", "true")


def test_only_seen_rows_are_drawn_and_all_are_reached(module: Callable[..., Module]) -> None:
    m = module()
    m.rows(*(row(f"job-{i:05}", "done", submitted=1e9 - i) for i in range(10_000)), whole=True)
    drawn = m.names()
    assert drawn[0] == "job-00000"
    assert len(drawn) < 40
    m.page.locator(".persist-scroller").evaluate("each => each.scrollTop = each.scrollHeight")
    wait_until(lambda: m.names()[-1] == "job-09999", "the browser's word that it was scrolled")
    expect(m.page.get_by_role("table", name="Jobs")).to_have_attribute("aria-rowcount", "10001")
    expect(m.page.locator("tr[data-name=job-09999]")).to_have_attribute("aria-rowindex", "10001")


def test_what_changes_is_drawn_and_the_rest_stays(module: Callable[..., Module]) -> None:
    m = module()
    m.rows(running("a"), running("b"), whole=True)
    m.names()
    m.page.locator("tr[data-name=a]").evaluate("each => window.a = each")
    m.rows(running("b", done=7), gone=("c",))
    m.pass_time(0.1)
    expect(m.page.locator("tr[data-name=b]")).to_contain_text("70 %")
    assert m.page.evaluate("window.a === document.querySelector('tr[data-name=a]')")
    m.rows(row("b", "done"))
    m.pass_time(0.1)
    expect(m.page.locator("tr[data-name=b]")).not_to_contain_text("epoch")
    m.rows(gone=("a",))
    assert m.names() == ["b"]


def test_samples_go_on_where_they_were(module: Callable[..., Module]) -> None:
    m = module()
    before = running("a")
    m.rows(before, whole=True)
    usage = Usage(time.time(), 5.0, (50.0, 100.0, 200.0), (1e9, 2e9, 3e9))
    m.rows(row("a", progress=before.progress, usage=usage, last_line="epoch 3"))
    m.pass_time(0.1)
    expect(m.page.locator("tr[data-name=a] svg.persist-cpu polyline")).to_have_attribute("points", "9,11.5 10,8.0 11,1.0")
    expect(m.page.locator("tr[data-name=a]")).to_contain_text("200 %")


def test_a_lost_message_is_asked_for_again(module: Callable[..., Module]) -> None:
    m = module()
    m.rows(row("a"), whole=True)
    m.number += 1  # one that never came
    m.rows(row("b"))
    assert m.names() == ["a"]
    assert len(m.sent("resync")) == 1
    m.rows(row("a"), row("b"), whole=True)
    assert sorted(m.names()) == ["a", "b"]


def test_a_lost_message_is_noticed_by_the_next_beat(module: Callable[..., Module]) -> None:
    m = module()
    m.rows(row("a"), whole=True)
    m.beat()
    assert m.sent("resync") == []
    m.number += 1  # "a is done", which never came
    m.beat()
    m.beat()
    assert len(m.sent("resync")) == 1
    m.rows(row("a", "done"), whole=True)
    m.pass_time(0.1)
    expect(m.page.locator("tr[data-name=a]")).to_contain_text("done")


def test_a_page_that_only_overhears_does_not_look_live(module: Callable[..., Module]) -> None:
    m = module()
    kept = [wire.change(wire.values(row("a", "done")), None)]
    m.page.evaluate("keep", {"rows": kept, "total": 1, "time": m.now() - 3600})
    m.number = 7  # what another page has been told
    for _ in range(5):
        m.rows(row("b"))
        m.beat()
    m.pass_time(1.5)
    expect(m.page.get_by_role("alert")).to_contain_text("shown is what was on")
    assert len(m.sent("resync")) == 1


def test_focus_and_pointer_stay_with_their_job(module: Callable[..., Module]) -> None:
    m = module()
    rows = [row(f"job-{i:03}", "done", submitted=1e9 - i) for i in range(200)]
    m.rows(*rows, whole=True)
    m.names()
    m.page.get_by_role("button", name="rerun job-003").focus()
    m.page.locator(".persist-scroller").evaluate("each => each.scrollTop = 3000")
    wait_until(lambda: "job-003" not in m.names(), "the browser's word that it was scrolled")
    m.page.keyboard.press("Enter")
    m.page.locator(".persist-scroller").evaluate("each => each.scrollTop = 0")
    wait_until(lambda: "job-005" in m.names(), "the browser's word that it was scrolled")
    m.page.get_by_role("button", name="rerun job-005").hover()
    m.page.mouse.down()
    m.rows(row("new", submitted=2e9))  # all rows move down
    m.pass_time(0.1)
    m.page.mouse.up()
    m.rows(gone=tuple(f"job-{i:03}" for i in range(6)))
    m.pass_time(0.1)
    assert m.sent("act") == []


def test_what_is_asked_of_a_dead_kernel_is_not_done_later(module: Callable[..., Module]) -> None:
    m = module()
    m.rows(row("a", "done"), row("b", "done"), whole=True)
    m.names()
    m.page.get_by_role("button", name="rerun a").click()
    m.pass_time(15)
    said = m.page.locator(".persist-said")
    expect(said).to_have_text("no answer came: it may have been done, or not")
    m.page.get_by_role("button", name="rerun b").click()
    expect(said).to_have_text("the kernel does not answer; nothing was asked for")
    assert [each["name"] for each in m.sent("act")] == ["a"]
    m.beat()
    m.pass_time(1.1)
    expect(m.page.get_by_role("button", name="rerun a")).to_be_enabled()


def test_the_age_of_what_was_last_seen_grows(module: Callable[..., Module]) -> None:
    m = module()
    m.rows(row("a", seen=m.now() - 40, stale=True), whole=True)
    m.names()
    line = m.page.locator("tr[data-name=a]")
    expect(line).to_contain_text("when last seen 4")
    for _ in range(60):
        m.pass_time(9)
        m.beat()
    m.pass_time(1.1)
    expect(line).to_contain_text("when last seen 9 min ago")


def test_the_focus_is_never_lost_on_a_card(module: Callable[..., Module]) -> None:
    m = module(card="a")
    m.rows(row("a", "done"), whole=True)
    m.pass_time(0.1)
    m.page.get_by_role("button", name="rerun a").focus()
    m.page.keyboard.press("Enter")
    m.say("taken", request=m.sent("act")[-1]["request"])
    m.rows(row("a", "running", run=2))
    expect(m.page.get_by_role("button", name="log a")).to_be_focused()
    m.page.get_by_role("button", name="details a").click()
    m.say("answer", DETAILS, request=m.sent("act")[-1]["request"], ok=True, words="", ask="")
    m.page.get_by_role("tab", name="Outputs").click()
    for _ in range(2):
        m.say("answer", [], request=m.sent("act")[-1]["request"], ok=True, words="", ask="")
        m.page.get_by_role("button", name="refresh").focus()
        m.page.keyboard.press("Enter")
    m.say("answer", [], request=m.sent("act")[-1]["request"], ok=True, words="", ask="")
    expect(m.page.get_by_role("tabpanel")).to_be_focused()


def test_sort_search_and_filter(module: Callable[..., Module]) -> None:
    m = module()
    m.rows(
        row("b", "done", started=100.0, ended=130.0, submitted=3.0),
        row("a", "failed", reason="KeyError", started=100.0, ended=110.0, submitted=2.0),
        row("c", "done", started=100.0, ended=120.0, submitted=1.0),
        whole=True,
    )
    assert m.names() == ["b", "a", "c"]  # the newest first
    head = m.page.get_by_role("columnheader", name="Elapsed")
    for names, sort in ((["a", "c", "b"], "ascending"), (["b", "c", "a"], "descending"), (["b", "a", "c"], "none")):
        head.get_by_role("button").click()
        assert m.names() == names
        expect(head).to_have_attribute("aria-sort", sort)
    m.page.get_by_role("searchbox").fill("keyerr")
    assert m.names() == ["a"]
    m.page.get_by_role("searchbox").fill("")
    m.page.get_by_role("button", name="done 2").click()
    assert m.names() == ["b", "c"]
    m.page.get_by_role("searchbox").fill("nothing has this")
    assert m.names() == []
    expect(m.page.get_by_text("no job fits")).to_be_visible()


def test_cancel_asks_back_and_is_acknowledged(module: Callable[..., Module]) -> None:
    m = module()
    m.rows(row("train"), whole=True)
    m.names()
    m.page.get_by_role("button", name="cancel train").click()
    question = m.page.get_by_role("alertdialog")
    expect(question).to_contain_text("Cancel train? What it has computed is lost")
    expect(question.get_by_role("button", name="Let it run")).to_be_focused()
    m.page.keyboard.press("Escape")
    expect(question).to_be_hidden()
    assert m.sent("act") == []
    m.page.get_by_role("button", name="cancel train").click()
    m.page.get_by_role("button", name="Cancel the job").click()
    (asked,) = m.sent("act")
    assert (asked["verb"], asked["name"], asked["sure"]) == ("cancel", "train", False)
    m.pass_time(0.1)
    expect(m.page.get_by_role("button", name="cancel train")).to_be_disabled()
    said = m.page.locator(".persist-said")
    m.pass_time(0.7)
    expect(said).to_have_text("cancel train: queued, the kernel is busy")
    m.say("taken", request=asked["request"])
    expect(said).to_have_text("cancel train: …")
    m.say("answer", request=asked["request"], ok=True, words="train: cancel asked for", ask="")
    expect(said).to_have_text("train: cancel asked for")
    m.rows(row("train", note="cancel asked for"))
    m.pass_time(0.1)
    expect(m.page.get_by_role("button", name="kill train")).to_be_enabled()


def test_an_answer_in_time_says_nothing_of_a_busy_kernel(module: Callable[..., Module]) -> None:
    m = module()
    m.rows(row("a", "done"), whole=True)
    m.names()
    m.page.get_by_role("button", name="rerun a").click()
    (asked,) = m.sent("act")
    m.say("taken", request=asked["request"])
    m.pass_time(5)
    expect(m.page.locator(".persist-said")).to_have_text("rerun a: …")
    m.say("answer", request=asked["request"], ok=False, words="a: no slot", ask="")
    expect(m.page.locator(".persist-said")).to_have_text("a: no slot")


def test_fetch_asks_back_before_it_overwrites(module: Callable[..., Module]) -> None:
    m = module()
    m.rows(row("a", "done"), whole=True)
    m.names()
    m.page.get_by_role("button", name="fetch a").click()
    (asked,) = m.sent("act")
    m.say("answer", request=asked["request"], ok=False, words="", ask="x, y already in the session.")
    expect(m.page.get_by_role("alertdialog")).to_contain_text("x, y already in the session. Overwrite?")
    m.page.get_by_role("button", name="Overwrite").click()
    assert [each["sure"] for each in m.sent("act")] == [False, True]


def test_a_log_is_followed_until_its_reader_scrolls_up(module: Callable[..., Module]) -> None:
    m = module()
    m.rows(row("a"), whole=True)
    m.names()
    m.page.get_by_role("button", name="log a").click()
    assert m.sent("logs")[-1]["logs"] == [["a", False]]
    log = m.page.get_by_role("log")
    m.say("log", name="a", err=False, part=1, keep=0, text="\n".join(map(str, range(100))) + "\n", before=0)
    m.pass_time(0.1)
    at_end = "each => each.scrollTop + each.clientHeight >= each.scrollHeight - 2"
    assert log.evaluate(at_end)
    m.say("log", name="a", err=False, part=2, keep=100, text="seen\nlast", before=0)
    m.pass_time(0.1)
    expect(log).to_have_text(re.compile(r"98\s+99\s+seen\s+last$"))
    assert log.evaluate(at_end)
    log.evaluate("each => { each.scrollTop = 0; }")
    expect(m.page.get_by_role("button", name="follow")).to_have_attribute("aria-pressed", "false")
    m.say("log", name="a", err=False, part=3, keep=101, text="more\n" * 50, before=0)
    m.pass_time(0.1)
    assert log.evaluate("each => each.scrollTop") == 0
    m.say("log", name="a", err=False, part=5, keep=151, text="one was lost", before=0)
    m.say("log", name="a", err=False, part=6, keep=151, text="one was lost", before=0)
    assert len(m.sent("resync")) == 1
    m.say("log", name="other", err=False, part=9, keep=7, text="another page's", before=0)
    assert len(m.sent("resync")) == 1
    m.page.get_by_role("tab", name="stderr").click()
    assert m.sent("logs")[-1]["logs"] == [["a", True]]
    m.page.get_by_role("button", name="close a").click()
    assert m.sent("logs")[-1]["logs"] == []


def test_a_silent_kernel_is_shown_as_such(module: Callable[..., Module]) -> None:
    m = module()
    m.rows(row("a"), whole=True)
    m.names()
    for _ in range(10):
        m.pass_time(5)
        m.beat()
    banner = m.page.get_by_role("alert")
    expect(banner).to_be_hidden()
    took = m.page.locator("tr[data-name=a] .persist-c-elapsed")
    heard = m.now()
    m.pass_time(14)
    expect(banner).to_contain_text("no word from the kernel since")
    since = "second => new Date(1000 * second).toLocaleTimeString([], { hour12: false })"
    around = [m.page.evaluate(since, heard + second) for second in (-2, -1, 0, 1)]
    assert any(f"since {moment}" in (banner.text_content() or "") for moment in around)  # not when it was noticed
    before = took.text_content()
    m.pass_time(300)
    assert took.text_content() == before  # no clock that looks alive
    m.beat()
    m.pass_time(1.1)
    expect(banner).to_be_hidden()
    assert took.text_content() != before
    m.page.evaluate("fire('comm_live_update')")  # a frontend's word that the kernel was restarted
    expect(banner).to_contain_text("no word from the kernel")


def test_a_kernel_that_is_busy_from_the_start_leaves_what_the_notebook_keeps(module: Callable[..., Module]) -> None:
    m = module()
    kept = [wire.change(wire.values(row("a", "done")), None)]
    m.page.evaluate("keep", {"rows": kept, "total": 70, "time": m.now() - 60})
    assert m.names() == ["a"]
    assert [each["do"] for each in m.sent()] == ["hello"]
    m.pass_time(1.2)
    expect(m.page.get_by_role("alert")).to_contain_text("queued, the kernel is busy; shown is what was on")
    m.pass_time(20)
    expect(m.page.get_by_role("alert")).to_contain_text("the kernel does not answer: it is busy, or there is none")
    expect(m.page.get_by_role("button", name="all 1 of 70")).to_be_visible()
    m.rows(row("a", "done"), row("b"), whole=True)
    assert m.names() == ["b", "a"]
    expect(m.page.get_by_role("alert")).to_be_hidden()


def test_an_idle_page_says_only_that_it_is_there_and_a_closed_one_nothing(module: Callable[..., Module]) -> None:
    m = module()
    m.rows(row("a", "done"), whole=True)
    m.pass_time(61)
    assert [each["do"] for each in m.sent()] == ["hello", "alive", "alive"]
    m.page.evaluate("stopView()")
    assert m.sent()[-1]["do"] == "bye"
    m.pass_time(120)
    assert m.sent()[-1]["do"] == "bye"
    m.page.evaluate("stopModel()")
    assert m.page.evaluate("Object.values(listeners).flat().length") == 0


def test_two_views_share_rows_and_the_last_one_says_bye(module: Callable[..., Module]) -> None:
    m = module()
    m.rows(row("a"), whole=True)
    m.page.evaluate("() => { window.stopOther = show(); }")
    m.pass_time(0.1)
    assert m.page.locator("tr[data-name=a]").count() == 2
    m.page.evaluate("stopOther()")
    assert m.sent("bye") == []
    m.page.evaluate("stopView()")
    assert len(m.sent("bye")) == 1


@pytest.mark.parametrize("width", [1300, 1000, 900])
def test_what_128_cores_and_a_terabyte_do_is_not_cut_off(module: Callable[..., Module], width: int) -> None:
    m = module(width=width)
    m.rows(row("train", usage=Usage(time.time(), 5.0, (50.0, 12800.0), (1e9, 1023e9))), whole=True)
    m.names()
    cells = m.page.locator("tr[data-name=train] td:has(.persist-usage):visible")
    assert cells.count() == (2 if width > 940 else 1)
    assert (
        cells.evaluate_all(
            "cells => cells.filter(each => each.scrollWidth > each.clientWidth).map(each => each.textContent)"
        )
        == []
    )


@pytest.mark.parametrize("width", [1300, 1000, 700, 420])
def test_a_narrow_cell_shows_what_matters(module: Callable[..., Module], width: int) -> None:
    m = module(width=width)
    m.rows(running("train"), row("bad", "failed", reason="ValueError: no"), whole=True)
    m.names()
    place = m.page.locator(".persist-scroller")
    assert place.evaluate("each => each.scrollWidth <= each.clientWidth")
    for name, words, verb in (("train", "running", "cancel"), ("bad", "failed", "clean")):
        expect(m.page.locator(f"tr[data-name={name}]").get_by_text(words, exact=True)).to_be_in_viewport(ratio=1)
        button = m.page.get_by_role("button", name=f"{verb} {name}").bounding_box()
        edge = place.bounding_box()
        assert button is not None
        assert edge is not None
        assert button["x"] + button["width"] <= edge["x"] + edge["width"]
    shown = [head for head in m.page.get_by_role("columnheader").all_inner_texts() if head]
    assert ("CPU" in shown, "Queued for" in shown) == (width >= 1000, width >= 1300)


def test_the_keyboard_reaches_everything(module: Callable[..., Module]) -> None:
    m = module()
    m.rows(*(row(f"job-{i:03}", "done", submitted=1e9 - i) for i in range(500)), whole=True)
    m.names()
    m.page.locator("tr[data-name=job-000]").focus()
    for key, name in (("ArrowDown", "job-001"), ("End", "job-499"), ("ArrowUp", "job-498"), ("Home", "job-000")):
        m.page.keyboard.press(key)
        m.pass_time(0.1)
        expect(m.page.locator(f"tr[data-name={name}]")).to_be_focused()
    m.page.keyboard.press("Tab")
    expect(m.page.get_by_role("button", name="log job-000")).to_be_focused()
    assert m.page.locator("tbody button:not([tabindex='-1'])").count() == 4  # Tab need not pass those of other rows
    m.page.keyboard.press("Enter")
    expect(m.page.get_by_role("region", name="Job job-000")).to_be_visible()
    m.rows(row("new", submitted=2e9))  # all rows move down by one
    m.pass_time(0.1)
    expect(m.page.get_by_role("button", name="log job-000")).to_be_focused()
    assert m.page.locator("[data-lm-suppress-shortcuts]").count() == 1
    m.page.keyboard.press("Control+s")
    assert m.page.locator("[data-lm-suppress-shortcuts]").count() == 0


DETAILS = {
    "facts": [["state", HOSTILE]],
    "native": [["JobState", "RUNNING"]],
    "cell": [["comment", "# %%persist a\n"], ["", HOSTILE]],
    "names": [[HOSTILE, "ndarray (3,) float64", "1 kB", "cell"]],
    "modules": "imports helpers (helpers.py)",
    "runs": [[1, "started"]],
    "launch": HOSTILE,
    "variables": [["result", "float", HOSTILE]],
}


def test_hostile_texts_stay_texts(module: Callable[..., Module]) -> None:
    m = module()
    everywhere = dict.fromkeys(("reason", "note", "source", "id", "backend", "last_line", "staleness"), HOSTILE)
    m.rows(row("a", **everywhere), row("b", "failed", reason="x" * 1_000_000), whole=True)
    m.names()
    m.page.locator("tr[data-name=a]").click(position={"x": 5, "y": 5})
    m.say("answer", DETAILS, request=m.sent("act")[-1]["request"], ok=True, words="", ask="")
    panel = m.page.get_by_role("tabpanel")
    expect(panel).to_contain_text("ndarray (3,) float64")
    expect(panel).to_contain_text("<script>window.hacked = 1</script>")
    m.page.get_by_role("tab", name="Outputs").click()
    put_out = [
        {"kind": kind, "data": HOSTILE} for kind in ("stdout", "stderr", "error", "text", "text/html", "image/svg+xml")
    ]
    put_out.append({"kind": "image/svg+xml", "data": "<svg xmlns='http://www.w3.org/2000/svg' onload='parent.hacked=1'/>"})
    m.say("answer", put_out, request=m.sent("act")[-1]["request"], ok=True, words="", ask="")
    expect(panel.locator("iframe")).to_have_attribute("sandbox", "")
    m.page.get_by_role("tab", name="stdout").click()
    m.say("log", name="a", err=False, part=1, keep=0, text=HOSTILE, before=0)
    expect(m.page.get_by_role("log")).to_contain_text("<script>")
    m.pass_time(2)
    assert m.page.evaluate("window.hacked") is None
    assert m.page.locator("#cell script, #cell img[src=x]").count() == 0


def test_a_card_is_one_job_with_the_same_actions(module: Callable[..., Module]) -> None:
    m = module(card="train")
    m.rows(running("train"), whole=True)
    m.pass_time(0.1)
    card = m.page.locator(".persist-card")
    expect(card).to_contain_text(re.compile(r"train.*running.*local pid 7.*30 %.*100 %.*2\.0 GB.*epoch 3", re.DOTALL))
    m.page.get_by_role("button", name="details train").click()
    m.say("answer", DETAILS, request=m.sent("act")[-1]["request"], ok=True, words="", ask="")
    expect(m.page.get_by_role("tabpanel")).to_contain_text("ndarray (3,) float64")
    m.rows(row("train", "done"))
    expect(m.page.get_by_role("button", name="fetch train")).to_be_visible()
    assert m.sent("act")[-1]["verb"] == "details"  # read again: they are those of a job that has ended
    assert len(m.sent("act")) == 2
    m.rows(gone=("train",))
    expect(card).to_contain_text("deleted")
    expect(card.get_by_role("button", name="fetch train")).to_be_hidden()


# ---------------------------------------------------------------- sweeps


def counts(letters: str) -> Counts:
    return Counts(len(letters), *(letters.count(letter) for letter in "dfcrq"))


def sweep(name: str, letters: str, state: str = "running", **more: Any) -> Any:
    return row(name, state, tasks=counts(letters), **more)


def task(number: int, state: str, **more: Any) -> dict[str, Any]:
    facts = {"task": number, "given": f"x={number}", "state": state, "reason": "", "note": "", "run": 1, "seconds": 2.5}
    return {**facts, "result": "", "stdout": ["", 0], "stderr": ["", 0], **more}


def opened(m: Module, letters: str, state: str = "running") -> Any:
    """Open a sweep of these tasks; return the panel."""
    m.rows(sweep("fit", letters, state), whole=True)
    m.names()
    m.page.locator("tr[data-name=fit]").click(position={"x": 5, "y": 5})
    m.answer("tasks", letters)
    m.pass_time(0.1)
    return m.page.get_by_role("tabpanel")


def asked_of(m: Module) -> list[int]:
    """The tasks of which the page has asked, in order."""
    return [each["task"] for each in m.sent("act") if each["verb"] == "task"]


def test_a_sweep_is_one_row_with_a_bar(module: Callable[..., Module]) -> None:
    m = module()
    letters = "d" * 120 + "fff" + "rr" + "q" * 75
    m.rows(sweep("fit", letters), sweep("all", "dd", "done"), row("one"), whole=True)
    m.names()
    bar = m.page.get_by_role("progressbar", name="tasks of fit")
    expect(bar).to_have_attribute("aria-valuetext", "120 of 200 tasks done, 3 failed, 2 running")
    assert (bar.get_attribute("aria-valuenow"), bar.get_attribute("aria-valuemax")) == ("123", "200")
    widths = "each => [...each.children].map(part => Math.round(part.getBoundingClientRect().width))"
    assert bar.evaluate(widths) == [24, 2, 2]  # few are seen, too
    expect(m.page.locator("tr[data-name=fit]")).to_contain_text("120 of 200 tasks done, 3 failed, 2 running")
    expect(m.page.locator("tr[data-name=fit]")).to_contain_text("61 %")
    expect(m.page.get_by_role("progressbar", name="tasks of all")).to_have_attribute("aria-valuetext", "2 of 2 tasks done")
    expect(m.page.get_by_role("progressbar", name="tasks of one")).to_have_count(0)
    m.rows(sweep("fit", "d" * 150 + "f" * 50, "failed"))
    m.pass_time(0.1)
    expect(m.page.locator("tr[data-name=fit]")).to_contain_text("75 %")
    m.rows(sweep("fit", "d" * 200, "done"))
    m.pass_time(0.1)
    expect(bar).to_have_attribute("aria-valuetext", "200 of 200 tasks done")
    m.page.get_by_role("button", name="Progress").click()
    assert m.names() == ["one", "all", "fit"]
    m.page.get_by_role("button", name="Progress").click()
    assert m.names()[-1] == "one"


def test_what_can_be_done_with_a_sweep(module: Callable[..., Module]) -> None:
    m = module(width=1600)
    m.rows(sweep("fit", "dfq"), sweep("bad", "dfd", "failed"), sweep("good", "dd", "done"), whole=True)
    m.names()

    def shown(name: str) -> list[str]:
        return list(m.page.locator(f"tr[data-name={name}]").get_by_role("button").all_inner_texts())

    assert shown("fit") == ["tasks", "cancel"]
    assert shown("bad") == ["tasks", "fetch", "rerun", "rerun failed", "clean"]
    assert shown("good") == ["tasks", "fetch", "rerun", "clean"]
    m.page.get_by_role("button", name="rerun failed bad").click()
    assert m.sent("act")[-1]["verb"] == "rerun failed"
    assert "task" not in m.sent("act")[-1]
    m.answer("rerun failed", words="bad: run 2, of the tasks that were not done")
    expect(m.page.locator(".persist-said")).to_have_text("bad: run 2, of the tasks that were not done")
    m.page.locator("tr[data-name=fit]").click(position={"x": 5, "y": 5})
    assert m.page.get_by_role("tab").all_inner_texts() == ["Tasks", "Details"]  # each task has a log of its own
    expect(m.page.get_by_role("tab", name="Tasks")).to_have_attribute("aria-selected", "true")
    m.page.get_by_role("tab", name="Details").click()
    m.answer("details", DETAILS)
    expect(m.page.get_by_role("tabpanel")).to_contain_text("ndarray (3,) float64")


@pytest.mark.parametrize("width", [1300, 700, 480])
def test_the_buttons_of_sweeps_have_room(module: Callable[..., Module], width: int) -> None:
    m = module(width=width)
    m.rows(sweep("fit", "dfq"), sweep("bad", "dfd", "failed"), sweep("good", "dd", "done"), whole=True)
    m.names()
    for name, verb in (("fit", "cancel"), ("bad", "rerun failed"), ("bad", "clean"), ("good", "clean")):
        button = m.page.get_by_role("button", name=f"{verb} {name}")
        expect(button).to_be_in_viewport(ratio=1)
        cell = "each => { const inside = each.getBoundingClientRect(), cell = each.closest('td').getBoundingClientRect();"
        assert button.evaluate(f"{cell} return inside.right <= cell.right - 8; }}")


def test_ten_thousand_tasks_are_a_grid_that_the_keyboard_walks_through(module: Callable[..., Module]) -> None:
    m = module()
    letters = "d" * 5_000 + "f" + "d" * 2_000 + "f" + "q" * 2_998
    panel = opened(m, "d5000fd2000fq2998")
    assert panel.locator("*").count() < 60
    for words in ("7000 done", "2 failed", "2998 queued"):
        expect(panel).to_contain_text(words)
    expect(panel.get_by_text("0 cancelled")).to_be_hidden()
    grid = m.page.get_by_role("slider", name="task of fit")
    assert letters[5_000] == "f"
    expect(grid).to_have_attribute("aria-valuetext", "task 5000, failed")  # the first that failed
    field = m.page.get_by_role("spinbutton", name="task")
    expect(field).to_have_value("5000")
    grid.focus()
    keys = {
        "Home": "task 0, done",
        "ArrowRight": "task 1, done",
        "End": "task 9999, queued",
        "ArrowLeft": "task 9998, queued",
    }
    for key, words in keys.items():
        m.page.keyboard.press(key)
        expect(grid).to_have_attribute("aria-valuetext", words)
    m.page.keyboard.press("Home")
    m.page.keyboard.press("ArrowDown")
    line = int(field.input_value())
    assert line > 20
    m.page.keyboard.press("ArrowUp")
    expect(field).to_have_value("0")
    m.page.keyboard.press("ArrowRight")
    m.page.keyboard.press("ArrowUp")  # there is no line above
    expect(field).to_have_value("1")
    expect(grid).to_be_focused()
    for number in (5000, 7001, 5000):
        m.page.get_by_role("button", name="next failed task of fit").click()
        expect(field).to_have_value(str(number))
    field.fill("12")
    expect(grid).to_have_attribute("aria-valuetext", "task 12, done")
    field.fill("10000")  # there is none
    expect(grid).to_have_attribute("aria-valuetext", "task 12, done")
    assert asked_of(m) == [5000]  # one at a time, however fast a reader is
    m.answer("task", task(5000, "failed"))
    m.pass_time(0.1)
    assert asked_of(m) == [5000, 12]
    expect(panel).not_to_contain_text("x=5000")
    m.answer("task", task(12, "done", result="144"))
    expect(panel).to_contain_text(re.compile("Task 12.*done.*2.5 s.*x=12.*144", re.DOTALL))


def pixel(m: Module, x: float, y: float) -> str:
    """What a place of the grid's canvas has for a colour."""
    return str(
        m.page.locator(".persist-tasks-grid canvas").evaluate(
            "(each, [x, y]) => [...each.getContext('2d').getImageData(x, y, 1, 1).data].join()", [x, y]
        )
    )


def test_cells_have_the_colour_of_their_state_and_the_pointer_names_them(module: Callable[..., Module]) -> None:
    m = module()
    opened(m, "dfcrq")
    m.answer("task", task(1, "failed"))
    grid = m.page.get_by_role("slider", name="task of fit")
    done, failed, cancelled, running, queued = (pixel(m, 2 + 18 * at + 8, 2 + 13) for at in range(5))
    assert (done, failed, running) == ("27,110,32,255", "183,28,28,255", "11,87,164,255")
    assert cancelled.endswith(",0")  # only a frame and a line through it
    assert queued.endswith(",0")
    grid.hover(position={"x": 2 + 18 * 3 + 5, "y": 8})
    expect(m.page.locator(".persist-tip")).to_have_text("task 3, running")
    grid.click(position={"x": 2 + 18 * 3 + 5, "y": 8})
    expect(m.page.get_by_role("spinbutton", name="task")).to_have_value("3")
    assert asked_of(m) == [1, 3]
    grid.click(position={"x": 2 + 18 * 7, "y": 8})  # no task is there
    expect(m.page.get_by_role("spinbutton", name="task")).to_have_value("3")
    m.rows(sweep("fit", "dfcdr"))
    m.pass_time(2.1)
    m.answer("tasks", "dfcdr")
    m.pass_time(0.1)
    assert pixel(m, 2 + 18 * 3 + 5, 2 + 3) == done


def test_all_tasks_are_asked_for_again_once_a_second_if_something_changed(module: Callable[..., Module]) -> None:
    m = module()
    opened(m, "drrqq")
    m.answer("task", task(0, "done"))

    def asked() -> int:
        return len([each for each in m.sent("act") if each["verb"] == "tasks"])

    m.pass_time(5)
    assert (asked(), asked_of(m)) == (1, [0])  # nothing has changed
    for letters in ("ddrrq", "dddrr", "ddddr"):
        m.rows(sweep("fit", letters))
    assert asked() == 2
    m.rows(sweep("fit", "ddddd"))
    assert asked() == 2  # the answer is not there
    m.answer("tasks", "ddddr")
    m.rows(sweep("fit", "ddddd"))
    assert asked() == 2
    m.pass_time(2.1)
    assert asked() == 3
    m.answer("tasks", "ddddd")
    expect(m.page.get_by_role("tabpanel")).to_contain_text("5 done")
    m.pass_time(3)
    assert (asked(), asked_of(m)) == (3, [0])
    m.page.get_by_role("button", name="close fit").click()
    m.rows(sweep("fit", "rrrrr", run=2))
    m.pass_time(3)
    assert asked() == 3


def test_a_task_that_runs_is_followed_and_cancelled(module: Callable[..., Module]) -> None:
    m = module()
    panel = opened(m, "rq")
    m.answer("task", task(0, "running", stdout=["epoch 1\n", 0], seconds=1.0))
    log = m.page.get_by_role("log", name="stdout of the task")
    expect(log).to_have_text(re.compile("^epoch 1\\s*$"))
    for note in ("one", "two", "three"):
        m.rows(sweep("fit", "rq", note=note))
    assert asked_of(m) == [0]
    m.pass_time(2.1)
    assert asked_of(m) == [0, 0]
    m.pass_time(3)
    assert asked_of(m) == [0, 0]  # the answer is not there
    text = "".join(f"epoch {at}\n" for at in range(1, 100))
    m.answer("task", task(0, "running", stdout=[text, 5000], seconds=2.0))
    expect(panel).to_contain_text("the end; 5.0 kB stand before it, which %persist_log fit --task 0 shows")
    assert log.evaluate("each => each.scrollTop + each.clientHeight >= each.scrollHeight - 2")
    cancel = m.page.get_by_role("button", name="cancel task 0 of fit")
    cancel.focus()
    m.page.keyboard.press("Enter")
    expect(m.page.get_by_role("alertdialog")).to_contain_text("Cancel task 0 of fit? The others go on.")
    m.page.get_by_role("button", name="Cancel the task").click()
    asked = m.answer("cancel task", words="task 0 of fit: cancel asked for")
    assert (asked["name"], asked["task"]) == ("fit", 0)
    expect(m.page.locator(".persist-said")).to_have_text("task 0 of fit: cancel asked for")
    expect(cancel).to_be_focused()
    m.pass_time(2.1)
    m.answer("task", task(0, "running", note="cancel asked for", stdout=[text, 5000]))
    kill = m.page.get_by_role("button", name="kill task 0 of fit")
    expect(kill).to_be_focused()
    m.rows(sweep("fit", "cr"))
    m.pass_time(2.1)
    m.answer("tasks", "cr")
    m.answer("task", task(0, "cancelled", reason="cancelled by anna", stdout=[text, 5000]))
    m.pass_time(2.1)  # it is asked for once more, since all tasks were asked for meanwhile
    m.answer("task", task(0, "cancelled", reason="cancelled by anna", stdout=[text, 5000]))
    expect(panel).to_contain_text("cancelled by anna")
    expect(kill).to_be_hidden()
    expect(m.page.get_by_role("slider", name="task of fit")).to_be_focused()
    before = len(asked_of(m))
    m.pass_time(5)
    assert len(asked_of(m)) == before


def test_what_a_task_cannot_tell_is_said_and_asked_for_again(module: Callable[..., Module]) -> None:
    m = module()
    panel = opened(m, "df")
    m.answer("task", ok=False, words="the journal cannot be read")
    expect(panel).to_contain_text("the journal cannot be read")
    m.pass_time(2.1)
    assert asked_of(m) == [1, 1]
    m.answer("task", task(1, "failed", reason="ValueError: no"))
    expect(panel).not_to_contain_text("the journal cannot be read")
    expect(panel).to_contain_text("ValueError: no")


def test_hostile_texts_of_a_task_stay_texts(module: Callable[..., Module]) -> None:
    m = module()
    panel = opened(m, "f")
    texts = dict.fromkeys(("given", "reason", "note", "result"), HOSTILE)
    m.answer("task", task(0, "failed", **texts, stdout=[HOSTILE, 0], stderr=[HOSTILE, 0]))
    expect(m.page.get_by_role("log", name="stderr of the task")).to_contain_text("<script>window.hacked = 1</script>")
    assert (panel.text_content() or "").count("<script>window.hacked = 1</script>") == 6
    m.pass_time(2)
    assert m.page.evaluate("window.hacked") is None
    assert m.page.locator("#cell script, #cell img").count() == 0


def test_a_panel_whose_name_becomes_another_kind_of_jobs_is_closed(module: Callable[..., Module]) -> None:
    m = module()
    opened(m, "dr")
    m.rows(row("fit"))
    expect(m.page.get_by_role("tabpanel")).to_have_count(0)


def test_a_sweep_that_takes_the_name_of_a_larger_one_is_shown_anew(module: Callable[..., Module]) -> None:
    m = module()
    panel = opened(m, "d8f")
    m.answer("task", task(8, "failed", reason="ValueError: of the older"))
    m.rows(sweep("fit", "dd", "done", submitted=m.now()))
    m.pass_time(2.1)
    m.answer("tasks", "dd")
    m.answer("task", task(0, "done", result="of the newer"))
    expect(m.page.get_by_role("slider", name="task of fit")).to_have_attribute("aria-valuetext", "task 0, done")
    m.pass_time(2.1)
    m.answer("task", task(0, "done", result="of the newer"))
    expect(panel).to_contain_text("of the newer")
    expect(panel).not_to_contain_text("of the older")


def test_the_card_of_a_sweep_has_the_bar_and_opens_its_tasks(module: Callable[..., Module]) -> None:
    m = module(card="fit")
    m.rows(sweep("fit", "dfr"), whole=True)
    m.pass_time(0.1)
    bar = m.page.get_by_role("progressbar", name="tasks of fit")
    expect(bar).to_have_attribute("aria-valuetext", "1 of 3 tasks done, 1 failed, 1 running")
    expect(m.page.locator(".persist-card")).to_contain_text("1 of 3 tasks done, 1 failed, 1 running")
    m.page.get_by_role("button", name="tasks fit").click()
    m.answer("tasks", "dfr")
    m.answer("task", task(1, "failed", reason="ValueError: no"))
    expect(m.page.get_by_role("tabpanel", name="Tasks of fit")).to_contain_text("ValueError: no")


@pytest.mark.parametrize("light", [True, False], ids=["light", "dark"])
def test_axe_finds_nothing_in_a_sweep(module: Callable[..., Module], light: bool) -> None:
    m = module(light=light)
    panel = opened(m, "d40f3c2r5q20")
    m.rows(sweep("bad", "dfd", "failed"))
    m.answer("task", task(40, "failed", reason="ValueError: no", result="1", stdout=["epoch 1\n" * 99, 5000]))
    expect(panel).to_contain_text("ValueError: no")
    assert faults(m) == []
    m.page.get_by_role("slider", name="task of fit").press("End")
    m.answer("task", task(69, "queued", reason="waiting for its turn", seconds=None))
    expect(m.page.get_by_role("button", name="cancel task 69 of fit")).to_be_visible()
    m.page.get_by_role("slider", name="task of fit").hover(position={"x": 20, "y": 8})
    assert faults(m) == []


def test_in_colab_the_page_pulls(module: Callable[..., Module]) -> None:
    m = module(colab=True)
    m.rows(row("a"), whole=True)
    m.pass_time(6.5)
    assert [(each["do"], each["pull"]) for each in m.sent()] == [("hello", True), *[("alive", True)] * 3]


def faults(m: Module) -> list[tuple[str, list[str]]]:
    """What axe-core finds, but for what belongs to a whole page."""
    found = Axe().run(m.page.main_frame).response["violations"]
    return [
        (each["id"], [node["html"][:200] for node in each["nodes"]])
        for each in found
        if each["id"] not in ("region", "page-has-heading-one", "landmark-one-main")
    ]


@pytest.mark.parametrize("light", [True, False], ids=["light", "dark"])
@pytest.mark.parametrize("shown", ["table", "card"])
def test_axe_finds_nothing(module: Callable[..., Module], light: bool, shown: str) -> None:
    m = module(card="train" if shown == "card" else "", light=light)
    states = [row(state, state, reason="because") for state in ("queued", "done", "failed", "cancelled", "damaged", "empty")]
    m.rows(running("train"), *(states if shown == "table" else []), whole=True)
    m.pass_time(0.2)
    m.page.get_by_role("button", name=re.compile("(cancel|kill) train")).click()
    assert faults(m) == []
    m.page.get_by_role("button", name="Let it run").click()
    m.page.get_by_role("button", name="log train").click()
    m.say("log", name="train", err=False, part=1, keep=0, text="epoch 1\n", before=100)
    assert faults(m) == []
    m.page.get_by_role("tab", name="Details").click()
    pieces = [[kind, "word "] for kind in ("comment", "keyword", "builtin", "definition", "string", "literal", "")]
    m.say("answer", {**DETAILS, "cell": pieces}, request=m.sent("act")[-1]["request"], ok=True, words="", ask="")
    expect(m.page.get_by_role("tabpanel")).to_contain_text("helpers")
    assert faults(m) == []
    m.pass_time(100)
    expect(m.page.get_by_role("alert")).to_be_visible()
    assert faults(m) == []
