"""The tasks of a chunk: the capture is restored once, then a process is forked for each.

Owns which task runs when and in which lane, how many at once, what is written in the chunk's journal of each, and that a
task which dies takes no other down. A lane is a place for one task after the other: they share its files, of which the
journal tells whose is what. The process that restores and forks runs nothing of the cell itself; the supervisor watches
over it.
"""

from __future__ import annotations

import contextlib
import gc
import os
import select
import signal
import sys
import time
from collections import deque
from collections.abc import Iterable
from dataclasses import replace

from .. import each
from ..chunks import CancelledTasks
from ..errors import PersistError, StoreError
from ..processes import die_with_parent
from ..store import (
    RANK,
    TASK,
    CancelRequest,
    Outcome,
    TaskBegan,
    TaskEnded,
    TaskFiles,
)
from .chunk import EXIT_STOPPED
from .execution import Execution, finish, handle_signals, redirect, reopen_standard_descriptors
from .supervisor import (
    EXIT_NOT_WRITTEN,
    GRACE_SECONDS,
    LEFT_BEHIND_SECONDS,
    POLL_SECONDS,
    SELF_END_SECONDS,
    ChildEnd,
    Place,
    child_end,
    persistently,
    pipe,
    verdict,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NoReturn

    from .chunk import ChunkSupervisor

SYNC_SECONDS = 0.2
"""How long the disk may be behind: so much of what short tasks did may be lost with the machine's power."""
ASK_FOR_PLACE_SECONDS = 0.05
"""How soon a place among this machine's jobs that has become free is taken; the longer nothing happens, the later."""
FORK_AGAIN_SECONDS = (0.1, 0.3, 1.0, 3.0, 6.0)
"""When a process that the system refused is asked for again while no task runs."""
_LONGEST_TRACEBACK = 20_000
"""Characters, the last ones."""


def run_tasks(supervisor: ChunkSupervisor, blocked: Iterable[int]) -> NoReturn:
    """Be the child that runs the chunk's tasks; never returns into the supervisor's code."""
    code = EXIT_NOT_WRITTEN
    try:
        code = _Dispatcher(supervisor, blocked).run()
    except BaseException:  # noqa: BLE001  there is nobody left to tell but stderr
        import traceback

        traceback.print_exc()
    with contextlib.suppress(OSError, ValueError):
        sys.stderr.flush()
    os._exit(code)


class _Task:
    """A task that runs."""

    def __init__(self, number: int, files: TaskFiles, lane: int, start: tuple[int, int, int]) -> None:
        self.number, self.files, self.lane, self.start = number, files, lane, start
        self.pid = 0
        self.began = time.time()
        self.began_at = time.monotonic()
        self.said = b""
        self.pipe = -1
        self.cancel: CancelRequest | None = None
        self.kill_at = 0.0


class _Dispatcher:
    """Runs the tasks of a chunk."""

    def __init__(self, supervisor: ChunkSupervisor, blocked: Iterable[int]) -> None:
        self.job, self.run_directory, self.spec = supervisor.job, supervisor.run, supervisor.spec
        self.chunk, self.journal, self.follow = supervisor.number, supervisor.journal, supervisor.follow
        self.blocked = tuple(blocked)
        self.waiting = deque(supervisor.left)
        self.running: dict[int, _Task] = {}  # by pid
        self.left_behind: dict[int, tuple[float, int]] = {}  # process groups of tasks that are over: since when, which lane
        self.lanes = _Lanes(supervisor, len(self.waiting))
        self.pid = os.getpid()
        self.stopping = False
        self.sealed = int(time.time())
        self.unsynced: set[str] = set()
        self.synced_at = 0.0
        self.failed_forks, self.not_before = 0, 0.0  # when a process may be asked for again, on the monotonic clock
        self.idle = 0.0  # for how long nothing has happened, seconds
        self.cancelled = CancelledTasks(self.run_directory)

    def run(self) -> int:
        """Run them; return the exit code, 0 if all that was to be run is over."""
        os.environ.pop(RANK, None)
        recorder = redirect(self._files(0, 0), condenses=False)
        self.execution = Execution(self.job, self.run_directory, self.spec, recorder)
        try:
            # once, and not in each task; before anything of the user's may shadow it
            import ctypes  # noqa: F401

            from . import values  # noqa: F401

            self.execution.lay_world()
            self.axes: list[each.Axis] = self.execution.namespace.pop(each.EACH)
            self.code = self.execution.compiled()
            self.execution.import_ahead()
        except BaseException as error:  # noqa: BLE001  whatever it is, each task would end by it
            return self._broken(error)
        gc.collect()
        gc.freeze()  # what the tasks share is not copied by their looking for garbage
        self._listen()
        try:
            self._run()
        except Exception as error:  # noqa: BLE001  whatever it is, it is told, and no task is claimed to be over
            return self._broken(error)
        finally:
            self.lanes.close()
        self._sync(at_once=True)
        return EXIT_STOPPED if self.waiting else 0

    def _run(self) -> None:
        while self.running or self.left_behind or (self.waiting and not self.stopping):
            self._look_for_cancels()
            self._start_tasks()
            self._wait()
            self._collect()
            self._end_left_behind()
            self._sync()

    def _files(self, lane: int, number: int) -> TaskFiles:
        return TaskFiles(self.run_directory, self.chunk, lane, number)

    def _broken(self, error: BaseException) -> int:
        reason, trace = self.execution.words(error)
        with contextlib.suppress(OSError):  # a full disk
            print(trace or reason, file=sys.stderr, flush=True)
        record = TaskEnded(time.time(), 0.0, 0, (), (), reason, trace[-_LONGEST_TRACEBACK:])
        self._append("broken", 0, record.to_line())
        return 1

    def _append(self, word: str, number: int, content: bytes) -> None:
        what = f"what became of task {number} of {self.job.name}"
        if not persistently(lambda: self.journal.append(word, number, content), what):
            raise OSError(f"{what} could not be written")

    # ---- signals and time

    def _listen(self) -> None:
        self.wakeup, write_end = pipe()
        signal.set_wakeup_fd(write_end, warn_on_full_buffer=False)
        for number in self.blocked:
            signal.signal(number, lambda *_: None)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, self.blocked)

    def _wait(self) -> None:
        """Wait until something happens: a task ends or says something, a signal comes, or it is time to look."""
        pause = POLL_SECONDS
        if self.waiting and self.lanes.wanting and not self.stopping:
            pause = min(POLL_SECONDS, max(ASK_FOR_PLACE_SECONDS, 0.1 * self.idle))
        if self.not_before > time.monotonic():
            pause = max(0.0, min(pause, self.not_before - time.monotonic()))
        if self.left_behind or self.unsynced:
            pause = min(pause, SYNC_SECONDS)
        pipes = {task.pipe: task for task in self.running.values() if task.pipe >= 0}
        ready, _, _ = select.select([self.wakeup, *pipes], [], [], pause)
        self.idle = 0.0 if ready else self.idle + pause
        for descriptor in ready:
            if descriptor == self.wakeup:
                self._hear()
            else:
                self._read(pipes[descriptor])

    def _hear(self) -> None:
        """Take note of signals that have come."""
        with contextlib.suppress(BlockingIOError):
            numbers = os.read(self.wakeup, 4096)
            # tasks get a cancel's SIGTERM from the supervisor, too
            self.stopping |= any(number in numbers for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP))
            if signal.SIGUSR1 in numbers:
                for pid in self.running:
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGUSR1)

    @staticmethod
    def _read(task: _Task) -> None:
        with contextlib.suppress(BlockingIOError):
            while part := os.read(task.pipe, 1 << 16):
                task.said += part
            os.close(task.pipe)
            task.pipe = -1

    # ---- starting

    def _start_tasks(self) -> None:
        while self.waiting and not self.stopping:
            if time.monotonic() < self.not_before:
                return
            number = self.waiting[0]
            if number in self.cancelled.requests:
                self.waiting.popleft()
                self._append("cancelled", number, self._not_begun(self.cancelled.requests[number]).to_line())
                continue
            lane = self.lanes.take()
            if lane is None:
                return
            self.waiting.popleft()
            if not self._start(number, lane):
                return
        self.lanes.want_no_more()

    @staticmethod
    def _not_begun(request: CancelRequest) -> TaskEnded:
        return TaskEnded(time.time(), 0.0, 0, (), (), f"cancelled by {request.user} before it began")

    def _start(self, number: int, lane: int) -> bool:
        """Start a task; return whether there was a process for it."""
        files = self._files(lane, number)
        task = _Task(number, files, lane, files.sizes())
        self._append("began", number, TaskBegan(task.began, lane, task.start).to_line())
        task.pipe, write_end = pipe()
        signal.pthread_sigmask(signal.SIG_BLOCK, self.blocked)
        try:
            task.pid = os.fork()
            if task.pid == 0:
                self._be_task(task, write_end)
            with contextlib.suppress(OSError):  # the child does the same; whoever comes first
                os.setpgid(task.pid, task.pid)
        except OSError as error:  # as many processes as there may be, or no memory
            return self._not_started(task, error)
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, self.blocked)
            os.close(write_end)
        self.running[task.pid] = task
        self.failed_forks = 0
        return True

    def _not_started(self, task: _Task, error: OSError) -> bool:
        """Put a task back for which there was no process, until one of the others has ended."""
        os.close(task.pipe)
        reason = f"no process could be made for it: {error.strerror}"
        record = TaskEnded(time.time(), 0.0, task.lane, task.start, task.start, reason)
        self._append("interrupted", task.number, record.to_line())
        self.lanes.give_back(task.lane, more=True)
        self.lanes.free(task.lane)
        if not self.running:  # nobody of ours is going to make room, but others may
            if self.failed_forks == len(FORK_AGAIN_SECONDS):
                raise error
            self.not_before = time.monotonic() + FORK_AGAIN_SECONDS[self.failed_forks]
            self.failed_forks += 1
        self.waiting.appendleft(task.number)
        return False

    # ---- ends

    def _collect(self) -> None:
        for pid, task in list(self.running.items()):
            found, status, usage = os.wait4(pid, os.WNOHANG)
            if found:
                del self.running[pid]
                self._over(task, child_end(status, usage))

    def _over(self, task: _Task, end: ChildEnd) -> None:
        if task.pipe >= 0:
            self._read(task)
        if task.pipe >= 0:  # what the task forked has it, too
            os.close(task.pipe)
        self._hear()
        said = self._said(task)
        word, reason, note = verdict(end, said, task.cancel, False)
        if word != "done" and self.stopping and task.cancel is None:
            word = "interrupted"
        task.files.follow()
        record = TaskEnded(
            time=time.time(),
            seconds=time.monotonic() - task.began_at,
            lane=task.lane,
            start=task.start,
            stop=task.files.sizes(),
            reason=reason,
            traceback=said.traceback if said is not None else "",
            exit_code=end.exit_code,
            signal=end.signal,
            cpu_seconds=end.cpu_seconds,
            peak_memory=end.peak_memory,
            note=note,
            exception=said.exception if said is not None else None,
            result=said.result if said is not None else None,
        )
        self._append(word, task.number, record.to_line())
        self.unsynced.update((task.files.values_path, self.journal.path))
        if record.exception is not None:
            self.execution.import_for_errors()
        self.lanes.give_back(task.lane, more=bool(self.waiting) and not self.stopping)
        if _group_lives(task.pid):
            self.left_behind[task.pid] = time.monotonic(), task.lane
        else:
            self.lanes.free(task.lane)

    def _said(self, task: _Task) -> Outcome | None:
        if not task.said:
            return None
        try:
            return Outcome.from_bytes(task.said, self.job.name, f"task {task.number}")
        except PersistError:  # it died in the middle of the word
            return None

    def _end_left_behind(self) -> None:
        """End what tasks have left running, which may still write to their lanes' files.

        Helpers that end by themselves are given the time to.
        """
        for group, (since, lane) in list(self.left_behind.items()):
            if not _group_lives(group):
                del self.left_behind[group]
                self.lanes.free(lane)
                continue
            age = time.monotonic() - since
            if age > SELF_END_SECONDS:
                number = signal.SIGTERM if age < SELF_END_SECONDS + LEFT_BEHIND_SECONDS else signal.SIGKILL
                _signal_group(group, number)

    def _sync(self, at_once: bool = False) -> None:
        """Let the disk have what ended tasks have left, values before the words that tell of them; many at a time."""
        now = time.monotonic()
        if not self.unsynced or not (at_once or now - self.synced_at >= SYNC_SECONDS):
            return
        from .values import sync_values

        for path in self.unsynced:
            if path != self.journal.path:
                sync_values(path)
        self.journal.sync()
        self.unsynced.clear()
        self.synced_at = time.monotonic()

    # ---- cancels of single tasks

    def _look_for_cancels(self) -> None:
        """Carry out what was asked for; a cancel of the whole job is the supervisor's."""
        self.follow()
        self.cancelled.refresh()
        now = time.monotonic()
        for task in self.running.values():
            request = self.cancelled.requests.get(task.number)
            if request is None:
                continue
            if task.cancel is None:
                task.kill_at = now + GRACE_SECONDS
                if not request.force:
                    _signal_group(task.pid, signal.SIGTERM)
            task.cancel = request
            if request.force or now >= task.kill_at:
                _signal_group(task.pid, signal.SIGKILL)

    # ---- being a task

    def _be_task(self, task: _Task, write_end: int) -> NoReturn:
        """Run the cell with the task's values and hand over what came of it; never returns."""
        code = EXIT_NOT_WRITTEN
        try:
            die_with_parent()  # nobody else could write down what comes of it
            if os.getppid() != self.pid:
                os._exit(code)
            signal.set_wakeup_fd(-1)
            os.setpgid(0, 0)
            self.journal.close()  # the lock is not the tasks'
            os.set_blocking(write_end, True)
            os.environ[TASK] = task.files.variable
            recorder = redirect(task.files, condenses=False)
            handle_signals(self.blocked)
            self.execution.be_task(task.files, recorder)
            _draw_other_numbers()
            code = self._run_cell(task, write_end)
        except BaseException:  # noqa: BLE001  there is nobody left to tell but stderr
            import traceback

            traceback.print_exc()
        finish()
        os._exit(code)

    def _run_cell(self, task: _Task, write_end: int) -> int:
        execution = self.execution
        prefix = each.VALUE if self.spec.kind == "function" else ""
        bound = each.bindings(self.axes, task.number)
        execution.namespace.update({f"{prefix}{name}": value for name, value in bound.items()})
        cell = execution.attempt(lambda: execution.run_cell(*self.code))
        cell = replace(cell, traceback=cell.traceback[-_LONGEST_TRACEBACK:])
        reopen_standard_descriptors()
        task.files.follow()
        from .values import ValueFile

        error = result = None
        lost = ""
        if cell.error is not None or cell.result is not None:
            try:
                with ValueFile(task.files.values_path, execution.namespace, self.sealed) as values:
                    error, result = values.keep_end(cell.error, cell.result, cell.outcome == "done")
                    lost = values.lost_words()
            except OSError as problem:
                lost, error, result = f"its values could not be written: {problem.strerror or problem}", None, None
        record = execution.outcome(cell, lost, error, result, {})
        said = memoryview(record.to_line())
        while said:
            said = said[os.write(write_end, said) :]
        return 0 if record.outcome == "done" else 1


def _draw_other_numbers() -> None:
    """Let no two tasks draw the same random numbers, as forked processes would; Python's own generator sees to it."""
    numpy: Any = sys.modules.get("numpy.random")
    if numpy is not None:
        numpy.seed()
    torch: Any = sys.modules.get("torch")
    if torch is not None:
        torch.seed()


def _group_lives(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _signal_group(group: int, number: int) -> None:
    with contextlib.suppress(OSError):
        os.killpg(group, number)
        os.killpg(group, signal.SIGCONT)  # a stopped process would not see it


class _Lanes:
    """Which lanes are free, and how many may be used: on this machine as many as there are places among its jobs.

    Each lane in use has a place (see `slots`). When a task ends and another job waits for one, its place goes to the end of
    the queue: so jobs and the tasks of sweeps take turns.
    """

    def __init__(self, supervisor: ChunkSupervisor, tasks: int) -> None:
        self._place: Place | None = supervisor.place
        self._job, self._me = supervisor.job.name, supervisor.me
        submitted = supervisor.run.submitted()
        limit = submitted.limit if submitted is not None else 0
        most = self._place.limit if self._place is not None else 1
        self._free = list(range(min(filter(None, (limit, most, tasks)), default=1)))[::-1]
        self._tickets: dict[int, str] = {}
        self._spare = [self._place.ticket] if self._place is not None else []
        self._queued = ""

    @property
    def wanting(self) -> bool:
        """Whether a place is waited for."""
        return bool(self._queued)

    def take(self) -> int | None:
        """Return a lane that may be used now, the lowest that is free; None if there is none."""
        if not self._free:
            return None
        if self._place is not None:
            ticket = self._spare.pop() if self._spare else self._ask(self._place)
            if not ticket:
                return None
            self._tickets[self._free[-1]] = ticket
        return self._free.pop()

    def _ask(self, place: Place) -> str:
        """A ticket that may start; "" if it has to wait, as one of this sweep then does."""
        try:
            if not self._queued:
                self._queued = place.slots.draw(self._job, self._me)
            if not place.slots.try_start(self._queued, self._me, place.limit):
                return ""
        except (OSError, StoreError):  # a full disk, or the root is being moved: later perhaps
            return ""
        ticket, self._queued = self._queued, ""
        return ticket

    def give_back(self, lane: int, more: bool) -> None:
        """Take back the place of a lane whose task is over; `more` says whether there are tasks that wait."""
        if self._place is None:
            return
        ticket = self._tickets.pop(lane)
        if more and not self._place.slots.others_wait(ticket, self._me):
            self._spare.append(ticket)
        else:
            self._place.slots.release(ticket)

    def free(self, lane: int) -> None:
        """Let another task have a lane, to whose files nobody writes any more."""
        self._free.append(lane)
        self._free.sort(reverse=True)

    def want_no_more(self) -> None:
        """Give back what no task needs: a place that nobody has, and that in the queue, behind which others wait."""
        if self._place is not None:
            for ticket in filter(None, (*self._spare, self._queued)):
                self._place.slots.release(ticket)
            self._spare, self._queued = [], ""

    def close(self) -> None:
        """Give all places back."""
        if self._place is not None:
            self.want_no_more()
            for ticket in self._tickets.values():
                self._place.slots.release(ticket)
