"""The live dashboard and the card of a job: widgets that go on while the kernel computes.

Owns the kernel's side of the conversation with dashboard.js: who looks, what each page has been told, what it asks for.

A page says hello and from time to time that it is still there; it is told of rows, of logs that it has opened, and at least
every `BEAT_SECONDS` that the kernel lives. Rows go out from the monitor's thread, not from the kernel's main one, so that a
cell that computes holds nothing up. Until a page has said hello, which a kernel without subshells hears only when it is
idle, the trait `snapshot` is kept up to date instead; it is also what remains when no kernel is there.
"""

from __future__ import annotations

import contextvars
import json
import threading
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anywidget
import traitlets

from ..capture.environment import ipython_shell
from ..errors import NameTaken, PersistError, UsageError
from ..job import Job
from ..monitor import ENDED, Poller, Row, monitor
from ..session import default_root
from ..store import Root
from ..submission import load
from ..text import harmless
from . import page as static
from . import table, wire
from .actions import ACTIONS, READING, Request
from .subshells import let_the_page_choose
from .tail import Tail

BEAT_SECONDS = 5.0
"""The longest silence towards a page, of which it may conclude that the kernel does not answer."""
_ENDED_BEAT_SECONDS = 60.0
"""The same for a card of a job that has ended, of which no news is expected."""
PAGE_SECONDS = 120.0
"""A page that has said nothing for so long is gone; browsers let hidden ones speak once a minute."""
FIRST_SECONDS = 0.2
"""How long the cell that shows a dashboard reads jobs itself."""
UNHEARD_SECONDS = 5.0
"""A page that an idle kernel has not heard by then is not going to be heard: JupyterLab 4.6 sends what it says to a subshell
of the kernel that was there before, if that one was restarted by somebody else, or died."""
MOST_ROWS = 50
"""How many rows the notebook keeps for readers without a kernel."""

Bundle = tuple[dict[str, Any], dict[str, Any]]
"""A notebook's output: its forms by MIME type, and their metadata."""

_HERE = Path(__file__).parent


@dataclass
class _Page:
    """A browser's page with at least one view of the widget.

    Attributes
    ----------
    heard : float
        When it last said something, on the monotonic clock.
    logs : set of (name, err)
        Those that it shows.
    """

    heard: float
    logs: set[tuple[str, bool]] = field(default_factory=set)


class Jobs(anywidget.AnyWidget):
    """The widget: jobs of a root in a table, or one of them as a card.

    Parameters
    ----------
    root : str
    names : sequence of str, optional
        The jobs; all that there are if not given.
    card : bool
        Whether to show the one job as a card.
    """

    _esm = (_HERE / "dashboard.js").read_text()
    _css = (_HERE / "dashboard.css").read_text()

    fields = traitlets.List(traitlets.Unicode(), list(wire.FIELDS)).tag(sync=True)
    card = traitlets.Unicode().tag(sync=True)
    snapshot = traitlets.Dict().tag(sync=True)

    def __init__(self, root: str, names: Sequence[str] | None = None, card: bool = False) -> None:
        self._watcher = _Watcher(self, root, frozenset(names) if names is not None else None)
        super().__init__(card=names[0] if card and names else "")
        self.on_msg(self._watcher.hear)
        let_the_page_choose(self.comm)

    def begin(self) -> list[Row]:
        """Get ready to be shown; return the rows."""
        return self._watcher.begin()


_shown: dict[tuple[str, frozenset[str] | None, bool], Jobs] = {}


def _widget(root: str, names: Sequence[str] | None, card: bool) -> Jobs:
    """The widget that shows these jobs: one, whatever the number of its views."""
    key = root, frozenset(names) if names is not None else None, card
    if key not in _shown or _shown[key].comm is None:  # a frontend may close it
        if not _shown:
            _listen()
        _shown[key] = Jobs(root, names, card)
    return _shown[key]


def _listen() -> None:
    """Let the monitor know when the kernel computes."""
    monitor.cell_begins()  # the one that shows the first widget
    events = ipython_shell().events
    events.register("pre_run_cell", monitor.cell_begins)
    events.register("post_run_cell", monitor.cell_ends)


def bundle(names: Sequence[str] | None = None) -> Bundle:
    """Return the dashboard of some jobs, or of all; readers without a kernel see a static table."""
    widget = _widget(Root(default_root()).path, names, card=False)
    rows = widget.begin()
    chosen = newest(rows, MOST_ROWS)
    rest = f"\n… and {len(rows) - len(chosen)} more" if len(chosen) < len(rows) else ""
    return _bundle(widget, static.table(chosen, len(rows)), f"{table.table(chosen)}{rest}")


def job_bundle(job: Job) -> Bundle:
    """Return a job's card."""
    widget = _widget(str(job.path.parent), [job.name], card=True)
    rows = widget.begin()
    return _bundle(widget, static.table(rows, len(rows)), repr(job))


def _bundle(widget: Jobs, html: str, text: str) -> Bundle:
    """The widget, with what is seen where it cannot be."""
    data, metadata = widget._repr_mimebundle_() or ({}, {})
    return {**data, "text/html": html, "text/plain": text}, metadata


def newest(rows: Sequence[Row], most: int) -> list[Row]:
    """Return at most so many rows, by name: those of jobs that live, then of those that ended last."""
    ordered = sorted(rows, key=lambda row: (row.state in ENDED, -(row.ended or row.submitted or 0.0)))
    return sorted(ordered[:most], key=lambda row: row.name)


class _Watcher:
    """One widget's conversation with the pages that show it; a `monitor.View`."""

    def __init__(self, widget: Jobs, root: str, names: frozenset[str] | None) -> None:
        self.root, self.names = root, names
        self._widget = widget
        self._lock = threading.RLock()
        self._pages: dict[str, _Page] = {}
        self._awaited_since: float | None = None  # the first page, on the monotonic clock
        self._context = contextvars.copy_context()
        self._version = -1  # of the poller's rows, as far as the pages have been told; -1 is not at all
        self._number = 0  # of the last message with rows
        self._sent: dict[str, wire.Values] = {}
        self._told_of = (-1, "")  # jobs that are still to be read, and trouble
        self._tails: dict[tuple[str, bool], Tail] = {}
        self._spoke = 0.0

    def _shown(self, rows: Iterable[Row]) -> list[Row]:
        return [row for row in rows if self.names is None or row.name in self.names]

    # ---- the beginning

    def begin(self) -> list[Row]:
        """Fill the snapshot, and wait for the first page; return the rows."""
        with self._lock:
            self._awaited_since = time.monotonic()
            self._context = contextvars.copy_context()
        rows, unread = monitor.snapshot(self.root, self.names, FIRST_SECONDS)
        self._take_snapshot(rows, unread, unheard=False)
        monitor.attach(self)
        return rows

    def _take_snapshot(self, rows: Sequence[Row], unread: int, unheard: bool) -> None:
        taken = [wire.change(wire.values(row), None) for row in newest(rows, MOST_ROWS)]
        known = {"rows": taken, "total": len(rows) + unread, "unheard": unheard}
        if {name: self._widget.snapshot.get(name) for name in known} != known:
            self._widget.snapshot = {**known, "time": time.time()}

    # ---- what a page says

    def hear(self, _: Any, content: dict[str, Any], __: Any) -> None:
        """Take a message of a page. This may be the kernel's main thread, or one of a subshell."""
        what, page = str(content.get("do")), str(content.get("page"))
        with self._lock:
            if what == "bye":
                self._pages.pop(page, None)
                return
            self._awaited_since = None
            if page not in self._pages or what in ("hello", "resync"):  # all anew, logs from their beginnings
                self._pages[page] = _Page(0.0)
                self._version, self._sent, self._told_of = -1, {}, (-1, "")
            known = self._pages[page]
            known.heard = time.monotonic()
            # messages that follow belong to the page's own, not to whatever cell runs
            self._context = contextvars.copy_context()
            if "logs" in content:
                self._open_logs(known, {(str(name), bool(err)) for name, err in content["logs"]})
        action = (contextvars.copy_context(), content)
        if content.get("pull"):  # Colab shows only what is sent while a message of the page is handled
            monitor.detach(self)
            if what == "act":
                self._act(*action)
            monitor.look_for(self)
            return
        if what == "act":  # a scheduler may take its time
            threading.Thread(target=self._act, args=action, name="persist_magic action", daemon=True).start()
        monitor.attach(self)

    def _open_logs(self, page: _Page, logs: set[tuple[str, bool]]) -> None:
        for each in logs - page.logs:
            if each in self._tails:
                self._tails[each].restart()
        page.logs = logs

    # ---- what a page is told

    def look(self, poller: Poller, trouble: str) -> bool:
        """Tell the pages what is new; see `monitor.View`."""
        with self._lock:
            now = time.monotonic()
            if not monitor.busy:  # a kernel without subshells hears nothing while it computes
                silent = now - PAGE_SECONDS
                self._pages = {
                    name: page for name, page in self._pages.items() if max(page.heard, monitor.idle_since) > silent
                }
            if not self._pages:
                if self._awaited_since is None:
                    return False
                waited = 0.0 if monitor.busy else now - max(self._awaited_since, monitor.idle_since)
                if waited > PAGE_SECONDS:
                    return False
                rows = self._shown(poller.rows.values())
                unread = poller.unread_of(self.names)
                self._context.run(self._take_snapshot, rows, unread, waited > UNHEARD_SECONDS)
                return True
            try:
                self._context.run(self._tell, poller, trouble)
            except Exception as error:  # noqa: BLE001  the pages are told of it; the next poll tells all anew
                self._version, self._sent, self._told_of = -1, {}, (-1, "")
                self._say({"do": "beat", "trouble": harmless(f"{type(error).__name__}: {error}")})
            return True

    def _tell(self, poller: Poller, trouble: str) -> None:
        whole = self._version < 0
        news = poller.since(self._version)
        written = wire.changes(self._shown(news.rows), self._sent)
        for name in news.gone:
            self._sent.pop(name, None)
        self._version = news.version
        gone = [name for name in news.gone if self.names is None or name in self.names] if not whole else []
        unread = poller.unread_of(self.names)
        if whole or written or gone or self._told_of != (unread, trouble):
            self._told_of = unread, trouble
            self._number += 1
            told = {"do": "rows", "whole": whole, "number": self._number, "gone": gone, "unread": unread}
            self._say({**told, "trouble": harmless(trouble), "time": time.time()}, written)
        for each in list(self._tails):
            if not any(each in page.logs for page in self._pages.values()):
                del self._tails[each]
        for each in set().union(*(page.logs for page in self._pages.values())):
            self._tell_log(*each)
        if time.monotonic() - self._spoke > self._beat() - 0.5:
            self._say({"do": "beat", "number": self._number})

    def _beat(self) -> float:
        """The longest silence, seconds."""
        ended = bool(self._widget.card) and not self._sent
        return _ENDED_BEAT_SECONDS if ended else BEAT_SECONDS

    def _tell_log(self, name: str, err: bool) -> None:
        try:
            if (name, err) not in self._tails:
                self._tails[name, err] = Tail(Job(name, self.root), err)
            change = self._tails[name, err].change()
        except (PersistError, OSError):  # deleted, or damaged, of which the row tells
            self._tails.pop((name, err), None)
            return
        if change is not None:
            self._say({"do": "log", "name": name, "err": err, **change})

    def _say(self, message: dict[str, Any], data: Any = None) -> None:
        """Send a message; data go as bytes, which the kernel need not look through."""
        buffers = [json.dumps(data, separators=(",", ":")).encode()] if data is not None else None
        self._widget.send({**message, "next": self._beat()}, buffers=buffers)
        self._spoke = time.monotonic()

    # ---- what a page asks for

    def _act(self, context: contextvars.Context, content: dict[str, Any]) -> None:
        request, verb, name = content.get("request"), str(content.get("verb")), str(content.get("name"))
        context.run(self._say, {"do": "taken", "request": request})
        answer: dict[str, Any] = {"words": "", "ask": ""}
        data = None
        try:
            if verb not in ACTIONS:
                raise UsageError(f"there is no action {verb}")
            number = content.get("task")
            asked = Request(load(name, self.root), bool(content.get("sure")), int(number) if number is not None else None)
            answer["words"], data = ACTIONS[verb](asked)
            answer["ok"] = True
        except NameTaken as error:
            answer |= {"ok": False, "ask": f"{', '.join(error.names)} already in the session."}
        except Exception as error:  # noqa: BLE001  whatever it is, the page waits for an answer
            words = str(error) if isinstance(error, PersistError) else f"{type(error).__name__}: {error}"
            answer |= {"ok": False, "words": words}
        answer["words"] = harmless(answer["words"])
        context.run(self._say, {"do": "answer", "request": request, **answer}, data)
        if verb not in READING:
            monitor.touched(self.root, name)
