"""A backend is tried: one tiny job, from submission to result, in a root of its own of which nothing is left.

Owns how the job is waited for, what its fate says of the backend, and that it is ended and deleted whatever happens.
"""

from __future__ import annotations

import contextlib
import operator
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator, Sequence

from ..backends import get_backend
from ..backends.base import Examined
from ..errors import BackendError, JobCancelled, JobFailed, JobTimeout, PersistError, StoreError
from ..findings import Finding, Verdict
from ..job import Job
from ..processes import ALIVE
from ..status import JobState
from ..store import Root
from ..submission import jobs, persist
from .root import Place

NAME = "persist-doctor"
"""What the tiny job is called, also in a scheduler's queue."""
SOON_SECONDS = 3.0
"""From then on it is told why the job is waited for."""
END_SECONDS = 15.0
"""How long the end of a job's process is waited for."""


def examine(name: str, named: bool, options: Sequence[str], place: Place, timeout: float) -> Iterator[Finding]:
    """Yield what is found of one backend.

    Parameters
    ----------
    name : str
    named : bool
        Whether somebody asked for just this one, so that it has to be there.
    options : sequence of str
    place : Place
        The root; the tiny job's own is a hidden folder in it, so that it is on the same file system.
    timeout : float
        Seconds.
    """
    try:
        backend = get_backend(name)
    except Exception as error:  # noqa: BLE001  one of another package, which may raise anything while it is imported
        yield Finding(name, Verdict.TROUBLE, f"it cannot be loaded: {type(error).__name__}: {error}", "update its package")
        return
    if isinstance(backend, Examined):
        try:
            for finding in backend.examine():
                yield finding
                if finding.verdict is Verdict.TROUBLE:
                    return
        except BackendError as error:
            verdict = Verdict.TROUBLE if named else Verdict.FACT
            yield Finding(name, verdict, f"not on this machine: {error.why}")
            return
    try:
        with Root(place.folder()).scratch() as scratch:
            try:
                yield from _tried(name, options, scratch, timeout)
            except BaseException:  # also Ctrl-C, and that nobody wants to know any more
                _end_all(scratch)
                raise
            if left := _end_all(scratch):
                yield Finding(name, Verdict.TROUBLE, f"the tiny job may go on: {left}", "cancel it by hand")
    except StoreError as error:
        yield Finding(name, Verdict.TROUBLE, str(error))


def _tried(name: str, options: Sequence[str], root: str, timeout: float) -> Iterator[Finding]:
    begin = time.monotonic()
    given = f" with {' '.join(options)}" if options else ""
    try:
        job = persist(operator.mul, NAME, name, args=(6, 7), options=options, root=root)
        for patience in (min(SOON_SECONDS, timeout), timeout):
            try:
                job.fetch(max(0.0, begin + patience - time.monotonic()))
                break
            except JobTimeout as late:
                if patience < timeout:
                    words = f"a tiny job{given} has no result yet ({late.state}); it is waited for, up to {timeout:g} s"
                    yield Finding(name, Verdict.FACT, words, "Ctrl-C stops and takes it back")
        else:
            yield _unfinished(name, job, timeout)
            return
    except PersistError as error:
        yield Finding(name, Verdict.TROUBLE, f"a tiny job{given} came to nothing: {_why(error)}", _advice(name))
        return
    seconds = time.monotonic() - begin
    yield Finding(
        name, Verdict.OK, f"a tiny job{given} took {seconds:.2g} s from submission to result ({name} {_where(job)})"
    )


def _why(error: PersistError) -> str:
    """What an error says, without the advice that holds for a job that stays."""
    if isinstance(error, (JobFailed, JobCancelled)):
        return error.reason
    return error.why if isinstance(error, BackendError) else str(error)


def _advice(name: str) -> str:
    if name == "local":
        return f"see whether {sys.executable} -c 'print(1)' works in a shell"
    return f"see what follows --, and the settings of {type(get_backend(name)).__name__}: %config lists them"


def _where(job: Job) -> str:
    handle, started = job.directory.handle(), job.directory.current_run().started()
    parts = (handle.id if handle is not None else "", f"on {started.supervisor.host}" if started is not None else "")
    return " ".join(filter(None, parts))


def _unfinished(name: str, job: Job, timeout: float) -> Finding:
    """The time is over."""
    status, started = job.status(), job.directory.current_run().started()
    words = f"after {timeout:g} s a tiny job is {status.describe(time.time())}"
    if status.state is JobState.RUNNING and started is None:
        words += f"; but it has written nothing into {os.path.dirname(job.path.parent)}"
        advice = "does its host have that folder, too? if not, choose a root on a file system that the hosts share"
        return Finding(name, Verdict.TROUBLE, words, advice)
    advice = "no fault if others wait, too; --timeout 600 waits longer, and other options after -- may be served sooner"
    return Finding(name, Verdict.WARNING, f"{words}; it is taken back", advice)


# ---------------------------------------------------------------- the end of it


def _end_all(root: str) -> str:
    """End what waits or runs in a root; return the words of what went wrong."""
    trouble = ""
    with _undisturbed():
        try:
            for job in jobs(root):
                if not job.is_ready():
                    job.cancel(force=True)
                _await_process(job)
        except PersistError as error:
            trouble = str(error)
    return trouble


def _await_process(job: Job) -> None:
    """A process of this host is over a moment after it was killed, or has written its last record; so long it may write.

    One of another host finds no folder any more.
    """
    handle, started = job.directory.handle(), job.directory.current_run().started()
    process = started.supervisor if started is not None else handle.process if handle is not None else None
    deadline = time.monotonic() + END_SECONDS
    while process is not None and process.state() == ALIVE and time.monotonic() < deadline:
        time.sleep(0.002)


@contextlib.contextmanager
def _undisturbed() -> Iterator[None]:
    """Leave a second Ctrl-C without effect, which would leave the job where it is."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
