"""What a job brings back: result, variables, exception and checkpoints, each value readable without the others.

Owns the file of values, in which each value is a payload of its own behind one file of large buffers, and the question
which captured values the cell changed in place. Imported when the cell has ended or makes a checkpoint.
"""

from __future__ import annotations

import contextlib
import os
import types

from ..capture import explain
from ..capture.payload import BufferFile, CannotPickle, PayloadWriter, deeply, write_names
from ..store import JobSpec, KeptValue, Payload, buffers_path, create_file, open_to_append, sync_file, sync_path

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class ValueFile:
    """Values that can be read one by one, for writing.

    Parameters
    ----------
    path : str
        The file, which must not exist; large buffers go to one beside it.
    namespace : dict
        The cell's globals: what functions in the values share.
    sealed : int, optional
        Of a file that several write, one after the other: the time that `BufferFile` gives it. The file may exist then, and
        is not synced.

    Attributes
    ----------
    lost : dict of str to str
        The values that the disk did not take, and why.
    """

    def __init__(self, path: str, namespace: dict[str, Any], sealed: int | None = None) -> None:
        self._path, self.namespace = path, namespace
        self.lost: dict[str, str] = {}
        self._shared = sealed is not None
        self._buffers = BufferFile(buffers_path(path), sealed)

    def __enter__(self) -> ValueFile:
        self._file = open_to_append(self._path) if self._shared else create_file(self._path)
        return self

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        try:
            if kind is None and not self._shared:
                sync_file(self._file)
        finally:
            self._file.close()
            self._buffers.close()

    def keep(self, name: str, value: Any) -> KeptValue:
        """Write one value; if it cannot be pickled, say why instead and go on."""
        words = explain.words(value)
        start, buffers = self._file.seek(0, os.SEEK_END), self._buffers.written

        def write(deep: bool) -> Payload:
            self._file.seek(start)
            self._file.truncate()
            writer = PayloadWriter(self._file, self._buffers, self.namespace, offset=start, deep=deep)
            writer.dump(value)
            return writer.close()

        try:
            return KeptValue(*words, deeply(write), "")
        except CannotPickle as failure:
            why = self._why(name, value, failure.error)
        except OSError as failure:
            why = f"could not be written: {failure.strerror or failure}"
            self.lost[name] = why
        self._file.truncate(start)
        self._buffers.rollback(buffers)
        return KeptValue(*words, None, why)

    def keep_end(self, error: BaseException | None, result: Any, done: bool) -> tuple[KeptValue | None, KeptValue | None]:
        """Write what a cell ended with: the exception, or its result; return both."""
        if error is None:
            return None, self.keep("result", result) if done else None
        kept = self.keep("exception", error)
        if kept.payload is None:  # perhaps for what led to it
            error.__cause__ = error.__context__ = None
            kept = self.keep("exception", error)
        return kept, None

    def lost_words(self) -> str:
        """Return what the disk did not take, or ""."""
        return f"{', '.join(self.lost)} {next(iter(self.lost.values()))}" if self.lost else ""

    def _why(self, name: str, value: Any, error: BaseException) -> str:
        culprit = explain.find_culprit(name, value, self.namespace)
        if culprit is None or culprit.path == name:
            return explain.reason_of(error) if culprit is None else culprit.reason
        return f"{culprit.path}: {culprit.reason}"

    @staticmethod
    def discard(path: str) -> None:
        """Remove the files, for example what a full disk cut off, which also makes room for the record that tells of it."""
        for each in (path, buffers_path(path)):
            with contextlib.suppress(OSError):
                os.unlink(each)


def sync_values(path: str) -> None:
    """Wait until the disk has what was written to the files of values that several write."""
    for each in (path, buffers_path(path)):
        with contextlib.suppress(FileNotFoundError):
            sync_path(each)


def changed_in_place(spec: JobSpec, before: dict[str, int], namespace: dict[str, Any]) -> list[str]:
    """Return the captured names whose value was changed without being bound anew.

    The values are pickled once more, to nowhere, and compared by the digests of the capture. What came inside a function's
    state has no digest of its own; it counts as changed if any function's does.

    Parameters
    ----------
    before : dict of str to int
        The ids of the values that were restored.
    """
    captured = {each.name: each for each in spec.names}
    same = [name for name in captured if name in namespace and id(namespace[name]) == before.get(name)]
    data = [name for name in same if not explain.is_a(namespace[name], (types.FunctionType, types.ModuleType, type))]
    if not data:
        return []
    items = [(name, namespace[name], "cell") for name in same if captured[name].digest]

    def write(deep: bool) -> dict[str, tuple[int, str, str]]:
        wanted = {id(value) for _, value, _ in items}
        writer = PayloadWriter(None, BufferFile(None), namespace, wanted=wanted, digests=True, deep=deep)
        return write_names(writer, items)

    try:
        written = deeply(write)
    except CannotPickle:  # something in it can no longer be pickled, so it was changed
        return data
    differ = {name for name, (_, digest, _) in written.items() if digest and digest != captured[name].digest}
    functions_differ = any(explain.is_a(namespace[name], types.FunctionType) for name in differ)
    return [name for name in data if name in differ or (not captured[name].digest and functions_differ)]
