"""What the cell puts out: the streams as files that are live, and the events that keep the order of it all.

Owns the objects behind sys.stdout and sys.stderr, and the writing of display.jsonl. Knows nothing of IPython, whose
displays arrive here as plain data.

A text that is printed is in the file at once. Only while a cell prints in bursts (hundreds of pieces in a tenth of a second)
are they gathered, for a tenth of a second at most: a system call for each would cost more than the printing. Programs that
the cell starts write to the same files by themselves.
"""

from __future__ import annotations

import _thread
import contextlib
import io
import os
import sys
import time

from ..store import RunDirectory, write_atomic

TYPE_CHECKING = False
if TYPE_CHECKING:
    import types
    from typing import Any

TICK_SECONDS = 0.1
"""For so long text may be gathered."""
_BURST = 256
"""So many writes within one tick are a burst."""
_CONDENSE_BYTES = 16 << 20
"""From this size on display.jsonl is rewritten without what was cleared or updated since, whenever it has doubled."""
_OTHERS = {
    *("subprocess.Popen", "os.system", "os.posix_spawn", "os.exec", "os.forkpty"),
    *("_thread.start_new_thread", "_thread.start_joinable_thread"),
}
"""Audit events after which somebody else may write to the same files."""
_OTHERS_SECONDS = 1.0
"""So long a thread may take until it can be seen."""


class Held:
    """A file that is kept open for appending, and opened again should the cell have closed all descriptors that it found.

    Its descriptor may then be another file's, so whose it is is asked each time.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._open()

    def _open(self) -> None:
        self._descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        info = os.fstat(self._descriptor)
        self._identity = info.st_dev, info.st_ino

    def _checked(self) -> os.stat_result:
        try:
            info = os.fstat(self._descriptor)
            if (info.st_dev, info.st_ino) == self._identity:
                return info
        except OSError:
            pass
        self._open()
        return os.fstat(self._descriptor)

    def descriptor(self) -> int:
        self._checked()
        return self._descriptor

    def size(self) -> int:
        """Bytes that the file holds, whoever wrote them."""
        return self._checked().st_size

    def close(self) -> None:
        os.close(self.descriptor())


class Log(io.BufferedIOBase):
    """What is below the text of sys.stdout or sys.stderr; writes at once.

    Parameters
    ----------
    descriptor : int
        1 or 2.
    path : str
        The file that it stands for, and still does if the cell redirects the descriptor.
    """

    closed = False  # asked for by each print, and the base class's property is slow

    def __init__(self, recorder: Recorder, descriptor: int, path: str) -> None:
        self.file = Held(path)
        os.dup2(self.file.descriptor(), descriptor)
        self.raw = io.FileIO(descriptor, "w", closefd=False)
        self.name, self.mode = f"<{'stdout' if descriptor == 1 else 'stderr'}>", "w"
        self._recorder, self._descriptor = recorder, descriptor
        self._until, self._count = 0.0, 0
        self.written = 0
        self.text = io.TextIOWrapper(self, "utf-8", "backslashreplace", newline="\n", write_through=True)

    def close(self) -> None:
        self.closed = True

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._descriptor

    def isatty(self) -> bool:
        return False

    def write(self, data: Any) -> int:
        if self.closed:
            raise ValueError("I/O operation on closed file.")
        recorder = self._recorder
        try:
            if not recorder.here:  # a process that the cell forked
                return _write_all(self._descriptor, data)
            with recorder.lock:
                recorder.turn_to(self)
                if recorder.burst is not self:
                    self._count_write()
                length = _write_all(self._descriptor, data)
                self.written += length
                return length
        finally:
            recorder.raise_held_back()

    def _count_write(self) -> None:
        now = time.monotonic()
        if now > self._until:
            self._until, self._count = now + TICK_SECONDS, 0
        self._count += 1
        if self._count > _BURST:
            self._count = 0
            self._recorder.begin_burst(self)


def _write_all(descriptor: int, data: Any) -> int:
    view = memoryview(data).cast("B")
    length = len(view)
    while view:
        view = view[os.write(descriptor, view) :]
    return length


_WRITING = Log.write.__code__
_recorder: Recorder | None = None


def raise_in_cell(error: BaseException, frame: types.FrameType | None) -> None:
    """Raise an error in the cell, from a signal's handler.

    While text is being written it is raised a moment later: of text that was gathered in a burst much would be lost.

    Parameters
    ----------
    frame : frame
        What the signal has interrupted.
    """
    if _recorder is not None:
        while frame is not None:
            if frame.f_code is _WRITING:
                _recorder.hold_back(error)
                return
            frame = frame.f_back
    raise error


def in_forked_process() -> bool:
    """Return whether this is a process that the cell forked."""
    return _recorder is not None and not _recorder.here


class Recorder:
    """Records one run's output; there is one in a process.

    Making one lets descriptors 1 and 2, and so what the cell starts, write to the run's files.

    Parameters
    ----------
    run : RunDirectory
    condenses : bool
        Whether to rewrite the file of outputs when it grows; not if others know places in it.

    Attributes
    ----------
    here : bool
        Whether this is the process of the cell and not one that it forked.
    burst : Log or None
        The log whose text is being gathered.
    lock : RLock
        Held while something is written; whoever holds it finds the files in order.
    """

    def __init__(self, run: RunDirectory, condenses: bool = True) -> None:
        self._run = run
        self.here = True
        self.lock = _thread.RLock()
        self.burst: Log | None = None
        self._last: Log | None = None
        self._before_tick = 0
        self._size, self._condense_at = 0, _CONDENSE_BYTES if condenses else sys.maxsize
        self._events: Held | None = None
        self._listens = self._turning = False
        self._others_until = 0.0
        self._held_back: BaseException | None = None
        self._main_thread = _thread.get_ident()
        self.logs = Log(self, 1, run.stdout_path), Log(self, 2, run.stderr_path)
        sys.stdout, sys.stderr = (log.text for log in self.logs)
        sys.__stdout__, sys.__stderr__ = sys.stdout, sys.stderr  # type: ignore[misc]
        os.register_at_fork(before=self._before_fork, after_in_child=self._in_child)
        global _recorder
        _recorder = self

    def hold_back(self, error: BaseException) -> None:
        """Keep an error until what is being written is through."""
        self._held_back = error

    def raise_held_back(self) -> None:
        """Raise what was held back, in the thread in which signals are handled."""
        if self._held_back is not None and _thread.get_ident() == self._main_thread:
            error, self._held_back = self._held_back, None
            raise error

    # ---- order

    def turn_to(self, log: Log) -> None:
        """Mark the place if another stream was written last. The caller holds the lock."""
        if self._last is log:
            return
        self._end_burst()
        if self._last is not None:
            with contextlib.suppress(OSError):  # a full disk takes away the order, not the print
                self._write({"at": self._place(), "type": "order"})
        self._last = log

    def record(self, kind: str, **content: Any) -> None:
        """Record an event at this place."""
        with self.lock:
            self.flush()
            self._write({"at": self._place(), "type": kind, **content})
            if self._size > self._condense_at and self.here:
                self._condense()

    def record_error(self, error: BaseException, traceback: list[str], text: str) -> None:
        """Record what ended the cell; `text` goes to stderr, for those who read the log."""
        with self.lock:
            words = {"ename": type(error).__name__, "evalue": safe_str(error), "traceback": traceback}
            echo = text.encode("utf-8", "backslashreplace")
            with contextlib.suppress(OSError):  # a full disk; the outcome record has the traceback too
                self.record("error", **words, echo=len(echo))
                _write_all(self.logs[1].fileno(), echo)

    def _place(self) -> list[int]:
        return [log.file.size() for log in self.logs]

    def _write(self, event: dict[str, Any]) -> None:
        from ..outputs import encode  # a cell that only prints to one stream needs no events

        line = encode(event)
        events = self._events or Held(self._display_path())
        _write_all(events.descriptor(), line)
        if self.here:
            self._events = events
            self._size += len(line)
        else:  # not kept: the cell's own process may rewrite the file
            events.close()

    def _display_path(self) -> str:
        self._run.follow()
        return self._run.display_path

    def _condense(self) -> None:
        """Rewrite the events without what nobody will see again, for example the frames of a live plot."""
        from ..outputs import condense, decode, encode

        path = self._display_path()
        with open(path, "rb") as file:
            events, _ = decode(file.read())
        lines = b"".join(map(encode, condense(events)))
        write_atomic(path, lines, sync=False)
        if self._events is not None:
            self._events.close()
        self._events, self._size = None, len(lines)
        self._condense_at = max(_CONDENSE_BYTES, 2 * len(lines))

    # ---- bursts

    def begin_burst(self, log: Log) -> None:
        """Gather the text of the stream that is being written; until it calms down, or anything else happens.

        Not while the cell has threads: a TextIOWrapper that gathers may lose text that several of them print
        (python/cpython#119506, still so in Python 3.11).
        """
        if self._turning:
            return
        self._turning = True  # a signal's handler may print meanwhile
        try:
            from .ticker import ticker

            if time.monotonic() < self._others_until or len(sys._current_frames().keys() - {ticker.thread}) > 1:
                return
            if not self._listens:
                self._listens = True
                self._listen()
            self._before_tick = log.written
            if ticker.add(self._tick):
                self.burst = log
                log.text.reconfigure(write_through=False)
        finally:
            self._turning = False

    def _end_burst(self) -> None:
        log, self.burst = self.burst, None
        if log is not None:
            self._turning = True  # no other one, while what was gathered is written
            try:
                log.text.reconfigure(write_through=True)
            except ValueError:  # the cell closed or detached it
                pass
            finally:
                self._turning = False

    def _tick(self) -> bool:
        with self.lock:
            log = self.burst
            if log is None:
                return False
            if log.written == self._before_tick:  # not even one chunk
                self._end_burst()
            self._before_tick = log.written
            return self.burst is not None

    def flush(self) -> None:
        """Let the files hold all that was printed."""
        log = self.burst
        if log is not None and self.here:
            with self.lock, contextlib.suppress(ValueError):
                log.text.flush()

    def _listen(self) -> None:
        """Hear of others before they write; from the first burst on, since it costs a little and cannot be taken back."""

        def audit(event: str, arguments: object) -> None:
            if event in _OTHERS and not self._turning:  # then it is the ticker that starts
                self._others_until = time.monotonic() + _OTHERS_SECONDS
                if self.burst is not None:
                    with self.lock:
                        self._end_burst()

        sys.addaudithook(audit)
        if sys.version_info < (3, 12):  # which has no such event for threads
            import threading

            start: Any = _thread.start_new_thread

            def heard(*arguments: Any) -> Any:
                audit("_thread.start_new_thread", arguments)
                return start(*arguments)

            modules: tuple[Any, Any] = _thread, threading
            modules[0].start_new_thread = modules[0].start_new = modules[1]._start_new_thread = heard

    # ---- forks

    def _before_fork(self) -> None:
        if self.here:
            with self.lock:
                self._end_burst()

    def _in_child(self) -> None:
        self.here, self.burst, self._events = False, None, None
        self.lock, self._main_thread = _thread.RLock(), _thread.get_ident()
        for log in self.logs:
            with contextlib.suppress(ValueError):  # a line is one write: several processes share the file
                log.text.reconfigure(line_buffering=True, write_through=False)


def safe_str(error: BaseException) -> str:
    """Return an exception's text, whatever its ``__str__`` does."""
    try:
        return str(error)
    except Exception as trouble:  # noqa: BLE001  a user's __str__ may raise anything
        return f"(its str() raised {type(trouble).__name__})"
