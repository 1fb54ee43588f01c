"""What a backend is: the protocol between the job and where it runs.

Owns the words that pass between them. A backend knows job directories and its own scheduler, neither magics nor views.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from ..status import Observation
from ..store import Handle, JobDirectory, JobSpec, RunDirectory, Started


@dataclass(frozen=True)
class Query:
    """A run whose state the files do not tell."""

    job: JobDirectory
    run: RunDirectory
    handle: Handle | None
    started: Started | None


class Backend(Protocol):
    """Where jobs run."""

    name: str

    def settings(self, options: Sequence[str]) -> dict[str, Any]:
        """Check what the user wrote after ``--`` and return what a run needs of it and of the configuration.

        Called before anything is written.

        Raises
        ------
        BackendError
            If an option is unknown or its value wrong.
        """
        ...

    def script(self, directory: JobDirectory, spec: JobSpec) -> str:
        """Return the text of job.sh, which also runs by hand."""
        ...

    def reserve(self, directory: JobDirectory, settings: Mapping[str, Any]) -> dict[str, Any]:
        """Called when the name is certain, just before a run is recorded; return the settings to record."""
        ...

    def release(self, directory: JobDirectory, settings: Mapping[str, Any]) -> None:
        """Give back what `reserve` took: the run was not submitted."""
        ...

    def submit(self, directory: JobDirectory, run: RunDirectory, settings: Mapping[str, Any]) -> Handle:
        """Start a run.

        Raises
        ------
        BackendError
            If the run was not taken.
        """
        ...

    def poll(self, queries: Sequence[Query]) -> list[Observation]:
        """Say of each run whether it waits, lives, is gone or cannot be told; one call for all."""
        ...

    def cancel(self, query: Query, force: bool) -> None:
        """Carry out a cancel whose request is already in the job directory."""
        ...

    def info(self, query: Query) -> dict[str, Any]:
        """Return what the scheduler or the operating system tells of the run."""
        ...
