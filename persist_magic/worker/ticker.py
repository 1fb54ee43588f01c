"""One thread for what must happen a moment later, while there is anything.

Owns when it starts and ends. It is there only while something waits to be written: most cells never have it, and none has
it while it forks, since a process with threads had better not.
"""

from __future__ import annotations

import _thread
import os
import signal
from collections.abc import Callable

from .recording import TICK_SECONDS


class Ticker:
    """Calls functions again and again, until each says that it has nothing left to do.

    Attributes
    ----------
    thread : int or None
        The thread that calls them, if there is one.
    """

    def __init__(self) -> None:
        self._waiting: dict[Callable[[], bool], None] = {}
        self._lock = _thread.RLock()  # a signal's handler may come in between
        self.thread: int | None = None
        self._thread: tuple[_thread.LockType, _thread.LockType] | None = None
        os.register_at_fork(before=self._stop, after_in_parent=self._start, after_in_child=self._forget)

    def add(self, function: Callable[[], bool]) -> bool:
        """Call a function each tick as long as it returns True; return whether that can be done."""
        with self._lock:
            self._waiting[function] = None
            return self._start()

    def _start(self) -> bool:
        with self._lock:
            if self._thread is not None or not self._waiting:
                return True
            stop, ended = _thread.allocate_lock(), _thread.allocate_lock()
            stop.acquire()
            ended.acquire()
            try:
                self.thread = _thread.start_new_thread(self._run, (stop, ended))
            except RuntimeError:  # as many threads as the system allows
                self._waiting.clear()
                return False
            self._thread = stop, ended
            return True

    def _run(self, stop: _thread.LockType, ended: _thread.LockType) -> None:
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())  # they are the cell's
        try:
            while not stop.acquire(timeout=TICK_SECONDS):
                with self._lock:
                    due, self._waiting = self._waiting, {}
                again = [function for function in due if function()]
                with self._lock:
                    self._waiting.update(dict.fromkeys(again))
                    if not self._waiting:
                        if self._thread is not None and self._thread[0] is stop:
                            self._thread = None
                        return
        finally:
            if self.thread == _thread.get_ident():
                self.thread = None
            ended.release()

    def _stop(self) -> None:
        """Before a fork: end the thread; what waits goes on waiting, in this process."""
        with self._lock:
            thread, self._thread = self._thread, None
        if thread is not None:
            thread[0].release()
            thread[1].acquire(timeout=1.0)

    def _forget(self) -> None:
        self._lock = _thread.RLock()
        self._waiting.clear()
        self._thread = self.thread = None


ticker = Ticker()
