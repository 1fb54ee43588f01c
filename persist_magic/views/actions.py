"""What can be done with a job on a page.

Owns the verbs, what each does, and the words that the page shows when it is done. That a page asks back before something is
destroyed is the page's.
"""

from __future__ import annotations

import builtins
import keyword
import re
from collections.abc import Callable
from typing import Any

from ..capture.environment import ipython_shell
from ..errors import NameTaken
from ..job import Job, taken_names
from ..status import JobState
from . import details


def _cancel(job: Job, sure: bool) -> tuple[str, None]:
    if job.status().state.ended:
        return f"{job.name} had ended", None
    job.cancel()
    return f"{job.name}: cancel asked for", None


def _kill(job: Job, sure: bool) -> tuple[str, None]:
    job.cancel(force=True)
    return f"{job.name}: killed", None


def _rerun(job: Job, sure: bool) -> tuple[str, None]:
    job.rerun()
    return f"{job.name}: run {job.status().run}", None


def _clean(job: Job, sure: bool) -> tuple[str, None]:
    job.cleanup()
    return f"deleted {job.name}", None


def _fetch(job: Job, sure: bool) -> tuple[str, None]:
    """Bring the variables into the session; the result, if there is one, under the job's own name."""
    shell = ipython_shell()
    status, outcome = job.wait(timeout=0), job.outcome()
    kept = [name for name, each in job.variables.describe().items() if each.payload is not None]
    name = _name_of_result(job.name)
    has_result = status.state is JobState.DONE and outcome is not None and outcome.result is not None and name not in kept
    taken = taken_names([*kept, name] if has_result else kept, shell.user_ns)
    if taken and not sure:  # before anything is read
        raise NameTaken(job.name, taken)
    values, left_out = job.bring(shell.user_ns, None, overwrite=True)
    if has_result and (result := job.fetch(timeout=0)) is not None:
        values[name] = result
    shell.push(values)
    words = f"{', '.join(values) or 'no variables'} ← {job.name}"
    return "; left out: ".join((words, *left_out)), None


def _name_of_result(job: str) -> str:
    """The job's name as one of Python's, and none that would hide a word of the language or a built-in function."""
    name = re.sub(r"\W|^(?=\d)", "_", job)
    return f"{name}_" if keyword.iskeyword(name) or hasattr(builtins, name) else name


def _details(job: Job, sure: bool) -> tuple[str, dict[str, Any]]:
    return "", details.details(job)


def _outputs(job: Job, sure: bool) -> tuple[str, list[dict[str, str]]]:
    return "", details.outputs(job)


ACTIONS: dict[str, Callable[[Job, bool], tuple[str, Any]]] = {
    "cancel": _cancel,
    "kill": _kill,
    "rerun": _rerun,
    "clean": _clean,
    "fetch": _fetch,
    "details": _details,
    "outputs": _outputs,
}
