"""Words about values: what they are, and where in them the thing sits that cannot be written.

Owns descriptions (type, shape or length), sizes in words, and the path to a culprit, found by a second pass with the
pure Python pickler, which keeps the chain of objects; it runs only after a failure. Knows nothing of jobs.
"""

from __future__ import annotations

import functools
import sys
import types
from collections import defaultdict, deque

from ..frozen import Frozen, frozen
from .bytecode import code_globals
from .library import home_of
from .pickler import ATOMS, PythonPickler, Reducer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_ARRAY_LIBRARIES = frozenset(
    {"numpy", "pandas", "torch", "jax", "jaxlib", "xarray", "polars", "cupy", "scipy", "tensorflow", "dask"}
)
_CONTAINERS = (list, tuple, dict, set, frozenset, deque, str, bytes, bytearray, int)
_SHOWN = 200
_LONGEST_PATH = 300
_MANY = 50


def is_a(value: object, kinds: type | tuple[type, ...]) -> bool:
    """As isinstance, but without asking a property ``__class__``, which an object of the session may have."""
    return issubclass(type(value), kinds)


def words(value: object) -> tuple[str, str, str]:
    """Return type, detail and repr of a value, whatever its class does when it is looked at."""
    return type_name(value), detail(value), shown(value)


def type_name(value: object) -> str:
    """Return the type as people name it: "DataFrame", "function", "module"."""
    return "class" if is_a(value, type) else type(value).__qualname__


def detail(value: Any) -> str:
    """Return shape and dtype, or length, or an empty string. Never calls code of the session's own classes."""
    kind = type(value)
    if home_of(kind).partition(".")[0] in _ARRAY_LIBRARIES:
        shape = getattr(value, "shape", None)
        if isinstance(shape, tuple):
            dtype = getattr(value, "dtype", None)
            return f"{tuple(shape)} {dtype}" if dtype is not None else f"{tuple(shape)}"
    if kind in (list, tuple, dict, set, frozenset, str, bytes, bytearray):
        return f"len {len(value)}"
    return value.__name__ if is_a(value, types.ModuleType) else ""


def shown(value: object) -> str:
    """Return the value's repr on one line, cut at 200 characters, or what its repr raised."""
    try:
        text = _short_repr(value) if is_a(value, _CONTAINERS) else repr(value)
    except (KeyboardInterrupt, MemoryError):
        raise
    except BaseException as error:  # noqa: BLE001  a user's __repr__ may raise anything
        return f"<{type(value).__qualname__} object, its repr raised {type(error).__name__}>"
    text = " ".join(text.split())
    return text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"


def _short_repr(value: object) -> str:
    """The repr; of containers, at any depth, only the first elements."""
    import reprlib

    short = reprlib.Repr()
    short.maxlevel = 6
    short.maxlist = short.maxtuple = short.maxset = short.maxfrozenset = short.maxdeque = short.maxdict = _MANY
    short.maxstring = short.maxlong = short.maxother = _SHOWN
    return short.repr(value)


def size(count: int) -> str:
    """Return a number of bytes in words: "312 B", "1.2 MB", "4.0 GB"."""
    if count < 1000:
        return f"{count} B"
    scaled = float(count)
    for unit in ("kB", "MB", "GB"):
        scaled /= 1000
        if scaled < 1000:
            return f"{scaled:.1f} {unit}" if scaled < 100 else f"{scaled:.0f} {unit}"
    return f"{scaled / 1000:.1f} TB"


class _Nowhere:
    def write(self, data: bytes) -> int:
        return len(data)


class _PathPickler(PythonPickler):
    """After a failure its stack is the way to the culprit."""

    def __init__(self, reducer: Reducer) -> None:
        super().__init__(_Nowhere(), reducer, lambda buffer: False)
        self.stack: list[Any] = []

    def save(self, obj: Any, save_persistent_id: bool = True) -> None:
        if type(obj) in ATOMS or obj is self.reducer.namespace or _holds_only_atoms(obj):
            return
        self.stack.append(obj)
        super().save(obj, save_persistent_id)
        self.stack.pop()

    def memoize(self, obj: Any) -> None:
        if id(obj) not in self.memo:
            super().memoize(obj)

    def get(self, i: int) -> bytes:
        return b""


def _holds_only_atoms(obj: Any) -> bool:
    """A large plain container or array: nothing in it can fail."""
    kind = type(obj)
    if home_of(kind) == "numpy":
        return getattr(getattr(obj, "dtype", None), "hasobject", True) is False
    if kind in (list, tuple, set, frozenset) and len(obj) > _MANY:
        return set(map(type, obj)) <= ATOMS
    return kind is dict and len(obj) > _MANY and set(map(type, obj.values())) <= ATOMS


@frozen
class Culprit(Frozen):
    """What cannot be pickled.

    Attributes
    ----------
    path : str
        Where it sits: ``model.loader._lock``.
    reason : str
    advice : str
        What to do instead, or "".
    """

    path: str
    reason: str
    advice: str


def find_culprit(name: str, value: Any, namespace: dict[str, Any]) -> Culprit | None:
    """Say where in a value the thing sits that cannot be pickled, or None if nothing fails."""
    pickler = _PathPickler(Reducer(namespace))
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(max(limit, 10_000))
    try:
        pickler.dump(value)
    except Exception as error:  # noqa: BLE001  a user's __reduce__ may raise anything; the words are what is wanted
        try:
            path = path_of(name, pickler.stack)
        except Exception:  # noqa: BLE001  an object on the way raises when it is looked at
            path = name
        return Culprit(path, reason_of(error), getattr(error, "advice", ""))
    finally:
        sys.setrecursionlimit(limit)
    return None


def reason_of(error: BaseException) -> str:
    """Return an error's words, one line."""
    text = " ".join(str(error).split())
    return text or type(error).__name__


def path_of(name: str, stack: list[Any]) -> str:
    """Return the way through the objects of `stack`, the first of which is called `name`.

    Between an object and what it holds stand dicts and tuples made only for pickling (its state); a step is told through
    them only if it cannot be told from the object itself.
    """
    path, pending = name, ""
    owner = holder = stack[0] if stack else None
    for child in stack[1:]:
        if isinstance(child, types.CellType):
            continue
        step = _step(owner, child)
        if step is None and holder is not owner:
            inner = _step(holder, child)
            if isinstance(child, (dict, tuple, list)):
                pending += inner or ""
                holder = child
                continue
            step = pending + (inner or "")
        elif step is None and isinstance(child, (dict, tuple, list)):
            holder = child
            continue
        path += step or ""
        owner = holder = child
        pending = ""
    path += pending
    return path if len(path) <= _LONGEST_PATH else f"{path[: _LONGEST_PATH // 2]}…{path[-_LONGEST_PATH // 2 :]}"


def _step(owner: Any, child: Any) -> str | None:
    """How `child` is reached from `owner`, in Python's notation."""
    if isinstance(owner, defaultdict) and child is owner.default_factory:
        return ".default_factory"
    if isinstance(owner, dict):
        for key, value in owner.items():
            if value is child:
                return f"[{_short_repr(key)}]"
            if key is child:
                return ".<a key>"
    elif isinstance(owner, (list, tuple)):
        for index, value in enumerate(owner):
            if value is child:
                return f"[{index}]"
    elif isinstance(owner, (set, frozenset)):
        return ".<an element>"
    elif isinstance(owner, types.FunctionType):
        return _step_in_function(owner, child)
    elif isinstance(owner, BaseException):
        for attribute in ("args", "__cause__", "__context__"):
            if getattr(owner, attribute) is child:
                return f".{attribute}"
    elif home_of(type(owner)) == "numpy" and getattr(getattr(owner, "dtype", None), "hasobject", False):
        return _step_in_array(owner, child)
    elif is_a(owner, type) and child in owner.__bases__:
        return f".__bases__[{owner.__bases__.index(child)}]"
    elif isinstance(owner, functools.partial):
        return ".func" if child is owner.func else _step(owner.args, child) or _step(owner.keywords, child)
    elif isinstance(owner, types.MethodType):
        return ".__self__" if child is owner.__self__ else ".__func__" if child is owner.__func__ else None
    if child is type(owner):
        return ".__class__"
    attributes = getattr(owner, "__dict__", None)
    for attribute, value in (attributes or {}).items():
        if value is child:
            return f".{attribute}"
    for attribute in getattr(type(owner), "__slots__", ()):
        if getattr(owner, attribute, None) is child:
            return f".{attribute}"
    return None


def _step_in_array(array: Any, child: Any) -> str | None:
    for place, value in zip(sys.modules["numpy"].ndindex(array.shape), array.ravel().tolist(), strict=True):
        if value is child:
            return f"[{', '.join(map(str, place))}]"
    return None


def _step_in_function(function: types.FunctionType, child: Any) -> str | None:
    for variable, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        try:
            if cell.cell_contents is child:
                return f".<closure {variable}>"
        except ValueError:
            continue
    for name in code_globals(function.__code__):
        if function.__globals__.get(name) is child:
            return f" → global {name}"
    for index, value in enumerate(function.__defaults__ or ()):
        if value is child:
            return f".__defaults__[{index}]"
    return None
