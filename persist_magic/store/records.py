"""The records of a job directory: frozen dataclasses, one JSON file each, or one line of a journal.

Owns what each record says, how it becomes bytes with a checksum, and the check that what is read has its shape. Knows
neither files nor their names.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import math
import zlib

from ..errors import Damaged, VersionSkew
from ..frozen import Frozen, frozen
from ..processes import ProcessId

TYPE_CHECKING = False  # typing itself would cost the worker's start some milliseconds
if TYPE_CHECKING:
    from typing import Any, TypeVar

    R = TypeVar("R", bound="Record")
    D = TypeVar("D")

FORMAT = 1
"""Version of the layout and of the records."""

USAGE_SAMPLES = 60
"""How many samples of cpu and memory a supervisor keeps."""

_CHECKSUM = b',\n "checksum": "'


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
        Of what was written, see `digests`; one that begins with "~" may differ although the value is equal.
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
    mpi_options : tuple of str
        Options of the program that starts these.
    tasks : int
        How many tasks a sweep has; 0 is a cell that runs once.
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
class AxisLabels(Frozen):
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
class SweepLabels(Record):
    """sweep.json: what the tasks of a sweep are called. Never changed. The values themselves are captured."""

    axes: tuple[AxisLabels, ...]


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
    "AxisLabels": AxisLabels,
    "Bar": Bar,
    "CancelRequest": CancelRequest,
    "CapturedName": CapturedName,
    "LocalModule": LocalModule,
    "Payload": Payload,
    "Observed": Observed,
    "ProcessId": ProcessId,
    "KeptValue": KeptValue,
}
