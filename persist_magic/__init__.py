"""persist_magic: a notebook cell becomes a job that outlives its session.

    %load_ext persist_magic

    %%persist calcpi
    sum(1 / n**2 for n in range(1, 10**8))

Owns the public names, each imported when it is first used: the worker imports this package too, and must start with next
to nothing.
"""

from __future__ import annotations

import sys

if sys.platform == "win32":
    raise ImportError("persist_magic needs fork: Linux, macOS, or on Windows WSL")

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .errors import JobCancelled, JobFailed, JobTimeout, PersistError, TasksFailed
    from .job import Job
    from .status import JobState, Status
    from .store import trusting
    from .submission import jobs, load, persist
    from .sweep import Sweep, Task
    from .worker.running import WallTimeSoon, checkpoint, progress, restored, time_left, track, until_wall_time

__version__ = "0.1.0"

__all__ = [
    "Job",
    "JobCancelled",
    "JobFailed",
    "JobState",
    "JobTimeout",
    "PersistError",
    "Status",
    "Sweep",
    "Task",
    "TasksFailed",
    "WallTimeSoon",
    "checkpoint",
    "jobs",
    "load",
    "load_ipython_extension",
    "persist",
    "progress",
    "restored",
    "time_left",
    "track",
    "trusting",
    "unload_ipython_extension",
    "until_wall_time",
]

_HOME = {
    "Job": "job",
    "JobCancelled": "errors",
    "JobFailed": "errors",
    "JobState": "status",
    "JobTimeout": "errors",
    "PersistError": "errors",
    "Status": "status",
    "Sweep": "sweep",
    "Task": "sweep",
    "TasksFailed": "errors",
    "WallTimeSoon": "worker.running",
    "checkpoint": "worker.running",
    "jobs": "submission",
    "load": "submission",
    "persist": "submission",
    "progress": "worker.running",
    "restored": "worker.running",
    "time_left": "worker.running",
    "track": "worker.running",
    "trusting": "store",
    "until_wall_time": "worker.running",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    globals()[name] = found = getattr(importlib.import_module(f".{_HOME[name]}", __name__), name)
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def load_ipython_extension(ipython: Any) -> None:
    """``%load_ext persist_magic``."""
    from .magics import register

    register(ipython)


def unload_ipython_extension(ipython: Any) -> None:
    """``%unload_ext persist_magic``."""
    from .magics import unregister

    unregister(ipython)
