"""``python -m tests.benchmarks.capture_child WHAT …``: one measurement of the capture part, printed as JSON.

Owns the workloads and what is done with each. A process of its own for each of them, so that none finds the memory, the
imports or the types of another. Times in seconds, memory in bytes.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import gc
import json
import linecache
import os
import pickle
import sys
import types
from collections.abc import Callable, Iterable
from typing import Any
from unittest import mock

from persist_magic.capture.cell import Capture, Selection, Source, capture
from persist_magic.store import JobDirectory, Payload, buffers_path, create_file, sync_file

from .measure import Measurement, equal, in_turns, timed, timing

ARRAY = "numpy.random.default_rng(0).random({})"

WORKLOADS = {
    "1e6 ints": "data = list(range(10**6))",
    "1e6 floats": "data = [number / 7 for number in range(10**6)]",
    "1e5 small dicts": "data = [{'id': n, 'name': f'name {n}', 'weight': n / 7} for n in range(10**5)]",
    "1e5 str→tuple": "data = {f'key {n}': (n, n / 7, f'value {n}') for n in range(10**5)}",
    "1e5 nested dataclasses": """
from dataclasses import dataclass

@dataclass
class Point:
    x: float
    y: float

@dataclass
class Item:
    name: str
    place: Point

data = [Item(f"name {n}", Point(n / 7, n / 3)) for n in range(10**5)]
""",
    "1e6-row DataFrame": """
import numpy, pandas
numbers = numpy.arange(10**6)
words = numpy.array([f"word {n % 1000} {n}" for n in range(10**6)], dtype=object)
data = pandas.DataFrame({"whole": numbers, "real": numbers / 7, "word": pandas.Series(words, dtype=object)})
""",
    "500 MB float64": f"import numpy; data = {ARRAY.format(500 * 10**6 // 8)}",
    "1 GB float64": f"import numpy; data = {ARRAY.format(10**9 // 8)}",
}
"""What stands in the session as `data`, as code that ran in it."""

_TINY = """
import math

def area(radius):
    "The area of a disk."
    return math.pi * radius**2

radii, scale = [1, 2, 3], 0.5
"""
_TINY_CELL = "sum(area(radius) for radius in radii) * scale"


def session(code: str) -> dict[str, Any]:
    """The globals of a `__main__` of its own in which code ran as a notebook's cell; before dill is imported, which keeps it."""
    main = sys.modules["__main__"] = types.ModuleType("__main__")
    filename = "<an earlier cell>"
    linecache.cache[filename] = len(code), None, code.splitlines(True), filename
    exec(compile(code, filename, "exec", dont_inherit=True), main.__dict__)
    return main.__dict__


class Place:
    """The files that are written, in a directory of a job's own; none of them is there before a measurement."""

    def __init__(self, folder: str) -> None:
        self.directory = JobDirectory(os.path.join(folder, "job"), "job")
        self.path = self.directory.session_path
        self.payload_path = os.path.join(folder, "payload.json")
        os.makedirs(self.directory.path, mode=0o700, exist_ok=True)

    def clear(self) -> None:
        for path in (self.path, buffers_path(self.path)):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)


def ours(place: Place, namespace: dict[str, Any], cell: str = "data") -> Capture:
    """What %%persist does with a cell, as far as the session's file is closed."""
    source = Source("cell", cell, cell)
    return capture("job", source, namespace, Selection(), place.path, buffers_path(place.path))


def theirs(place: Place, dump: Callable[[Any, Any], object], data: object) -> None:
    """The same durable file, written by a peer."""
    with open(place.path, "wb") as file:
        dump(data, file)
        file.flush()
        sync_file(file)


def their_load(place: Place, load: Callable[[Any], Any]) -> Any:
    with open(place.path, "rb") as file:
        return load(file)


@dataclasses.dataclass(frozen=True)
class Writer:
    """How a peer writes an object into a file, and reads it."""

    dump: Callable[[Any, Any], object]
    load: Callable[[Any], Any]


def _cloudpickle() -> Writer:
    import cloudpickle

    return Writer(lambda data, file: cloudpickle.dump(data, file, 5), pickle.load)


def _dill() -> Writer:
    import dill

    return Writer(lambda data, file: dill.dump(data, file, protocol=5), dill.load)


def _numpy() -> Writer:
    import numpy

    return Writer(lambda data, file: numpy.save(file, data), numpy.load)


def _joblib() -> Writer:
    import joblib

    return Writer(joblib.dump, joblib.load)


WRITERS: dict[str, Callable[[], Writer]] = {
    "C pickle": lambda: Writer(lambda data, file: pickle.dump(data, file, 5), pickle.load),
    "cloudpickle": _cloudpickle,
    "dill": _dill,
    "np.save": _numpy,
    "joblib.dump": _joblib,
}


def sample(data: Any) -> tuple[int, str]:
    """What shows that the same has come back, whatever the module of its classes."""
    last = list(data.items())[-1:] if isinstance(data, dict) else data[-1:]
    return len(data), repr(last)


class Ours:
    """What we write, and what has come back."""

    def __init__(self, place: Place, namespace: dict[str, Any], cell: str = "data") -> None:
        self.place, self._namespace, self._cell = place, namespace, cell

    def write(self) -> None:
        self.capture = ours(self.place, self._namespace, self._cell)

    def read(self) -> dict[str, Any]:
        from persist_magic.restore import read_session, restore_session

        fresh: dict[str, Any] = {"__name__": "__main__"}
        restore_session(read_session(self.place.directory, self.capture.payload), fresh)
        return fresh


def writes(mine: Ours, back: Callable[[], Any], data: Any, names: Iterable[str]) -> dict[str, Measurement]:
    """Our write, which comes back by `back`, and that of those peers that are installed.

    The first of each, which is not counted, is read again.
    """

    def checked(write: Callable[[], object], read: Callable[[], Any]) -> Measurement:
        unread = [read]

        def measure() -> float:
            took = timed(write)
            while unread:
                equal(sample(unread.pop()()), sample(data))
            return took

        return measure

    made = {"ours": checked(mine.write, back)}
    for name in names:
        with contextlib.suppress(ImportError):
            peer = WRITERS[name]()
            write = functools.partial(theirs, mine.place, peer.dump, data)
            made[name] = checked(write, functools.partial(their_load, mine.place, peer.load))
    return made


def in_place(place: Place, measurements: dict[str, Measurement], runs: dict[str, int]) -> dict[str, list[float]]:
    """Measure in turns; none finds the files of another."""

    def before() -> None:
        place.clear()
        gc.collect()

    return in_turns(measurements, {name: runs[name] for name in measurements}, before)


def dump(folder: str, workload: str, runs: str) -> dict[str, list[float]]:
    """A workload by us and by those peers of whom there are runs; leaves ours there, for `restored`."""
    place, namespace = Place(folder), session(WORKLOADS[workload])
    counts = json.loads(runs)
    mine = Ours(place, namespace)
    peers = [name for name in counts if name != "ours"]
    taken = in_place(place, writes(mine, lambda: mine.read()["data"], namespace["data"], peers), counts)
    place.clear()
    mine.write()
    with open(place.payload_path, "w") as file:
        json.dump(dataclasses.asdict(mine.capture.payload), file)
    return taken


def restored(folder: str) -> dict[str, float]:
    """What `dump` left of the large array, read into a fresh namespace: how long it takes, and the memory that is touched."""
    import numpy

    from persist_magic.restore import read_session, restore_session

    place, namespace = Place(folder), session("")
    with open(place.payload_path) as file:
        payload = Payload(**json.load(file))
    before = memory("VmRSS")
    seconds = timed(lambda: restore_session(read_session(place.directory, payload), namespace))
    data = namespace["data"]
    assert data.nbytes == 10**9
    assert data[0] == numpy.random.default_rng(0).random()
    data[-1] = 1.0  # writable
    return {"seconds": seconds, "touched": memory("VmRSS") - before}


def memory(field: str) -> int:
    """A figure of /proc/self/status in bytes."""
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith(field + ":"))


def extra_memory(folder: str) -> int | None:
    """How far the peak of memory lies above what was in use before the large array was dumped; None if nobody tells."""
    place, namespace = Place(folder), session(WORKLOADS["1 GB float64"])
    try:
        with open("/proc/self/clear_refs", "w") as file:
            file.write("5")  # the peak starts anew from here
    except OSError:
        return None
    before = memory("VmRSS")
    ours(place, namespace)
    peak = memory("VmHWM")
    place.clear()
    return peak - before


def digests(folder: str, workload: str, runs: str) -> dict[str, list[float]]:
    """The write of a workload with the digests that make the fingerprint, and without."""
    place, namespace = Place(folder), session(WORKLOADS[workload])
    actions: dict[str, Measurement] = {
        "with": timing(lambda: write(place, namespace, True)),
        "without": timing(lambda: write(place, namespace, False)),
    }
    return in_place(place, actions, dict.fromkeys(actions, int(runs)))


def write(place: Place, namespace: dict[str, Any], with_digests: bool) -> None:
    """The write alone, as `capture` does it."""
    from persist_magic.capture.payload import BufferFile, PayloadWriter, write_names

    with create_file(place.path) as file, contextlib.closing(BufferFile(buffers_path(place.path))) as buffers:
        writer = PayloadWriter(file, buffers, namespace, digests=with_digests)
        write_names(writer, [("data", namespace["data"], "cell")])
        writer.close()
        sync_file(file)


def no_sync(descriptor: int) -> None:
    """In the place of os.fsync."""


def tiny(folder: str, runs: str) -> dict[str, list[float]]:
    """A function and two small values, without what the disk's syncs take; the very first capture is told apart."""
    place, namespace = Place(folder), session(_TINY)
    data = {name: namespace[name] for name in ("area", "radii", "scale")}
    mine, peers = Ours(place, namespace, _TINY_CELL), ["C pickle", "cloudpickle", "dill"]

    def back() -> dict[str, Any]:
        fresh = mine.read()
        return {name: fresh[name] for name in data}

    with mock.patch("os.fsync", no_sync):
        first = timed(mine.write)
        taken = in_place(place, writes(mine, back, data, peers), dict.fromkeys(["ours", *peers], int(runs)))
    return {**taken, "first": [first]}


def fetched(root: str, name: str) -> float:
    """One small variable of a job that ended, in a process that has just begun."""
    from persist_magic.job import Job

    values: list[object] = []
    seconds = timed(lambda: values.append(Job(name, root).variables["small"]))
    assert values == [{"loss": 0.5, "steps": 10}]
    return seconds


if __name__ == "__main__":
    own_main = sys.modules["__main__"]  # `session` takes its place, and its globals are needed until the end
    known: dict[str, Callable[..., object]] = {
        each.__name__: each for each in (dump, restored, extra_memory, digests, tiny, fetched)
    }
    print(json.dumps(known[sys.argv[1]](*sys.argv[2:])))
