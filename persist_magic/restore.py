"""The other half of capture: reading payloads, in the worker and in a session that fetches.

Owns the functions that pickle streams refer to by name, so a released one is never renamed, and the check of a payload's
integrity, Python and packages before anything in it is unpickled. Standard library only; what the payload itself asks for
(dill, numpy, …) is imported by unpickling it. Knows nothing of jobs' states or of sessions.
"""

from __future__ import annotations

import abc
import builtins
import collections
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
from collections.abc import Callable, Iterator, Sequence
from contextvars import ContextVar

from .digests import Checksum, checksum
from .each import EACH
from .errors import Damaged, NotRestored, PackageSkew, PersistError, VersionSkew
from .store import JobDirectory, Payload, RunDirectory, buffers_path

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .each import Axis

_CHUNK = 1 << 18

# ---------------------------------------------------------------- what streams refer to


def main_module() -> types.ModuleType:
    return sys.modules["__main__"]


def main_namespace() -> dict[str, Any]:
    return sys.modules["__main__"].__dict__


def builtins_namespace() -> dict[str, Any]:
    return builtins.__dict__


def module_namespace(name: str) -> dict[str, Any]:
    return importlib.import_module(name).__dict__


def new_namespace(name: str, own_builtins: Any = None) -> dict[str, Any]:
    """The globals of functions that had a namespace of their own (``%run``, ``exec``)."""
    return {"__name__": name, "__builtins__": builtins if own_builtins is None else own_builtins}


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


def make_module(name: str, known: bool) -> types.ModuleType:
    """A module made at run time; entered in sys.modules if it was there."""
    module = types.ModuleType(name)
    return sys.modules.setdefault(name, module) if known else module


def set_module(module: types.ModuleType, state: dict[str, Any]) -> None:
    module.__dict__.update(state)


def standard_stream(name: str) -> Any:
    return getattr(sys, name)


def system(name: str) -> Any:
    """sys.path and the like, of the process that reads."""
    return getattr(sys, name)


def given(value: Any) -> Any:
    """What an object is written as, where it is written as another."""
    return value


def shell() -> Any:
    """The IPython shell of the process that reads; the worker makes one at this first wish."""
    if hasattr(builtins, "get_ipython"):
        return builtins.get_ipython()
    return importlib.import_module("IPython").get_ipython()


def fresh_lock(reentrant: bool) -> Any:
    import threading

    return threading.RLock() if reentrant else threading.Lock()


def type_variable(kind: Any, name: str, constraints: tuple[Any, ...], settings: dict[str, Any], module: str) -> Any:
    made = kind(name, *constraints, **settings)
    made.__module__ = module
    return made


def new_type(name: str, supertype: Any, module: str) -> Any:
    import typing

    make: Any = typing.NewType
    made = make(name, supertype)
    made.__module__ = module
    return made


def make_context_variable(name: str, value: tuple[Any, ...], default: tuple[Any, ...]) -> Any:
    """A context variable; the value and the default are given as tuples of one, or empty if there is none."""
    variable: ContextVar[Any] = ContextVar(name, default=default[0]) if default else ContextVar(name)
    if value and not (default and value[0] is default[0]):
        variable.set(value[0])
    return variable


def make_thread(cls: Any) -> Any:
    """A thread that was not started, of a class that may want arguments."""
    import threading

    thread = object.__new__(cls)
    threading.Thread.__init__(thread)
    return thread


def set_thread(thread: Any, state: dict[str, Any]) -> None:
    """A thread that was not started, or has ended."""
    import _thread

    thread.__dict__.update(state)
    if thread._started.is_set() and hasattr(_thread, "_make_thread_handle"):  # since Python 3.13
        thread._handle = _thread._make_thread_handle(_thread.get_ident())
        thread._handle._set_done()


def array_on_buffer(buffer: Any, dtype: Any, shape: tuple[int, ...], order: Any) -> Any:
    """A numpy array on memory that it does not own, as writable as that is."""
    import numpy

    return numpy.ndarray(shape, dtype, buffer=buffer, order=order)


def array_view(
    array: Any, offset: int, dtype: Any, shape: tuple[int, ...], strides: tuple[int, ...], writeable: bool
) -> Any:
    """A window on another array's memory, which is contiguous; `offset` and `strides` in bytes."""
    import numpy

    memory = (array if array.flags.c_contiguous else array.T).reshape(-1).view(numpy.ndarray).view("u1")
    view: Any = numpy.ndarray(shape, dtype, buffer=memory, offset=offset, strides=strides)
    if not writeable:
        view.flags.writeable = False
    return view


def map_array(path: str, dtype: Any, mode: Any, offset: int, shape: tuple[int, ...], order: Any) -> Any:
    """A file that numpy maps, mapped again."""
    import numpy

    return numpy.memmap(path, dtype, mode, offset, shape, order)


def make_tensor(
    memory: Any, dtype: Any, shape: tuple[int, ...], stride: tuple[int, ...], offset: int, requires_grad: bool
) -> Any:
    """A torch tensor as a window on a numpy array of bytes; `stride` and `offset` in elements."""
    torch: Any = importlib.import_module("torch")
    tensor = torch.from_numpy(memory).view(dtype).as_strided(shape, stride, offset)
    return tensor.requires_grad_(requires_grad)


def new_object(base: type, cls: type, *arguments: Any) -> Any:
    """An instance as the builtin class makes it that its class derives from; no method of its class runs."""
    new: Any = base.__new__
    return new(cls, *arguments)


def set_object(obj: Any, state: tuple[dict[str, Any], dict[str, Any]]) -> None:
    """Give an instance its attributes and slots, whatever its class does when it is asked or assigned to."""
    attributes, slots = state
    if attributes:
        object.__getattribute__(obj, "__dict__").update(attributes)
    for name, value in slots.items():
        object.__setattr__(obj, name, value)


def set_container(obj: Any, state: tuple[dict[str, Any], dict[str, Any], type, Any]) -> None:
    """Fill an instance of a class that derives from a builtin container, by that one's methods."""
    attributes, slots, base, content = state
    set_object(obj, (attributes, slots))
    kind: Any = base
    if issubclass(base, collections.defaultdict):
        obj.default_factory, content = content
    if issubclass(base, collections.deque):
        kind.__init__(obj, *content)
    elif issubclass(base, dict):
        for key, value in content.items():
            kind.__setitem__(obj, key, value)
    else:
        (list.extend if issubclass(base, list) else set.update)(obj, content)


def set_exception(error: BaseException, state: tuple[Any, dict[str, Any], tuple[Any, Any, bool], Any, Any]) -> None:
    args, members, chain, attributes, slots = state
    vars(BaseException)["args"].__set__(error, args)
    for name, value in members.items():
        with contextlib.suppress(AttributeError, TypeError):  # read-only ones come from the arguments
            object.__setattr__(error, name, value)
    error.__cause__, error.__context__, error.__suppress_context__ = chain
    set_object(error, (attributes, slots))


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
            if not _is_the_same(function.__globals__.setdefault(name, value), value):
                _warn_of_stranger(function.__qualname__, name)
    else:
        function.__globals__.update(needed)
    function.__dict__.update(attributes)
    for name, value in slots.items():
        setattr(function, name, value)


def _is_the_same(here: Any, there: Any) -> bool:
    """Whether what the session has under a name may well be what the job had."""
    if here is there or type(here) is not type(there):
        return here is there
    if isinstance(here, types.FunctionType):
        return bool(here.__code__ == there.__code__)
    if isinstance(here, (int, float, complex, str, bytes, bool)):
        return bool(here == there)
    return not isinstance(here, (type, types.ModuleType))


def _warn_of_stranger(function: str, name: str) -> None:
    import warnings

    warnings.warn(f"{function}() uses {name}, which is another thing in this session than in the job", stacklevel=2)


def type_alias(name: str, value: Any, parameters: tuple[Any, ...], module: str) -> Any:
    """An alias of Python 3.12's ``type`` statement."""
    import typing

    make: Any = vars(typing)["TypeAliasType"]
    return make(name, value, type_params=parameters)


def make_memoryview(exporter: Any, format: str, shape: tuple[int, ...]) -> memoryview:
    view: Any = memoryview(exporter).cast("B")
    return view.cast(format, shape)  # type: ignore[no-any-return]


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
    if meta.__module__ == "_ctypes":  # it lays out the fields, from Python 3.13 on in its __init__
        new = type.__call__
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
    bases: tuple[type, ...],
    names: tuple[str, str, str],
    members: list[tuple[str, Any, Any]],
    boundary: Any,
    number: int,
) -> type:
    """Build an enumeration: members raw, then values and attributes; its own ``__new__`` does not run again."""
    tracker = _trackers.get()[number]
    known = _class_of.get(tracker)
    if known is not None:
        return known
    name, module, qualname = names
    namespace = meta.__prepare__(name, bases)
    for key, raw, _ in members:
        # a function among members would be taken for a method; from Python 3.11 on there is a word for it
        namespace[key] = getattr(enum, "member", lambda value: value)(raw) if hasattr(raw, "__get__") else raw
    namespace["__module__"], namespace["__qualname__"] = module, qualname
    settings = {"boundary": boundary} if boundary is not None else {}  # from Python 3.11 on
    cls: Any = enum.EnumMeta.__new__(meta, name, bases, namespace, **settings)
    for key, _, value in members:
        member = cls._member_map_[key]
        if member._value_ != value:
            member._value_ = value
        with contextlib.suppress(TypeError):  # unhashable values are searched one by one
            cls._value2member_map_.setdefault(value, member)
    _unfinished.add(cls)
    _remember(cls, tracker)
    return cls  # type: ignore[no-any-return]


def bound_method(base: type, name: str, owner: Any) -> Any:
    """A builtin class's method of an object whose class overrides it."""
    return vars(base)[name].__get__(owner)


def set_methods(cls: type, methods: dict[str, Any]) -> None:
    """Give the skeleton of a class its methods."""
    if cls in _unfinished:
        for name, value in methods.items():
            _put(cls, name, value)


def _put(cls: type, name: str, value: Any) -> None:
    """Set a class's attribute, whatever its metaclass thinks of that; those of ctypes insist on doing it themselves."""
    put: Any = type(cls).__setattr__ if type(cls).__module__ == "_ctypes" else type.__setattr__
    put(cls, name, value)


def set_class(cls: type, state: tuple[None, dict[str, Any], list[type], list[Any], dict[str, dict[str, Any]], None]) -> None:
    """Give a class its attributes, the classes registered with it, and enter it where it was registered.

    The members of an enumeration get their attributes, too.
    """
    _, attributes, registered, registers, members, _ = state
    if cls not in _unfinished:  # the session's own class came back: it stays as it is
        return
    _unfinished.discard(cls)
    for name, value in attributes.items():
        _put(cls, name, value)
    register = getattr(cls, "register", None)
    for each in registered:
        if register is not None:
            register(each)
    for library_class in registers:
        library_class.register(cls)
    for name, values in members.items():
        cls._member_map_[name].__dict__.update(values)  # type: ignore[attr-defined]


# ---------------------------------------------------------------- reading


class PayloadReader:
    """A payload whose bytes have been checked; nothing in it has been unpickled yet.

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

    def __init__(self, directory: JobDirectory, path: str, payload: Payload, what: str) -> None:
        self._job, self._path, self._payload, self._what = directory.name, path, payload, what
        self._check_code()
        self._file = directory.open_trusted(path)
        try:
            self._check_stream()
            self._buffers = self._map_buffers(directory) if payload.buffers else []
        except BaseException:
            self._file.close()
            raise

    def _check_code(self) -> None:
        payload = self._payload
        if payload.has_code and payload.magic != importlib.util.MAGIC_NUMBER.hex():
            running = "Python " + sys.version.split()[0]
            raise VersionSkew(self._job, self._what, f"Python {payload.python} and holds functions or classes", running)

    def _damaged(self, path: str, why: str) -> Damaged:
        return Damaged(self._job, self._what, f"{os.path.basename(path)} {why}")

    def _check_stream(self) -> None:
        payload, number = self._payload, self._file.fileno()
        size, needed = os.fstat(number).st_size, payload.offset + payload.size
        if size < needed:
            raise self._damaged(self._path, f"has {size} bytes of {needed}")
        self._file.seek(payload.offset)
        check, left = Checksum(), payload.size
        while left and (part := self._file.read(min(left, _CHUNK))):
            check.update(memoryview(part))
            left -= len(part)
        if check.value() != payload.checksum:
            raise self._damaged(self._path, "was altered since it was written")

    def _map_buffers(self, directory: JobDirectory) -> list[memoryview]:
        """Out-of-band buffers, mapped copy-on-write: writable, private, read from disk only when touched."""
        path, payload = buffers_path(self._path), self._payload
        with directory.open_trusted(path) as file:
            found = os.fstat(file.fileno())
            needed = max(offset + length for offset, length, _ in payload.buffers)
            if found.st_size < needed:
                raise self._damaged(path, f"has {found.st_size} bytes of {needed}")
            # no more than that, whatever has been appended; mmap(2) maps no nothing
            mapped = memoryview(mmap.mmap(file.fileno(), needed, access=mmap.ACCESS_COPY) if needed else bytearray())
        buffers = [mapped[offset : offset + length] for offset, length, _ in payload.buffers]
        if found.st_mtime_ns != payload.sealed * 10**9:
            for buffer, (_, _, written) in zip(buffers, payload.buffers, strict=True):
                if checksum(buffer) != written:
                    raise self._damaged(path, "was altered since it was written")
        return buffers

    @contextlib.contextmanager
    def objects(self) -> Iterator[Callable[[], Any]]:
        """Give a function that loads the payload's next object.

        Raises
        ------
        NotRestored
            If a package is missing.
        VersionSkew
            If loading fails and packages have other versions than when it was written.
        """
        with self._file as file:
            skew = self._package_skew()
            file.seek(self._payload.offset)
            load = pickle.Unpickler(file, buffers=self._buffers).load
            token = _trackers.set(self._payload.trackers)
            try:
                yield load
            except Exception as error:
                if not skew:
                    raise
                there, here = (", ".join(words) for words in zip(*skew, strict=True))
                raise VersionSkew(self._job, self._what, there, f"{here} ({type(error).__name__}: {error})") from error
            finally:
                _trackers.reset(token)

    def _package_skew(self) -> list[tuple[str, str]]:
        """Import what the payload refers to, and tell, also in a warning, what has another minor version than it had."""
        skew = []
        for package, written in self._payload.packages.items():
            try:
                here = getattr(importlib.import_module(package), "__version__", written)
            except ImportError as error:
                reason = f"it needs the package {package} {written}, which cannot be imported here ({error})"
                raise NotRestored(self._job, self._what, reason) from error
            if isinstance(here, str) and here.split(".")[:2] != written.split(".")[:2]:
                skew.append((f"{package} {written}", f"{package} {here}"))
        if skew:
            import warnings

            pairs = "; ".join(f"{there}, here {here}" for there, here in skew)
            warnings.warn(f"{self._what} of {self._job} was written with {pairs}", PackageSkew, stacklevel=2)
        return skew


def read_session(directory: JobDirectory, payload: Payload) -> PayloadReader:
    """Check the captured globals of a job; see `PayloadReader` for what is raised."""
    return PayloadReader(directory, directory.session_path, payload, "captured data")


def restore_session(reader: PayloadReader, namespace: dict[str, Any]) -> None:
    """Put captured globals into `namespace`, which the stream knows as ``__main__``'s."""
    with reader.objects() as load:
        load()  # the seeds, see capture.payload
        while (item := load()) is not None:
            namespace[item[0]] = item[1]
        register_sources(load())


def load_axes(directory: JobDirectory, payload: Payload) -> list[Axis]:
    """Return what the tasks of a sweep are given, into a live session; see `load_value`.

    Of the captured globals only those are restored that stand before it: modules.
    """
    reader = PayloadReader(directory, directory.session_path, payload, "the values of its tasks")
    with _into_session(directory, "the values of its tasks"), reader.objects() as load:
        load()
        while (item := load()) is not None:
            if item[0] == EACH:
                axes: list[Axis] = item[1]
                return axes
    raise Damaged(directory.name, "session.pkl", "it does not hold the values of the tasks")


@contextlib.contextmanager
def _into_session(directory: JobDirectory, what: str) -> Iterator[None]:
    """Rebind no name of the session; tell what cannot be restored."""
    token = _keep_names.set(True)
    try:
        yield
    except PersistError:
        raise
    except Exception as error:
        raise NotRestored(directory.name, what, f"{type(error).__name__}: {error}") from error
    finally:
        _keep_names.reset(token)


def load_value(directory: JobDirectory, path: str, payload: Payload, what: str) -> Any:
    """Return one value that a job wrote, into a live session: no name of the session is rebound."""
    reader = PayloadReader(directory, path, payload, what)
    with _into_session(directory, what), reader.objects() as load:
        load()
        value = load()
        register_sources(load())
        return value


def load_checkpoint(of: RunDirectory) -> dict[str, Any]:
    """Return the values of the newest checkpoint of a job, a rank or a task, of whichever run; empty if there is none."""
    while True:
        found = of.newest_checkpoint()
        if found is None:
            return {}
        run, record = found
        path = run.checkpoint_values_path(record.file)
        try:
            kept = {name: value.payload for name, value in record.values.items()}
            return {name: load_value(of.job, path, payload, name) for name, payload in kept.items() if payload}
        except Damaged:
            newer = of.newest_checkpoint()
            if newer is None or newer[1] == record:
                raise  # else the run has made another one meanwhile, and deleted this


def register_sources(sources: dict[str, str]) -> None:
    """Let tracebacks and ``inspect.getsource`` find the sources of code that came along."""
    if not sources:
        return
    import linecache

    for filename, source in sources.items():
        # no mtime: linecache.checkcache leaves such an entry alone
        linecache.cache[filename] = (len(source), None, source.splitlines(True), filename)
