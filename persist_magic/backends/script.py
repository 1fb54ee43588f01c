"""job.sh: how the worker of a job is started, whatever starts it.

Owns the lines that every backend's script shares and the variables by which a script tells the worker what it cannot know by
itself. Knows no scheduler.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Sequence

from ..store import CLUSTER, LAUNCHER, SCHEDULER_ID, TIME_LEFT, JobDirectory, JobSpec

_WORKER = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "worker", "__main__.py")


def script(
    directory: JobDirectory,
    spec: JobSpec,
    launcher: Sequence[str],
    *,
    shell: str = "/bin/sh",
    directives: Sequence[str] = (),
    before: Sequence[str] = (),
) -> str:
    """Return the text of a job.sh.

    Parameters
    ----------
    launcher : sequence of str
        The words that start the MPI ranks, if the job has any.
    shell : str
        What runs the script.
    directives : sequence of str
        Comment lines for a scheduler.
    before : sequence of str
        Lines of shell before the worker is started.
    """
    lines = [
        f"#!{shell}",
        *directives,
        f"# Runs the job {spec.name} of persist_magic; by hand too: sh job.sh",
        f"unset {SCHEDULER_ID} {CLUSTER} {TIME_LEFT} {LAUNCHER}",
        f"job={shlex.quote(directory.path)}",
        *before,
    ]
    if spec.ranks:
        lines.append(f"export {LAUNCHER}={shlex.quote(shlex.join(launcher))}")
    lines += [
        "# PYTHONPATH comes back for the cell. Until the worker stands nothing in it may shadow what it needs.",
        "unset PYTHONPATH",
        f'exec {shlex.quote(spec.executable)} {shlex.quote(_WORKER)} "$job"',
    ]
    return "\n".join(lines) + "\n"
