"""What it costs to watch many jobs: 10,000 job directories, of which 50 live.

Owns how the directories are made (by the project's own store) and the measurements: of looks at them, of what a page is told
beside plain ipywidgets, and of a real browser that shows them.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from persist_magic.capture.cell import Source
from persist_magic.job import Job
from persist_magic.monitor import Poller
from persist_magic.processes import ProcessId
from persist_magic.session import set_session_root
from persist_magic.store import Bar, Ended, Handle, Progress, Root, Started, Submitted, Usage, write_atomic, write_new
from persist_magic.submission import load, submit

from ..kernels import Kernel, Page, widget_of
from .measure import Comparison, Measurement, Missing, Setting, equal, folder, in_memory, in_turns, timed

if TYPE_CHECKING:
    from playwright.sync_api import Browser

    from ..browser.jupyter import Server

LIVE, CHANGED = 50, 20


def make_jobs(path: str, count: int) -> None:
    """Fill a root: copies of one real job under other names, most of them done, some run by this process."""
    submit("first", Source("cell", "1", "1"), sys.modules["__main__"].__dict__, root=path).job.wait()
    place = Root(path)
    spec = load("first", path).spec()
    me, now = ProcessId.of(os.getpid()), time.time()
    for number in range(count - 1):
        name, live = f"job-{number:05}", number < LIVE
        with place.new_directory(name) as work:
            run = work.run(1)
            write_new(work.spec_path, replace(spec, name=name).to_bytes(), sync=False)
            write_new(work.handle_path, Handle("local", 1, now, f"pid {me.pid}", me).to_bytes(), sync=False)
            write_new(run.submitted_path, Submitted(now, "me", me.host, (), {}).to_bytes(), sync=False)
            write_new(run.started_path, Started(now, me, me if live else None).to_bytes(), sync=False)
            write_new(run.heartbeat_path, b"", sync=False)
            write_new(run.stdout_path, b"epoch 1\nepoch 2\n", sync=False)
            if not live:
                write_new(run.ended_path, Ended(now, "done", "", 0, None, 1.0, 1, "").to_bytes(), sync=False)
            place.publish(work, replace=False)
    os.utime(path, (now - 60, now - 60))  # as if the last one had been submitted a while ago


class Running:
    """The jobs that live, of so many: their hearts beat, and some of them go on."""

    def __init__(self, root: str, count: int) -> None:
        self.count = count
        self.jobs = [Job(f"job-{number:05}", root) for number in range(LIVE)]
        self._step = 0

    def beat(self) -> None:
        for job in self.jobs:
            os.utime(job.directory.run(1).heartbeat_path)

    def go_on(self) -> None:
        """A line, a step of a bar and a sample more, of `CHANGED` jobs."""
        self._step += 1
        now = time.time()
        cpu = tuple(float(10 * each) for each in range(self._step))
        for job in self.jobs[:CHANGED]:
            run = job.directory.run(1)
            progress = Progress(now, (Bar("epochs", self._step, 1000, "it", float(self._step)),))
            write_atomic(run.progress_path, progress.to_bytes(), sync=False)
            usage = Usage(now, 5.0, cpu, tuple(1e9 + 1e7 * each for each in cpu))
            write_atomic(run.usage_path, usage.to_bytes(), sync=False)
            with Path(run.stdout_path).open("a") as log:
                log.write(f"epoch {self._step} loss {1 / self._step:.4f}\n")


def cpu(action: Callable[[], object]) -> float:
    """Seconds of this process's cpu time."""
    begin = time.process_time()
    action()
    return time.process_time() - begin


def looks(root: str, live: Running, setting: Setting) -> Iterator[Comparison]:
    """What it costs to look."""
    poller = Poller(root=root)

    def first() -> dict[str, float]:
        nonlocal poller
        poller = Poller(root=root)
        at_once = timed(lambda: poller.poll(0.1))
        whole = at_once + timed(poller.poll)
        equal(len(poller.rows), live.count)
        return {"first": at_once, "all": whole}

    def again() -> float:
        live.beat()
        return cpu(poller.poll)

    taken = in_turns({"": first}, setting.fewest)
    yield Comparison(f"first rows of {live.count:,} jobs", taken["first"], goal=0.2)
    yield Comparison(f"all rows of {live.count:,} jobs, each read once", taken["all"], goal=5.0)
    poller.poll()  # the second look at what has just ended is the last one
    later = in_turns({"ours": again}, setting.runs)["ours"]
    yield Comparison(f"cpu of a later look, {LIVE} of them live", later, goal=2e-3)


_PLAIN = """
import ipywidgets
rows = [[f"job-{{number:05}}", "running" if number < {live} else "done", "local", "1:40", "epoch 2"] for number in range({jobs})]
def shown():
    lines = ("<tr>" + "".join(f"<td>{{cell}}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table>{{''.join(lines)}}</table>"
def change(step):
    for row in rows[:{changed}]:
        row[-1] = f"epoch {{step}} loss {{1 / step:.4f}}"
    table.value = shown()
table = ipywidgets.HTML(shown())
"""


def plain(kernel: Kernel, count: int) -> Iterator[int]:
    """The same rows in an ipywidgets.HTML, whose value is set anew when some change: the bytes of each time."""
    kernel.run(_PLAIN.format(live=LIVE, jobs=count, changed=CHANGED))
    kernel.messages("table")
    for step in itertools.count(1):
        news = [each["content"]["data"] for each in kernel.messages(f"change({step})") if each["msg_type"] == "comm_msg"]
        assert f"epoch {step} loss" in news[-1]["state"]["value"]
        yield sum(len(json.dumps(each).encode()) for each in news)


def dashboard(page: Page, live: Running) -> Iterator[int]:
    """The dashboard, when some rows change: the bytes of each time."""
    for step in itertools.count(1):
        page.messages.clear()
        live.beat()
        live.go_on()
        page.wait_for(lambda step=step: page.rows["job-00000"]["line"].startswith(f"epoch {step} "), "the change")
        yield sum(each["bytes"] for each in page.messages if each["do"] == "rows")


def weighed(kernel: Kernel, changes: Iterator[int], who: str) -> Measurement:
    """Bytes and the kernel's cpu of each change, without what it takes to ask for the time."""

    def cpu_so_far() -> float:
        return float(kernel.run("time.process_time()"))

    def one() -> dict[str, float]:
        asked, before = cpu_so_far(), cpu_so_far()
        size = next(changes)
        return {f"{who} bytes": size, f"{who} cpu": cpu_so_far() - before - (before - asked)}

    return one


def told(root: str, live: Running, setting: Setting) -> Iterator[Comparison]:
    """What a kernel tells a page, without a browser."""
    with folder() as place, contextlib.ExitStack() as stack:
        ours, theirs = (stack.enter_context(contextlib.closing(Kernel(place, PERSIST_ROOT=root))) for _ in range(2))
        for kernel in (ours, theirs):
            kernel.run("import time")
        ours.run("%load_ext persist_magic")
        page = Page(ours, widget_of(ours.messages("%persist_status")))
        page.wait_for(lambda: len(page.rows) == live.count, "all rows", 120)
        page.hear(3)
        changes = {
            "ours": weighed(ours, dashboard(page, live), "ours"),
            "plain": weighed(theirs, plain(theirs, live.count), "plain"),
        }
        taken = in_turns(changes, setting.either(30, 5))
        what = f"{CHANGED} of {live.count:,} rows change"
        yield Comparison(f"sent when {what}", taken["ours bytes"], goal=5000, unit="B")
        peer = "ipywidgets.HTML"
        note = "not the same: the table as one text that is set anew, of rows that nobody had to read"
        yield Comparison(f"sent when {what}", taken["ours bytes"], peer, taken["plain bytes"], note=note, unit="B")
        yield Comparison(f"the kernel's cpu when {what}", taken["ours cpu"], peer, taken["plain cpu"], note=note)
        page.hear(1)
        page.messages.clear()
        seconds = setting.either(12.0, 4.0)
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            live.beat()
            page.hear(1.0)
        others = [each for each in page.messages if each["do"] != "beat"]
        yield Comparison(f"messages of {seconds:g} idle seconds but the heartbeat", [len(others)], goal=0, unit="")


_PAINTED = """() => new Promise((settle) => {
  const look = (now) => document.querySelector("tr[data-name]") ? settle(now - window.begun) : requestAnimationFrame(look);
  requestAnimationFrame(look);
})"""
_BEGIN = """() => document.addEventListener("keydown", (event) => {
  if (event.key === "Enter") window.begun = performance.now();
}, { capture: true })"""
_UPDATE = """([message, text]) => new Promise((settle) => {
  const begin = performance.now();
  say(message, text);
  requestAnimationFrame(() => {
    const { port1, port2 } = new MessageChannel(); // after the frame that paints it
    port1.onmessage = () => settle(performance.now() - begin);
    port2.postMessage(0);
  });
})"""


def painted(root: str, live: Running, setting: Setting) -> Iterator[Comparison]:
    """What a browser needs."""
    from ..browser.chromium import NoChromium, chromium
    from ..browser.jupyter import server

    live.beat()
    with folder() as place, contextlib.ExitStack() as stack:
        try:
            browser = stack.enter_context(chromium())
        except NoChromium as error:
            raise Missing(str(error)) from None
        with server(place, PERSIST_ROOT=root) as jupyter:
            first = in_turns({"": first_paint(browser, jupyter)}, 3)[""]
        yield Comparison("first paint in JupyterLab, of a new session", first, goal=0.5)
        updates = in_turns({"": page_update(browser, root, live)}, setting.runs)[""]
        yield Comparison(f"update of {CHANGED} of {live.count:,} rows in the page", updates, goal=0.03)


def first_paint(browser: Browser, jupyter: Server) -> Measurement:
    """From Shift+Enter until rows are there, in a new session each time."""
    from ..browser.jupyter import Notebook

    numbers = itertools.count()

    def one() -> float:
        name = f"{next(numbers)}.ipynb"
        jupyter.write(name, ["%load_ext persist_magic", "%persist_status"])
        notebook = Notebook(browser, jupyter, name)
        notebook.run(0)
        notebook.page.evaluate(_BEGIN)
        notebook.start(1)
        took = float(notebook.page.evaluate(_PAINTED))
        notebook.shut_down()
        return took / 1e3

    return one


def page_update(browser: Browser, root: str, live: Running) -> Measurement:
    """From the message to the painted frame, in the dashboard's module alone."""
    from ..browser.module import Module, message

    poller = Poller(root=root)
    poller.poll()
    page = Module(browser, clock=False)
    page.rows(*poller.table(), whole=True)

    def one() -> float:
        live.beat()
        live.go_on()
        poller.poll()
        page.number += 1
        changed = [poller.rows[job.name] for job in live.jobs[:CHANGED]]
        return float(page.page.evaluate(_UPDATE, message(page.number, changed, page.known))) / 1e3

    return one


def comparisons(setting: Setting) -> Iterator[Comparison]:
    """Measure, one after the other."""
    with folder(in_memory()) as place:
        root = str(place / "jobs")
        set_session_root(lambda: root)
        count = setting.either(10_000, 2000)
        make_jobs(root, count)
        live = Running(root, count)
        for some in (looks, told, *(() if setting.quick else (painted,))):
            yield from some(root, live, setting)
