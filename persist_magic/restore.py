"""The other half of capture: reading payloads, in the worker and in a session that fetches.

Owns the functions that pickle streams refer to by name, so a released one is never renamed, and the check of a payload's
integrity and Python before anything in it is unpickled. Standard library only; what the payload itself asks for (dill,
numpy, …) is imported by unpickling it. Knows nothing of jobs' states or of sessions.
"""

from __future__ import annotations

import abc
import builtins
import contextlib
import enum
import importlib
import importlib.util
import marshal
import mmap
import os
import pickle
import sys
import types
import weakref
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextvars import ContextVar

from .errors import Damaged, NotRestored, VersionSkew
from .store import JobDirectory, Payload, buffers_path

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

# ---------------------------------------------------------------- what streams refer to


def main_module() -> types.ModuleType:
    return sys.modules["__main__"]


def main_namespace() -> dict[str, Any]:
    return sys.modules["__main__"].__dict__


def builtins_namespace() -> dict[str, Any]:
    return builtins.__dict__


def module_namespace(name: str) -> dict[str, Any]:
    return importlib.import_module(name).__dict__


def new_namespace(name: str) -> dict[str, Any]:
    """The globals of functions that had a namespace of their own (``%run``, ``exec``)."""
    return {"__name__": name, "__builtins__": builtins}


def namespace_of(module: types.ModuleType) -> dict[str, Any]:
    return module.__dict__


def load_global(module: str, name: str) -> Any:
    found: Any = importlib.import_module(module)
    for part in name.split("."):
        found = getattr(found, part)
    return found


def load_attribute(owner: type, name: str) -> Any:
    """A slot or getset descriptor of a class."""
    return owner.__dict__[name] if name in owner.__dict__ else getattr(owner, name)


def import_module(name: str, submodules: Sequence[str] = ()) -> types.ModuleType:
    module = importlib.import_module(name)
    for each in submodules:
        importlib.import_module(each)
    return module


def make_module(name: str) -> types.ModuleType:
    """A module made at run time; it is not entered in sys.modules."""
    return types.ModuleType(name)


def set_module(module: types.ModuleType, state: dict[str, Any]) -> None:
    module.__dict__.update(state)


def standard_stream(name: str) -> Any:
    return getattr(sys, name)


def shell() -> Any:
    """The IPython shell of the process that reads."""
    from IPython import get_ipython

    return get_ipython()


def fresh_lock(reentrant: bool) -> Any:
    import threading

    return threading.RLock() if reentrant else threading.Lock()


def type_variable(name: str, constraints: tuple[Any, ...], bound: Any, covariant: bool, contravariant: bool) -> Any:
    import typing

    make: Any = typing.TypeVar
    return make(name, *constraints, bound=bound, covariant=covariant, contravariant=contravariant)


def new_type(name: str, supertype: Any, module: str) -> Any:
    import typing

    make: Any = typing.NewType
    made = make(name, supertype)
    made.__module__ = module
    return made


def set_array_subclass(array: Any, state: tuple[Any, dict[str, Any]]) -> None:
    array.__setstate__(state[0])
    array.__dict__.update(state[1])


# Functions and cells come in two phases, skeleton then state, so that any cycle through them holds.


def make_code(data: bytes) -> types.CodeType:
    code = marshal.loads(data)
    if not isinstance(code, types.CodeType):
        raise pickle.UnpicklingError("not a code object")
    return code


def make_cell() -> types.CellType:
    return types.CellType()


def set_cell(cell: types.CellType, state: tuple[Any]) -> None:
    cell.cell_contents = state[0]


def make_function(
    code: types.CodeType, namespace: dict[str, Any], name: str, closure: tuple[types.CellType, ...] | None
) -> types.FunctionType:
    namespace.setdefault("__builtins__", builtins)
    return types.FunctionType(code, namespace, name, None, closure)


def set_function(function: types.FunctionType, state: tuple[dict[str, Any], dict[str, Any], dict[str, Any]]) -> None:
    """Give a function its attributes and its namespace the globals that it uses.

    A fetch into a live session never rebinds a name that the session has.
    """
    attributes, slots, needed = state
    if _keep_names.get():
        for name, value in needed.items():
            function.__globals__.setdefault(name, value)
    else:
        function.__globals__.update(needed)
    function.__dict__.update(attributes)
    for name, value in slots.items():
        setattr(function, name, value)


# Classes: skeleton, then attributes. A tracker (a random id) says which classes are the same in two processes.

_class_of: weakref.WeakValueDictionary[str, type] = weakref.WeakValueDictionary()
_tracker_of: weakref.WeakKeyDictionary[type, str] = weakref.WeakKeyDictionary()
_unfinished: weakref.WeakSet[type] = weakref.WeakSet()
_trackers: ContextVar[tuple[str, ...]] = ContextVar("_trackers", default=())
_keep_names: ContextVar[bool] = ContextVar("_keep_names", default=False)


def tracker_of(cls: type) -> str:
    """Return the identity of a class across processes, made at the first call."""
    tracker = _tracker_of.get(cls)
    if tracker is None:
        tracker = os.urandom(16).hex()
        _remember(cls, tracker)
    return tracker


def _remember(cls: type, tracker: str) -> None:
    _tracker_of[cls] = tracker
    _class_of[tracker] = cls


def make_class(meta: type, name: str, bases: tuple[type, ...], namespace: dict[str, Any], number: int) -> type:
    """Build the skeleton of a class, or return the class itself where it came from.

    Neither the metaclass's own ``__new__`` nor, where it travels too, ``__init_subclass__`` runs again: what they left
    is in the attributes that follow.
    """
    tracker = _trackers.get()[number]
    known = _class_of.get(tracker)
    if known is not None:
        return known
    new: Any = abc.ABCMeta.__new__ if issubclass(meta, abc.ABCMeta) else type.__new__
    hook_owner = next((c for base in bases for c in base.__mro__[:-1] if "__init_subclass__" in c.__dict__), None)
    cls: type
    if hook_owner is None:
        cls = new(meta, name, bases, namespace)
    elif hook_owner in _tracker_of:
        with _silenced_hook(hook_owner):
            cls = new(meta, name, bases, namespace)
    else:
        try:  # a library's hook sees the class, unless it wants keywords that only the class statement had
            cls = new(meta, name, bases, namespace)
        except TypeError:
            with _silenced_hook(hook_owner):
                cls = new(meta, name, bases, namespace)
    _unfinished.add(cls)
    _remember(cls, tracker)
    return cls


@contextlib.contextmanager
def _silenced_hook(owner: type) -> Iterator[None]:
    saved = owner.__dict__["__init_subclass__"]
    type.__setattr__(owner, "__init_subclass__", classmethod(lambda cls, **keywords: None))
    try:
        yield
    finally:
        type.__setattr__(owner, "__init_subclass__", saved)


def make_enum(
    meta: Any,
    name: str,
    bases: tuple[type, ...],
    members: list[tuple[str, Any, Any, dict[str, Any]]],
    module: str,
    qualname: str,
    number: int,
) -> type:
    """Build an enumeration: members raw, then values and attributes; its own ``__new__`` does not run again."""
    tracker = _trackers.get()[number]
    known = _class_of.get(tracker)
    if known is not None:
        return known
    namespace = meta.__prepare__(name, bases)
    for key, raw, _, _ in members:
        namespace[key] = raw
    namespace["__module__"], namespace["__qualname__"] = module, qualname
    cls: Any = enum.EnumMeta.__new__(meta, name, bases, namespace)
    for key, _, value, attributes in members:
        member = cls._member_map_[key]
        member.__dict__.update(attributes)
        if member._value_ != value:
            member._value_ = value
        with contextlib.suppress(TypeError):  # unhashable values are searched one by one
            cls._value2member_map_.setdefault(value, member)
    _unfinished.add(cls)
    _remember(cls, tracker)
    return cls  # type: ignore[no-any-return]


def set_class(cls: type, state: tuple[dict[str, Any], list[type]]) -> None:
    attributes, registered = state
    if cls not in _unfinished:  # the session's own class came back: it stays as it is
        return
    _unfinished.discard(cls)
    for name, value in attributes.items():
        type.__setattr__(cls, name, value)
    register = getattr(cls, "register", None)
    for each in registered:
        if register is not None:
            register(each)


# ---------------------------------------------------------------- reading


def check_payload(directory: JobDirectory, payload: Payload, what: str) -> None:
    """Raise VersionSkew if the payload holds bytecode of another Python."""
    if payload.has_code and payload.magic != importlib.util.MAGIC_NUMBER.hex():
        running = "Python " + sys.version.split()[0]
        raise VersionSkew(directory.name, what, f"Python {payload.python} and holds functions or classes", running)


def _map_buffers(directory: JobDirectory, path: str, payload: Payload, what: str) -> Iterator[memoryview]:
    """Out-of-band buffers, mapped copy-on-write: writable, private, read from disk only when touched."""
    if not payload.buffers:
        return
    with directory.open_trusted(buffers_path(path)) as file:
        size = os.fstat(file.fileno()).st_size
        needed = max(offset + length for offset, length in payload.buffers)
        if size < needed:
            raise Damaged(directory.name, what, f"its buffers have {size} bytes of {needed}")
        mapped = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY))
    for offset, length in payload.buffers:
        yield mapped[offset : offset + length]


@contextlib.contextmanager
def open_payload(directory: JobDirectory, path: str, payload: Payload, what: str) -> Iterator[Callable[[], Any]]:
    """Give a function that loads the payload's next object.

    Parameters
    ----------
    path : str
        The pickle file.
    what : str
        What it is, for messages: "result", "variable x".

    Raises
    ------
    Damaged
        If the bytes are not those that were written.
    VersionSkew
        If they hold bytecode of another Python.
    UnsafePath
        If somebody else could have written them.
    """
    check_payload(directory, payload, what)
    with directory.open_trusted(path) as file:
        size = os.fstat(file.fileno()).st_size
        if size < payload.offset + payload.size:
            raise Damaged(
                directory.name, what, f"{os.path.basename(path)} has {size} bytes of {payload.offset + payload.size}"
            )
        with (
            mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as whole,
            memoryview(whole) as view,
            view[payload.offset : payload.offset + payload.size] as part,
        ):
            checksum = zlib.crc32(part)
        if checksum != payload.checksum:
            raise Damaged(directory.name, what, f"{os.path.basename(path)} was altered since it was written")
        file.seek(payload.offset)
        unpickler = pickle.Unpickler(file, buffers=_map_buffers(directory, path, payload, what))
        token = _trackers.set(payload.trackers)
        try:
            yield unpickler.load
        finally:
            _trackers.reset(token)


def restore_session(directory: JobDirectory, payload: Payload, namespace: dict[str, Any]) -> None:
    """Put the captured globals into `namespace`, which the stream knows as ``__main__``'s."""
    with open_payload(directory, directory.session_path, payload, "session.pkl") as load:
        load()  # the seeds, see capture.pickler
        while (item := load()) is not None:
            namespace[item[0]] = item[1]
        register_sources(load())


def load_value(directory: JobDirectory, path: str, payload: Payload, what: str) -> Any:
    """Return one value that a job wrote, into a live session: no name of the session is rebound."""
    token = _keep_names.set(True)
    try:
        with open_payload(directory, path, payload, what) as load:
            try:
                load()
                value = load()
                register_sources(load())
            except Exception as error:
                raise NotRestored(directory.name, what, f"{type(error).__name__}: {error}") from error
            return value
    finally:
        _keep_names.reset(token)


def register_sources(sources: dict[str, str]) -> None:
    """Let tracebacks and ``inspect.getsource`` find the sources of code that came along."""
    if not sources:
        return
    import linecache

    for filename, source in sources.items():
        # no mtime: linecache.checkcache leaves such an entry alone
        linecache.cache[filename] = (len(source), None, source.splitlines(True), filename)
