"""dill's savers, one object at a time.

Owns the one use of dill: its ``save_…`` functions run against a recorder in the pickler's place, and what they ask the
pickler to write becomes a reduction that the C pickler can carry out. Knows nothing of jobs.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import dill

from .. import restore


class _Recorder(dill.Pickler):  # type: ignore[misc]
    """What dill's savers take for a pickler; keeps what they ask for instead of writing it."""

    def __init__(self) -> None:
        super().__init__(io.BytesIO(), 5, byref=False, recurse=False)
        self.reductions: list[tuple[Any, ...]] = []
        self.writes: list[bytes] = []
        self.memoized = False
        self.write = self.writes.append

    def save_reduce(
        self,
        func: Any,
        args: Any,
        state: Any = None,
        listitems: Any = None,
        dictitems: Any = None,
        state_setter: Any = None,
        *,
        obj: Any = None,
    ) -> None:
        self.reductions.append((func, args, state, listitems, dictitems, state_setter))

    def save(self, obj: Any, save_persistent_id: bool = True) -> None:
        pass

    def memoize(self, obj: Any) -> None:
        self.memoized = True


def saver_of(kind: type) -> Callable[[Any], Any] | None:
    """Return a function that reduces objects of a type as dill would, or None if dill leaves the type alone."""
    save = dill.Pickler.dispatch.get(kind)
    if save is None:
        return None

    def reduce(obj: Any) -> Any:
        recorder = _Recorder()
        save(recorder, obj)
        if len(recorder.reductions) == 1 and not recorder.writes:
            return recorder.reductions[0]
        if not recorder.reductions and len(recorder.writes) == 1 and recorder.writes[0][:1] == b"c":
            module, name = recorder.writes[0][1:].decode().split("\n")[:2]
            return restore.load_global, ({"__builtin__": "builtins"}.get(module, module), name)
        if recorder.memoized and b"R" not in recorder.writes:
            return getattr(obj, "__qualname__", getattr(obj, "__name__", None))
        return NotImplemented

    return reduce
