"""What is done to a root while faults happen, and how it is looked at afterwards.

Owns the stories: each a state to begin with, a command, and what the same command gives if nothing goes wrong. All of it runs
in processes of its own, see `laboratory`; nothing here knows of faults.
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

from persist_magic import monitor, submission
from persist_magic.capture.cell import Source
from persist_magic.errors import NoSuchJob, NotSubmitted, PersistError
from persist_magic.job import Job
from persist_magic.status import JobState
from persist_magic.store import Root
from persist_magic.sweep import Sweep

PATIENCE = 60.0

CELL = """
import persist_magic
print("begun")
persist_magic.checkpoint(step=1)
factors[0] = 5
doubled = factors * 2
print("almost done")
doubled.sum()
"""
VALUE = 2 * (5 + 7 + 9)

SMALL_CELL = "print('small')\n6 * 7"

EDITED_CELL = "words = ['new']\n'the other cell'"
EDITED_VALUE = "the other cell"

WAITING_CELL = """
import os, time
try:
    with open(os.environ["STORY_BEGUN"], "w"):
        pass
    while True:
        time.sleep(0.005)
finally:
    print("tidied up")
"""

BYSTANDER_VALUE = ["untouched", 1]


def _namespace() -> dict[str, Any]:
    import numpy

    module = types.ModuleType("__main__")
    sys.modules["__main__"] = module
    # of a size that goes to the file of buffers
    module.__dict__["factors"] = numpy.concatenate([[0.0, 7.0, 9.0], numpy.zeros(20_000)])
    return module.__dict__


def _submit(root: str, cell: str, name: str = "calc", **options: Any) -> Job:
    return submission.submit(name, Source("cell", cell, cell), _namespace(), root=root, **options).job


# ---------------------------------------------------------------- commands


def submit(root: str) -> None:
    _submit(root, CELL)


def submit_small(root: str) -> None:
    _submit(root, SMALL_CELL)


def submit_edited(root: str) -> None:
    _submit(root, EDITED_CELL, replace=True)


def submit_waiting(root: str) -> None:
    _submit(root, WAITING_CELL)


def submit_sweep(root: str) -> None:
    _submit(root, "print('task', n)\nn * 10", each=[(("n",), [1, 2, 3])])


def cancel(root: str) -> None:
    submission.load("calc", root).cancel()


def rerun(root: str) -> None:
    submission.load("calc", root).rerun()


def clean(root: str) -> None:
    submission.load("calc", root).cleanup()


def bystander(root: str) -> None:
    _submit(root, "print('quiet')\nkept = ['untouched', 1]\nkept", name="bystander").wait(PATIENCE)


def await_end(root: str) -> None:
    submission.load("calc", root).wait(PATIENCE)


def await_begin(root: str) -> None:
    begun = Path(os.environ["STORY_BEGUN"])
    deadline = time.monotonic() + PATIENCE
    while not begun.exists():
        assert time.monotonic() < deadline, "the cell did not begin"
        time.sleep(0.002)


# ---------------------------------------------------------------- looking


def glance(root: str) -> dict[str, Any]:
    """Tell what there is now: the state of calc, "" if there is none, and its value, or the error of ours in its place."""
    found: dict[str, Any] = {"state": "", "reason": "", "value": None, "error": "", "stdout": ""}
    found["bystander"] = submission.load("bystander", root).fetch(PATIENCE)
    if "calc" not in [job.name for job in submission.jobs(root)]:
        with contextlib.suppress(NoSuchJob):
            raise AssertionError(f"it is in no list, but there: {submission.load('calc', root)}")
        return found
    job = submission.load("calc", root)
    status = job.status()
    found.update(state=status.state.value, reason=status.reason, note=status.note)
    if not status.state.ended and status.state is not JobState.EMPTY:
        return found
    rows = {row.name: row.state for row in monitor.rows(submission.jobs(root))}
    assert rows == {"calc": status.state.value, "bystander": "done"}, (rows, status)
    try:
        value = job.fetch(0)
        found["value"] = value.item() if hasattr(value, "item") else value
    except PersistError as error:
        found["error"] = type(error).__name__
        found["words"] = str(error)
    if isinstance(job, Sweep):
        found["stdout"] = "".join(task.stdout() for task in job)
    elif status.state is not JobState.EMPTY:
        found["variables"] = sorted(job.variables)
        found["stdout"] = job.stdout()
    return found


def look(root: str) -> dict[str, Any]:
    """Wait until nothing goes on; then as `glance`."""
    with contextlib.suppress(NoSuchJob, NotSubmitted):
        submission.load("calc", root).wait(PATIENCE)
    return glance(root)


def look_at_cancel(root: str) -> dict[str, Any]:
    """Wait until a cancel that was asked for has come to its end, or nobody is there to carry it out; then as `glance`."""
    asked = submission.load("calc", root).directory.cancel_request() is not None
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        found = glance(root)
        if found["state"] != "running" or not asked or "its supervisor is gone" in found["note"]:
            break
        time.sleep(0.005)
    return found


def what_is_left(root: str) -> list[str]:
    """Clean up what there is of calc, finish what a crash has left, and tell what is left in the root besides the bystander."""
    with contextlib.suppress(NoSuchJob):
        submission.load("calc", root).cleanup()
    Root(root).tidy(stale_seconds=0.0)
    return sorted(
        str(path.relative_to(root))
        for path in Path(root).rglob("*")
        if path.name not in (".gitignore", ".lock")
        and not any(path.is_relative_to(Path(root, known)) for known in ("bystander", ".slots"))
    )


CALLS: dict[str, Callable[..., Any]] = {
    call.__name__: call
    for call in (
        submit,
        submit_small,
        submit_edited,
        submit_waiting,
        submit_sweep,
        cancel,
        rerun,
        clean,
        bystander,
        await_end,
        await_begin,
        glance,
        look,
        look_at_cancel,
        what_is_left,
    )
}
