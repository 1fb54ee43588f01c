"""What it costs to watch many jobs: 10,000 job directories, of which 50 live.

Owns how the directories are made (by the project's own store) and the measurements: of looks at them, of what a page is told,
and of a real browser that shows them.
"""

from __future__ import annotations

import os
import resource
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from persist_magic.capture.cell import Source
from persist_magic.job import Job, set_session_root
from persist_magic.monitor import Poller
from persist_magic.processes import ProcessId
from persist_magic.store import Bar, Ended, Handle, Progress, Root, Started, Submitted, Usage, write_atomic, write_new
from persist_magic.submission import load, submit

from .measure import Absolute, timed

JOBS, LIVE, CHANGED = 10_000, 50, 20
IDLE_SECONDS = 12.0


def make_jobs(path: str) -> None:
    """Fill a root: copies of one real job under other names, most of them done, some run by this process."""
    submit("first", Source("cell", "1", "1"), sys.modules["__main__"].__dict__, root=path).job.wait()
    place = Root(path)
    spec = load("first", path).spec()
    me, now = ProcessId.of(os.getpid()), time.time()
    for number in range(JOBS - 1):
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
    """The jobs that live: their hearts beat, and some of them go on."""

    def __init__(self, root: str) -> None:
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
    """Milliseconds of this process's cpu time."""
    before = resource.getrusage(resource.RUSAGE_SELF)
    action()
    after = resource.getrusage(resource.RUSAGE_SELF)
    return 1e3 * (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)


def looks(root: str, live: Running, runs: int) -> Iterator[str]:
    """What it costs to look."""
    poller = Poller(root=root)
    slice_ms = timed(lambda: poller.poll(0.1)) * 1e3
    yield Absolute(f"first rows of {JOBS} jobs", [slice_ms], 200).line()
    first = slice_ms + timed(poller.poll) * 1e3
    assert len(poller.rows) == JOBS
    yield Absolute("all rows, each job read once", [first], 5000).line()
    every = []
    for _ in range(runs + 2):
        live.beat()
        every.append(cpu(poller.poll))
    yield Absolute(f"cpu of a later look, {LIVE} of them live", every[2:], 2).line()


def told(root: str, live: Running, runs: int) -> Iterator[str]:
    """What a kernel tells a page, without a browser."""
    from ..kernels import Kernel, Page, widget_of

    place = Path(tempfile.mkdtemp(prefix="persist-benchmarks-"))
    kernel = Kernel(place, PERSIST_ROOT=root)
    try:
        kernel.run("%load_ext persist_magic")
        page = Page(kernel, widget_of(kernel.messages("%persist_status")))
        page.wait_for(lambda: len(page.rows) == JOBS, "all rows", 120)
        page.hear(3)
        sizes = []
        for at in range(runs):
            page.messages.clear()
            live.beat()
            live.go_on()
            line = f"epoch {at + 1} "
            page.wait_for(lambda line=line: page.rows["job-00000"]["line"].startswith(line), "the change")
            news = [each for each in page.messages if each["do"] == "rows"]
            sizes.append(sum(each["bytes"] for each in news) / 1e3)
        yield Absolute(f"sent for {CHANGED} changed rows", sizes[1:], 5, unit="kB").line()
        page.messages.clear()
        end = time.monotonic() + IDLE_SECONDS
        while time.monotonic() < end:
            live.beat()
            page.hear(1.0)
        others = [each for each in page.messages if each["do"] != "beat"]
        yield Absolute(f"messages in {IDLE_SECONDS:g} s but the heartbeat", [len(others)], 1, unit="").line()
    finally:
        kernel.close()
        shutil.rmtree(place, ignore_errors=True)


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


def painted(root: str, live: Running, runs: int) -> Iterator[str]:
    """What a browser needs."""
    from ..browser.chromium import chromium
    from ..browser.jupyter import Notebook, server
    from ..browser.module import Module, message

    place = Path(tempfile.mkdtemp(prefix="persist-benchmarks-"))
    live.beat()
    with chromium() as browser:
        with server(place, PERSIST_ROOT=root) as jupyter:
            first: list[float] = []
            for at in range(max(3, runs // 10)):
                jupyter.write(f"{at}.ipynb", ["%load_ext persist_magic", "%persist_status"])
                notebook = Notebook(browser, jupyter, f"{at}.ipynb")
                notebook.run(0)
                notebook.page.evaluate(_BEGIN)
                notebook.start(1)
                first.append(float(notebook.page.evaluate(_PAINTED)))
                notebook.shut_down()
            yield Absolute("first paint in JupyterLab, of a new session", first, 500).line()
        poller = Poller(root=root)
        poller.poll()
        page = Module(browser, clock=False)
        page.rows(*poller.table(), whole=True)
        updates = []
        for _ in range(runs):
            live.beat()
            live.go_on()
            poller.poll()
            page.number += 1
            changed = [poller.rows[job.name] for job in live.jobs[:CHANGED]]
            arguments = message(page.number, changed, page.known)
            updates.append(float(page.page.evaluate(_UPDATE, arguments)))
        page.close()
        yield Absolute(f"update of {CHANGED} of {JOBS} rows in the page", updates[2:], 30).line()
    shutil.rmtree(place, ignore_errors=True)


def lines(runs: int) -> Iterator[str]:
    """Measure, and give one line after the other."""
    place = tempfile.mkdtemp(prefix="persist-benchmarks-")
    root = os.path.join(place, "jobs")
    set_session_root(lambda: root)
    try:
        make_jobs(root)
        live = Running(root)
        for part in (looks, told, painted):
            yield from part(root, live, runs)
    finally:
        set_session_root(None)
        shutil.rmtree(place)
