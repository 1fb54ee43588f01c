"""A job's directory and its runs: where each file is, and how it is read.

Owns the names of the files, those of jobs, and the variables by which job.sh, the worker and the cell find them.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re

from ..errors import Damaged, InvalidName, PersistError, UnsafePath
from ..files import open_regular
from .records import (
    CancelRequest,
    CancelRequests,
    Checkpoint,
    Ended,
    Handle,
    JobSpec,
    Observed,
    ObservedChunks,
    Outcome,
    Progress,
    Started,
    Submitted,
    SweepLabels,
    Usage,
)
from .trust import TRUST_ADVICE, check_trusted, unsafe
from .writing import sync_directory, write_atomic, write_new

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import BinaryIO

    from .records import R

HEARTBEAT_SECONDS = 5.0
"""How often a supervisor touches its heartbeat."""

FRESH_SECONDS = 6 * HEARTBEAT_SECONDS
"""A heartbeat that is not older proves that the run lives; file servers cache attributes for up to a minute's part."""

SCHEDULER_ID, CLUSTER, TIME_LEFT, LAUNCHER = (
    "PERSIST_SCHEDULER_ID",
    "PERSIST_CLUSTER",
    "PERSIST_TIME_LEFT",
    "PERSIST_LAUNCHER",
)
"""Variables by which job.sh tells the worker what it cannot know by itself: the scheduler's id of what runs and its cluster,
the command that prints the wall time left, the words that start MPI ranks."""

JOB_DIRECTORY, RUN, RANK, TASK = "PERSIST_JOB_DIRECTORY", "PERSIST_RUN", "PERSIST_RANK", "PERSIST_TASK"
"""Variables by which the cell, and whatever it starts, finds its job."""

CHUNK = "PERSIST_CHUNK"
"""The variable by which job.sh tells the worker which chunk of a sweep's tasks it is to run."""

NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,99}")
_RUN = re.compile(r"run-([1-9][0-9]{0,8})")
_LARGEST_RECORD = 256 << 20
_LAST_WORDS = 4096
_NOWHERE = "/dev/null/nowhere"  # nothing can be made there


def check_name(name: str) -> str:
    """Return `name` if it may name a job.

    Raises
    ------
    InvalidName
        If it holds anything but ASCII letters, digits, ``. _ -``, starts with a dot or a hyphen, or has over 100 characters.
    """
    if not NAME.fullmatch(name):
        raise InvalidName(name)
    return name


def remove_tree(path: str, ignore_errors: bool = False) -> None:
    """Delete a directory and what is in it; links in it, and a link in its place, are deleted, not followed."""
    import shutil  # slow to import, and no run of a worker deletes anything

    if os.path.islink(path):
        os.unlink(path)
    else:
        shutil.rmtree(path, ignore_errors=ignore_errors)


class RunDirectory:
    """The files of one run, or of one MPI rank of it.

    Parameters
    ----------
    job : JobDirectory
    number : int
        The job's first run is 1.
    rank : int
        Rank 0 speaks for the run: its files are the run's. The others have the same files in a folder each.
    """

    def __init__(self, job: JobDirectory, number: int, rank: int = 0) -> None:
        self.job, self.number, self.rank = job, number, rank
        self._lay()

    def _lay(self) -> None:
        self.path = f"{self.job.path}/run-{self.number}"
        if self.rank:
            self.path = f"{self.path}/rank-{self.rank}"
        self.submitted_path = f"{self.path}/submitted.json"
        self.started_path = f"{self.path}/started.json"
        self.heartbeat_path = f"{self.path}/heartbeat"
        self.stdout_path = f"{self.path}/stdout"
        self.stderr_path = f"{self.path}/stderr"
        self.values_path = f"{self.path}/values.pkl"
        self.outcome_path = f"{self.path}/outcome.json"
        self.ended_path = f"{self.path}/ended.json"
        self.checkpoint_path = f"{self.path}/checkpoint.json"
        self.display_path = f"{self.path}/display.jsonl"
        self.progress_path = f"{self.path}/progress.json"
        self.usage_path = f"{self.path}/usage.json"
        self.observed_path = f"{self.path}/observed.json"
        self.cancel_tasks_path = f"{self.path}/cancel-tasks.json"

    def follow(self) -> bool:
        """Go on where the job directory is now, if it was held and has been moved; return whether it has been."""
        self.job.follow()
        if moved := not self.path.startswith(f"{self.job.path}/"):
            self._lay()
        return moved

    def log_path(self, err: bool = False) -> str:
        """Return the file of stdout or stderr."""
        return self.stderr_path if err else self.stdout_path

    def of_rank(self, rank: int) -> RunDirectory:
        """Return the files of one MPI rank of the same run."""
        return RunDirectory(self.job, self.number, rank)

    def in_run(self, number: int) -> RunDirectory:
        """Return the same, of the whole run, a rank or a task, in another run."""
        return RunDirectory(self.job, number, self.rank)

    def journal_path(self, chunk: int) -> str:
        """Return the journal of a chunk of tasks."""
        return f"{self.path}/chunk-{chunk}.journal"

    def observed_chunks(self) -> ObservedChunks | None:
        return self._unless_damaged(ObservedChunks, self.observed_path)

    def cancel_requests(self) -> tuple[CancelRequest, ...]:
        """Return who has asked to stop some of its tasks, in order."""
        record = self.job.read(CancelRequests, self.cancel_tasks_path)
        return record.requests if record is not None else ()

    # ---- what a supervisor writes

    def write_started(self, started: Started, exclusive: bool) -> None:
        """Write who runs it; for good when the child is known, which does not wait for the disk.

        Raises
        ------
        FileExistsError
            If another has, and `exclusive` is true.
        """
        write_atomic(self.started_path, started.to_bytes(), exclusive=exclusive, sync=not exclusive)

    def write_ended(self, ended: Ended) -> None:
        write_atomic(self.ended_path, ended.to_bytes())

    def beat(self) -> None:
        """Touch the heartbeat."""
        try:
            os.utime(self.heartbeat_path)
        except FileNotFoundError:
            os.close(os.open(self.heartbeat_path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))

    def new_checkpoint_file(self) -> str:
        """Return the name of a file for the values of a checkpoint, which no other process takes."""
        return f"checkpoint-{os.urandom(6).hex()}.pkl"

    def checkpoint_values_path(self, file: str) -> str:
        """Return the file that holds the values of a checkpoint, which stands beside its record whatever that says."""
        return os.path.join(os.path.dirname(self.checkpoint_path), os.path.basename(file))

    def checkpoint(self) -> Checkpoint | None:
        return self.job.read(Checkpoint, self.checkpoint_path)

    def newest_checkpoint(self) -> tuple[RunDirectory, Checkpoint] | None:
        """Return the newest checkpoint of whichever run, with the run that made it; None if none has made one."""
        for number in reversed(self.job.runs()):
            run = self.in_run(number)
            checkpoint = run.checkpoint()
            if checkpoint is not None:
                return run, checkpoint
        return None

    def progress(self) -> Progress | None:
        """Return how far the cell says that it is; None also if that cannot be read: no reason to doubt the rest."""
        return self._unless_damaged(Progress, self.progress_path)

    def usage(self) -> Usage | None:
        """Return what the run has taken of cpu and memory lately; None also if that cannot be read."""
        return self._unless_damaged(Usage, self.usage_path)

    def _unless_damaged(self, cls: type[R], path: str) -> R | None:
        try:
            return self.job.read(cls, path)
        except PersistError:
            return None

    def submitted(self) -> Submitted | None:
        return self.job.read(Submitted, self.submitted_path)

    def is_abandoned(self) -> bool:
        """Return whether the session that asked for it is certainly gone."""
        submitted = self._unless_damaged(Submitted, self.submitted_path)
        return submitted is not None and submitted.is_abandoned()

    def started(self) -> Started | None:
        return self.job.read(Started, self.started_path, synced=False)

    def outcome(self) -> Outcome | None:
        return self.job.read(Outcome, self.outcome_path)

    def ended(self) -> Ended | None:
        return self.job.read(Ended, self.ended_path)

    def heartbeat(self) -> float | None:
        """When the heartbeat was last touched, by the file server's clock, seconds since the epoch."""
        try:
            return os.stat(self.heartbeat_path).st_mtime
        except OSError:
            return None


class TaskFiles(RunDirectory):
    """The files of one task of a sweep: its lane's, which it shares with those that ran before and will run after it.

    Parameters
    ----------
    run : RunDirectory
    chunk, lane, task : int
    """

    def __init__(self, run: RunDirectory, chunk: int, lane: int, task: int) -> None:
        self._place = chunk, lane, task
        super().__init__(run.job, run.number)

    def _lay(self) -> None:
        super()._lay()
        chunk, lane, task = self._place
        stem = f"{self.path}/chunk-{chunk}.{lane}"
        self.stdout_path = f"{stem}.stdout"
        self.stderr_path = f"{stem}.stderr"
        self.display_path = f"{stem}.display.jsonl"
        self.progress_path = f"{stem}.progress.json"
        self.values_path = f"{stem}.values.pkl"
        self.checkpoint_path = f"{self.path}/task-{task}/checkpoint.json"  # few cells make one

    def in_run(self, number: int) -> RunDirectory:
        return TaskFiles(self.job.run(number), *self._place)

    @property
    def variable(self) -> str:
        """The value of the variable `TASK`."""
        return ".".join(map(str, self._place))

    def sizes(self) -> tuple[int, int, int]:
        """Return how many bytes stdout, stderr and the file of outputs have."""
        found = []
        for path in (self.stdout_path, self.stderr_path, self.display_path):
            try:
                found.append(os.stat(path).st_size)
            except FileNotFoundError:
                found.append(0)
        return found[0], found[1], found[2]


class JobDirectory:
    """The files of one job.

    Parameters
    ----------
    path : str
    name : str
        The job's name; differs from the last part of `path` only while the directory is being filled.
    """

    def __init__(self, path: str, name: str) -> None:
        self.name = name
        self._held: tuple[int, os.stat_result] | None = None
        self._lay(path)

    def _lay(self, path: str) -> None:
        self.path = path
        self.spec_path = f"{path}/job.json"
        self.cell_path = f"{path}/cell.py"
        self.session_path = f"{path}/session.pkl"
        self.script_path = f"{path}/job.sh"
        self.modules_path = f"{path}/modules"
        self.handle_path = f"{path}/handle.json"
        self.cancel_path = f"{path}/cancel"
        self.observed_path = f"{path}/observed.json"
        self.launch_log_path = f"{path}/launch.log"
        self.sweep_path = f"{path}/sweep.json"

    @property
    def buffers_path(self) -> str:
        return buffers_path(self.session_path)

    def hold(self) -> None:
        """Keep the directory open, so that it is found again when it is moved."""
        with contextlib.suppress(OSError):
            descriptor = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            self._held = descriptor, os.fstat(descriptor)

    def follow(self) -> None:
        """Take the path that the directory has now, if it was held and has been moved or deleted.

        What has its old path meanwhile is another job's and not written to. Where the system cannot tell the path of what is
        open (Linux does, in /proc/self/fd) it is lost.
        """
        if self._held is None or self._is_held(self.path):
            return
        by_descriptor = f"/proc/self/fd/{self._held[0]}"  # of what is deleted nothing can be made below it
        if not self._is_held(by_descriptor):
            self._lay(_NOWHERE)
            return
        path = os.readlink(by_descriptor)
        self._lay(path if self._is_held(path) else by_descriptor)

    def _is_held(self, path: str) -> bool:
        """Whether a path leads to the directory that is held, whose descriptor the cell may have closed."""
        try:
            return self._held is not None and os.path.samestat(os.stat(path), self._held[1])
        except OSError:
            return False

    def is_copy(self, original: str) -> bool:
        """Return whether a directory elsewhere is the same job, so that this one, which is not there, is a copy of it."""
        if original in ("", self.path):
            return False
        try:
            other = JobDirectory(original, self.name)
            # not os.path.samefile: a file system that is mounted twice may have two device numbers
            return other._inodes() != self._inodes() and other.spec().token == self.spec().token
        except (OSError, PersistError):
            return False

    def _inodes(self) -> tuple[int, int]:
        return os.stat(self.path).st_ino, os.stat(self.spec_path).st_ino

    def exists(self) -> bool:
        """Return whether it is a job directory, damaged or not."""
        return os.path.lexists(self.spec_path)

    def relative(self, path: str) -> str:
        """Return a file's path as messages name it, from the job directory on."""
        return path[len(self.path) + 1 :]

    def run(self, number: int) -> RunDirectory:
        return RunDirectory(self, number)

    def runs(self) -> list[int]:
        """Return the numbers of the runs, in order."""
        try:
            entries = os.listdir(self.path)
        except OSError as error:
            raise Damaged(self.name, "the directory", error.strerror or str(error)) from None
        return sorted(int(match[1]) for entry in entries if (match := _RUN.fullmatch(entry)))

    def current_run(self) -> RunDirectory:
        """Return the newest run."""
        runs = self.runs()
        if not runs:
            raise Damaged(self.name, "the directory", "it holds no run")
        return self.run(runs[-1])

    def read(self, cls: type[R], path: str, synced: bool = True) -> R | None:
        """Read a record, or None if there is no such file.

        Parameters
        ----------
        synced : bool
            Whether it was on the disk before it had its name. Otherwise an empty file is what a loss of power leaves of it,
            and counts as none.

        Raises
        ------
        Damaged
            If the file cannot be read, or not as such a record.
        """
        what = self.relative(path)
        try:
            with open_regular(path) as file:
                size = os.fstat(file.fileno()).st_size
                if size > _LARGEST_RECORD:
                    raise Damaged(self.name, what, f"{size} bytes are no record")
                data = file.read()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise Damaged(self.name, what, error.strerror or str(error)) from None
        return cls.from_bytes(data, self.name, what) if data or synced else None

    def spec(self) -> JobSpec:
        spec = self.read(JobSpec, self.spec_path)
        if spec is None:
            raise Damaged(self.name, "job.json", "it is missing")
        return spec

    def sweep(self) -> SweepLabels:
        sweep = self.read(SweepLabels, self.sweep_path)
        if sweep is None:
            raise Damaged(self.name, "sweep.json", "it is missing")
        return sweep

    def handle(self) -> Handle | None:
        return self.read(Handle, self.handle_path, synced=False)

    def cancel_request(self) -> CancelRequest | None:
        """Return the wish to stop the job; a file that is no record, made by ``touch cancel``, is such a wish too."""
        try:
            return self.read(CancelRequest, self.cancel_path)
        except PersistError:
            try:
                made = os.lstat(self.cancel_path).st_mtime
            except OSError:
                return None
            return CancelRequest(made, "somebody", "", False)

    def observed(self) -> Observed | None:
        return self.read(Observed, self.observed_path, synced=False)

    def launch_words(self) -> str:
        """Return the last words of launch.log, which tell why a job ended before its worker or its ranks stood, or ""."""
        try:
            with open_regular(self.launch_log_path) as file:
                file.seek(max(0, os.fstat(file.fileno()).st_size - _LAST_WORDS))
                lines = file.read().decode("utf-8", "replace").splitlines()
        except OSError:
            return ""
        return next((line.strip() for line in reversed(lines) if any(map(str.isalnum, line))), "")

    def open_trusted(self, path: str) -> BinaryIO:
        """Open a file that is going to be unpickled.

        Raises
        ------
        UnsafePath
            If somebody else owns or may write it, or a directory on the way from the root.
        Damaged
            If it is missing or no regular file.
        """
        what = self.relative(path)
        try:
            self.check_trusted(os.path.dirname(path))
            file = open_regular(path)
        except FileNotFoundError:
            raise Damaged(self.name, what, "it is missing") from None
        except OSError as error:
            raise Damaged(self.name, what, error.strerror or str(error)) from None
        if why := unsafe(os.fstat(file.fileno())):
            file.close()
            raise UnsafePath(path, why, f"nothing of it is unpickled or run{TRUST_ADVICE}")
        return file

    def check_trusted(self, deepest: str) -> None:
        """Raise UnsafePath unless the root and all directories from there down to `deepest` are this user's alone."""
        below = [part for part in deepest[len(self.path) :].split("/") if part]
        steps = ["/".join((self.path, *below[:depth])) for depth in range(len(below) + 1)]
        for directory in (os.path.dirname(self.path), *steps):
            check_trusted(directory)

    def delete_run(self, run: RunDirectory) -> None:
        """Delete a run that nobody started."""
        remove_tree(run.path, ignore_errors=True)

    def create_run(self, number: int, submitted: Submitted | None) -> RunDirectory:
        """Make the directory of a new run; exactly one of several callers wins.

        Raises
        ------
        FileExistsError
            If that run exists already.
        """
        run = self.run(number)
        temporary = os.path.join(self.path, f".run-{number}.{os.urandom(6).hex()}.tmp")
        os.mkdir(temporary, 0o700)
        try:
            # never empty: rename(2) onto an existing run must fail, and it replaces an empty directory
            write_new(os.path.join(temporary, "heartbeat"), b"")
            if submitted is not None:
                write_new(os.path.join(temporary, "submitted.json"), submitted.to_bytes())
            try:
                os.rename(temporary, run.path)
            except OSError as error:
                if error.errno in (errno.ENOTEMPTY, errno.EEXIST):
                    raise FileExistsError(errno.EEXIST, "run exists", run.path) from None
                raise
        except BaseException:
            remove_tree(temporary, ignore_errors=True)
            raise
        sync_directory(self.path)
        return run


def buffers_path(pickle_path: str) -> str:
    """Return the file of large buffers that goes with a pickle file."""
    return pickle_path.removesuffix(".pkl") + ".buffers"
