"""The place where faults are made to happen: a root, processes with an interposed libc, and a record of what they did.

Owns the interposed library's building, the plans of harm, the states that stories begin with, and the end of what a fault left
running. What is done there stands in `stories`, what must come of it in the tests.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from persist_magic.processes import descendants

SOURCE = Path(__file__).with_name("interpose.c")


def interpreter(folder: Path, before: str) -> Path:
    """Write a Python for ``python=`` whose workers begin with some code, as if the system around them did so."""
    script = folder / "python"
    worker = "import runpy, sys\nsys.argv.pop(0)\nrunpy.run_path(sys.argv[0], run_name='__main__')\n"
    script.write_text(f"#!{sys.executable}\n{before}\n{worker}")
    script.chmod(0o755)
    return script


def workers(root: str | Path) -> list[psutil.Process]:
    """Return the workers of a root, or of a job directory."""
    found = []
    for process in psutil.process_iter(["cmdline"]):
        if any(word.startswith(str(root)) for word in process.info["cmdline"] or ()):
            found.append(process)
    return found


def build(folder: Path) -> Path:
    """Compile the library that is interposed."""
    library = folder / "interpose.so"
    words = ["cc", "-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-o", str(library), str(SOURCE), "-ldl", "-lpthread"]
    subprocess.run(words, check=True)
    return library


@dataclass(frozen=True)
class Plan:
    """A harm that is done at one operation of one process.

    Attributes
    ----------
    role : str
        "session", "supervisor", "child" (of a sweep what forks its tasks) or "task".
    number : int
        Of the operation, from 1 on.
    harm : str
        See interpose.c.
    """

    role: str
    number: int
    harm: str

    def __str__(self) -> str:
        return f"{self.role} {self.number} {self.harm}"


@dataclass(frozen=True)
class Operation:
    """Something a process did to the root: a line of the record."""

    role: str
    number: int
    call: str
    path: str


class Answer(dict[str, Any]):
    """What came of a call."""

    @property
    def killed(self) -> bool:
        return bool(self["killed"])

    @property
    def error(self) -> str:
        """The name of the exception's class, or ""."""
        return str(self.get("error", ""))

    @property
    def ours(self) -> bool:
        """Whether the exception is one that persist_magic raises on purpose."""
        return "PersistError" in self.get("kinds", ())

    def value(self) -> Any:
        """Return what the call returned; what it raised is raised."""
        assert "value" in self, self.get("trace", "killed")
        return self["value"]


class Laboratory:
    """A root in a folder of its own, and who acts on it.

    Parameters
    ----------
    folder : Path
    library : Path
        See `build`.
    """

    def __init__(self, folder: Path, library: Path) -> None:
        self.folder = folder
        self.root = folder / "place" / ".persist"
        self.begun = folder / "begun"
        self._log = folder / "operations"
        self._states = folder / "states"
        self._states.mkdir()
        self.root.parent.mkdir()
        faults = {
            "LD_PRELOAD": str(library),
            "FAULTS_ROOT": str(self.root.parent),
            "FAULTS_LOG": str(self._log),
            "FAULTS_WORKER": "persist_magic/worker/__main__.py",
            "STORY_BEGUN": str(self.begun),
        }
        self._server = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.server"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, **faults},
        )

    def close(self) -> None:
        self.end_all()
        assert self._server.stdin is not None
        assert self._server.stdout is not None
        self._server.stdin.close()
        self._server.wait(60)
        self._server.stdout.close()

    # ---- acting

    def call(self, name: str, *arguments: Any, plan: Plan | None = None, role: str = "") -> Answer:
        """Let a new process carry out a call of `stories` on the root; its operations count if it has a role."""
        assert self._server.stdin is not None
        assert self._server.stdout is not None
        request = {
            "call": name,
            "arguments": [str(self.root), *arguments],
            "role": role,
            "environment": {"FAULTS_PLAN": str(plan) if plan is not None else ""},
        }
        self._server.stdin.write(json.dumps(request) + "\n")
        self._server.stdin.flush()
        return Answer(json.loads(self._server.stdout.readline()))

    def operations(self) -> list[Operation]:
        """Return what was done to the root since the last `begin_with`."""
        if not self._log.exists():
            return []
        found = []
        for line in self._log.read_text().splitlines():
            role, number, call, path = line.split(" ", 3)
            found.append(Operation(role, int(number), call, path))
        return found

    def living(self, seconds: float = 10.0) -> list[psutil.Process]:
        """Return the workers of the root that still live after a while."""
        deadline = time.monotonic() + seconds
        while (found := workers(self.root)) and time.monotonic() < deadline:
            time.sleep(0.005)
        return found

    def end_all(self) -> None:
        """Kill every process of the root's jobs."""
        for process in workers(self.root):
            for pid in (*descendants(process.pid), process.pid):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            with contextlib.suppress(psutil.Error):
                process.wait(60)

    # ---- states to begin with

    def keep(self, state: str) -> None:
        """Keep the root as a state that stories may begin with; nothing of it may run."""
        shutil.copytree(self.root, self._states / state, symlinks=True)

    def begin_with(self, state: str) -> None:
        """Lay the root as it was kept; nothing that ran before is left."""
        self.end_all()
        shutil.rmtree(self.root, ignore_errors=True)
        if state:
            shutil.copytree(self._states / state, self.root, symlinks=True)
        for path in (self._log, self.begun):
            path.unlink(missing_ok=True)


@contextlib.contextmanager
def laboratory(folder: Path) -> Iterator[Laboratory]:
    place = Laboratory(folder, build(folder))
    try:
        yield place
    finally:
        place.close()
