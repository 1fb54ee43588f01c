"""The supervisor: takes a run, waits for a slot, forks the child that runs the cell, watches it, writes the end.

Owns the heartbeat, the cancel file's reading, signals, the end of every descendant, and the final record, also when the
child dies of SIGKILL. Forks while it is small and has one thread, and never loads what the cell loads.
"""

from __future__ import annotations

import contextlib
import errno
import math
import os
import select
import signal
import sys
import time
from dataclasses import replace

from ..errors import PersistError, StoreError
from ..frozen import Frozen, frozen
from ..processes import (
    ALIVE,
    STOPPED,
    UNKNOWN,
    ProcessId,
    adopt_orphans,
    command_name,
    consumption,
    descendants,
    die_with_parent,
)
from ..slots import Slots, cores
from ..store import (
    CLUSTER,
    FRESH_SECONDS,
    HEARTBEAT_SECONDS,
    JOB_DIRECTORY,
    RANK,
    RUN,
    SCHEDULER_ID,
    TASK,
    USAGE_SAMPLES,
    CancelRequest,
    Ended,
    Handle,
    JobDirectory,
    JobSpec,
    Outcome,
    Root,
    RunDirectory,
    Started,
    Usage,
    write_atomic,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from resource import struct_rusage
    from typing import NoReturn, Protocol, TypeVar

    T = TypeVar("T")
else:
    Protocol = object  # typing costs a start some milliseconds

POLL_SECONDS = 1.0
"""How soon a cancel file from another host is seen; one on this host comes with a signal."""
GRACE_SECONDS = 10.0
"""Between the KeyboardInterrupt of a cancel and SIGKILL."""
LEFT_BEHIND_SECONDS = 2.0
"""Between SIGTERM and SIGKILL for processes that the cell left behind."""
SAMPLE_SHARE = 0.01
"""So much of a core may be spent on sampling; where a look at all processes takes long, it is taken less often."""
SELF_END_SECONDS = 1.0
"""How long processes that the cell left behind may take to end by themselves."""
EXIT_NOT_WRITTEN = 74
"""The child's exit code when it could not write its outcome (EX_IOERR of sysexits.h)."""

STOP_RANK = signal.SIGUSR2
"""What a cancel sends to the program that started the MPI ranks, which hands it on; SIGTERM would kill them at once."""

WARNINGS = (signal.SIGUSR1, signal.SIGUSR2)
"""What a scheduler may be asked to send before the wall time is over."""

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD, *WARNINGS)


class Refusal(Exception):
    """The run cannot be taken; the words go to launch.log."""


def main(arguments: list[str]) -> int:
    """Run the job of a directory; return the exit code, 0 if the cell succeeded."""
    if len(arguments) != 1:
        print("usage: python -m persist_magic.worker DIRECTORY", file=sys.stderr)
        return 2
    path = os.path.abspath(arguments[0])
    job = JobDirectory(path, os.path.basename(path))
    try:
        spec = job.spec()
        if spec.tasks:
            from .chunk import ChunkSupervisor  # a cell that runs once pays nothing for sweeps

            return ChunkSupervisor(job, spec).supervise()
        return Supervisor(job, spec).supervise()
    except Refusal as refusal:
        print(f"persist_magic: {refusal}", file=sys.stderr)
        return 1


@frozen
class ChildEnd(Frozen):
    """How the child's process ended.

    Attributes
    ----------
    exit_code, signal : int or None
    cpu_seconds : float
    peak_memory : int
        Bytes.
    """

    exit_code: int | None
    signal: int | None
    cpu_seconds: float
    peak_memory: int


def child_end(status: int, usage: struct_rusage) -> ChildEnd:
    """Return how a child ended, from what wait4(2) tells."""
    code = os.waitstatus_to_exitcode(status)
    unit = 1 if sys.platform == "darwin" else 1024  # getrusage(2): ru_maxrss is in kB on Linux
    return ChildEnd(
        exit_code=code if code >= 0 else None,
        signal=-code if code < 0 else None,
        cpu_seconds=usage.ru_utime + usage.ru_stime,
        peak_memory=usage.ru_maxrss * unit,
    )


def verdict(end: ChildEnd, outcome: Outcome | None, cancel: CancelRequest | None, terminated: bool) -> tuple[str, str, str]:
    """Return outcome, reason and note of a run from how its child ended.

    Parameters
    ----------
    outcome : Outcome or None
        The child's own word.
    terminated : bool
        Whether somebody sent the supervisor SIGTERM, SIGINT or SIGHUP without asking for a cancel.
    """
    if outcome is not None and outcome.outcome == "done":
        note = "cancel was asked for, but the cell had come to its end" if cancel is not None else ""
        if end.signal is not None:
            note = f"after its end the process was killed by {signal_words(end.signal)}"
        return "done", outcome.reason, note
    if cancel is not None:
        return "cancelled", f"cancelled by {cancel.user}", ""
    if terminated:
        return "failed", "terminated from outside (kill, or the machine's shutdown)", ""
    if outcome is not None:
        return "failed", outcome.reason, ""
    if end.signal is not None:
        words = f"killed by {signal_words(end.signal)}"
        if end.signal == signal.SIGKILL:
            words += f", perhaps out of memory; peak memory {end.peak_memory / 1e6:.0f} MB"
        return "failed", words, ""
    if end.exit_code == EXIT_NOT_WRITTEN:
        return "failed", "its result could not be written; stderr tells why", ""
    return "failed", f"its process ended with exit code {end.exit_code} before the cell came to its end (os._exit?)", ""


def signal_words(number: int) -> str:
    """Return "signal 9 (SIGKILL)"."""
    try:
        return f"signal {number} ({signal.Signals(number).name})"
    except ValueError:
        return f"signal {number}"


class Records(Protocol):
    """Where a supervisor writes, and reads who runs it; see `RunDirectory`."""

    def started(self) -> Started | None: ...

    def write_started(self, started: Started, exclusive: bool) -> None: ...

    def write_ended(self, ended: Ended) -> None: ...

    def beat(self) -> None: ...


@frozen
class Place(Frozen):
    """A place among the jobs of this machine that run.

    Attributes
    ----------
    slots : Slots
    ticket : str
    limit : int
        How many may run at once.
    """

    slots: Slots
    ticket: str
    limit: int


class Supervisor:
    """One run of one job.

    Parameters
    ----------
    job : JobDirectory
    spec : JobSpec

    Attributes
    ----------
    records : RunDirectory or ChunkRecords
        Where it writes who runs it, that it lives, and how it ended.
    """

    def __init__(self, job: JobDirectory, spec: JobSpec) -> None:
        self.job, self.spec = job, spec
        self.me = ProcessId.of(os.getpid())
        job.hold()
        self.run, self.records = self._take()
        self.place: Place | None = None
        self.slots: Slots | None = None
        self.scheduler_id, self.cluster = os.environ.get(SCHEDULER_ID, ""), os.environ.get(CLUSTER, "")
        os.environ.update({JOB_DIRECTORY: job.path, RUN: str(self.run.number)})
        for name in (RANK, TASK):  # a job that was submitted from a rank or a task of another one is none
            os.environ.pop(name, None)
        self._terminated = self._warned = False
        self._last_beat = 0.0
        self._wakeup, write_end = pipe()
        for number in SIGNALS:
            signal.signal(number, lambda *_: None)
        signal.set_wakeup_fd(write_end, warn_on_full_buffer=False)

    def _take(self) -> tuple[RunDirectory, Records]:
        """Claim what is to be run."""
        run = _take_run(self.job)
        return run, run

    def supervise(self) -> int:
        if self.spec.backend != "local":
            if self.scheduler_id:
                self._write_handle(self.scheduler_id, None)
            self._start()
            return self._run_child()
        slots = self.slots = Slots(Root(os.path.dirname(self.job.path)))
        submitted = self.run.submitted()
        settings = submitted.settings if submitted is not None else {}
        self._write_handle(f"pid {self.me.pid}", self.me)
        if submitted is not None and submitted.after and not self._wait_for_jobs(submitted.after):
            return 1
        ticket = str(settings.get("ticket") or slots.draw(self.job.name))
        try:
            self._where_it_is(lambda: slots.claim(ticket, self.me))
            limit = int(settings.get("slots") or cores())
            if not self._wait_for_slot(slots, ticket, limit):
                return 1
            self.place = Place(slots, ticket, limit)
            self._start()
            with contextlib.suppress(OSError, ValueError):
                os.nice(int(settings.get("nice") or 0))
            return self._run_child()
        finally:
            slots.release(ticket)

    # ---- before the cell

    def _write_handle(self, id: str, process: ProcessId | None) -> None:
        """The session writes it too; the worker's own makes sure that there is one if the session was killed in between."""
        handle = self.job.handle()
        if handle is None or handle.run < self.run.number:
            cluster = handle.cluster if handle is not None else ""
            mine = Handle(self.spec.backend, self.run.number, time.time(), id, process, cluster)
            self._where_it_is(lambda: write_atomic(self.job.handle_path, mine.to_bytes(), sync=False))

    def _stopped_before_start(self) -> bool:
        """Whether somebody asked to stop the run, which has not started; if so the end has been written."""
        self.follow()
        cancel = self.job.cancel_request()
        if cancel is None and not self._terminated:
            return False
        words = f"cancelled by {cancel.user} before it started" if cancel is not None else "terminated while it waited"
        self._write_end(Ended(time.time(), "cancelled" if cancel else "failed", words, None, None, 0.0, 0, ""))
        return True

    def _wait_for_jobs(self, names: tuple[str, ...]) -> bool:
        """Wait until other jobs are done; what became of them is asked as a person at a shell would."""
        parent = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
        code = f"import sys; sys.path.append({parent!r}); from persist_magic.__main__ import main; sys.exit(main())"
        import subprocess  # slow to import, and few jobs wait for others

        for pause in (1.0, 10.0, 60.0, 0.0):
            words = [sys.executable, "-c", code, "--root", os.path.dirname(self.job.path), "wait", *names]
            waiter = subprocess.Popen(words, stdin=subprocess.DEVNULL, preexec_fn=die_with_parent)  # noqa: PLW1509  one thread
            while waiter.poll() is None:
                if self._stopped_before_start():
                    waiter.terminate()
                    waiter.wait()
                    return False
                self._sleep(POLL_SECONDS)
            if waiter.returncode == 0:
                return True
            if waiter.returncode == 1:  # the exit code of a job that failed or was cancelled
                why = f"not started: of {', '.join(names)}, after which it was to run, not all are done"
                self._write_end(Ended(time.time(), "cancelled", why, None, None, 0.0, 0, ""))
                return False
            self._sleep(pause)  # it could not find out; perhaps it can later
        why = f"not started: what became of {', '.join(names)} could not be found out: {self.job.launch_words()}"
        self._write_end(Ended(time.time(), "failed", why, None, None, 0.0, 0, ""))
        return False

    def _wait_for_slot(self, slots: Slots, ticket: str, limit: int) -> bool:
        while not self._where_it_is(lambda: slots.try_start(ticket, self.me, limit)):
            if self._stopped_before_start():
                return False
            # those far behind look less often
            self._sleep(min(2.0, 0.05 * (1 + max(0, slots.before(ticket) - limit))))
        return True

    def _start(self) -> None:
        started = Started(time.time(), self.me, None, self.scheduler_id, self.cluster)
        try:
            self._where_it_is(lambda: self.records.write_started(started, exclusive=True))
        except FileExistsError:
            raise Refusal(f"run {self.run.number} of {self.job.name} has been started by another worker") from None
        self._started = started
        self._beat()

    # ---- the child

    def _fork(self) -> int:
        """Fork the child, which begins when it is written down which process it is; return its pid."""
        signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
        known, tell = os.pipe()
        child = os.fork()
        if child == 0:
            signal.set_wakeup_fd(-1)
            os.setpgid(0, 0)
            if self.scheduler_id:  # when this batch script has ended, the cores are no longer the job's
                die_with_parent()
            os.close(tell)
            run = self._child()
            if not os.read(known, 1) and not self._is_found(os.getpid()):
                os._exit(1)  # its supervisor is dead; nobody would know what goes on here
            os.close(known)
            run()
        os.close(known)
        with contextlib.suppress(OSError):  # the child does the same; whoever comes first
            os.setpgid(child, child)
        started = replace(self._started, child=ProcessId.of(child))
        with contextlib.suppress(OSError):
            self.records.write_started(started, exclusive=False)
        with contextlib.suppress(BrokenPipeError):  # it is dead already
            os.write(tell, b".")
        os.close(tell)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
        return child

    def _is_found(self, child: int) -> bool:
        """Whether it is written down that this process is the child."""
        try:
            started = self.records.started()
        except PersistError:
            return False
        return started is not None and started.child is not None and started.child.pid == child

    def _child(self) -> Callable[[], NoReturn]:
        """Import what the child needs, and return what runs the cell, or becomes the program that starts its MPI ranks."""
        if self.spec.ranks:
            from .ranks import launch

            return lambda: launch(self.run, SIGNALS)
        from .execution import run_child

        return lambda: run_child(self.job, self.run, self.spec, SIGNALS)

    def _run_child(self) -> int:
        child = self._fork()
        adopt_orphans()
        end = self._watch(child)
        left = self._end_descendants()
        self.follow()
        outcome = self._outcome(end)
        self._sleep(0)  # a signal that came together with the child's end
        cancel = self.job.cancel_request()
        word, reason, note = verdict(end, outcome, cancel, self._terminated)
        if self.spec.ranks and outcome is None and word == "failed" and (words := self.job.launch_words()):
            reason = f"its MPI processes ended before the cell came to its end: {words}"
        # why a scheduler ended the run, and whether it runs again, the scheduler knows
        lost_ranks = self.spec.ranks > 0 and outcome is None  # perhaps with their node
        by_scheduler = self._terminated or end.signal == signal.SIGKILL or lost_ranks
        final = not self.scheduler_id or cancel is not None or not by_scheduler
        if left and word == "done":
            note = "; ".join(filter(None, (note, f"the cell had left processes behind, they were ended: {left}")))
        ended = Ended(time.time(), word, reason, end.exit_code, end.signal, end.cpu_seconds, end.peak_memory, note, final)
        self._write_end(ended)
        return 0 if word == "done" else 1

    def _outcome(self, end: ChildEnd) -> Outcome | None:
        """The cell's own word; of MPI ranks that of one that failed, else rank 0's."""
        try:
            if self.spec.ranks:
                from .ranks import common_outcome

                return common_outcome(self.run, self.spec.ranks, end.exit_code)
            return self.run.outcome()
        except PersistError as error:
            print(f"persist_magic: {error}", file=sys.stderr, flush=True)
            return None

    def _watch(self, child: int) -> ChildEnd:
        """Wait until the child ends; on the way beat, sample, look for a cancel, carry it out."""
        kill_at: float | None = None
        sampler = Sampler(self.run, self.me.pid) if self._is_sampled() else None
        while True:
            end = self._reap(child)
            if end is not None:
                return end
            self.follow()
            self._beat()
            if sampler is not None:
                sampler.sample()
            if self._warned:
                self._warned = False
                with contextlib.suppress(ProcessLookupError):
                    os.kill(child, signal.SIGUSR1)
            cancel = self.job.cancel_request()
            if kill_at is None and (cancel is not None or self._terminated):
                self._interrupt_child(child)
                # a scheduler that ends a job has a grace of its own, often a longer one, and kills by itself
                grace = GRACE_SECONDS if cancel is not None or not self.scheduler_id else math.inf
                kill_at = time.monotonic() + grace
            if kill_at is not None and (time.monotonic() > kill_at or (cancel is not None and cancel.force)):
                self._signal_descendants(signal.SIGKILL)
                kill_at = time.monotonic() + POLL_SECONDS
            self._sleep(POLL_SECONDS)

    def _is_sampled(self) -> bool:
        """Whether what it takes can be told: srun's ranks are no descendants, and nothing is better than zero."""
        return not (self.spec.ranks and self.scheduler_id)

    def _reap(self, child: int) -> ChildEnd | None:
        """Collect ended children, adopted ones too; return the end of `child` if it was among them."""
        found = None
        while True:
            try:
                pid, status, usage = os.wait4(-1, os.WNOHANG)
            except ChildProcessError:
                return found
            if pid == 0:
                return found
            if pid == child:
                found = child_end(status, usage)

    def _interrupt_child(self, child: int) -> None:
        """Let the cell see KeyboardInterrupt, in every rank."""
        if not self.spec.ranks:
            self._signal_descendants(signal.SIGTERM)
            return
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, STOP_RANK)

    def _signal_descendants(self, number: int) -> None:
        for pid in descendants(self.me.pid):
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, number)
                os.kill(pid, signal.SIGCONT)  # a stopped process would not see it

    def _end_descendants(self) -> str:
        """End what the cell left running; return its names.

        Helpers that end by themselves when their parent has (multiprocessing's resource tracker) are given the time to.
        """
        patience = time.monotonic() + SELF_END_SECONDS
        while (left := descendants(self.me.pid)) and time.monotonic() < patience:
            self._sleep(0.01)
            self._reap(-1)
        words = ", ".join(f"{command_name(pid)} ({pid})" for pid in left[:5]) + (", …" if len(left) > 5 else "")
        number, deadline = signal.SIGTERM, time.monotonic() + LEFT_BEHIND_SECONDS
        while left:
            self._signal_descendants(number)
            self._sleep(0.05)
            self._reap(-1)
            if time.monotonic() > deadline:
                number = signal.SIGKILL
            left = descendants(self.me.pid)
        return words

    # ---- small things

    def follow(self) -> bool:
        """Go on where the job directory is now, if it has been moved; return whether it has been."""
        moved = self.run.follow()
        if moved and self.slots is not None:
            self.slots.move_to(Root(os.path.dirname(self.job.path)))
        return moved

    def _where_it_is(self, action: Callable[[], T]) -> T:
        """Do something in the root; once more if it failed because the root has been moved meanwhile."""
        try:
            return action()
        except (OSError, StoreError):
            if not self.follow():
                raise
            return action()

    def _sleep(self, seconds: float) -> None:
        """Sleep, or less if a signal comes."""
        if select.select([self._wakeup], [], [], seconds)[0]:
            with contextlib.suppress(BlockingIOError):
                numbers = os.read(self._wakeup, 1024)
                self._terminated |= any(number in numbers for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP))
                self._warned |= any(number in numbers for number in WARNINGS)

    def _beat(self) -> None:
        if time.monotonic() - self._last_beat < HEARTBEAT_SECONDS:
            return
        self._last_beat = time.monotonic()
        with contextlib.suppress(OSError):  # the next beat may succeed; until then the age tells
            self.records.beat()

    def _write_end(self, ended: Ended) -> None:
        """Write the final record; a full disk may find room again."""
        persistently(lambda: self.records.write_ended(ended), f"the end of run {self.run.number}")


def persistently(write: Callable[[], None], what: str) -> bool:
    """Write something; if the disk refuses try again, for three quarters of a minute. Return whether it was written."""
    for pause in (0.1, 0.5, 2.0, 10.0, 30.0, None):
        try:
            write()
            return True
        except OSError as error:
            with contextlib.suppress(OSError):  # stderr is a file of the same disk
                print(f"persist_magic: cannot write {what}: {error}", file=sys.stderr, flush=True)
            if pause is None or error.errno == errno.ENOENT:
                return False
            time.sleep(pause)
    return False


class Sampler:
    """Samples what a run's processes take, and writes it for others to see.

    Parameters
    ----------
    pid : int
        The supervisor, whose descendants they are.
    """

    def __init__(self, run: RunDirectory, pid: int) -> None:
        self._run, self._pid = run, pid
        self._last = time.monotonic()
        self._next = self._last + HEARTBEAT_SECONDS
        self._seconds = 0.0
        self._cpu: list[float] = []
        self._memory: list[float] = []

    def sample(self) -> None:
        """Take a sample if it is time to."""
        now = time.monotonic()
        if now < self._next:
            return
        seconds, memory = consumption(descendants(self._pid))
        took, now = time.monotonic() - now, time.monotonic()
        every = now - self._last
        self._cpu = [*self._cpu, max(0.0, 100 * (seconds - self._seconds) / every)][-USAGE_SAMPLES:]
        self._memory = [*self._memory, float(memory)][-USAGE_SAMPLES:]
        self._last, self._seconds = now, seconds
        self._next = now + max(HEARTBEAT_SECONDS, took / SAMPLE_SHARE)
        record = Usage(time.time(), every, tuple(round(each, 1) for each in self._cpu), tuple(self._memory))
        with contextlib.suppress(OSError):  # a full disk must not end the supervisor for a sample
            self._run.follow()
            write_atomic(self._run.usage_path, record.to_bytes(), sync=False)


def pipe() -> tuple[int, int]:
    """Return the ends of a pipe that blocks neither of them and that no program inherits."""
    if hasattr(os, "pipe2"):
        return os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    ends = os.pipe()
    for end in ends:
        os.set_blocking(end, False)
    return ends


def require_elsewhere_dead(what: str, started: Started | None, ended: Ended | None, beat: float | None) -> None:
    """Raise Refusal if a run lives on another host, by its heartbeat; not if a scheduler has requeued that very job.

    Parameters
    ----------
    what : str
        The run, for the refusal.
    """
    if started is None or ended is not None or started.supervisor.state() != UNKNOWN:
        return
    requeued = started.scheduler_id != "" and started.scheduler_id == os.environ.get(SCHEDULER_ID)
    if not requeued and time.time() - (beat or 0.0) < FRESH_SECONDS:
        raise Refusal(f"{what} is running on {started.supervisor.host}")


def _take_run(job: JobDirectory) -> RunDirectory:
    """The run that was asked for, or the next one if that has been run: a requeue, or job.sh by hand."""
    run = job.current_run()
    started = run.started()
    if run.ended() is None:
        if started is None and not os.path.lexists(run.started_path):  # after a loss of power that may be empty
            handle = job.handle()
            waiting = handle.process if handle is not None and handle.run == run.number else None
            if waiting is not None and waiting.pid != os.getpid() and waiting.state() in (ALIVE, STOPPED):
                raise Refusal(f"run {run.number} of {job.name} is queued; {handle.id if handle else ''} waits with it")
            return run
        if started is not None and any(
            process is not None and process.state() in (ALIVE, STOPPED) for process in (started.supervisor, started.child)
        ):
            raise Refusal(f"run {run.number} of {job.name} is running")
    ended, cancel = run.ended(), job.cancel_request()
    require_elsewhere_dead(f"run {run.number} of {job.name}", started, ended, run.heartbeat())
    scheduler_id = os.environ.get(SCHEDULER_ID, "")
    again = started is not None and scheduler_id != "" and scheduler_id == started.scheduler_id
    if again and ended is not None and ended.outcome == "cancelled":
        raise Refusal(f"{job.name} was cancelled and does not run again, although {scheduler_id} was requeued")
    last = ended.time if ended is not None else max(run.heartbeat() or 0.0, started.time if started is not None else 0.0)
    if cancel is not None and cancel.time <= last:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(job.cancel_path)  # it was the ended run's; a later one is for the run that begins now
    return job.create_run(run.number + 1, None)
