"""What a backend is: the protocol between the job and where it runs.

Owns the words that pass between them. A backend knows job directories and its own scheduler, neither magics nor views.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from ..status import Evidence, Observation
from ..store import Handle, JobDirectory, JobSpec, RunDirectory, Started


@dataclass(frozen=True)
class Query:
    """A run whose state the files do not tell for good.

    Attributes
    ----------
    spec : JobSpec
    evidence : Evidence
        What the files say.
    """

    job: JobDirectory
    run: RunDirectory
    spec: JobSpec
    evidence: Evidence

    @property
    def started(self) -> Started | None:
        return self.evidence.started

    @property
    def handle(self) -> Handle | None:
        """The handle of this run; an older run's does not count."""
        handle = self.evidence.handle
        return handle if handle is not None and handle.run == self.run.number else None


@dataclass(frozen=True)
class Predecessor:
    """A job that must be done before another may start.

    Attributes
    ----------
    name : str
    backend : str
    id, cluster : str
        Of the run that is awaited.
    """

    name: str
    backend: str
    id: str
    cluster: str


class Backend(Protocol):
    """Where jobs run."""

    name: str

    def settings(self, options: Sequence[str], after: Sequence[Predecessor] = ()) -> dict[str, Any]:
        """Check what the user wrote after ``--`` and return what a run needs of it and of the configuration.

        Called before anything is written.

        Parameters
        ----------
        options : sequence of str
        after : sequence of Predecessor
            The jobs that must be done first, and have not ended yet.

        Raises
        ------
        BackendError
            If an option is unknown or its value wrong, or if runs of this backend cannot wait for one of the jobs.
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
        Unconfirmed
            If it may have been taken, which `poll` will find out.
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
