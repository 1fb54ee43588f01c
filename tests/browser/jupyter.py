"""A Jupyter server of its own, and a notebook in the browser as its reader works with it.

Owns the server's processes and settings, and how cells are run and read through the page. Used by tests, benchmarks and
the script that takes the README's pictures.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import nbformat
from playwright.sync_api import Browser, Locator, Page, expect

from ..conftest import environment, wait_until

TOKEN = "tests"
SECONDS = 60.0
_FAMILIES = {"lab": "/lab/tree/{name}?reset&token={token}", "notebook": "/notebooks/{name}?token={token}"}
_FIND = "[...window.jupyterapp.shell.widgets('main')].find(each => each.sessionContext)"


class Server:
    """JupyterLab and Notebook 7 on loopback; kernels inherit its environment."""

    def __init__(self, port: int, directory: Path) -> None:
        self.address, self.directory = f"http://127.0.0.1:{port}", directory

    def write(self, name: str, cells: Sequence[str]) -> None:
        """Write a notebook."""
        kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
        notebook = nbformat.v4.new_notebook(metadata={"kernelspec": kernel})
        notebook.cells = [nbformat.v4.new_code_cell(cell) for cell in cells]
        nbformat.write(notebook, self.directory / name)

    def call(self, path: str, method: str = "GET") -> bytes:
        request = urllib.request.Request(f"{self.address}{path}", method=method, headers={"Authorization": f"token {TOKEN}"})
        with urllib.request.urlopen(request, timeout=SECONDS) as answer:
            return bytes(answer.read())


@contextlib.contextmanager
def server(directory: Path, **variables: str) -> Iterator[Server]:
    """Start a server whose notebooks lie in `directory` and whose settings nobody else shares."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    own = directory / ".jupyter"
    places = {f"JUPYTER_{what}_DIR": str(own / what.lower()) for what in ("CONFIG", "DATA", "RUNTIME")}
    command = [sys.executable, "-m", "jupyterlab", "--allow-root", "--no-browser", "--ip=127.0.0.1", f"--port={port}"]
    command += ["--ServerApp.port_retries=0", f"--IdentityProvider.token={TOKEN}", f"--ServerApp.root_dir={directory}"]
    command += ["--LabApp.expose_app_in_browser=True", "--JupyterNotebookApp.expose_app_in_browser=True"]
    command += ["--LabApp.news_url=", "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate"]
    command += ["--LabApp.extension_manager=readonly"]
    (own / "config" / "labconfig").mkdir(parents=True, exist_ok=True)
    # it asks whether it may fetch news
    quiet = {"disabledExtensions": {"@jupyterlab/apputils-extension:announcements": True}}
    (own / "config" / "labconfig" / "page_config.json").write_text(json.dumps(quiet))
    with (own / "log").open("w") as log:
        process = subprocess.Popen(
            command,
            cwd=directory,
            env=environment(**places, IPYTHONDIR=str(own / "ipython"), **variables),
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    started = Server(port, directory)

    def ready() -> bool:
        assert process.poll() is None, (own / "log").read_text()
        with contextlib.suppress(OSError):
            started.call("/api/status")
            return True
        return False

    try:
        wait_until(ready, "the server")
        yield started
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


class Notebook:
    """A notebook in the browser."""

    def __init__(self, browser: Browser, server: Server, name: str, family: str = "lab", **context: Any) -> None:
        self.server, self.name = server, name
        self.context = browser.new_context(viewport={"width": 1440, "height": 1000}, **context)
        self.context.set_default_timeout(1000 * SECONDS)
        self.page: Page = self.context.new_page()
        self.asked_for: list[str] = []
        self.errors: list[str] = []
        self.page.on("request", lambda request: self.asked_for.append(request.url))
        self.page.on("pageerror", self._take_error)
        self._path = _FAMILIES[family].format(name=name, token=TOKEN)
        self.open()

    def _take_error(self, error: Any) -> None:
        """An error in our module, which is loaded from a blob; the application has some of its own."""
        if "blob:" in (error.stack or ""):
            self.errors.append(error.stack)

    def open(self) -> None:
        """Load the page, or load it again."""
        self.page.goto(self.server.address + self._path)
        self.page.wait_for_selector(".jp-Notebook .jp-Cell")
        idle = f"() => window.jupyterapp && ({_FIND})?.sessionContext.session?.kernel?.status === 'idle'"
        self.page.wait_for_function(idle)

    def cell(self, at: int) -> Locator:
        return self.page.locator(".jp-Notebook .jp-Cell").nth(at)

    def output(self, at: int) -> Locator:
        """What a cell shows."""
        return self.cell(at).locator(".jp-Cell-outputArea")

    def start(self, at: int) -> None:
        """Run a cell as its reader does: a click into it, Shift and Enter. Its number, which an older run gave it, is gone before."""
        self.page.evaluate(f"at => {{ ({_FIND}).content.widgets[at].model.executionCount = null; }}", at)
        expect(self.cell(at).locator(".jp-InputPrompt").first).not_to_have_text(re.compile(r"\d"))
        self.cell(at).locator(".cm-content").click()
        self.page.keyboard.press("Shift+Enter")

    def run(self, at: int) -> None:
        """Run a cell, and wait for its end."""
        self.start(at)
        self.finish(at)

    def finish(self, at: int) -> None:
        """Wait for a cell's end."""
        expect(self.cell(at).locator(".jp-InputPrompt").first).to_have_text(re.compile(r"\[\d+\]"), timeout=1000 * SECONDS)

    def execute(self, command: str) -> None:
        """A command of the application's, as from its menu."""
        self.page.evaluate("command => window.jupyterapp.commands.execute(command)", command)

    def restart(self) -> None:
        """Restart the kernel, as from the menu."""
        self.page.evaluate(f"() => ({_FIND}).sessionContext.session.kernel.restart()")

    def kernel(self) -> str:
        """The kernel's id."""
        return str(self.page.evaluate(f"() => ({_FIND}).sessionContext.session.kernel.id"))

    def close(self) -> None:
        """Close the page, as its reader closes the browser."""
        self.context.close()

    def shut_down(self) -> None:
        """End the kernel, too."""
        with contextlib.suppress(Exception):
            kernel = self.kernel()
            self.server.call(f"/api/kernels/{kernel}", "DELETE")
        self.close()
