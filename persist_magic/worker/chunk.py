"""The supervisor of a chunk: some tasks of a sweep, on one machine.

Owns how a chunk is claimed and continued, its journal as the place where its start, its heartbeat and its end are written,
and what its tasks' ends amount to. The tasks are run by the child, see `tasks`.
"""

from __future__ import annotations

import os
import sys
import time

from .. import each
from ..errors import PersistError
from ..journal import Journal, Reader
from ..processes import UNKNOWN, ProcessId
from ..records import Frozen, frozen
from ..store import CHUNK, HEARTBEAT_SECONDS, SCHEDULER_ID, Ended, JobSpec, Outcome, RunDirectory, Started, TaskEnded
from .supervisor import SIGNALS, ChildEnd, Refusal, Supervisor

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

    from .supervisor import Records

FINAL = frozenset({"done", "failed", "cancelled"})
"""Words of a task that is over; one that was interrupted is run again should the chunk be."""
EXIT_STOPPED = 75
"""The child's exit code when it was stopped before all tasks were over (EX_TEMPFAIL of sysexits.h)."""


class ChunkRecords:
    """What a supervisor writes of a chunk.

    Parameters
    ----------
    journal : Journal
    """

    def __init__(self, journal: Journal) -> None:
        self._journal = journal

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
        self.tasks = chunk_tasks(run, self.spec, self.number)
        what = f"chunk {self.number} of run {run.number} of {self.job.name}"
        if not self.tasks:
            raise Refusal(f"there is no {what}")
        self.journal = Journal(run.journal_path(self.number))
        if not self.journal.lock():
            raise Refusal(f"{what} is running")
        past = read_chunk(run, self.number)
        self._require_elsewhere_dead(past, what)
        if past.ended is not None and past.ended.outcome == "cancelled":
            raise Refusal(f"{what} was cancelled and does not run again")
        if past.ended is not None and past.ended.final:
            raise Refusal(f"{what} has been run; %persist_rerun {self.job.name} runs the sweep again, --failed its rest")
        self.left = [task for task in self.tasks if task not in past.over]
        return run, ChunkRecords(self.journal)

    def _write_handle(self, id: str, process: ProcessId | None) -> None:
        """Write it only of the whole sweep: a chunk's own id stands in its journal."""
        if not self.scheduler_id:
            super()._write_handle(id, process)

    def _is_sampled(self) -> bool:
        return self.place is not None  # else one of many, on as many machines

    def _require_elsewhere_dead(self, past: Past, what: str) -> None:
        """Refuse if it lives on another host, by its heartbeat, should the file system know no locks."""
        started = past.started
        if started is None or past.ended is not None or started.supervisor.state() != UNKNOWN:
            return
        requeued = started.scheduler_id != "" and started.scheduler_id == os.environ.get(SCHEDULER_ID)
        if not requeued and time.time() - past.beat < 6 * HEARTBEAT_SECONDS:
            raise Refusal(f"{what} is running on {started.supervisor.host}")

    def _be_child(self) -> NoReturn:
        from .tasks import run_tasks

        run_tasks(self, SIGNALS)

    def _outcome(self, end: ChildEnd) -> Outcome | None:
        """What the tasks' ends amount to; None if not all of them have come to one."""
        try:
            past = read_chunk(self.run, self.number)
        except PersistError as error:
            print(f"persist_magic: {error}", file=sys.stderr, flush=True)
            return None
        if past.broken:
            return Outcome(self.spec.token, time.time(), "failed", past.broken, "", None, None, {})
        if len(past.over) < len(self.tasks):
            if end.exit_code != EXIT_STOPPED:
                return None
            words = "its tasks were stopped from outside (SIGTERM)"
            return Outcome(self.spec.token, time.time(), "failed", words, "", None, None, {})
        failed = sum(word != "done" for word in past.over.values())
        words = f"{failed} of {len(self.tasks)} tasks failed" if failed else ""
        return Outcome(self.spec.token, time.time(), "failed" if failed else "done", words, "", None, None, {})


@frozen
class Past(Frozen):
    """What has become of a chunk so far.

    Attributes
    ----------
    over : dict of int to str
        The tasks that are over, each with its last word.
    started : Started or None
        Who ran it last.
    beat : float
        When something was last written, or touched, seconds since the epoch.
    ended : Ended or None
        Its end, if it has not been started again since.
    broken : str
        Why no task could be run, since it was last started.
    """

    over: dict[int, str]
    started: Started | None
    beat: float
    ended: Ended | None
    broken: str


def chunk_tasks(run: RunDirectory, spec: JobSpec, number: int) -> list[int]:
    """Return the tasks of a chunk, in order."""
    submitted = run.submitted()
    if submitted is None:
        return list(range(spec.tasks)) if number == 0 else []
    tasks = each.read(submitted.tasks) if submitted.tasks else list(range(spec.tasks))
    size = submitted.chunk or len(tasks)
    return tasks[number * size : (number + 1) * size]


def read_chunk(run: RunDirectory, number: int) -> Past:
    """Read a chunk's journal.

    Raises
    ------
    Damaged
        If that cannot be read.
    """
    over: dict[int, str] = {}
    started, ended, broken = None, None, ""
    reader = Reader(run.job, run.journal_path(number))
    for word, task, _, content in reader.news():
        if word in FINAL:
            over[task] = word
        elif word == "started":
            started, ended, broken = Started.from_bytes(content, run.job.name, "its journal"), None, ""
        elif word == "ended":
            ended = Ended.from_bytes(content, run.job.name, "its journal")
        elif word == "broken":
            broken = TaskEnded.from_bytes(content, run.job.name, "its journal").reason
    return Past(over, started, reader.written or 0.0, ended, broken)
