"""Processes that outlive the program which started them. Owns what Linux tells of them: /proc, and who listens where."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Process:
    """A process, told from a later one of the same number by its start.

    Parameters
    ----------
    pid
        Its number.
    started
        When it began, in clock ticks since the machine's start: field 22 of ``/proc/PID/stat``, see proc(5).
    """

    pid: int
    started: int

    def lives(self) -> bool:
        """Whether it still runs, from /proc. A child of this program is reaped when it has ended."""
        stat = _stat(self.pid)
        if stat is None or stat.started != self.started:
            return False
        if stat.ended:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(self.pid, os.WNOHANG)
        return not stat.ended

    def send(self, number: signal.Signals) -> None:
        """Send it a signal, unless it has ended."""
        if self.lives():
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def program(self) -> str:
        """Return the name of the file that it executes; empty where that may not be read."""
        try:
            return Path(os.readlink(f"/proc/{self.pid}/exe")).name
        except OSError:
            return ""

    def initial_environment(self) -> dict[str, str]:
        """Return the environment that it was started with; empty where that may not be read."""
        try:
            data = Path(f"/proc/{self.pid}/environ").read_bytes()
        except OSError:
            return {}
        pairs = (word.partition("=") for word in os.fsdecode(data).split("\0") if word)
        return {name: value for name, _, value in pairs}

    def open_files(self) -> set[str]:
        """Return the paths of its open files; empty where they may not be read."""
        paths: set[str] = set()
        with contextlib.suppress(OSError):
            for link in os.scandir(f"/proc/{self.pid}/fd"):
                with contextlib.suppress(OSError):
                    paths.add(os.readlink(link.path))
        return paths


@dataclass(frozen=True)
class _Stat:
    state: str
    parent: int
    started: int

    @property
    def ended(self) -> bool:
        return self.state in "ZX"


def _stat(pid: int) -> _Stat | None:
    try:
        text = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except OSError:
        return None
    words = text.rpartition(")")[2].split()  # the program's name before it may hold spaces and brackets
    return _Stat(words[0], int(words[1]), int(words[19]))


def launch(words: list[str], environment: Mapping[str, str], log: Path) -> Process:
    """Start a program in a session of its own, with its output appended to a log.

    ``subprocess.Popen`` would want to be kept and asked; this leaves nothing behind in the program but a child.
    """
    pid = os.posix_spawn(
        words[0],
        words,
        environment,
        file_actions=[
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, str(log), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600),
            (os.POSIX_SPAWN_DUP2, 1, 2),
        ],
        setsid=True,
        setsigdef=[signal.SIGPIPE, signal.SIGXFSZ],  # Python ignores them, and what is ignored is inherited
    )
    stat = _stat(pid)
    assert stat is not None, "a child is there until it is waited for"
    return Process(pid, stat.started)


def live_processes() -> Iterator[tuple[Process, int]]:
    """Yield all live processes of this machine, each with its parent's number."""
    for name in os.listdir("/proc"):
        if name.isdigit() and (stat := _stat(int(name))) is not None and not stat.ended:
            yield Process(int(name), stat.started), stat.parent


def with_descendants(roots: set[Process], everything: Sequence[tuple[Process, int]]) -> set[Process]:
    """Return the roots and all that descends from them, among everything that lives."""
    family = set(roots)
    size = -1
    while size != len(family):
        size = len(family)
        numbers = {process.pid for process in family}
        family |= {process for process, parent in everything if parent in numbers}
    return family


def listens_on_port(port: int) -> bool:
    """Whether any process listens on an IPv4 port. It is read from the kernel's table: a connection would be noticed."""
    rows = (line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:])
    return any(row[3] == "0A" and int(row[1].partition(":")[2], 16) == port for row in rows)


def listens_on_socket(path: Path) -> bool:
    """Whether any process listens on a Unix socket. A path that a dead one left behind does not count."""
    rows = (line.split(maxsplit=7) for line in Path("/proc/net/unix").read_text(errors="replace").splitlines()[1:])
    accepts = 0x10000  # __SO_ACCEPTCON
    return any(len(row) == 8 and row[7] == str(path) and int(row[3], 16) & accepts for row in rows)
