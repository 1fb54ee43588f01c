"""What can be done with a job on a page.

Owns the verbs, what each does, and the words that the page shows when it is done. That a page asks back before something is
destroyed is the page's.
"""

from __future__ import annotations

import builtins
import keyword
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ..capture.environment import ipython_shell
from ..errors import NameTaken, UsageError
from ..job import Job, taken_names
from ..status import JobState
from ..sweep import Sweep, Task, as_sweep
from . import details


@dataclass(frozen=True)
class Request:
    """What a page asks for.

    Attributes
    ----------
    job : Job
    sure : bool
        Whether names of the session are to be overwritten.
    number : int or None
        Of a task.
    """

    job: Job
    sure: bool = False
    number: int | None = None

    @property
    def sweep(self) -> Sweep:
        """The job, which must be a sweep."""
        return as_sweep(self.job)

    @property
    def task(self) -> Task:
        """The task, which there must be."""
        if self.number is None or not 0 <= self.number < len(self.sweep):
            raise UsageError(f"job {self.job.name} has {len(self.sweep)} tasks, numbered from 0; none is {self.number}")
        return self.sweep[self.number]


def _cancel(asked: Request) -> tuple[str, None]:
    job = asked.job
    if job.status().state.ended:
        return f"{job.name} had ended", None
    job.cancel()
    return f"{job.name}: cancel asked for", None


def _kill(asked: Request) -> tuple[str, None]:
    asked.job.cancel(force=True)
    return f"{asked.job.name}: killed", None


def _cancel_task(asked: Request, force: bool = False) -> tuple[str, None]:
    words = f"task {asked.number} of {asked.job.name}"
    if asked.task.is_ready():
        return f"{words} had ended", None
    asked.task.cancel(force)
    return f"{words}: {'kill' if force else 'cancel'} asked for", None


def _kill_task(asked: Request) -> tuple[str, None]:
    return _cancel_task(asked, force=True)


def _rerun(asked: Request) -> tuple[str, None]:
    asked.job.rerun()
    return f"{asked.job.name}: run {asked.job.status().run}", None


def _rerun_failed(asked: Request) -> tuple[str, None]:
    asked.sweep.rerun(failed=True)
    return f"{asked.job.name}: run {asked.job.status().run}, of the tasks that were not done", None


def _clean(asked: Request) -> tuple[str, None]:
    asked.job.cleanup()
    return f"deleted {asked.job.name}", None


def _fetch(asked: Request) -> tuple[str, None]:
    """Bring the variables into the session; the result, if there is one, under the job's own name."""
    if isinstance(asked.job, Sweep):
        return _fetch_results(asked.job, asked.sure)
    job, shell = asked.job, ipython_shell()
    status, outcome = job.wait(timeout=0), job.outcome()
    kept = [name for name, each in job.variables.describe().items() if each.payload is not None]
    name = _name_of_result(job.name)
    has_result = status.state is JobState.DONE and outcome is not None and outcome.result is not None and name not in kept
    taken = taken_names([*kept, name] if has_result else kept, shell.user_ns)
    if taken and not asked.sure:  # before anything is read
        raise NameTaken(job.name, taken)
    values, left_out = job.bring(shell.user_ns, None, overwrite=True)
    if has_result and (result := job.fetch(timeout=0)) is not None:
        values[name] = result
    shell.push(values)
    words = f"{', '.join(values) or 'no variables'} ← {job.name}"
    return "; left out: ".join((words, *left_out)), None


def _fetch_results(sweep: Sweep, sure: bool) -> tuple[str, None]:
    """Bring the list of results into the session under the sweep's own name, if all tasks are done."""
    shell, name = ipython_shell(), _name_of_result(sweep.name)
    taken = taken_names([name], shell.user_ns)
    if taken and not sure and sweep.wait(timeout=0).state is JobState.DONE:
        raise NameTaken(sweep.name, taken)
    results = sweep.fetch(timeout=0)
    shell.push({name: results})
    return f"{name} ← the {len(results)} results of {sweep.name}", None


def _name_of_result(job: str) -> str:
    """The job's name as one of Python's, and none that would hide a word of the language or a built-in function."""
    name = re.sub(r"\W|^(?=\d)", "_", job)
    return f"{name}_" if keyword.iskeyword(name) or hasattr(builtins, name) else name


def _details(asked: Request) -> tuple[str, dict[str, Any]]:
    return "", details.details(asked.job)


def _outputs(asked: Request) -> tuple[str, list[dict[str, str]]]:
    return "", details.outputs(asked.job)


def _tasks(asked: Request) -> tuple[str, str]:
    return "", details.tasks(asked.sweep)


def _task(asked: Request) -> tuple[str, dict[str, Any]]:
    return "", details.task(asked.sweep, asked.task.index)


Action = Callable[[Request], tuple[str, Any]]
"""Gives the words that the page shows, and what it asked for."""

READING: dict[str, Action] = {"details": _details, "outputs": _outputs, "tasks": _tasks, "task": _task}
"""Those that leave the job as it is."""

ACTIONS: dict[str, Action] = {
    "cancel": _cancel,
    "kill": _kill,
    "cancel task": _cancel_task,
    "kill task": _kill_task,
    "rerun": _rerun,
    "rerun failed": _rerun_failed,
    "clean": _clean,
    "fetch": _fetch,
    **READING,
}
