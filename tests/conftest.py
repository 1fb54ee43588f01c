"""What the tests share: a root in a hostile place, a session to submit from, and waiting that is not sleeping."""

from __future__ import annotations

import builtins
import collections
import contextlib
import math
import os
import signal
import subprocess
import sys
import time
import types
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import hypothesis
import pexpect
import pytest
from IPython.core.interactiveshell import InteractiveShell

from persist_magic import session as session_module
from persist_magic import submission
from persist_magic.capture.cell import Selection, Source
from persist_magic.errors import PersistError
from persist_magic.job import Job
from persist_magic.session import set_session_root
from persist_magic.store import Started
from persist_magic.submission import Submission
from persist_magic.sweep import Sweep
from persist_magic.tasks import ledger

from .shell import Shell

PATIENCE = 60.0

# on a busy machine any example may take long
hypothesis.settings.register_profile("patient", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.load_profile("patient")


def wait_until(condition: Callable[[], Any], what: str, seconds: float = PATIENCE) -> Any:
    """Return the condition's first true value, looking again and again."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, f"waited {seconds} s for {what}"
        time.sleep(0.01)
    return value


def started(job: Job) -> Started:
    """The record of the newest run's start, of a sweep its first chunk's, once its cell's process is known."""

    def known() -> Started | None:
        if isinstance(job, Sweep):
            with ledger(job.directory, job.spec()) as found:
                record = found.chunks[0].started
        else:
            record = job.directory.current_run().started()
        return record if record is not None and record.child is not None else None

    return wait_until(known, f"the start of {job.name}")


def await_supervisor(job: Job) -> None:
    """Wait until the supervisor of a job that has ended is gone, which tidies up after it has written the end."""
    supervisor = started(job).supervisor
    wait_until(lambda: not alive(supervisor.pid), f"the end of the supervisor of {job.name}")


def end_jobs(root: str | Path) -> None:
    """End what still runs of a root, if there is one."""
    with contextlib.suppress(PersistError):
        for each in submission.jobs(root):
            with contextlib.suppress(PersistError):
                each.cancel(force=True)
                wait_until(lambda each=each: each.is_ready(), f"the end of {each.name}")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the sums of what tests have counted, see `tests.faults`: a loop over nothing would show here."""
    sums: collections.Counter[str] = collections.Counter()
    for report in terminalreporter.stats.get("passed", ()):
        for name, value in report.user_properties:
            if name == "counted":
                what, number = value
                sums[what] += number
    if sums:
        terminalreporter.write_line(f"gone through: {', '.join(f'{number} {what}' for what, number in sums.items())}")


class Session:
    """A session's namespace, as a notebook has one, without IPython."""

    def __init__(self, root: str, module: types.ModuleType) -> None:
        self.root = root
        self.namespace = module.__dict__

    def run(self, code: str) -> None:
        """Run an earlier cell."""
        exec(compile(code, "<an earlier cell>", "exec", dont_inherit=True), self.namespace)

    def submit(self, name: str, cell: str, **options: Any) -> Submission:
        selection = Selection(options.pop("add", ()), options.pop("omit", ()))
        source = Source("cell", cell, cell)
        return submission.submit(name, source, self.namespace, root=self.root, selection=selection, **options)

    def persist(self, name: str, cell: str, **options: Any) -> Job:
        return self.submit(name, cell, **options).job

    def job(self, name: str) -> Job:
        return submission.load(name, self.root)


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A root whose path has spaces, quotes and umlauts; jobs left in it are ended."""
    path = tmp_path / 'Jürgen\'s "big" data $HOME' / ".persist"
    monkeypatch.setenv("PERSIST_ROOT", str(path))
    yield str(path)
    end_jobs(path)


@pytest.fixture
def directory(root: str, tmp_path: Path) -> Path:
    """Where a notebook or a terminal stands; the root is found through PERSIST_ROOT."""
    place = tmp_path / "directory"
    place.mkdir()
    return place


@pytest.fixture
def session(root: str) -> Iterator[Session]:
    """A session whose globals are ``__main__``'s."""
    before = sys.modules["__main__"]
    module = types.ModuleType("__main__")
    sys.modules["__main__"] = module
    yield Session(root, module)
    sys.modules["__main__"] = before


@pytest.fixture
def marker(tmp_path: Path) -> Path:
    """A file by which a cell tells the test where it is."""
    return tmp_path / "marker"


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 1 MB; to mount it takes root."""
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "none", str(disk)], check=True)
    yield disk
    subprocess.run(["umount", "--lazy", str(disk)], check=True)


def alive(pid: int) -> bool:
    """Whether a process runs (a zombie does not)."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


@pytest.fixture
def kernels(directory: Path) -> Iterator[list[Any]]:
    """Kernels that are ended after the test."""
    started: list[Any] = []
    yield started
    for kernel in started:
        if alive(kernel.pid):
            kernel.close()


def environment(**more: str) -> dict[str, str]:
    """The environment for a program under test."""
    return {**os.environ, "PYTHONDONTWRITEBYTECODE": "", **more}


def in_terminal(arguments: Sequence[str], rows: int, columns: int, env: dict[str, str], **more: Any) -> pexpect.spawn[str]:
    """Start Python in a terminal of its own, whose Ctrl-C it hears; what a shell starts with & would ignore that."""
    return pexpect.spawn(
        sys.executable,
        list(arguments),
        env={**env, "COLUMNS": str(columns), "LINES": str(rows)},
        dimensions=(rows, columns),
        encoding="utf-8",
        timeout=PATIENCE,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        **more,
    )


@pytest.fixture
def shell(root: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Shell]:
    """An IPython shell with the extension, in a directory of its own."""
    main, names = sys.modules["__main__"], set(vars(builtins))
    hook = sys.displayhook, sys.excepthook
    monkeypatch.chdir(tmp_path)
    # what took long to compare is not compared again for a while, and on a busy machine anything takes long
    monkeypatch.setattr(session_module, "_QUICK_SECONDS", math.inf)
    yield Shell(capsys)
    InteractiveShell.clear_instance()
    set_session_root(None)
    sys.modules["__main__"] = main
    sys.displayhook, sys.excepthook = hook
    for name in set(vars(builtins)) - names:
        delattr(builtins, name)
