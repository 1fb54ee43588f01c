"""The one loop of a session that watches jobs.

Owns the thread that polls, and what is told when a job ends. There is one for all jobs that are watched, and none when there
are none. Knows nothing of how anything is shown.
"""

from __future__ import annotations

import contextlib
import sys
import threading
import traceback
from collections.abc import Callable, Iterator

from .errors import NoSuchJob, PersistError
from .job import Job, pauses, statuses
from .status import JobState, Status


class Monitor:
    """Watches jobs from a thread of its own."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._watched: list[tuple[Job, Callable[[Job, Status], None]]] = []
        self._thread: threading.Thread | None = None
        self._news = threading.Event()

    def when_ended(self, job: Job, tell: Callable[[Job, Status], None]) -> None:
        """Call a function, in the monitor's thread, once a job has ended; not if it is deleted before.

        The thread keeps no process from ending.
        """
        with self._lock:
            self._watched.append((job, tell))
            self._news.set()
            if self._thread is None:
                self._thread = threading.Thread(target=self._watch, name="persist_magic monitor", daemon=True)
                self._thread.start()

    def _watch(self) -> None:
        pause = pauses()
        while True:
            with self._lock:
                watched = list(self._watched)
                if not watched:
                    self._thread = None
                    return
            with _reported():
                self._look(watched)
            if self._news.wait(next(pause)):
                self._news.clear()
                pause = pauses()

    def _look(self, watched: list[tuple[Job, Callable[[Job, Status], None]]]) -> None:
        for each, status in zip(watched, statuses([job for job, _ in watched]), strict=True):
            job, tell = each
            ended = isinstance(status, Status) and (status.state.ended or status.state is JobState.EMPTY)
            if ended or isinstance(status, NoSuchJob):
                with self._lock:
                    self._watched.remove(each)
            if isinstance(status, Status) and ended:
                with _reported():
                    tell(job, status)


@contextlib.contextmanager
def _reported() -> Iterator[None]:
    """Tell of an error and go on: one that fails must not silence the others."""
    try:
        yield
    except PersistError as error:
        print(f"persist_magic: {error}", file=sys.stderr, flush=True)
    except Exception:  # noqa: BLE001  whatever it is
        traceback.print_exc()


monitor = Monitor()
