"""What a cell may ask and say while it runs as a job: the time left, checkpoints, and how far it is.

Owns `time_left`, `until_wall_time`, `WallTimeSoon`, `checkpoint`, `restored`, `track` and `progress`. They find the job
in their own process, or through the environment, so they also serve MPI ranks and processes that the cell starts. In a
session, where no job is, they do nothing: the same cell runs there, too.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import sys
import threading
import time
from collections.abc import Sized

from ..errors import NotPickled, StoreError
from ..store import (
    JOB_DIRECTORY,
    RANK,
    RUN,
    TASK,
    TIME_LEFT,
    Bar,
    Checkpoint,
    JobDirectory,
    RunDirectory,
    TaskFiles,
    write_atomic,
)
from ..walltime import format_walltime, parse_walltime

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from types import FrameType, TracebackType
    from typing import Any, TypeVar

    T = TypeVar("T")

ASK_AGAIN_SECONDS = 60.0
"""How long an answer of the scheduler's about the time left is used; an administrator may change the limit."""


class WallTimeSoon(KeyboardInterrupt):
    """The wall time of the job is nearly over. A KeyboardInterrupt, so that no ``except Exception`` takes it."""


def _present_run() -> RunDirectory | None:
    execution: Any = sys.modules.get(f"{__package__}.execution")
    if execution is not None and execution.present is not None:
        return execution.present  # type: ignore[no-any-return]
    path = os.environ.get(JOB_DIRECTORY)
    if not path:
        return None
    run = RunDirectory(JobDirectory(path, os.path.basename(path)), int(os.environ[RUN]), int(os.environ.get(RANK, "0")))
    return TaskFiles(run, *map(int, os.environ[TASK].split("."))) if TASK in os.environ else run


# ---------------------------------------------------------------- wall time

_end: tuple[float, float | None] | None = None  # when it was asked, and the end, both on the monotonic clock


def time_left() -> float | None:
    """Return how much wall time the job has left.

    Returns
    -------
    float or None
        Seconds; None if there is no limit, if the scheduler does not say, or if this is no scheduler's job.
    """
    global _end
    command = os.environ.get(TIME_LEFT)
    if not command:
        return None
    now = time.monotonic()
    if _end is None or now - _end[0] > ASK_AGAIN_SECONDS:
        import subprocess

        try:
            answer = subprocess.run(
                shlex.split(command), stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=20, check=True
            )
        except (OSError, subprocess.SubprocessError):
            # as long as the scheduler is silent its last word counts, and it is asked again
            return _known_left()
        left = parse_walltime(answer.stdout)
        _end = now, None if left is None else now + left
    return _known_left()


def _known_left() -> float | None:
    """The time left by the scheduler's last word."""
    return None if _end is None or _end[1] is None else max(0.0, _end[1] - time.monotonic())


class until_wall_time:  # noqa: N801  it reads as a verb: with until_wall_time(): …
    """A ``with`` block that is left by `WallTimeSoon` before the wall time is over.

        try:
            with persist_magic.until_wall_time(margin=120):
                train(state)
        finally:
            persist_magic.checkpoint(state=state)

    It is also left when the scheduler sends the warning that was asked for with ``-- --signal=B:USR1@SECONDS``.

    Parameters
    ----------
    margin : float
        Seconds before the end; at most half of the time that is left when the block is entered.

    Raises
    ------
    WallTimeSoon
        In the block.
    RuntimeError
        If it is not entered in the main thread, the only one that Python lets a signal interrupt.
    """

    def __init__(self, margin: float = 60.0) -> None:
        self.margin = margin

    def __enter__(self) -> None:
        if threading.current_thread() is not threading.main_thread():
            raise RuntimeError("until_wall_time works in the main thread only, which a signal can interrupt")
        self._over = threading.Event()
        left = time_left()
        self._before: Any = signal.signal(signal.SIGUSR1, self._interrupt)
        if left is not None:
            margin = min(self.margin, left / 2)
            threading.Thread(target=self._watch, args=(margin,), name="until_wall_time", daemon=True).start()

    def _watch(self, margin: float) -> None:
        while not self._over.is_set():
            left = time_left()
            if left is not None and left <= margin:
                os.kill(os.getpid(), signal.SIGUSR1)
                return
            pause = ASK_AGAIN_SECONDS if left is None else left - margin
            self._over.wait(min(pause, ASK_AGAIN_SECONDS))

    def _interrupt(self, number: int, frame: FrameType | None) -> None:
        if not self._over.is_set():
            self._over.set()
            from .recording import raise_in_cell

            left = _known_left()  # not asked anew: the answer would come out of the margin
            words = f"{format_walltime(left)} of wall time left" if left is not None else "wall time is nearly over"
            raise_in_cell(WallTimeSoon(words), frame)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._over.set()
        signal.signal(signal.SIGUSR1, self._before)


# ---------------------------------------------------------------- checkpoints


def checkpoint(**values: Any) -> None:
    """Keep values for the next run: after a requeue, a preemption, or a rerun, `restored` gives them back.

        state = persist_magic.restored().get("state") or new_state()
        while not state.finished:
            state.step()
            if state.number % 1000 == 0:
                persist_magic.checkpoint(state=state)

    The values are written whole or not at all; the run's checkpoint before is then deleted. An MPI rank has its own. In a
    session that is no job nothing is written.

    Raises
    ------
    NotPickled
        If a value cannot be written; the checkpoint before stays.
    StoreError
        If the disk refuses; the checkpoint before stays.
    """
    run = _present_run()
    if run is None:
        return
    run.follow()
    with _standard_library_first():
        from .values import ValueFile

    older, file = run.checkpoint(), run.new_checkpoint_file()
    path = run.checkpoint_values_path(file)
    try:
        with contextlib.suppress(FileExistsError):  # the folder of a task; where nothing is any more, nothing is made
            os.mkdir(os.path.dirname(path), 0o700)
        with ValueFile(path, sys.modules["__main__"].__dict__) as written:
            kept = {name: written.keep(name, value) for name, value in values.items()}
        for name, each in kept.items():
            if name in written.lost:
                raise StoreError("write a checkpoint in", run.path, each.error)
            if each.payload is None:
                raise NotPickled(run.job.name, name, each.error, each.shown)
        write_atomic(run.checkpoint_path, Checkpoint(time.time(), file, kept).to_bytes())
    except BaseException as error:
        newest = run.checkpoint()
        if newest is None or newest.file != file:  # an interrupt may come when the record is there
            ValueFile.discard(path)
        if isinstance(error, OSError):
            raise StoreError("write a checkpoint in", run.path, error.strerror or str(error)) from error
        raise
    if older is not None:
        ValueFile.discard(run.checkpoint_values_path(older.file))


@contextlib.contextmanager
def _standard_library_first() -> Iterator[None]:
    """Let no ``inspect.py`` beside the notebook shadow what the pickler imports."""
    library = os.path.dirname(os.__file__)
    sys.path.insert(0, library)
    try:
        yield
    finally:
        sys.path.remove(library)


def restored() -> dict[str, Any]:
    """Return the values of the newest checkpoint, made by this run or an earlier one; empty if there is none.

    Raises
    ------
    Damaged, VersionSkew, NotRestored
        If its file cannot be read.
    """
    run = _present_run()
    if run is None:
        return {}
    run.follow()
    from ..restore import load_checkpoint

    return load_checkpoint(run)


# ---------------------------------------------------------------- progress

_STEP_SECONDS = 0.1
"""How often `track` tells where it is."""

_told = "", 0.0  # the last text given to `progress`, and when that began, on the monotonic clock


def progress(done: float, total: float | None = None, text: str = "", unit: str = "it") -> None:
    """Say how far the cell is, for ``%persist_status`` and all other views; call it as often as you like.

        for step in range(1000):
            ...
            persist_magic.progress(step + 1, 1000, "relaxing")

    In a session that is no job it does nothing. tqdm's bars are seen without it.

    Parameters
    ----------
    done, total : float
        In the same unit; no total if nobody knows.
    text : str
        What is being done.
    unit : str
        What is counted.
    """
    run = _present_run()
    if run is None:
        return
    from .progress import board_of, number

    global _told
    now = time.monotonic()
    began = _told[1] if _told[0] == text else now
    _told = text, began
    board_of(run).set("progress", Bar(str(text), number(done) or 0, number(total), str(unit), now - began))


def track(iterable: Iterable[T], total: float | None = None, text: str = "", unit: str = "it") -> Iterator[T]:
    """Give the elements of an iterable, and say meanwhile how far it is; may be nested.

        for batch in persist_magic.track(batches, text="training"):
            ...

    In a session that is no job it only gives the elements.

    Parameters
    ----------
    total : float, optional
        How many there are; if not given, ``len(iterable)`` if it has one.
    text : str
        What is being done.
    unit : str
        What an element is.
    """
    run = _present_run()
    if run is None:
        yield from iterable
        return
    from .progress import board_of, number

    if total is None and isinstance(iterable, Sized):
        total = len(iterable)
    board, key, begin = board_of(run), object(), time.monotonic()

    def tell(done: int) -> float:
        now = time.monotonic()
        board.set(key, Bar(str(text), done, number(total), str(unit), now - begin))
        return now

    done = 0
    told = tell(0)
    try:
        for item in iterable:
            yield item
            done += 1
            if time.monotonic() - told >= _STEP_SECONDS:
                told = tell(done)
    finally:
        tell(done)
        board.finish(key)
