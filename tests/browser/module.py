"""The dashboard's module alone in a page, with a kernel that the test plays.

Owns the model that anywidget would give, and how rows become messages: by the package's own `wire`.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page

import persist_magic.views
from persist_magic.monitor import Row
from persist_magic.views import wire

_VIEWS = Path(persist_magic.views.__file__).parent
_BOOT = """async ([source, state]) => {
  const module = await import(URL.createObjectURL(new Blob([source], { type: "text/javascript" })));
  const listeners = {};
  window.sent = [];
  window.model = {
    get: (name) => state[name],
    set() {}, save_changes() {},
    send: (message) => window.sent.push(message),
    on: (event, listener) => (listeners[event] ||= []).push(listener),
    off: (event, listener) => { listeners[event] = (listeners[event] || []).filter((each) => each !== listener); },
  };
  window.listeners = listeners;
  window.fire = (event, ...details) => (listeners[event] || []).forEach((listener) => listener(...details));
  window.say = (message, text) => {
    const bytes = text === null ? [] : [new DataView(new TextEncoder().encode(text).buffer)];
    window.fire("msg:custom", message, bytes);
  };
  window.keep = (snapshot) => { state.snapshot = snapshot; window.fire("change:snapshot"); };
  const widget = module.default();
  window.stopModel = widget.initialize({ model });
  window.show = () => {
    const el = document.createElement("div");
    document.getElementById("cell").append(el);
    const stop = widget.render({ model, el });
    return () => { stop(); el.remove(); };
  };
  window.stopView = window.show();
}"""
_PAGE = """<!doctype html><html lang="en"><head><title>jobs</title><style>{css}</style></head>
<body data-jp-theme-light="{light}" style="background:{back}"><main id="cell" style="width:{width}px"></main></body></html>"""


def message(number: int, rows: Sequence[Row], known: dict[str, wire.Values], **more: Any) -> tuple[dict[str, Any], str]:
    """The kernel's words of some rows: a message, and the text of its bytes."""
    changes = wire.changes(rows, known)
    facts = {"do": "rows", "next": 5.0, "number": number, "unread": 0, "trouble": "", "gone": [], "whole": False}
    return {**facts, "time": time.time(), **more}, json.dumps(changes)


class Module:
    """A page with the widget, and the kernel's words to it."""

    def __init__(
        self,
        browser: Browser,
        card: str = "",
        width: int = 1300,
        light: bool = True,
        colab: bool = False,
        clock: bool = True,
    ) -> None:
        self.context = browser.new_context(viewport={"width": width + 40, "height": 900})
        self.page: Page = self.context.new_page()
        self.page.set_default_timeout(20_000)
        self.errors: list[str] = []
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        if clock:
            self.page.clock.install()
        css = (_VIEWS / "dashboard.css").read_text()
        if not light:
            css += ":root{--jp-ui-font-color1:#fff;--jp-ui-font-color2:#bdbdbd;--jp-layout-color1:#212121;--jp-layout-color2:#424242}"
        back = "#fff" if light else "#111"
        self.page.set_content(_PAGE.format(css=css, width=width, light=str(light).lower(), back=back))
        if colab:
            self.page.evaluate("globalThis.google = { colab: {} }")
        state = {"fields": list(wire.FIELDS), "card": card, "snapshot": {}}
        self.page.evaluate(_BOOT, [(_VIEWS / "dashboard.js").read_text(), state])
        self.number = 0
        self.known: dict[str, wire.Values] = {}

    def close(self) -> None:
        self.context.close()

    def sent(self, do: str = "") -> list[dict[str, Any]]:
        """What the page has said, or what of it is of one kind."""
        return [each for each in self.page.evaluate("sent") if do in ("", each["do"])]

    def say(self, do: str, data: Any = None, **more: Any) -> None:
        self.page.evaluate(
            "([message, text]) => say(message, text)",
            [{"do": do, "next": 5.0, **more}, None if data is None else json.dumps(data)],
        )

    def answer(self, verb: str, data: Any = None, **more: Any) -> dict[str, Any]:
        """Answer the last of what was asked for with a verb; return what that was."""
        asked = next(each for each in reversed(self.sent("act")) if each["verb"] == verb)
        self.say("answer", data, request=asked["request"], **{"ok": True, "words": "", "ask": "", **more})
        return asked

    def rows(self, *rows: Row, whole: bool = False, gone: tuple[str, ...] = (), **more: Any) -> None:
        """Tell of rows, as the kernel does."""
        self.number += 1
        if whole:
            self.known = {}
        told, text = message(self.number, rows, self.known, gone=list(gone), whole=whole, time=self.now(), **more)
        self.page.evaluate("([message, text]) => say(message, text)", [told, text])

    def beat(self) -> None:
        self.say("beat", number=self.number)

    def now(self) -> float:
        """The page's time, seconds since the epoch."""
        return float(self.page.evaluate("Date.now() / 1000"))

    def pass_time(self, seconds: float) -> None:
        self.page.clock.run_for(1000 * seconds)

    def names(self) -> list[str]:
        """The jobs that are drawn, in order."""
        self.pass_time(0.1)
        return list(self.page.evaluate("[...document.querySelectorAll('tr[data-name]')].map(each => each.dataset.name)"))


_NOW = float(int(time.time()))


def row(name: str, state: str = "running", **more: Any) -> Row:
    """A job that was submitted 100 s ago, began 10 s later and, if it has ended, did so 30 s ago."""
    now = _NOW
    facts: dict[str, Any] = {"reason": "", "backend": "local", "id": "pid 7", "run": 1, "submitted": now - 100}
    facts |= {"started": now - 90 if state != "queued" else None, "seen": now}
    facts |= {"ended": now - 30 if state in ("done", "failed", "cancelled") else None}
    return Row(name, state, **{**facts, **more})
