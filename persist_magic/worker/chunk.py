"""The supervisor of a chunk: some tasks of a sweep, on one machine.

Owns how a chunk is claimed and continued, its journal as the place where its start, its heartbeat and its end are written,
and what its tasks' ends amount to. The tasks are run by the child, see `tasks`.
"""

from __future__ import annotations

import os
import sys
import time

from ..chunks import FINAL, Chunk, division
from ..errors import PersistError
from ..journal import Journal
from ..processes import ProcessId
from ..store import CHUNK, Ended, Outcome, RunDirectory, Started
from .supervisor import SIGNALS, ChildEnd, Refusal, Supervisor, require_elsewhere_dead

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import NoReturn

    from .supervisor import Records

EXIT_STOPPED = 75
"""The child's exit code when it was stopped before all tasks were over (EX_TEMPFAIL of sysexits.h)."""


class ChunkRecords:
    """What a supervisor writes of a chunk.

    Parameters
    ----------
    journal : Journal
    chunk : Chunk
        The same, as it is read.
    """

    def __init__(self, journal: Journal, chunk: Chunk) -> None:
        self._journal, self._chunk = journal, chunk

    def started(self) -> Started | None:
        self._chunk.refresh()
        return self._chunk.started

    def write_started(self, started: Started, exclusive: bool) -> None:
        """Write who runs it; the journal's lock has seen to it that there is only one."""
        self._journal.append("started", 0, started.to_line())

    def write_ended(self, ended: Ended) -> None:
        self._journal.append("ended", 0, ended.to_line())
        self._journal.sync()

    def beat(self) -> None:
        self._journal.touch()


class ChunkSupervisor(Supervisor):
    """One chunk of one run."""

    def _take(self) -> tuple[RunDirectory, Records]:
        """Claim the chunk that job.sh tells, of the newest run; what of it is over is not run again."""
        self.number = int(os.environ.pop(CHUNK, "0"))
        run = self.job.current_run()
        tasks, size = division(run.submitted(), self.spec.tasks)
        self.chunk = Chunk(run, self.number, tasks[self.number * size : (self.number + 1) * size])
        what = f"chunk {self.number} of run {run.number} of {self.job.name}"
        if not self.chunk.tasks:
            raise Refusal(f"there is no {what}")
        self.journal = Journal(run.journal_path(self.number))
        if not self.journal.lock():
            raise Refusal(f"{what} is running")
        self.chunk.refresh()
        require_elsewhere_dead(what, self.chunk.started, self.chunk.ended, self.chunk.beat)  # where there are no locks
        ended = self.chunk.ended
        if ended is not None and ended.outcome == "cancelled":
            raise Refusal(f"{what} was cancelled and does not run again")
        if ended is not None and ended.final:
            raise Refusal(f"{what} has been run; %persist_rerun {self.job.name} runs the sweep again, --failed its rest")
        self.left = [task for task in self.chunk.tasks if self.chunk.word(task) not in FINAL]
        return run, ChunkRecords(self.journal, self.chunk)

    def _write_handle(self, id: str, process: ProcessId | None) -> None:
        """Write it only of the whole sweep: a chunk's own id stands in its journal."""
        if not self.scheduler_id:
            super()._write_handle(id, process)

    def _is_sampled(self) -> bool:
        return self.place is not None  # else one of many, on as many machines

    def _child(self) -> Callable[[], NoReturn]:
        from .tasks import run_tasks

        return lambda: run_tasks(self, SIGNALS)

    def _outcome(self, end: ChildEnd) -> Outcome | None:
        """What the tasks' ends amount to; None if not all of them have come to one."""
        try:
            self.chunk.refresh()
        except PersistError as error:
            print(f"persist_magic: {error}", file=sys.stderr, flush=True)
            return None
        words = self.chunk.failure_words()
        if self.chunk.over < len(self.chunk.tasks) and not self.chunk.broken:
            if end.exit_code != EXIT_STOPPED:
                return None
            words = "its tasks were stopped from outside (SIGTERM)"
        return Outcome(self.spec.token, time.time(), "failed" if words else "done", words, "", None, None, {})
