"""The job directory: the one place that knows its file names and how they are written.

Owns the root, the layout of a job directory, the records (frozen dataclasses, one JSON file each), atomic writes,
locks, and the check that nobody else could have written what is about to be unpickled or run.
Knows nothing of pickles, processes that run, backends or IPython: the worker imports it, so it is standard library only.

Every file appears whole or not at all: it is written under a temporary name in the same directory, synced and renamed
(POSIX: rename(2) replaces atomically). A job directory is filled under a temporary name and renamed as a whole.
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import fcntl
import functools
import json
import math
import os
import re
import stat
import time
import zlib
from collections.abc import Container, Iterator
from contextvars import ContextVar

from .errors import Damaged, InvalidName, JobExists, PersistError, StoreError, UnsafePath, VersionSkew
from .files import open_regular
from .processes import ProcessId
from .records import Frozen, frozen

TYPE_CHECKING = False  # typing itself would cost the worker's start some milliseconds
if TYPE_CHECKING:
    from typing import Any, BinaryIO, TypeVar

    R = TypeVar("R", bound="Record")
    D = TypeVar("D")

HEARTBEAT_SECONDS = 5.0
"""How often a supervisor touches its heartbeat."""

USAGE_SAMPLES = 60
"""How many samples of cpu and memory a supervisor keeps."""

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

FORMAT = 1
"""Version of the layout and of the records."""

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,99}")
_RUN = re.compile(r"run-([1-9][0-9]{0,8})")
_LARGEST_RECORD = 256 << 20
_CHECKSUM = b',\n "checksum": "'
_LAST_WORDS = 4096
_STALE_SECONDS = 86400.0
_DELETE_SECONDS = 2.0
_NOWHERE = "/dev/null/nowhere"  # nothing can be made there
_NEW, _ASIDE, _DOOMED = ".new-", ".old-", ".del-"  # being made, being replaced, being deleted


def check_name(name: str) -> str:
    """Return `name` if it may name a job.

    Raises
    ------
    InvalidName
        If it holds anything but ASCII letters, digits, ``. _ -``, starts with a dot or a hyphen, or has over 100 characters.
    """
    if not _NAME.fullmatch(name):
        raise InvalidName(name)
    return name


# ---------------------------------------------------------------- records


@frozen
class Record(Frozen):
    """One JSON file. Unknown fields are ignored on reading, so that a newer minor writer may add some.

    Its last field is the CRC-32 of what stands before: a record that is no longer what was written is told as damaged.
    """

    def to_bytes(self) -> bytes:
        return sealed({"format": FORMAT, **dataclasses.asdict(self)})

    def to_line(self) -> bytes:
        """Return the same without line breaks, for a journal."""
        return json.dumps({"format": FORMAT, **dataclasses.asdict(self)}, separators=(",", ":")).encode()

    @classmethod
    def from_bytes(cls: type[R], data: bytes, job: str, what: str) -> R:
        """Build the record from a file's bytes.

        Raises
        ------
        Damaged
            If it is not JSON of this record's shape, or not what was written.
        VersionSkew
            If a later format wrote it.
        """
        body, checked, rest = data.rpartition(_CHECKSUM)
        if checked and rest != b'%08x"\n}\n' % zlib.crc32(body):
            raise Damaged(job, what, "it was altered since it was written")
        try:
            values = json.loads(data)
        except (ValueError, RecursionError) as error:
            raise Damaged(job, what, f"not JSON ({error})") from None
        if not isinstance(values, dict) or not isinstance(values.get("format"), int):
            raise Damaged(job, what, "not a record of persist_magic")
        if values["format"] > FORMAT:
            raise VersionSkew(job, what, f"format {values['format']}", f"format {FORMAT}: update persist_magic")
        try:
            return _build(cls, values)
        except (TypeError, ValueError, KeyError, OverflowError) as error:
            raise Damaged(job, what, f"{error}") from None


def sealed(values: dict[str, Any]) -> bytes:
    """Return a record's file, from what it holds."""
    body = json.dumps(values, indent=1).encode().removesuffix(b"\n}")
    return b'%s%s%08x"\n}\n' % (body, _CHECKSUM, zlib.crc32(body))


_TYPES: dict[str, Any] = {
    "str": str,
    "int": int,
    "float": (int, float),
    "bool": bool,
    "dict": dict,
    "None": type(None),
}


def _build(cls: type[D], values: dict[str, Any]) -> D:
    """A dataclass from parsed JSON, its fields' types checked."""
    arguments = {}
    fields: list[tuple[str, str, bool]] = _fields(cls)  # type: ignore[arg-type]  # a class is hashable
    for name, annotation, required in fields:
        if name in values:
            arguments[name] = _value(annotation, values[name], name)
        elif required:
            raise ValueError(f"{name} is missing")
    for name, words in _WORDS.get(cls.__name__, {}).items():
        if arguments[name] not in words:
            raise ValueError(f"{name} is {arguments[name]!r:.60}, none of {', '.join(words)}")
    made = cls(**arguments)
    if trouble := getattr(made, "trouble", str)():
        raise ValueError(trouble)
    return made


@functools.cache
def _fields(cls: Any) -> list[tuple[str, str, bool]]:
    """The fields of a record: name, annotation, and whether it has no default."""
    missing = dataclasses.MISSING
    return [
        (each.name, str(each.type), each.default is missing and each.default_factory is missing)
        for each in dataclasses.fields(cls)
    ]


def _value(annotation: str, value: Any, name: str) -> Any:
    """A field's value, if it is of the type that the field is annotated with."""
    for nested, expected, no_bool, element in _kinds(annotation):
        if nested is not None:
            if isinstance(value, dict):
                return _build(nested, value)
        elif isinstance(value, expected) and not (no_bool and isinstance(value, bool)):
            if element is None:
                # Python's JSON knows NaN and infinity; `float` raises for whole numbers that no float holds
                if expected is _TYPES["float"] and not math.isfinite(float(value)):
                    raise ValueError(f"{name} is {value}, which is no amount of anything")
                return value
            if expected is dict:
                return {key: _value(element, item, f"{key} of {name}") for key, item in value.items()}
            return tuple(_value(element, item, name) for item in value) if element else tuple(value)
    raise ValueError(f"{name} is {value!r:.60}, not {annotation}")


@functools.cache
def _kinds(annotation: str) -> list[tuple[type | None, Any, bool, str | None]]:
    """What an annotation allows, one after the other.

    Returns
    -------
    list of (nested, expected, no_bool, element)
        A record's class or None; the type that JSON has for it; whether a bool, which is an int, is none; of a tuple, or a
        dict of records, its elements' annotation; for a tuple "" if they are not looked at.
    """
    kinds: list[tuple[type | None, Any, bool, str | None]] = []
    for kind in annotation.split(" | "):
        head, _, inner = kind.partition("[")
        if head in _NESTED:
            kinds.append((_NESTED[head], None, False, None))
        elif head == "tuple":
            element = inner.removesuffix(", ...]")
            kinds.append((None, list, False, element if element in _NESTED or element in ("str", "float", "int") else ""))
        elif head == "dict" and (element := inner.removeprefix("str, ").removesuffix("]")) in _NESTED:
            kinds.append((None, dict, False, element))
        elif head in _TYPES:
            kinds.append((None, _TYPES[head], head in ("int", "float"), None))
    return kinds


@frozen
class CapturedName(Frozen):
    """A session global that a job carries.

    Attributes
    ----------
    name, type : str
    detail : str
        Shape, dtype or length; empty if it has none.
    size : int
        Bytes written for it, its buffers included.
    digest : str
        BLAKE2b of what was written, hexadecimal.
    asked_by : str
        Who needs it: "cell", or the function that uses it, for example "select()".
    """

    name: str
    type: str
    detail: str
    size: int
    digest: str
    asked_by: str

    @property
    def kind(self) -> str:
        """Type and detail: "ndarray (3,) float64"."""
        return f"{self.type} {self.detail}".strip()


@frozen
class LocalModule(Frozen):
    """A module of the user's own, not an installed one, that a job imports.

    Attributes
    ----------
    path : str
        Its file; empty for a namespace package.
    digest : str
        Of the file when the job was submitted.
    edited : bool
        Whether the file then said something else than the session had loaded.
    """

    name: str
    path: str
    digest: str
    edited: bool


@frozen
class Payload(Frozen):
    """How to read a pickle file.

    Attributes
    ----------
    size : int
        Bytes of the pickle file (or of this part of it).
    offset : int
        Where the part starts.
    checksum : str
        Of these bytes, see `digests.Checksum`.
    buffers : tuple of [offset, length, checksum]
        The out-of-band buffers in the buffer file, in the order in which the stream asks for them; bytes.
    sealed : int
        The modification time that the buffer file has if nobody wrote to it, seconds since the epoch. If it has another (a
        copy that did not keep it, or an altered file), the buffers' checksums are verified.
    trackers : tuple of str
        Identities of the classes in it, by number.
    has_code : bool
        Whether it holds Python bytecode, which only the same minor version of Python may read.
    magic : str
        The writer's bytecode magic number (importlib.util.MAGIC_NUMBER), hexadecimal.
    python : str
        The writer's Python version.
    packages : dict of str to str
        The versions of the packages that it refers to, by the names under which they are imported.
    """

    size: int
    offset: int
    checksum: str
    buffers: tuple[Any, ...]
    sealed: int
    trackers: tuple[str, ...]
    has_code: bool
    magic: str
    python: str
    packages: dict[str, Any]

    def trouble(self) -> str:
        """Return what of it cannot be, if it was read from a file; "" if all can."""
        good = min(self.size, self.offset) >= 0 and all(map(_is_buffer, self.buffers))
        return "" if good else "a part of a file is none that there can be"


def _is_buffer(entry: Any) -> bool:
    """Whether it is offset, length and checksum."""
    if not isinstance(entry, list) or len(entry) != 3:
        return False
    offset, length, checksum = entry
    return type(offset) is type(length) is int and min(offset, length) >= 0 and isinstance(checksum, str)


@frozen
class JobSpec(Record):
    """job.json: what the job is. Never changed.

    Attributes
    ----------
    token : str
        Random, tells this job from any other of the same name.
    kind : str
        "cell" or "function".
    code : str
        The Python to run: the cell with IPython's syntax translated.
    future_flags : int
        The session's ``from __future__`` compiler flags.
    fingerprint : str
        Equal for an identical cell with identical inputs.
    modules : tuple of LocalModule
        The user's own modules that the job imports.
    snapshot : bool
        Whether they were copied into the job directory.
    warnings : tuple of str
        What the capture could not promise, in words.
    ranks : int
        How many MPI processes run the cell; 0 is a cell without MPI.
    tasks : int
        How many tasks a sweep has; 0 is a cell that runs once.
    mpi_options : tuple of str
        Options of the program that starts them.
    notebook : bool
        Whether the session is a Jupyter kernel.
    figures : dict
        How the session draws its figures.
    """

    token: str
    name: str
    kind: str
    backend: str
    code: str
    cell_digest: str
    future_flags: int
    names: tuple[CapturedName, ...]
    payload: Payload
    fingerprint: str
    python: str
    executable: str
    dill: str
    cwd: str
    sys_path: tuple[str, ...]
    environment: dict[str, Any]
    extensions: tuple[str, ...]
    user: str
    host: str
    time: float
    modules: tuple[LocalModule, ...] = ()
    snapshot: bool = False
    warnings: tuple[str, ...] = ()
    ranks: int = 0
    mpi_options: tuple[str, ...] = ()
    notebook: bool = False
    figures: dict[str, Any] = dataclasses.field(default_factory=dict)
    tasks: int = 0


@frozen
class Axis(Frozen):
    """One ``--each`` of a sweep.

    Attributes
    ----------
    names : tuple of str
    labels : tuple of str
        Each value in words: "alpha=0.001".
    """

    names: tuple[str, ...]
    labels: tuple[str, ...]


@frozen
class Sweep(Record):
    """sweep.json: what the tasks of a sweep are called. Never changed. The values themselves are captured."""

    axes: tuple[Axis, ...]


@frozen
class Submitted(Record):
    """run-N/submitted.json: the session asked for this run.

    Attributes
    ----------
    options : tuple of str
        What the user wrote for the backend.
    settings : dict
        What the backend made of it.
    after : tuple of str
        The jobs that must be done before this run may start.
    tasks : str
        Which tasks of a sweep it runs, see `each.read`; empty for all.
    chunk : int
        How many of them a chunk has.
    limit : int
        How many may run at once; 0 for as many as can.
    wanted_chunk : int
        How many the user wants in a chunk; 0 if that is left to the backend.
    process : ProcessId or None
        The session's.
    directory : str
        Where the job directory was.
    """

    time: float
    user: str
    host: str
    options: tuple[str, ...]
    settings: dict[str, Any]
    after: tuple[str, ...] = ()
    tasks: str = ""
    chunk: int = 0
    limit: int = 0
    wanted_chunk: int = 0
    process: ProcessId | None = None
    directory: str = ""

    def is_abandoned(self) -> bool:
        """Return whether that session is certainly gone."""
        return self.process is not None and self.process.is_gone()


@frozen
class Handle(Record):
    """handle.json: the backend took a run; what it needs to find it again.

    Attributes
    ----------
    id : str
        The backend's name for it, for people: a pid or a Slurm id.
    process : ProcessId or None
        Of a local job: its supervisor.
    cluster : str
        Of a scheduler's job: the cluster whose id it is; empty if that is not known.
    """

    backend: str
    run: int
    time: float
    id: str
    process: ProcessId | None
    cluster: str = ""


@frozen
class CancelRequest(Record):
    """cancel: somebody asked to stop the job; in cancel-tasks.json of a run, some of its tasks.

    Attributes
    ----------
    force : bool
        Whether to kill at once.
    tasks : str
        Which tasks, see `each.read`; empty for the whole job.
    """

    time: float
    user: str
    host: str
    force: bool
    tasks: str = ""


@frozen
class CancelRequests(Record):
    """cancel-tasks.json of a sweep's run: who asked to stop some of its tasks, one after the other."""

    requests: tuple[CancelRequest, ...]


@frozen
class Observed(Record):
    """observed.json: the last word on a run that did not write its own end."""

    run: int
    time: float
    state: str
    reason: str
    source: str
    note: str = ""


@frozen
class Started(Record):
    """run-N/started.json: a supervisor took the run.

    Attributes
    ----------
    child : ProcessId or None
        The process of the cell, or the program that starts its MPI ranks.
    scheduler_id, cluster : str
        The scheduler's names for what the run is part of; empty if none started it.
    """

    time: float
    supervisor: ProcessId
    child: ProcessId | None
    scheduler_id: str = ""
    cluster: str = ""


@frozen
class KeptValue(Frozen):
    """A value of the job: written, or the reason why not.

    Attributes
    ----------
    type, detail, shown : str
        As in `CapturedName`; `shown` is its repr, cut.
    payload : Payload or None
    error : str
        Why it could not be written; empty if it was.
    """

    type: str
    detail: str
    shown: str
    payload: Payload | None
    error: str


@frozen
class Outcome(Record):
    """run-N/outcome.json: the cell's own word, written by the child after its values.

    Attributes
    ----------
    outcome : str
        "done" or "failed".
    reason, traceback : str
        Of a failure; `traceback` starts at the cell's line. Of a success `reason` is a remark or empty.
    exception : KeptValue or None
        The exception that ended the cell.
    result : KeptValue or None
    variables : dict of str to KeptValue
    shown : bool
        Whether the result is to be shown by those who look, as plain data; if not, what there is to show has been recorded.
    """

    token: str
    time: float
    outcome: str
    reason: str
    traceback: str
    exception: KeptValue | None
    result: KeptValue | None
    variables: dict[str, KeptValue]
    shown: bool = False


@frozen
class Ended(Record):
    """run-N/ended.json: written last; its presence is the end.

    Attributes
    ----------
    outcome : str
        "done", "failed" or "cancelled".
    exit_code, signal : int or None
        How the cell's process ended.
    cpu_seconds : float
        User and system time of the cell's process and of its children that it waited for (getrusage(2)).
    peak_memory : int
        Largest resident set of one process, bytes (ru_maxrss).
    note : str
        What else is worth knowing, for example processes that the cell left behind.
    final : bool
        False if a scheduler's signal ended the run: whether it runs again, and why it was ended, the scheduler knows.
    """

    time: float
    outcome: str
    reason: str
    exit_code: int | None
    signal: int | None
    cpu_seconds: float
    peak_memory: int
    note: str
    final: bool = True


@frozen
class ObservedChunks(Record):
    """observed.json of a sweep's run: the last word on chunks that did not write their own end.

    Attributes
    ----------
    chunks : dict of str to Observed
        By the chunk's number.
    """

    chunks: dict[str, Observed]

    def chunk(self, number: int) -> Observed | None:
        """Return the word on one chunk, or None."""
        return self.chunks.get(str(number))


@frozen
class TaskBegan(Record):
    """A line of a chunk's journal: a task runs.

    Attributes
    ----------
    lane : int
        Which of the chunk's lanes it has: tasks of a lane run one after the other and share its files.
    start : tuple of int
        Where in the lane's stdout, stderr and outputs its own begin, bytes.
    """

    time: float
    lane: int
    start: tuple[int, ...]


@frozen
class TaskEnded(Record):
    """A line of a chunk's journal: a task is over.

    Attributes
    ----------
    seconds : float
        From its beginning on.
    lane, start, stop
        As in `TaskBegan`; where in the lane's files its own end.
    reason, traceback : str
        Of a failure.
    exit_code, signal, cpu_seconds, peak_memory, note
        As in `Ended`.
    exception, result : KeptValue or None
    """

    time: float
    seconds: float
    lane: int
    start: tuple[int, ...]
    stop: tuple[int, ...]
    reason: str
    traceback: str = ""
    exit_code: int | None = None
    signal: int | None = None
    cpu_seconds: float = 0.0
    peak_memory: int = 0
    note: str = ""
    exception: KeptValue | None = None
    result: KeptValue | None = None


@frozen
class Checkpoint(Record):
    """checkpoint.json of a run: the newest checkpoint that its cell made.

    Attributes
    ----------
    file : str
        The name of the file that holds the values.
    values : dict of str to KeptValue
    """

    time: float
    file: str
    values: dict[str, KeptValue]


@frozen
class Bar(Frozen):
    """A progress bar.

    Attributes
    ----------
    text : str
        What is being done.
    done : float
    total : float or None
        None if nobody knows.
    unit : str
        What is counted; "it", as tqdm says, if nobody said.
    elapsed : float
        Seconds since it began.
    rate : float or None
        How many a second at present; None if that is just done / elapsed.
    """

    text: str
    done: float
    total: float | None
    unit: str
    elapsed: float
    rate: float | None = None


@frozen
class Progress(Record):
    """progress.json of a run: how far the cell says that it is.

    Attributes
    ----------
    time : float
        When it said so, seconds since the epoch.
    bars : tuple of Bar
        Nested ones, the outermost first.
    """

    time: float
    bars: tuple[Bar, ...]


@frozen
class Usage(Record):
    """usage.json of a run: what its processes have taken lately, the newest sample last.

    Attributes
    ----------
    time : float
        Of the newest sample, seconds since the epoch.
    every : float
        Seconds between two samples.
    cpu : tuple of float
        Percent of one core, meanwhile.
    memory : tuple of float
        Bytes, see `processes.consumption`.
    """

    time: float
    every: float
    cpu: tuple[float, ...]
    memory: tuple[float, ...]


_WORDS: dict[str, dict[str, tuple[str, ...]]] = {
    "Outcome": {"outcome": ("done", "failed")},
    "Ended": {"outcome": ("done", "failed", "cancelled")},
    "Observed": {"state": ("done", "failed", "cancelled")},
}
"""Which words a field of a record may hold."""

_NESTED: dict[str, type[Any]] = {
    "Axis": Axis,
    "Bar": Bar,
    "CancelRequest": CancelRequest,
    "CapturedName": CapturedName,
    "LocalModule": LocalModule,
    "Payload": Payload,
    "Observed": Observed,
    "ProcessId": ProcessId,
    "KeptValue": KeptValue,
}


# ---------------------------------------------------------------- files


@contextlib.contextmanager
def told(action: str, path: str) -> Iterator[None]:
    """Turn an OSError into a StoreError that says what was being done."""
    try:
        yield
    except OSError as error:
        raise StoreError(action, path, error.strerror or str(error)) from error


def sync_directory(path: str) -> None:
    """Make renames in a directory durable, if the file system can.

    Not all can sync a directory, and what was renamed is there whole all the same; SQLite goes on as well.
    """
    with contextlib.suppress(OSError):
        sync_path(path)


def sync_path(path: str) -> None:
    """Make a directory durable, or what others have written to a file."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def create_file(path: str, mode: int = 0o600, *, readable: bool = False) -> BinaryIO:
    """Open a file for writing that does not exist yet, not even as a link; without a buffer, see `write_all`.

    Parameters
    ----------
    readable : bool
        Whether what was written is to be read, or mapped, through the same descriptor.
    """
    flags = os.O_RDWR if readable else os.O_WRONLY
    return open(os.open(path, flags | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, mode), "wb", buffering=0)


def open_to_append(path: str) -> BinaryIO:
    """Open a file for writing at its end, never a link; without a buffer, see `write_all`."""
    flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    return open(os.open(path, flags, 0o600), "ab", buffering=0)


def write_all(file: BinaryIO, data: memoryview | bytes) -> None:
    """Write to an unbuffered file, in which nothing is left over of a write that failed; write(2) may take only a part."""
    view = memoryview(data).cast("B")
    while view:
        view = view[file.write(view) :]


def sync_file(file: BinaryIO) -> None:
    """Make what was written to a file durable."""
    os.fsync(file.fileno())


def write_new(path: str, data: bytes, mode: int = 0o600, sync: bool = True) -> None:
    """Write a file that does not exist yet, not atomically."""
    with create_file(path, mode) as file:
        os.fchmod(file.fileno(), mode)
        write_all(file, data)
        if sync:
            sync_file(file)


def write_atomic(path: str, data: bytes, *, exclusive: bool = False, sync: bool = True, mode: int = 0o600) -> None:
    """Write a file whole or not at all.

    Parameters
    ----------
    exclusive : bool
        Raise FileExistsError instead of replacing: of several writers exactly one wins.
    sync : bool
        Wait until the disk has it.
    """
    directory, name = os.path.split(path)
    temporary = os.path.join(directory, f".{name}.{os.urandom(6).hex()}.tmp")
    renamed = False
    try:
        write_new(temporary, data, mode, sync)
        if exclusive:
            os.link(temporary, path)
        else:
            os.rename(temporary, path)
            renamed = True
    finally:
        if not renamed:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
    if sync:
        sync_directory(directory)


_TRUST = "; if you trust who wrote it, add --trust"
_trusting: ContextVar[bool] = ContextVar("trusting", default=False)


@contextlib.contextmanager
def trusting() -> Iterator[None]:
    """Let what others own or may write be unpickled, as long as the block lasts.

    For a colleague's results: ``with trusting(): load("fit", root).fetch()``. What is unpickled can do all that you can do,
    so it is as if you ran a program of theirs.
    """
    token = _trusting.set(True)
    try:
        yield
    finally:
        _trusting.reset(token)


def _unsafe(info: os.stat_result) -> str:
    """Why a file or directory may not be trusted; empty if it may."""
    if _trusting.get():
        return ""
    if info.st_uid != os.geteuid():
        return f"it belongs to user {info.st_uid}"
    if info.st_mode & 0o022:
        return "others may write it"
    return ""


def check_trusted(path: str) -> None:
    """Raise UnsafePath unless only this user owns and may write `path`."""
    if why := _unsafe(os.stat(path)):
        advice = f"chmod go-w {path!r}" if "others" in why else f"use a directory of your own{_TRUST}"
        raise UnsafePath(path, why, advice)


def _remove_tree(path: str, ignore_errors: bool = False) -> None:
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

    def sweep(self) -> Sweep:
        sweep = self.read(Sweep, self.sweep_path)
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
        if why := _unsafe(os.fstat(file.fileno())):
            file.close()
            raise UnsafePath(path, why, f"nothing of it is unpickled or run{_TRUST}")
        return file

    def check_trusted(self, deepest: str) -> None:
        """Raise UnsafePath unless the root and all directories from there down to `deepest` are this user's alone."""
        below = [part for part in deepest[len(self.path) :].split("/") if part]
        steps = ["/".join((self.path, *below[:depth])) for depth in range(len(below) + 1)]
        for directory in (os.path.dirname(self.path), *steps):
            check_trusted(directory)

    def delete_run(self, run: RunDirectory) -> None:
        """Delete a run that nobody started."""
        _remove_tree(run.path, ignore_errors=True)

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
            _remove_tree(temporary, ignore_errors=True)
            raise
        sync_directory(self.path)
        return run


def buffers_path(pickle_path: str) -> str:
    """Return the file of large buffers that goes with a pickle file."""
    return pickle_path.removesuffix(".pkl") + ".buffers"


# ---------------------------------------------------------------- root


class Root:
    """The folder that holds the job directories.

    Parameters
    ----------
    path : str
        Need not exist yet.
    """

    def __init__(self, path: str) -> None:
        try:
            self.path = os.path.abspath(os.path.expanduser(path))
        except FileNotFoundError:
            raise StoreError("find the root", path, "the present directory has been deleted; change to another") from None

    def prepare(self) -> None:
        """Make the root if it is not there, with mode 0700, and check it.

        Raises
        ------
        UnsafePath
            If it is another user's or others may write it.
        StoreError
            If it cannot be made.
        """
        with told("make the root", self.path):
            os.makedirs(os.path.dirname(self.path), exist_ok=True)
            with contextlib.suppress(FileExistsError):
                os.mkdir(self.path, 0o700)
                os.chmod(self.path, 0o700)
                write_new(os.path.join(self.path, ".gitignore"), b"*\n", sync=False)
        self.check()

    def check(self) -> None:
        """Raise unless the root, if it exists, is a directory of this user alone."""
        try:
            if not stat.S_ISDIR(os.stat(self.path).st_mode):
                raise StoreError("use", self.path, "it is not a directory")
        except FileNotFoundError:
            return
        except OSError as error:
            raise StoreError("use", self.path, error.strerror or str(error)) from None
        try:
            check_trusted(self.path)
        except UnsafePath as error:
            another = f"choose another with %config PersistMagics.root{_TRUST}"
            advice = error.advice if "chmod" in error.advice else another
            raise UnsafePath(self.path, error.why, advice) from None

    def names(self, known: Container[str] = ()) -> list[str]:
        """Return the names of all job directories, sorted; what has no job.json is not ours and left out.

        Parameters
        ----------
        known : container of str
            Names of which that need not be asked again.
        """
        self.check()
        try:
            with os.scandir(self.path) as entries:
                every = [entry.name for entry in entries]
        except FileNotFoundError:
            return []
        except OSError as error:
            raise StoreError("read", self.path, error.strerror or str(error)) from None
        if any(name.startswith((_NEW, _ASIDE, _DOOMED)) for name in every):
            every += self.tidy()
        return sorted(name for name in every if name in known or (_NAME.fullmatch(name) and self.directory(name).exists()))

    def directory(self, name: str) -> JobDirectory:
        """Return the job directory of that name, which need not exist."""
        return JobDirectory(os.path.join(self.path, check_name(name)), name)

    @contextlib.contextmanager
    def lock(self, file: str = ".lock", timeout: float = 30.0) -> Iterator[None]:
        """Hold the root's lock: one session at a time submits, reruns or deletes.

        File systems that offer no locks are used without: renames still let exactly one win.
        """
        path = os.path.join(self.path, file)
        with told("lock", path):
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            deadline = time.monotonic() + timeout
            while True:
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except OSError as error:
                    if error.errno in (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP):
                        break
                    if error.errno not in (errno.EAGAIN, errno.EACCES) or time.monotonic() > deadline:
                        raise StoreError("lock", path, f"held by another process for {timeout:g} s") from None
                time.sleep(0.005)
            yield
        finally:
            os.close(descriptor)

    @contextlib.contextmanager
    def scratch(self) -> Iterator[str]:
        """Give an empty directory of the root that lists no job, and delete it with all that is in it.

        Raises
        ------
        StoreError
            If the file system refuses.
        """
        path = os.path.join(self.path, f"{_DOOMED}{os.urandom(8).hex()}")  # what a crash leaves is tidied up
        with told("write in", self.path):
            os.mkdir(path, 0o700)
        try:
            yield path
        finally:
            deadline = time.monotonic() + _DELETE_SECONDS
            while os.path.lexists(path) and time.monotonic() < deadline:  # somebody may just be writing in it
                _remove_tree(path, ignore_errors=True)

    @contextlib.contextmanager
    def new_directory(self, name: str) -> Iterator[JobDirectory]:
        """Give a directory with an empty run-1 to fill; unless it is published, nothing of it is left behind.

        Raises
        ------
        StoreError
            If the file system refuses, here or in the body.
        """
        self.prepare()
        final = self.directory(name)
        work = JobDirectory(os.path.join(self.path, f"{_NEW}{os.urandom(8).hex()}"), name)
        with told("write job", final.path):
            os.mkdir(work.path, 0o700)
            try:
                os.mkdir(work.run(1).path, 0o700)
                yield work
            finally:
                if os.path.lexists(work.path):
                    _remove_tree(work.path, ignore_errors=True)

    def publish(self, work: JobDirectory, *, replace: bool) -> str:
        """Give a filled directory its name. The caller holds the lock and knows that no older job of the name lives.

        Returns
        -------
        str
            Where an older job of the name now lies, for `discard` or `put_back`; empty if there was none.

        Raises
        ------
        JobExists
            If the name is taken and `replace` is false.
        """
        final, aside = self.directory(work.name), ""
        sync_directory(work.run(1).path)
        sync_directory(work.path)
        if replace and final.exists():
            self._check_marker(final)
            aside = self._swap(work.path, final)
        else:
            try:
                os.rename(work.path, final.path)
            except OSError as error:
                if error.errno in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
                    why = "something that is not a job of persist_magic has that name"
                    raise JobExists(work.name, (why,), alive=False) from None
                raise
        sync_directory(self.path)
        return aside

    def _swap(self, new: str, final: JobDirectory) -> str:
        """Put `new` in the place of an older job; return where that now lies. On failure it is back in its place."""
        aside = os.path.join(self.path, f"{_ASIDE}{os.urandom(8).hex()}-{final.name}")
        os.rename(final.path, aside)
        try:
            os.rename(new, final.path)
        except OSError:
            os.rename(aside, final.path)
            raise
        return aside

    def put_back(self, aside: str, directory: JobDirectory) -> None:
        """Give an older job that was put aside its name back. The caller holds the lock and has deleted the newer one."""
        with told("put back", directory.path):
            os.rename(aside, directory.path)
            sync_directory(self.path)

    def discard(self, path: str) -> None:
        """Delete a job directory under a name that says so, in case the deletion is interrupted.

        Where a full disk has no room even for that name, it is no job any more from the first step on.
        """
        doomed = os.path.join(self.path, f"{_DOOMED}{os.urandom(8).hex()}")
        try:
            os.rename(path, doomed)
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            os.unlink(JobDirectory(path, "").spec_path)
            doomed = path
        _remove_tree(doomed, ignore_errors=True)  # what resists is tidied later

    @staticmethod
    def _check_marker(directory: JobDirectory) -> None:
        """Raise Damaged unless a readable job.json says that the directory is a job of this name."""
        advice = f"what is not certainly a job is not deleted; delete {directory.path} by hand"
        try:
            name = directory.spec().name
        except Damaged as error:
            raise Damaged(error.job, error.what, f"{error.why}; {advice}") from None
        if name != directory.name:
            raise Damaged(directory.name, "job.json", f"it belongs to job {name}; {advice}")

    def delete(self, directory: JobDirectory, kept: str = "") -> None:
        """Delete a job directory. The caller holds the lock and knows that the job does not live.

        Parameters
        ----------
        kept : str
            Where an older job lies that is going to be put back; any other that it has replaced goes, too.

        Raises
        ------
        Damaged
            If it does not carry our marker (a readable job.json of this name).
        StoreError
            If the file system refuses.
        """
        self._check_marker(directory)
        with told("delete", directory.path):
            for name, aside in self._put_aside():
                if name == directory.name and aside != kept:
                    self.discard(aside)
            self.discard(directory.path)
            sync_directory(self.path)

    def leftovers(self) -> list[str]:
        """Return what is no job yet or no longer: being made, replaced or deleted, or left by a crash; see `tidy`."""
        with told("read", self.path):
            return sorted(entry for entry in os.listdir(self.path) if entry.startswith((_NEW, _ASIDE, _DOOMED)))

    def finish_replacements(self) -> list[str]:
        """Finish what sessions have begun that died while they replaced a job; return the names of jobs put back.

        Before the new job was in its place the older one gets its name back, afterwards it goes. The caller holds the lock,
        so that nobody is just doing this.
        """
        put_back = []
        with told("finish a replacement in", self.path):
            for name, aside in self._put_aside():
                home = self.directory(name)
                if not os.path.lexists(home.path):
                    os.rename(aside, home.path)
                    put_back.append(name)
                elif home.run(1).is_abandoned():  # else its backend may still refuse it, see `put_back`
                    self.discard(aside)
        return put_back

    def _put_aside(self) -> Iterator[tuple[str, str]]:
        """The jobs that were put aside to be replaced: name, and where each lies."""
        for entry in os.listdir(self.path):
            name = entry.removeprefix(_ASIDE).partition("-")[2]
            if entry.startswith(_ASIDE) and _NAME.fullmatch(name):
                yield name, os.path.join(self.path, entry)

    def tidy(self, stale_seconds: float = _STALE_SECONDS) -> list[str]:
        """Finish what a crash interrupted: put back jobs that were being replaced, drop what was half made or half deleted.

        Dropped is only what has not been touched for `stale_seconds`, a day: another process may still be at it.

        Returns
        -------
        list of str
            The names of jobs that were put back.
        """
        found: list[str] = []
        with contextlib.suppress(OSError, StoreError):  # who holds the lock does it, and who may not write need not
            with self.lock(timeout=0.0):
                found = self.finish_replacements()
            for entry in os.listdir(self.path):
                path = os.path.join(self.path, entry)
                if not entry.startswith((_NEW, _ASIDE, _DOOMED)) or os.path.islink(path):
                    continue
                with contextlib.suppress(OSError):
                    if time.time() - os.stat(path).st_ctime >= stale_seconds:
                        _remove_tree(path, ignore_errors=True)
        return found
