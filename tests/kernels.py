"""Real Jupyter kernels, and a page that talks to the dashboard's widget without a browser.

Owns how cells are run through jupyter_client, and the page's side of the conversation, as dashboard.js has it.
"""

from __future__ import annotations

import json
import os
import queue
import signal
import time
from pathlib import Path
from typing import Any

from jupyter_client import KernelManager

from persist_magic.store import USAGE_SAMPLES
from persist_magic.views.wire import FIELDS

from .conftest import PATIENCE, alive, environment, wait_until


class Kernel:
    """A real kernel; `run` gives what a cell shows and raises what it raises."""

    def __init__(self, directory: Path, **variables: str) -> None:
        self.manager = KernelManager(kernel_name="python3")
        places = {"IPYTHONDIR": str(directory / ".ipython"), "JUPYTER_RUNTIME_DIR": str(directory)}
        self.manager.start_kernel(cwd=str(directory), env=environment(**places, **variables))
        self.client = self.manager.client()
        self.client.start_channels()
        self.client.wait_for_ready(60)
        self.pid = int(self.run("import os; os.getpid()"))

    def messages(self, source: str) -> list[dict[str, Any]]:
        """Run a cell; return what it sends to the page."""
        sent: list[dict[str, Any]] = []
        reply = self.client.execute_interactive(source, output_hook=sent.append, timeout=120)["content"]
        if reply["status"] == "error":
            raise RuntimeError("\n".join(reply["traceback"]))
        return sent

    def run(self, source: str) -> str:
        """Run a cell; return its printed text and its result's text."""
        shown: list[str] = []
        for message in self.messages(source):
            content = message["content"]
            if message["msg_type"] == "stream":
                shown.append(content["text"])
            elif message["msg_type"] in ("execute_result", "display_data"):
                shown.append(content["data"]["text/plain"])
        return "".join(shown)

    def kill(self) -> None:
        os.kill(self.pid, signal.SIGKILL)
        wait_until(lambda: not alive(self.pid), "the kernel's end")
        self.client.stop_channels()
        self.manager.cleanup_resources()

    def close(self) -> None:
        self.client.stop_channels()
        self.manager.shutdown_kernel(now=True)


def start(kernels: list[Kernel], directory: Path, **variables: str) -> Kernel:
    kernels.append(Kernel(directory, **variables))
    return kernels[-1]


def taken(rows: dict[str, dict[str, Any]], changes: list[list[Any]]) -> None:
    """Apply what a page is told of rows, as dashboard.js does it."""
    for name, whole, *pairs in changes:
        row = {} if whole else rows[name]
        for index, value in zip(pairs[::2], pairs[1::2], strict=True):
            row[FIELDS[abs(index)]] = [*row[FIELDS[-index]], value][-USAGE_SAMPLES:] if index < 0 else value
        rows[name] = row


class Page:
    """A browser's page that shows a widget of a kernel.

    Parameters
    ----------
    widget : str
        The widget's id, as the output that shows it has it.
    subshell : bool
        Whether it talks to a subshell of its own, as JupyterLab does where the kernel offers that.

    Attributes
    ----------
    rows : dict of str to dict
        What it has been told of jobs, by field.
    """

    def __init__(self, kernel: Kernel, widget: str, subshell: bool = True, name: str = "page") -> None:
        self._client, self.widget, self.name = kernel.client, widget, name
        self.rows: dict[str, dict[str, Any]] = {}
        self.messages: list[dict[str, Any]] = []
        self.parents: list[str] = []
        self.subshell: str | None = None
        self._requests = 0
        if subshell:
            self._client.control_channel.send(self._client.session.msg("create_subshell_request", {}))
            self.subshell = self._client.get_control_msg(timeout=PATIENCE)["content"]["subshell_id"]
        self.hello = self.say("hello")

    def say(self, do: str, **more: Any) -> str:
        """Say something; return the message's id."""
        content = {"do": do, "page": self.name, "logs": [], "pull": False, **more}
        body = {"comm_id": self.widget, "data": {"method": "custom", "content": content}}
        message = self._client.session.msg("comm_msg", body)
        message["header"]["subshell_id"] = self.subshell
        self._client.shell_channel.send(message)
        return str(message["header"]["msg_id"])

    def hear(self, seconds: float = 0.05) -> list[dict[str, Any]]:
        """Take what has been said until nothing comes for so long."""
        heard = []
        while True:
            try:
                message = self._client.get_iopub_msg(timeout=seconds)
            except queue.Empty:
                return heard
            body = message["content"]
            if message["msg_type"] != "comm_msg" or body["comm_id"] != self.widget or body["data"]["method"] != "custom":
                continue
            content = body["data"]["content"]
            if message["buffers"]:
                content["data"] = json.loads(bytes(message["buffers"][0]))
                content["bytes"] = len(message["buffers"][0])
            self.parents.append(message["parent_header"].get("msg_id", ""))
            self.messages.append(content)
            heard.append(content)
            if content["do"] == "rows":
                self._take(content)

    def _take(self, content: dict[str, Any]) -> None:
        if content["whole"]:
            self.rows.clear()
        for name in content["gone"]:
            self.rows.pop(name, None)
        taken(self.rows, content["data"])

    def wait_for(self, condition: Any, what: str, seconds: float = PATIENCE) -> Any:
        """Hear until a condition of the page holds; return it."""
        return wait_until(lambda: (self.hear(), condition())[1], what, seconds)

    def answer(self, do: str, seconds: float = PATIENCE) -> dict[str, Any]:
        """The next message of a kind."""
        return self.wait_for(lambda: next((each for each in self.messages if each["do"] == do), None), do, seconds)

    def act(self, verb: str, name: str, sure: bool = False, **more: Any) -> dict[str, Any]:
        """Ask for something; return the answer, with the seconds that it took."""
        self._requests += 1
        request, begin = f"{self.name} {self._requests}", time.monotonic()
        self.say("act", request=request, verb=verb, name=name, sure=sure, **more)

        def answered() -> dict[str, Any] | None:
            return next((each for each in self.messages if each["do"] == "answer" and each["request"] == request), None)

        answer: dict[str, Any] = self.wait_for(answered, f"the answer to {verb} {name}")
        return {**answer, "seconds": time.monotonic() - begin}


def widget_of(messages: list[dict[str, Any]]) -> str:
    """The id of the widget that a cell shows."""
    (shown,) = [each for each in messages if each["msg_type"] in ("display_data", "execute_result")]
    return str(shown["content"]["data"]["application/vnd.jupyter.widget-view+json"]["model_id"])
