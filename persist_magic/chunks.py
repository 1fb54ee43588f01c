"""What the journal of a chunk of tasks says, for the worker that writes it and for sessions that look.

Owns the words of its lines and what they amount to, which tasks a chunk has, and which of them somebody has asked to stop.
Standard library only. Knows no states of jobs, which rest on more than the journal.
"""

from __future__ import annotations

import contextlib
import os
from collections import Counter

from . import each
from .errors import PersistError
from .journal import Reader
from .store import CancelRequest, Ended, RunDirectory, Started, Submitted, TaskBegan, TaskEnded

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from .journal import Place

FINAL = frozenset({"done", "failed", "cancelled"})
"""Words of a task that is over; one that was interrupted is run again should the chunk be."""


def division(submitted: Submitted | None, count: int) -> tuple[Sequence[int], int]:
    """Return the tasks of a run, in order, and how many of them a chunk has.

    Parameters
    ----------
    submitted : Submitted or None
        How the run was asked for.
    count : int
        How many tasks the sweep has.
    """
    tasks = each.read(submitted.tasks) if submitted is not None and submitted.tasks else range(count)
    return tasks, (submitted.chunk if submitted is not None else 0) or max(1, len(tasks))


class Chunk:
    """What the journal of one chunk says.

    Attributes
    ----------
    run : RunDirectory
    number : int
    tasks : sequence of int
        In the order in which they are run.
    started : Started or None
        Who runs it, or did last.
    ended : Ended or None
        Its end, if it has not been started again since.
    broken : str
        Why no task could be run, since it was last started.
    """

    def __init__(self, run: RunDirectory, number: int, tasks: Sequence[int]) -> None:
        self.run, self.number, self.tasks = run, number, tasks
        self._reader = Reader(run.job, run.journal_path(number))
        self._begin()

    def _begin(self) -> None:
        self._beginnings = self._reader.beginnings
        self.started: Started | None = None
        self.ended: Ended | None = None
        self.broken = ""
        self._places: dict[int, tuple[str, Place]] = {}  # of a task's last line
        self.words: Counter[str] = Counter()  # of the tasks' last lines

    def refresh(self) -> None:
        """Read what is new; of a journal that is shorter now, after a loss of power, all of it."""
        self._reader.path = self.run.journal_path(self.number)
        for word, number, place, content in self._reader.news():
            if self._beginnings != self._reader.beginnings:
                self._begin()
            job, what = self.run.job.name, f"the journal of chunk {self.number}"
            if word == "started":
                self._start(Started.from_bytes(content, job, what))
            elif word == "ended":
                self.ended = Ended.from_bytes(content, job, what)
            elif word == "broken":
                self.broken = TaskEnded.from_bytes(content, job, what).reason
            else:
                self._turn(number, (word, place))
        if self._beginnings != self._reader.beginnings:
            self._begin()

    def _start(self, started: Started) -> None:
        """It runs, perhaps again: then what had begun and is not over has not."""
        again = self.started is None or self.started.supervisor != started.supervisor
        self.started, self.ended, self.broken = started, None, ""
        for task in [task for task, (word, _) in self._places.items() if again and word not in FINAL]:
            self._turn(task, None)

    def _turn(self, task: int, line: tuple[str, Place] | None) -> None:
        before = self._places.pop(task, None)
        if before is not None:
            self.words[before[0]] -= 1
        if line is not None:
            self._places[task] = line
            self.words[line[0]] += 1

    @property
    def torn(self) -> int:
        """How many lines of the journal are not as they were written, but for the last."""
        return self._reader.torn

    @property
    def beat(self) -> float | None:
        """When the journal was last written to or touched, seconds since the epoch."""
        return self._reader.written

    @property
    def read(self) -> int:
        """How many bytes of the journal have been read."""
        return self._reader.offset

    @property
    def over(self) -> int:
        """How many tasks are over."""
        return sum(self.words[word] for word in FINAL)

    def word(self, task: int) -> str:
        """Return the last word on a task; "" if there is none."""
        return self._places[task][0] if task in self._places else ""

    def line(self, task: int) -> TaskBegan | TaskEnded | None:
        """Return the last record of a task."""
        if task not in self._places:
            return None
        word, place = self._places[task]
        kind = TaskBegan if word == "began" else TaskEnded
        return kind.from_bytes(self._reader.content(place), self.run.job.name, f"what is known of task {task}")

    def held(self) -> contextlib.AbstractContextManager[None]:
        """Keep the journal open for many calls of `line`."""
        return self._reader.held()

    def first(self, word: str) -> int | None:
        """Return the first task whose last line has a word."""
        return min((task for task, line in self._places.items() if line[0] == word), default=None)

    def failure_words(self) -> str:
        """Return how many tasks failed; "" if none did."""
        failed = self.words["failed"] + self.words["cancelled"]
        return self.broken or (f"{failed} of {len(self.tasks)} tasks failed" if failed else "")


class CancelledTasks:
    """The tasks of a run whose end has been asked for.

    Parameters
    ----------
    run : RunDirectory

    Attributes
    ----------
    requests : dict of int to CancelRequest
        By task, see `each.cancelled`.
    """

    def __init__(self, run: RunDirectory) -> None:
        self._run = run
        self.requests: dict[int, CancelRequest] = {}
        self._seen = 0, 0, 0

    def refresh(self) -> None:
        """Read them, if somebody has asked for more."""
        try:
            info = os.stat(self._run.cancel_tasks_path)
        except OSError:
            return
        seen = info.st_mtime_ns, info.st_ino, info.st_size  # two requests may be written within one tick of the clock
        if seen != self._seen:
            self._seen = seen
            with contextlib.suppress(PersistError, ValueError):
                self.requests = each.cancelled(self._run.cancel_requests())
