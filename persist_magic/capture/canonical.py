"""Equal objects to equal bytes, in whichever session: what digests of small objects are made of.

Owns what differs from session to session without meaning anything (the order of sets, which equal strings are one object)
and how it is taken out. What is written here is never read. Knows nothing of files.
"""

from __future__ import annotations

import builtins
import io
import pickle
import types

from ..digests import checksum
from .pickler import ATOMS, PythonPickler, Reducer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, TypeAlias

    ChecksumOf: TypeAlias = Callable[[memoryview], str | None]

_MOST_SET_OBJECTS = 1000


class TooComplex(Exception):
    """There is no canonical order to be had in reasonable time."""


class _CanonicalPickler(PythonPickler):
    """Pickles equal objects to equal bytes, for digests only: what it writes is never read.

    The plain pickle shows two things that differ from session to session: the order of sets (hash randomisation), and
    which of several equal strings are one object (interning). Here sets come in the order of their elements' own pickles,
    and strings are written each time.
    """

    dispatch = PythonPickler.dispatch.copy()

    def __init__(
        self, file: Any, reducer: Reducer, checksum_of: ChecksumOf, budget: list[int], inside: frozenset[int]
    ) -> None:
        super().__init__(file, reducer, None)
        self._checksum_of, self._budget, self._inside = checksum_of, budget, inside

    def reducer_override(self, obj: Any) -> Any:
        return super().reducer_override(_without_sets(obj) if type(obj) is types.CodeType else obj)

    def persistent_id(self, obj: Any) -> str | None:
        return "namespace" if obj is self.reducer.namespace or obj is builtins.__dict__ else None

    def memoize(self, obj: Any) -> None:
        if type(obj) is not str:
            super().memoize(obj)

    def _save_set(self, obj: Any) -> None:
        self.memoize(obj)
        if id(obj) in self._inside:
            self.save("a set within itself")
            return
        self._budget[0] -= sum(type(element) not in ATOMS for element in obj)
        if self._budget[0] < 0:
            raise TooComplex
        inside = self._inside | {id(obj)}
        parts = sorted(_canonical(element, self.reducer, self._checksum_of, self._budget, inside) for element in obj)
        self.save((type(obj).__name__, parts))

    def _save_buffer(self, buffer: pickle.PickleBuffer) -> None:
        """A buffer as the checksum under which it was written."""
        raw = buffer.raw()
        self.save(self._checksum_of(raw) or checksum(raw))

    dispatch[set] = _save_set
    dispatch[frozenset] = _save_set
    dispatch[pickle.PickleBuffer] = _save_buffer


def may_hold_sets(stream: bytes) -> bool:
    """Whether the opcodes of sets are among the bytes; other bytes may look like them."""
    return pickle.EMPTY_SET in stream or pickle.FROZENSET in stream


def _without_sets(code: types.CodeType) -> types.CodeType:
    """Code whose set constants (``x in {"a", "b"}``) are in a fixed order; before 3.11 marshal writes them as they come."""
    constants: list[Any] = []
    for constant in code.co_consts:
        if isinstance(constant, frozenset):
            constants.append(tuple(sorted(map(repr, constant))))
        else:
            constants.append(_without_sets(constant) if isinstance(constant, types.CodeType) else constant)
    return code.replace(co_consts=tuple(constants))


def canonical_bytes(obj: Any, reducer: Reducer, checksum_of: ChecksumOf) -> bytes:
    """Return bytes that are equal in every session for an equal object.

    Parameters
    ----------
    checksum_of : callable
        Takes the memory of a large buffer; returns the checksum under which it was written, or None.

    Raises
    ------
    TooComplex
        If sets hold objects that hold sets, so that there would be no end to it.
    """
    return _canonical(obj, reducer, checksum_of, [_MOST_SET_OBJECTS], frozenset())


def _canonical(obj: Any, reducer: Reducer, checksum_of: ChecksumOf, budget: list[int], inside: frozenset[int]) -> bytes:
    file = io.BytesIO()
    _CanonicalPickler(file, reducer, checksum_of, budget, inside).dump(obj)
    return file.getvalue()
