"""Processes that outlive the program which started them. Owns what a recorded process id means on Linux: /proc."""

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
        """Whether it still runs. A child of this process is reaped when it has ended."""
        stat = _stat(self.pid)
        if stat is None or stat.started != self.started:
            return False
        if stat.state in "ZX":
            with contextlib.suppress(ChildProcessError):
                os.waitpid(self.pid, os.WNOHANG)
            return False
        return True

    def send(self, number: signal.Signals) -> None:
        """Send a signal; one that has ended is left alone."""
        if self.lives():
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)


@dataclass(frozen=True)
class _Stat:
    state: str
    parent: int
    started: int


def _stat(pid: int) -> _Stat | None:
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    words = text.rpartition(")")[2].split()  # the name before it may hold spaces and brackets
    return _Stat(words[0], int(words[1]), int(words[19]))


def launch(words: Sequence[str], environment: Mapping[str, str], log: Path) -> Process:
    """Start a program in a session of its own, its output appended to a log, and forget it but for its number."""
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


def all_processes() -> Iterator[tuple[Process, int]]:
    """Yield all live processes of the machine with their parents' numbers."""
    for name in os.listdir("/proc"):
        if name.isdigit() and (stat := _stat(int(name))) and stat.state not in "ZX":
            yield Process(int(name), stat.started), stat.parent


def initial_environment(process: Process) -> dict[str, str]:
    """Return the environment that a process was started with; empty where that may not be read."""
    try:
        data = Path(f"/proc/{process.pid}/environ").read_bytes()
    except OSError:
        return {}
    pairs = (word.partition("=") for word in os.fsdecode(data).split("\0") if word)
    return {name: value for name, _, value in pairs}
