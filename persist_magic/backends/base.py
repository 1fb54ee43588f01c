"""What a backend is: the protocol between the job and where it runs.

Owns the words that pass between them. A backend knows job directories and its own scheduler, neither magics nor views.
"""

from __future__ import annotations

import abc
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from ..findings import Finding
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
    chunk : int or None
        Of a sweep: the chunk of its tasks that is asked about; None for the sweep as a whole.
    """

    job: JobDirectory
    run: RunDirectory
    spec: JobSpec
    evidence: Evidence
    chunk: int | None = None

    @property
    def started(self) -> Started | None:
        return self.evidence.started

    @property
    def handle(self) -> Handle | None:
        """The handle of this run. An older run's counts only for a requeue, which nobody has asked the backend for."""
        handle = self.evidence.handle
        if handle is None or handle.run == self.run.number or self.run.submitted() is None:
            return handle
        return None


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


@dataclass(frozen=True)
class Tasks:
    """The tasks of a sweep that a run is going to be of.

    Attributes
    ----------
    count : int
    chunk : int
        How many of them the user wants in a chunk; 0 leaves that to the backend.
    limit : int
        How many may run at once; 0 for as many as can.
    """

    count: int
    chunk: int = 0
    limit: int = 0


class Launch(abc.ABC):
    """A run that is going to be started, or not; a ``with`` block that is left without `start` gives all back.

    Attributes
    ----------
    taken : bool
        Whether the backend has, or may have, the run.
    """

    taken = False

    def __enter__(self) -> Launch:
        return self

    def __exit__(self, *_: object) -> None:
        if not self.taken:
            self.abandon()

    @abc.abstractmethod
    def reserve(self) -> dict[str, Any]:
        """Called when the name is certain, just before the run is recorded; return the settings to record."""

    @abc.abstractmethod
    def start(self, directory: JobDirectory, run: RunDirectory) -> Handle:
        """Start the run, which is recorded.

        Raises
        ------
        BackendError
            If the run was not taken.
        Unconfirmed
            If it may have been taken, which `Backend.poll` will find out.
        """

    @abc.abstractmethod
    def abandon(self) -> None:
        """Give back what was reserved, and end what was prepared: the run was not taken."""


class Backend(Protocol):
    """Where jobs run."""

    name: str

    def settings(
        self, options: Sequence[str], after: Sequence[Predecessor] = (), tasks: Tasks | None = None
    ) -> dict[str, Any]:
        """Check what the user wrote after ``--`` and return what a run needs of it and of the configuration.

        Called before anything is written.

        Parameters
        ----------
        options : sequence of str
        after : sequence of Predecessor
            The jobs that must be done first, and have not ended yet.
        tasks : Tasks, optional
            Of a sweep, and only then given. Among the settings is then ``chunk``: how many tasks a chunk has. Each chunk is
            run by a worker of its own, which job.sh tells its number (`store.CHUNK`).

        Raises
        ------
        BackendError
            If an option is unknown or its value wrong, or if runs of this backend cannot wait for one of the jobs.
        """
        ...

    def script(self, directory: JobDirectory, spec: JobSpec) -> str:
        """Return the text of job.sh, which also runs by hand."""
        ...

    def prepare(
        self, directory: JobDirectory, token: str, run: int, options: Sequence[str], settings: Mapping[str, Any]
    ) -> Launch:
        """Begin with what a submission takes besides the job directory, which is still being filled.

        Parameters
        ----------
        directory : JobDirectory
            Where the job is going to be.
        token : str
            The job's, as `JobSpec` has it.
        run : int
        options : sequence of str
            What the user wrote after ``--``.
        settings : mapping
            What `settings` made of it.
        """
        ...

    def poll(self, queries: Sequence[Query], seconds: float | None = None) -> list[Observation]:
        """Say of each run whether it waits, lives, is gone or cannot be told; one call for all.

        Parameters
        ----------
        seconds : float, optional
            How long to wait for an answer; if it has not come by then, what was known before is told.
        """
        ...

    def cancel(self, query: Query, force: bool) -> None:
        """Carry out a cancel whose request is already in the job directory."""
        ...

    def info(self, query: Query) -> dict[str, Any]:
        """Return what the scheduler or the operating system tells of the run."""
        ...


@runtime_checkable
class Examined(Protocol):
    """A backend that can tell more of its state than what becomes of a job."""

    def examine(self) -> Iterator[Finding]:
        """Yield what is found of the programs and services that it needs; after trouble no job is tried.

        Raises
        ------
        BackendError
            If what it needs is not on this machine at all.
        """
        ...
