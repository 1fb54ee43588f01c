"""Jobs on this machine: processes of their own, detached from the session.

Owns how a local job is started (a session of its own, orphaned at once), found again (pid with start time, boot and pid
namespace), cancelled and described. The order in which jobs start is kept by `slots`.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shlex
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

from traitlets import Integer
from traitlets.config import Configurable

from ..errors import BackendError, PersistError, StoreError
from ..processes import ALIVE, GONE, REBOOTED, STOPPED, ProcessId, descendants
from ..slots import Slots, cores
from ..status import Observation, Word
from ..store import Handle, JobDirectory, JobSpec, Root, RunDirectory, Submitted, told, write_atomic
from ..tasks import ledger
from .base import Launch, Predecessor, Query, Tasks
from .script import script

_LAUNCH_SECONDS = 30.0

# The shell starts job.sh in the background, tells its pid and ends: the job is nobody's child, no zombie in the session.
_LAUNCHER = 'log=$1; shift; "$@" </dev/null >>"$log" 2>&1 & echo $!'


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise BackendError("local", f"{message}; after -- it takes --slots N and --nice N")


class LocalBackend(Configurable):
    """Runs jobs as processes of this machine."""

    name = "local"
    slots = Integer(
        0,
        min=0,
        help="How many local jobs of one root run at once on a machine; 0: the number of cores. The others wait.",
    ).tag(config=True)

    def settings(
        self, options: Sequence[str], after: Sequence[Predecessor] = (), tasks: Tasks | None = None
    ) -> dict[str, Any]:
        parser = _Parser(prog="local", add_help=False, allow_abbrev=False)
        parser.add_argument("--slots", type=int)
        parser.add_argument("--nice", type=int, default=0)
        chosen = parser.parse_args(list(options))
        if chosen.slots is not None and chosen.slots < 1:
            raise BackendError("local", "--slots takes a number from 1 on")
        if not 0 <= chosen.nice <= 19:
            raise BackendError("local", "--nice takes a number from 0 to 19")
        if tasks is not None and tasks.chunk:
            raise BackendError("local", "--chunk is for schedulers; on this machine tasks start one by one anyway")
        found = {"slots": chosen.slots or self.slots or cores(), "nice": chosen.nice, "waits": bool(after)}
        return found if tasks is None else {**found, "chunk": tasks.count}

    def script(self, directory: JobDirectory, spec: JobSpec) -> str:
        return script(directory, spec, ["mpiexec", "-n", str(spec.ranks), *spec.mpi_options])

    def prepare(
        self, directory: JobDirectory, token: str, run: int, options: Sequence[str], settings: Mapping[str, Any]
    ) -> Launch:
        return _LocalLaunch(directory, settings)

    def poll(self, queries: Sequence[Query], seconds: float | None = None) -> list[Observation]:
        return [observe(query) for query in queries]

    def cancel(self, query: Query, force: bool) -> None:
        """Wake the supervisor, which reads the request; where it is gone, do its work."""
        supervisor, child = _processes(query)
        if supervisor is not None and supervisor.state() == STOPPED:
            supervisor.signal(signal.SIGCONT)
        if supervisor is not None and supervisor.signal(signal.SIGTERM):
            return
        if child is not None and child.state() in (ALIVE, STOPPED):
            number = signal.SIGKILL if force else signal.SIGTERM
            for pid in (*descendants(child.pid), child.pid):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, number)
                    os.kill(pid, signal.SIGCONT)

    def info(self, query: Query) -> dict[str, Any]:
        """Return what ps(1) tells of the cell's process and its descendants.

        Returns
        -------
        dict
            ``pid``, ``processes``, ``cpu_seconds``, ``memory`` (resident bytes), ``threads``, ``command``; empty if the
            job is not running here.
        """
        supervisor, child = _processes(query)
        process = child or supervisor
        if process is None or process.state() not in (ALIVE, STOPPED):
            return {}
        import psutil

        members = []
        for pid in (process.pid, *descendants(process.pid)):
            with contextlib.suppress(psutil.Error):
                members.append(psutil.Process(pid).as_dict(["cpu_times", "memory_info", "num_threads", "cmdline", "status"]))
        if not members:
            return {}
        return {
            "pid": process.pid,
            "process_status": members[0]["status"],
            "processes": len(members),
            "cpu_seconds": sum(each["cpu_times"].user + each["cpu_times"].system for each in members if each["cpu_times"]),
            "memory": sum(each["memory_info"].rss for each in members if each["memory_info"]),
            "threads": sum(each["num_threads"] or 0 for each in members),
            "command": shlex.join(members[0]["cmdline"] or []),
        }


class _LocalLaunch(Launch):
    """A local run that is going to be started: its place in the queue, then its process."""

    def __init__(self, directory: JobDirectory, settings: Mapping[str, Any]) -> None:
        self._directory, self._settings = directory, settings
        self._ticket = ""

    def reserve(self) -> dict[str, Any]:
        if not self._settings["waits"]:  # else it takes its place when the jobs that it waits for are done
            self._ticket = _slots(self._directory).draw(self._directory.name)
        return {**self._settings, "ticket": self._ticket}

    def abandon(self) -> None:
        if self._ticket:
            _slots(self._directory).release(self._ticket)

    def start(self, directory: JobDirectory, run: RunDirectory) -> Handle:
        with told("write", directory.launch_log_path):
            # not blocking: a FIFO in its place is told and not waited for
            flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
            os.close(os.open(directory.launch_log_path, flags, 0o600))
        try:
            pid = _launch(directory)
        except (OSError, ValueError, subprocess.SubprocessError) as error:
            raise BackendError("local", f"job {directory.name} was not started: {error}") from error
        self.taken = True
        handle = Handle("local", run.number, time.time(), f"pid {pid}", ProcessId.of(pid))
        with contextlib.suppress(OSError):  # the worker writes it too
            write_atomic(directory.handle_path, handle.to_bytes(), sync=False)
        return handle


def _launch(directory: JobDirectory) -> int:
    launcher = subprocess.Popen(
        ["/bin/sh", "-c", _LAUNCHER, "sh", directory.launch_log_path, "/bin/sh", directory.script_path],
        cwd=directory.path,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    # the pid's line, not the end of the pipe: that comes only when the background job has replaced its stdout
    assert launcher.stdout is not None
    with launcher.stdout:
        line = launcher.stdout.readline()
    if launcher.wait(_LAUNCH_SECONDS) != 0 or not line.strip().isdigit():
        raise subprocess.SubprocessError(f"sh ended with exit code {launcher.returncode}")
    return int(line)


def _slots(directory: JobDirectory) -> Slots:
    return Slots(Root(os.path.dirname(directory.path)))


def _processes(query: Query) -> tuple[ProcessId | None, ProcessId | None]:
    """Supervisor and child of the run, as far as they are known."""
    if query.started is not None:
        return query.started.supervisor, query.started.child
    handle = query.handle
    return (handle.process if handle is not None else _holder(query)), None


def _holder(query: Query) -> ProcessId | None:
    """Who waits with the run's ticket, should its handle have been lost."""
    ticket = _ticket(query.run.submitted())
    return _slots(query.job).holder(ticket) if ticket else None


def _ticket(submitted: Submitted | None) -> str:
    return str(submitted.settings.get("ticket") or "") if submitted is not None else ""


def observe(query: Query) -> Observation:
    """Say of a run what this host's process table tells of its supervisor and its cell."""
    supervisor, child = _processes(query)
    if supervisor is None:
        return Observation(Word.ABSENT if query.handle is None else Word.UNKNOWN, "no process is known")
    state = supervisor.state()
    if state == REBOOTED:
        return Observation(Word.GONE, f"{supervisor.host} was rebooted while the job was not finished")
    if state not in (ALIVE, STOPPED, GONE):
        return Observation(Word.UNKNOWN, f"it belongs to {supervisor.host}, which cannot be asked from here")
    child_state = child.state() if child is not None else GONE
    if state == GONE:
        if child_state in (ALIVE, STOPPED):
            return Observation(Word.ALIVE, note="its supervisor is gone, the cell goes on")
        return Observation(Word.GONE, "" if query.started is not None else launch_words(query.job))
    if query.started is None:
        return Observation(Word.QUEUED, _waits_for(query))
    if STOPPED in (state, child_state):
        return Observation(Word.ALIVE, note="stopped by a signal (SIGSTOP), not responding")
    return Observation(Word.ALIVE)


def launch_words(directory: JobDirectory) -> str:
    """Why a job ended before its worker stood, if launch.log tells."""
    words = directory.launch_words()
    return f"ended before the cell could start: {words}" if words else ""


def _not_done(directory: JobDirectory, names: Sequence[str]) -> list[str]:
    """Those of the jobs whose newest run has no record of its end."""
    root = Root(os.path.dirname(directory.path))
    waits = []
    for name in names:
        with contextlib.suppress(PersistError):
            job = root.directory(name)
            if not _has_ended(job, job.spec()):
                waits.append(name)
    return waits


def _has_ended(job: JobDirectory, spec: JobSpec) -> bool:
    if not spec.tasks:
        return job.current_run().ended() is not None
    with ledger(job, spec) as known:
        return all(chunk.ended is not None for chunk in known.chunks)


def _waits_for(query: Query) -> str:
    try:
        submitted = query.run.submitted()
        if submitted is not None and (waits := _not_done(query.job, submitted.after)):
            return f"waiting for {', '.join(waits)}"
        ticket = _ticket(submitted)
        ahead = _slots(query.job).before(ticket) if ticket else 0
    except (OSError, StoreError):
        return ""
    return f"waiting for a slot, {ahead} before it" if ahead else "starting"
