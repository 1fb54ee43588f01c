"""The order of local jobs: who may run now, with no daemon.

Owns the tickets, one small file for each local job of a root that has not ended, under ``.slots/HOST/``, named by time of
submission. A job starts when fewer than its slots' number of live jobs stand before it or run already; each waiting
supervisor decides that for itself, one at a time under a lock. A ticket whose process is gone counts for nothing and is
removed by whoever sees it, so a crash costs no slot. Used by the local backend, which draws the ticket at submission, and
by the supervisor, which waits with it.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from dataclasses import asdict

from .errors import PersistError
from .files import open_regular
from .frozen import Frozen, frozen
from .processes import ProcessId
from .store import Root, write_atomic, write_new

UNCLAIMED_SECONDS = 60.0
"""How long a ticket without a process holds its place: its supervisor is just starting."""
ORPHANED_SECONDS = 3.0
"""The same if the session that drew it is gone."""


def cores() -> int:
    """Return how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@frozen
class Ticket(Frozen):
    """A place in the queue.

    Attributes
    ----------
    name : str
        The file's name: time of submission in ns, and the job.
    process : ProcessId or None
        The supervisor, once it has come.
    started : bool
    """

    name: str
    process: ProcessId | None
    started: bool


class Slots:
    """The queue of one root on this host.

    Parameters
    ----------
    root : Root
    """

    def __init__(self, root: Root) -> None:
        self.move_to(root)

    def move_to(self, root: Root) -> None:
        """Go on with the queue of another root: where this one is now."""
        self._root = root
        self._path = os.path.join(root.path, ".slots", os.uname().nodename)

    def _prepare(self) -> None:
        for directory in (os.path.dirname(self._path), self._path):
            with contextlib.suppress(FileExistsError):
                os.mkdir(directory, 0o700)

    def draw(self, job: str, process: ProcessId | None = None) -> str:
        """Take the last place in the queue, for a process if that is there already; return the ticket's name."""
        name = f"{time.time_ns():020d}-{job}"
        if process is not None:
            self.claim(name, process)
        else:
            self._prepare()
            data = json.dumps({"drawn_by": asdict(ProcessId.of(os.getpid()))}).encode()
            write_new(os.path.join(self._path, name), data, sync=False)
        return name

    def claim(self, name: str, process: ProcessId, started: bool = False) -> None:
        """Enter the supervisor that waits with the ticket."""
        self._prepare()
        data = json.dumps({"process": asdict(process), "started": started}).encode()
        write_atomic(os.path.join(self._path, name), data, sync=False)

    def release(self, name: str) -> None:
        """Give the place back."""
        with contextlib.suppress(OSError):
            os.unlink(os.path.join(self._path, name))

    def holder(self, name: str) -> ProcessId | None:
        """Return the supervisor that waits, or runs, with a ticket; None if none is known to live."""
        ticket = self._read(name)
        return ticket.process if ticket is not None else None

    def before(self, name: str) -> int:
        """Return how many tickets stand before one; of the dead some may still be among them."""
        return sum(1 for entry in self._entries() if entry < name)

    def others_wait(self, name: str, process: ProcessId) -> bool:
        """Return whether a ticket of another process waits to start, for which the one of that name could make room."""
        for entry in self._entries():
            if entry == name:
                continue
            ticket = self._read(entry)
            if ticket is not None and not ticket.started and ticket.process != process:
                return True
        return False

    def try_start(self, name: str, process: ProcessId, slots: int) -> bool:
        """Start if there is room; false means wait and ask again."""
        live = 0
        for entry in self._entries():  # who is far behind need not know who else is
            if entry >= name:
                break
            live += self._read(entry) is not None
            if live >= slots:
                return False
        with self._root.lock(os.path.join(".slots", ".lock")):
            others = [ticket for entry in self._entries() if entry != name and (ticket := self._read(entry)) is not None]
            if sum(1 for ticket in others if ticket.started or ticket.name < name) >= slots:
                return False
            self.claim(name, process, started=True)
            return True

    def _entries(self) -> list[str]:
        try:
            return sorted(entry for entry in os.listdir(self._path) if entry[:1].isdigit())
        except FileNotFoundError:
            return []

    def _read(self, name: str) -> Ticket | None:
        """A ticket that still counts; one that does not is removed."""
        path = os.path.join(self._path, name)
        try:
            drawn = int(name.partition("-")[0]) / 1e9
            with open_regular(path) as file:
                values = json.loads(file.read())
            process, drawer = (ProcessId(**values[of]) if of in values else None for of in ("process", "drawn_by"))
        except FileNotFoundError:
            return None
        except (OSError, ValueError, TypeError):  # no ticket: a temporary file, or damaged
            return None
        patience = ORPHANED_SECONDS if drawer is not None and drawer.is_gone() else UNCLAIMED_SECONDS
        starting = process is None and 0 <= time.time() - drawn < patience and not self._died(name, drawn)
        if starting or (process is not None and not process.is_gone()):
            return Ticket(name, process, bool(values.get("started")))
        self.release(name)
        return None

    def _died(self, name: str, drawn: float) -> bool:
        """Whether the supervisor of an unclaimed ticket was launched and ended before it could claim it."""
        try:
            handle = self._root.directory(name.partition("-")[2]).handle()
        except PersistError:
            return False
        if handle is None or handle.time < drawn or handle.process is None:
            return False
        return handle.process.is_gone()
