"""How numpy's arrays and torch's tensors travel: large ones as buffers of their own, views as views.

Owns the reductions of arrays and tensors, and the account of views that cannot be kept as views. An array that shares its
memory with another one in the payload is written as a window on that one, so that in the job, too, a change of one shows in
the other.
Neither library is imported here: arrays exist only where the session has imported it. Knows nothing of files.
"""

from __future__ import annotations

import os
import pickle
import sys
from collections.abc import Callable, Collection, Iterator

from .. import restore
from ..digests import Checksum

TYPE_CHECKING = False
if TYPE_CHECKING:
    import mmap
    from typing import Any, TypeAlias

    Spill: TypeAlias = Callable[[int, Iterator[memoryview]], mmap.mmap]

SMALL_BUFFER = 1 << 16
"""Buffers below this many bytes stay in the stream."""
PIECE = 1 << 24
"""A strided array is copied to the file in pieces of at most so many bytes."""
_WORTH = 2
"""The array behind a view is written whole, if nothing else asks for it, only up to so many times the view's size."""


class Arrays:
    """The arrays of one payload.

    Parameters
    ----------
    wanted : collection of int
        The ids of arrays that are written in any case, since a captured name is bound to them.
    spill : callable or None
        Where strided arrays are copied, see `BufferFile.spill`; None leaves them to numpy, which copies them in memory.
    current : callable
        Returns the name that is being written.
    """

    def __init__(self, wanted: Collection[int], spill: Spill | None, current: Callable[[], str]) -> None:
        self._wanted, self._spill, self._current = wanted, spill, current
        self._memory: dict[int, Any] = {}  # id of the array that owns memory -> the contiguous array that was written for it
        self._names: dict[int, str] = {}  # by the same id: the name under which all of it was written
        self._copied: dict[int, list[tuple[int, int, str]]] = {}  # by the same id: views written as copies
        self._storages: dict[int, Any] = {}  # address of a tensor's storage -> the array that stands for it
        self._files: dict[str, str] = {}  # a file that is mapped -> the name that holds it

    def reduce(self, array: Any) -> Any:
        """Reduce an exact ``numpy.ndarray``."""
        if type(array.base) is sys.modules["numpy"].memmap:
            return self.reduce_map(array)
        owner = _owner(array)
        if array.dtype.hasobject or not array.nbytes or not _is_plain(array.dtype):
            self.note(array)
            return self._written(array)
        memory = self._memory.get(id(owner))
        if memory is None:
            memory = self._take_memory(array, owner)
        if memory is array:
            return self._written(array)
        if memory is not None:
            place = _address(array) - _address(memory), array.dtype, array.shape, array.strides, array.flags.writeable
            return restore.array_view, (memory, *place)
        self.note(array)
        return self._written(array)

    def _take_memory(self, array: Any, owner: Any) -> Any:
        """Choose the contiguous array that is to stand for the memory of `owner`, or None if it is not worth its size."""
        memory = None
        if _is_contiguous(array) and array.nbytes == owner.nbytes:
            memory = array
        elif array is owner or id(owner) in self._wanted or owner.nbytes <= _WORTH * array.nbytes:
            memory = _as_contiguous(owner)
        if memory is not None:
            self._memory[id(owner)], self._names[id(owner)] = memory, self._current()
        return memory

    def note(self, array: Any) -> None:
        """Keep in mind that an array is written with data of its own."""
        owner = _owner(array)
        if owner is array:
            self._names.setdefault(id(owner), self._current())
        elif array.nbytes:
            self._copied.setdefault(id(owner), []).append((*_bounds(array), self._current()))

    def reduce_map(self, array: Any) -> Any:
        """A file that numpy maps is mapped again: what is written to it is to reach the file, and it may be huge."""
        numpy: Any = sys.modules["numpy"]
        whole = array
        while type(whole.base) is numpy.memmap:
            whole = whole.base
        if whole.filename is None or whole.mode == "c":  # in memory, or with changes that only this process has
            return restore.given, (numpy.array(array),)
        if whole is not array:
            offset = _address(array) - _address(whole)
            return restore.array_view, (whole, offset, array.dtype, array.shape, array.strides, array.flags.writeable)
        self._files.setdefault(os.fspath(whole.filename), self._current())
        mode = "r" if whole.mode == "r" else "r+"
        order = "C" if whole.flags.c_contiguous else "F"
        return restore.map_array, (os.path.abspath(whole.filename), whole.dtype, mode, whole.offset, whole.shape, order)

    def reduce_tensor(self, tensor: Any) -> Any:
        """Reduce an exact ``torch.Tensor`` in the processor's memory: a window on its storage, which goes as an array."""
        torch: Any = sys.modules["torch"]
        plain = (
            tensor.device.type == "cpu"
            and tensor.layout is torch.strided
            and tensor.is_leaf
            and tensor.grad is None
            and not (tensor.is_conj() or tensor.is_neg() or tensor.is_quantized or tensor.__dict__)
        )
        if not plain:
            return NotImplemented
        storage = tensor.untyped_storage()
        if storage.nbytes() == 0 or storage.nbytes() % tensor.itemsize:
            return NotImplemented
        memory = self._storages.get(storage.data_ptr())
        if memory is None:
            memory = torch.empty(0, dtype=torch.uint8).set_(storage).numpy()
            self._storages[storage.data_ptr()] = memory
        window = tuple(tensor.shape), tensor.stride(), tensor.storage_offset()
        return restore.make_tensor, (memory, tensor.dtype, *window, tensor.requires_grad)

    def _written(self, array: Any) -> Any:
        """An array with its data."""
        if array.nbytes < SMALL_BUFFER or not _is_plain(array.dtype):
            return NotImplemented
        flags = array.flags
        if flags.c_contiguous:
            buffer, order = _bytes_of(array), "C"
        elif flags.f_contiguous:
            buffer, order = _bytes_of(array.T), "F"
        elif self._spill is not None:
            buffer, order = self._spill(array.nbytes, _pieces(array)), "C"
        else:
            return NotImplemented
        return restore.array_on_buffer, (pickle.PickleBuffer(buffer), array.dtype, array.shape, order)

    def remarks(self) -> list[str]:
        """Return in words which names share memory here and will not in the job, and which are files."""
        found: list[str] = []
        for key, copies in self._copied.items():
            names = [name for _, _, name in copies] + ([self._names[key]] if key in self._names else [])
            overlap = key in self._names or any(
                low < other_high and other_low < high
                for index, (low, high, _) in enumerate(copies)
                for other_low, other_high, _ in copies[:index]
            )
            if overlap and len(names) > 1:
                shown = ", ".join(dict.fromkeys(names))
                found.append(f"{shown}: arrays in it are views of the same data; in the job each has a copy of its own")
        found += [f"{name} maps {path}: the job maps the file as it is then" for path, name in self._files.items()]
        return found


class CanonicalArrays(Arrays):
    """Arrays for digests: by what is in them, however they lie in memory.

    Parameters
    ----------
    checksum_of : callable
        Takes the memory of a contiguous array; returns the checksum under which it was written, or None.
    """

    def __init__(self, checksum_of: Callable[[memoryview], str | None]) -> None:
        super().__init__((), None, str)
        self._checksum_of = checksum_of

    def reduce(self, array: Any) -> Any:
        if array.dtype.hasobject:
            return restore.given, ((array.dtype, array.shape, array.ravel().tolist()),)
        if not _is_plain(array.dtype):
            return NotImplemented
        return restore.given, ((array.dtype, array.shape, self._content(array)),)

    def _content(self, array: Any) -> tuple[str, str]:
        contiguous = array if array.flags.c_contiguous else array.T
        if array.nbytes >= SMALL_BUFFER and _is_contiguous(array):
            known = self._checksum_of(memoryview(_bytes_of(contiguous)))
            if known is not None:
                return known, "C" if contiguous is array else "F"
        check = Checksum()
        for piece in _pieces(array):
            check.update(piece)
        return check.value(), "C"


def _owner(array: Any) -> Any:
    """The array whose memory a view shows."""
    exact = sys.modules["numpy"].ndarray
    while True:
        base = array.base
        if type(base).__name__ == "DummyArray":  # what numpy.lib.stride_tricks puts between
            base = base.base
        if type(base) is not exact:
            return array
        array = base


def _is_contiguous(array: Any) -> bool:
    flags = array.flags
    return bool(flags.c_contiguous or flags.f_contiguous)


def _as_contiguous(array: Any) -> Any:
    """An array's memory as a contiguous array, if its axes can be ordered so; else None."""
    if _is_contiguous(array):
        return array
    order = sorted(range(array.ndim), key=lambda axis: -array.strides[axis])
    ordered = array.transpose(order)
    return ordered if ordered.flags.c_contiguous else None


def _is_plain(dtype: Any) -> bool:
    """Whether the data is all there is: no references to objects, no type of another library."""
    return not dtype.hasobject and dtype.itemsize > 0 and dtype.isbuiltin != 2


def _bytes_of(array: Any) -> Any:
    """The memory of a C-contiguous array as bytes; numpy offers no buffer for dates."""
    return array.reshape(-1).view("u1")


def _address(array: Any) -> int:
    return int(array.__array_interface__["data"][0])


def _bounds(array: Any) -> tuple[int, int]:
    """The first address of an array's elements and the one behind the last."""
    low = high = _address(array)
    for length, stride in zip(array.shape, array.strides, strict=True):
        reach = (length - 1) * stride
        low, high = low + min(0, reach), high + max(0, reach)
    return low, high + array.itemsize


def _pieces(array: Any) -> Iterator[memoryview]:
    """The elements in C order, as contiguous bytes, a part at a time."""
    if array.nbytes <= PIECE:
        numpy: Any = sys.modules["numpy"]
        yield memoryview(_bytes_of(numpy.ascontiguousarray(array)))
        return
    row = array.nbytes // len(array)
    if row > PIECE:
        for part in array:
            yield from _pieces(part)
    else:
        step = PIECE // row
        for start in range(0, len(array), step):
            yield from _pieces(array[start : start + step])
