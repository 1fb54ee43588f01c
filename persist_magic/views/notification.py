"""What is seen when a job ends: a notification of the browser's, a line, or a program's that the user has chosen.

Owns how it looks in a notebook and in a terminal. Knows jobs and statuses, no files.
"""

from __future__ import annotations

import json
import shlex
import subprocess
import time
from collections.abc import Callable
from typing import Any

from ..capture.environment import in_notebook
from ..errors import UsageError
from ..job import Job
from ..status import Status, duration
from ..text import harmless

NEWS_SECONDS = 60
"""A notebook that is opened later than that after the end shows the line, and notifies nobody again."""

_ASK = """if (window.Notification && Notification.permission === "default") Notification.requestPermission();"""
_NOTIFY = """
element.textContent = {text};
if (Date.now() / 1000 - {ended} < {fresh} && window.Notification && Notification.permission === "granted")
  new Notification({text});
"""


def words(job: Job, status: Status) -> str:
    """Return the line: "calcpi: done after 12 min"."""
    started = job.directory.run(status.run).started()
    took = f" after {duration(max(0.0, status.seen - started.time))}" if started is not None else ""
    reason = f": {status.reason}" if status.reason else ""
    return harmless(f"{job.name}: {status.state.value}{took}{reason}")


def prepare(command: str) -> Callable[[Job, Status], None]:
    """Make room for a notification where the cell shows its output; return what is to be called when the job ends.

    Parameters
    ----------
    command : str
        A program with its arguments, in which ``{name}``, ``{state}`` and ``{words}`` are replaced; no shell reads it.
        Empty for none.
    """
    place = None
    if in_notebook():
        from IPython.display import display

        waits = {"text/plain": "", "application/javascript": _ASK}
        place = display(waits, raw=True, display_id=True)  # type: ignore[no-untyped-call]

    def tell(job: Job, status: Status) -> None:
        line = words(job, status)
        if place is not None:
            script = _NOTIFY.format(text=json.dumps(line).replace("<", "\\u003c"), ended=time.time(), fresh=NEWS_SECONDS)
            place.update({"text/plain": line, "application/javascript": script}, raw=True)
        else:
            print(line, flush=True)
        if command.strip():
            facts = {"name": job.name, "state": status.state.value, "words": line}
            run(command, facts)

    return tell


def check(command: str) -> list[str]:
    """Return the words of a command, none if it is empty.

    Raises
    ------
    UsageError
        If they cannot be told apart.
    """
    try:
        return shlex.split(command)
    except ValueError as error:
        raise UsageError(f"PersistMagics.notify_command: {error}: {command}") from None


def run(command: str, facts: dict[str, str]) -> None:
    """Start the user's program, and do not wait for it.

    Raises
    ------
    UsageError
        If it cannot be started.
    """
    arguments = []
    for word in check(command):
        for name, value in facts.items():
            word = word.replace(f"{{{name}}}", value)  # noqa: PLW2901
        arguments.append(word)
    quiet: dict[str, Any] = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.DEVNULL)
    try:
        subprocess.Popen(arguments, start_new_session=True, **quiet)
    except OSError as error:
        raise UsageError(f"PersistMagics.notify_command: {arguments[0]} cannot be run: {error.strerror}") from None
