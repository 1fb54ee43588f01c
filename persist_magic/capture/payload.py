"""The file format of a payload: a pickle stream and, beside it, the large buffers.

Owns how the two files are written, in one pass and without a second copy of the data in memory, what each value took and
how its digest is made. The stream: the seeds (stand-ins that take the memo slots of the session's namespace and of other
objects that every process has, so that each reference to them means the reader's), then the objects, one ``dump`` each on
one memo, then the sources of the code. Knows nothing of job directories beyond the `Payload` record, which says how to read
the files back.
"""

from __future__ import annotations

import builtins
import contextlib
import importlib.util
import os
import pickle
import sys
import time
from collections.abc import Callable, Collection, Iterable, Iterator

from .. import restore
from ..digests import Checksum, new_digest
from ..store import Payload, create_file, open_to_append, sync_file, write_all
from .arrays import SMALL_BUFFER, CanonicalArrays
from .pickler import CPickler, DeepPickler, Reducer
from .standin import StandIn

TYPE_CHECKING = False
if TYPE_CHECKING:
    import mmap
    from typing import Any, BinaryIO, TypeVar

    T = TypeVar("T")

PAGE = 4096
_CHUNK = 1 << 19
"""Buffers are written and hashed in turns of so many bytes: what was just written is in the processor's cache."""
SMALL_CANONICAL, LARGEST_CANONICAL = 1 << 14, 1 << 17
"""Up to so many bytes an object is pickled once more for its digest, by the slow Python pickler, to be independent of the
session's accidents: any object, or one that may hold sets."""
_DEEP_STACK = 512 << 20
_DEEP_RECURSION = 1_000_000


class CannotPickle(Exception):
    """Pickling an object failed; `error` says why. An OSError is the disk's, never the object's."""

    def __init__(self, error: BaseException) -> None:
        super().__init__(error)
        self.error = error


class _DiskError(Exception):
    """Carries the disk's OSError through the pickler, where an object's own methods may raise OSErrors too."""

    def __init__(self, error: OSError) -> None:
        super().__init__(error)
        self.error = error


@contextlib.contextmanager
def _on_disk() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise _DiskError(error) from None


def _seed(pickler: Any, namespace: dict[str, Any]) -> list[StandIn]:
    """Let what every process has count as already written, as calls that return the reader's.

    An exact dict or list never reaches reducer_override, but the memo is asked before anything else. What is returned must
    be kept as long as the pickler: the memo knows objects by their address.
    """
    seeds = [
        (namespace, StandIn(restore.main_namespace)),
        (builtins.__dict__, StandIn(restore.builtins_namespace)),
        (sys.modules, StandIn(restore.system, "modules")),
        (sys.path, StandIn(restore.system, "path")),
        (sys.argv, StandIn(restore.system, "argv")),
    ]
    stand_ins = [stand_in for _, stand_in in seeds]
    pickler.dump(stand_ins)
    memo = pickler.memo.copy()
    for obj, stand_in in seeds:
        memo[id(obj)] = (memo.pop(id(stand_in))[0], obj)
    pickler.memo = memo
    return stand_ins


def deeply(write: Callable[[bool], T]) -> T:
    """Call ``write(False)``; if it meets data nested too deeply, ``write(True)`` on a stack of 512 MB.

    `write` is to use a `PayloadWriter` with ``deep`` as it is told: from Python 3.12 on the depth of C calls, and so of the
    C pickler, is fixed, and only Python's own is free.
    """
    try:
        return write(False)
    except RecursionError:
        pass
    import threading

    results: list[T] = []
    errors: list[BaseException] = []

    def attempt() -> None:
        try:
            results.append(write(True))
        except BaseException as error:  # noqa: BLE001  handed on to the caller's thread
            errors.append(error)

    limit = sys.getrecursionlimit()
    old = threading.stack_size(_DEEP_STACK)
    try:
        sys.setrecursionlimit(_DEEP_RECURSION)
        thread = threading.Thread(target=attempt)
        thread.start()
        thread.join()
    finally:
        threading.stack_size(old)
        sys.setrecursionlimit(limit)
    if errors:
        raise errors[0]
    return results[0]


class BufferFile:
    """Out-of-band buffers, page aligned, in a file that is made when the first one comes.

    Several payloads may share one; each distinct buffer is written once.

    Parameters
    ----------
    path : str or None
        None writes nothing and only counts.
    sealed : int, optional
        The attribute, of a file that several write, one after the other; then it may exist, and is not synced.

    Attributes
    ----------
    written : int
        Bytes.
    sealed : int
        The time that the file is given when it is closed, seconds since the epoch: while it has that time, nobody wrote to
        it, so it is mapped without being read. Whole seconds, since some file systems and archives keep no more.
    """

    def __init__(self, path: str | None, sealed: int | None = None) -> None:
        self.path = path
        self._shared = sealed is not None
        self.written = os.stat(path).st_size if path is not None and self._shared and os.path.exists(path) else 0
        self.sealed = int(time.time()) if sealed is None else sealed
        self._file: BinaryIO | None = None
        self._held: list[pickle.PickleBuffer | mmap.mmap] = []
        self._places: dict[tuple[int, int], tuple[int, int, str]] = {}

    def place(self, buffer: pickle.PickleBuffer, raw: memoryview) -> tuple[int, int, str]:
        """Write a buffer unless it is there already; return its offset and length in bytes, and its checksum."""
        self._held.append(buffer)  # else its address could be another buffer's before the end
        key = _address(raw) or -len(self._held), raw.nbytes
        place = self._places.get(key)
        if place is None:
            place = self._places[key] = self._write((raw,))
        return place

    def checksum_of(self, raw: memoryview) -> str | None:
        """Return the checksum under which a buffer was written, or None if it was not."""
        place = self._places.get((_address(raw) or 0, raw.nbytes))
        return place[2] if place is not None else None

    def spill(self, size: int, pieces: Iterable[memoryview]) -> mmap.mmap:
        """Write a buffer that does not exist as a whole; return memory that `place` will know for it.

        Reading that memory reads the file, or zeros if there is none; nobody does.
        """
        import mmap

        place = self._write(pieces)
        if self._file is not None:
            with _on_disk():
                stand_in = mmap.mmap(self._file.fileno(), size, offset=place[0], access=mmap.ACCESS_READ)
        else:
            stand_in = mmap.mmap(-1, size)
        self._held.append(stand_in)
        key = _address(memoryview(stand_in)), size
        self._places[key] = place  # type: ignore[index]  # numpy is there: an array was spilled
        return stand_in

    def _write(self, pieces: Iterable[memoryview]) -> tuple[int, int, str]:
        offset = -(-self.written // PAGE) * PAGE
        length, check = 0, Checksum()
        with _on_disk():
            if self.path is not None:
                if self._file is None:
                    # readable, since what is spilled is mapped
                    self._file = open_to_append(self.path) if self._shared else create_file(self.path, readable=True)
                if self._shared:
                    self._file.truncate(offset)
                self._file.seek(offset)
            for piece in pieces:
                for start in range(0, piece.nbytes, _CHUNK):
                    part = piece[start : start + _CHUNK]
                    if self._file is not None:
                        write_all(self._file, part)
                    check.update(part)
                length += piece.nbytes
        self.written = offset + length
        return offset, length, check.value()

    def rollback(self, written: int) -> None:
        """Forget all buffers after the first `written` bytes."""
        self._places = {key: place for key, place in self._places.items() if place[0] + place[1] <= written}
        self.written = written
        if self._file is not None:
            self._file.truncate(written)

    def close(self) -> None:
        self._held.clear()
        if self._file is not None:
            with self._file:
                if not self._shared:
                    sync_file(self._file)
                os.utime(self._file.fileno(), (self.sealed, self.sealed))


def _address(raw: memoryview) -> int | None:
    """Where a buffer lies in memory, or None if that cannot be told: it is then not recognised if it comes twice."""
    if not raw.readonly:
        import ctypes

        return ctypes.addressof(ctypes.c_char.from_buffer(raw))
    numpy = sys.modules.get("numpy")
    return int(numpy.frombuffer(raw, dtype="u1").ctypes.data) if numpy is not None else None


class _Stream:
    """A file that counts what goes through it, with a checksum, and keeps the present part while it is small."""

    def __init__(self, file: BinaryIO | None) -> None:
        self._file = file
        self.size = 0
        self.checksum = Checksum()
        self.part: list[bytes] = []
        self.part_size = 0
        self.part_digest: Any = None

    def write(self, data: Any) -> int:
        view = memoryview(data)
        self.checksum.update(view)
        if self.part_digest is not None:
            self.part_digest.update(view)
            self.part_size += view.nbytes
            if self.part_size <= LARGEST_CANONICAL:
                self.part.append(bytes(view))
        self.size += view.nbytes
        if self._file is not None:
            with _on_disk():
                write_all(self._file, view)
        return view.nbytes

    def begin_part(self) -> None:
        self.part, self.part_size, self.part_digest = [], 0, new_digest()


class PayloadWriter:
    """Writes one payload: a pickle stream and, beside it, the large buffers.

    Parameters
    ----------
    file : binary file or None
        Where the stream goes; None only hashes it.
    buffers : BufferFile
        Where large buffers go; the caller closes it.
    namespace : dict
        The globals that functions of the session share.
    wanted : collection of int
        The ids of objects that are going to be written, see `Arrays`.
    offset : int
        Where the stream starts in `file`, bytes.
    digests : bool
        Whether `dump` returns digests.
    deep : bool
        Use the slow Python pickler; see `deeply`.
    """

    def __init__(
        self,
        file: BinaryIO | None,
        buffers: BufferFile,
        namespace: dict[str, Any],
        *,
        wanted: Collection[int] = (),
        offset: int = 0,
        digests: bool = False,
        deep: bool = False,
    ) -> None:
        self.reducer = Reducer(namespace, wanted, buffers.spill)
        self._offset = offset
        self._digests, self._deep = digests, deep
        self._stream = _Stream(file)
        self._buffers = buffers
        self._placed: list[tuple[int, int, str]] = []
        pickler: Any = DeepPickler if deep else CPickler
        self._pickler = pickler(self._stream, self.reducer, self._take)
        try:
            self._kept_alive = _seed(self._pickler, namespace)
        except _DiskError as error:
            raise error.error from None

    def _take(self, buffer: pickle.PickleBuffer) -> bool:
        """The pickler offers a buffer; true means that it stays in the stream."""
        raw = buffer.raw()
        if raw.nbytes < SMALL_BUFFER:
            return True
        place = self._buffers.place(buffer, raw)
        self._placed.append(place)
        if self._digests:
            self._part_buffers.update(place[2].encode())
        return False

    def dump(self, obj: Any) -> tuple[int, str]:
        """Write one object; return the bytes it took, buffers included, and a digest of them or ""."""
        before = self._stream.size + self._buffers.written
        if not self._digests:
            self._dump(obj)
            return self._stream.size + self._buffers.written - before, ""
        emitted = dict(self.reducer.emitted)
        self._part_buffers = new_digest()
        self._stream.begin_part()
        self._dump(obj)
        return self._stream.size + self._buffers.written - before, self._digest(obj, emitted)

    def _dump(self, obj: Any) -> None:
        try:
            self._pickler.dump(obj)
        except _DiskError as error:
            raise error.error from None
        except (Exception, SystemExit) as error:
            if isinstance(error, RecursionError) and not self._deep:
                raise  # for `deeply`, which tries once more
            raise CannotPickle(error) from error

    def _digest(self, obj: Any, emitted: dict[str, str]) -> str:
        """A digest of what was just written, equal in every session for an equal object.

        It starts with "~" if the part is too large to be pickled once more in canonical order: then it depends on what was
        written before it, too.
        """
        from .canonical import canonical_bytes, may_hold_sets  # a worker seldom needs it

        stream = self._stream
        digest = stream.part_digest
        large = stream.part_size > SMALL_CANONICAL
        if not large or (stream.part_size <= LARGEST_CANONICAL and may_hold_sets(b"".join(stream.part))):
            known = self._buffers.checksum_of
            reducer = Reducer(self.reducer.namespace, arrays=CanonicalArrays(known))
            reducer.emitted = emitted
            try:
                canonical = canonical_bytes(obj, reducer, known)
            except Exception:  # noqa: BLE001  too complex, or of an object that will not be pickled twice
                large = True
            else:
                large, digest = False, new_digest()
                digest.update(canonical)
        if large:
            digest.update(self._part_buffers.digest())
        return f"{'~' if large else ''}{digest.hexdigest()}"

    def close(self) -> Payload:
        """Write the sources of the code in it, and return how to read the payload."""
        self._dump(self.reducer.sources)
        reducer = self.reducer
        return Payload(
            size=self._stream.size,
            offset=self._offset,
            checksum=self._stream.checksum.value(),
            buffers=tuple(self._placed),
            sealed=self._buffers.sealed,
            trackers=tuple(reducer.trackers),
            has_code=reducer.has_code,
            magic=importlib.util.MAGIC_NUMBER.hex(),
            python=sys.version.split()[0],
            packages=reducer.packages(),
        )


def write_names(
    writer: PayloadWriter, items: Iterable[tuple[str, Any, str]], left_out: Iterable[str] = ()
) -> dict[str, tuple[int, str, str]]:
    """Write named values, and then the globals that string annotations in them mention.

    Parameters
    ----------
    items : iterable of (name, value, asked by)
    left_out : iterable of str
        Globals that are not written even if a function uses them.

    Returns
    -------
    dict of str to (size, digest, asked by)
        Names that came inside a function's state have size 0: they are part of its bytes.
    """
    reducer = writer.reducer
    reducer.emitted.update(dict.fromkeys(left_out, ""))
    written: dict[str, tuple[int, str, str]] = {}
    waiting = list(items)
    while waiting:
        name, value, asker = waiting.pop(0)
        if name in reducer.emitted:
            continue
        reducer.emitted[name] = asker
        reducer.current = name
        size, digest = writer.dump((name, value))
        written[name] = size, digest, asker
        waiting += [(also, reducer.namespace[also], who) for also, who in reducer.also.items()]
        reducer.also.clear()
    writer.dump(None)
    for name, asker in reducer.emitted.items():
        if asker:
            written.setdefault(name, (0, "", asker))
    return written
