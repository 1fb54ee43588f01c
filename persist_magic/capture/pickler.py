"""The pickler: C pickle, with reducers for what belongs to the session.

Owns how functions, classes, modules, locks and streams are reduced, and the file format of a payload (pickle stream, page
aligned buffers beside it). Needs the standard library only; dill is imported when an object turns up that the stock pickler
refuses or would store by a name the worker does not have, and its own savers then reduce it.
Knows nothing of job directories beyond the `Payload` record that says how to read the file back.

The stream of a payload: the seeds (stand-ins that take the memo slots of the session's namespace and of builtins, so that
each reference to them means the reader's), then the objects, one ``dump`` each on one memo, then the sources of the code.
"""

from __future__ import annotations

import _thread
import abc
import builtins
import collections
import contextlib
import copyreg
import enum
import functools
import importlib.util
import io
import marshal
import operator
import os
import pickle
import re
import sys
import types
import weakref
import zlib
from collections.abc import Callable, Iterable, Iterator

from .. import restore
from ..store import Payload, create_file, sync_file

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, BinaryIO, ClassVar, TypeVar

    T = TypeVar("T")

    Reduction = Any  # what object.__reduce__ may return: a str, a tuple of two to six, or NotImplemented

PAGE = 4096
ATOMS = frozenset({int, float, complex, str, bytes, bytearray, bool, type(None)})
_MOST_SET_OBJECTS = 1000
_DEEP_STACK = 512 << 20
_DEEP_RECURSION = 1_000_000
TAKES_CODE = frozenset({"eval", "exec", "query", "evaluate", "format_map", "sql", "ols", "dmatrix", "dmatrices"})
"""Functions and methods that are given Python, or names, in a string."""
IDENTIFIER = re.compile(r"[^\W\d]\w*")
SMALL_BUFFER = 1 << 16
"""Buffers below this many bytes stay in the stream."""
SMALL_CANONICAL, LARGEST_CANONICAL = 1 << 14, 1 << 17
"""Up to so many bytes an object is pickled once more for its digest, by the slow Python pickler, to be independent of the
session's accidents: any object, or one that may hold sets."""

_NATIVE: set[type] = {
    range,
    slice,
    type(...),
    type(None),
    type(NotImplemented),
    bool,
    int,
    float,
    complex,
    str,
    bytes,
    bytearray,
    tuple,
    list,
    dict,
    set,
    frozenset,
    collections.OrderedDict,
    collections.defaultdict,
    collections.deque,
    collections.Counter,
    functools.partial,
    operator.itemgetter,
    operator.attrgetter,
    pickle.PickleBuffer,
    types.BuiltinFunctionType,
    types.MethodType,
    types.SimpleNamespace,
    types.GenericAlias,
}
_STREAMS = ("stdin", "stdout", "stderr", "__stdin__", "__stdout__", "__stderr__")
_ENUM_MACHINERY = frozenset(
    {
        "_generate_next_value_",
        "_member_names_",
        "_member_map_",
        "_member_type_",
        "_value2member_map_",
        "_unhashable_values_",
        "_unhashable_values_map_",
        "_hashable_values_",
        "_value_repr_",
        "_use_args_",
        "_new_member_",
        "__new__",
        "_singles_mask_",
        "_flag_mask_",
        "_all_bits_",
        "_boundary_",
        "_inverted_",
        "__new_member__",
        "_sort_order_",
    }
)


class Refused(pickle.PicklingError):
    """An object that cannot be written, with the words for it."""

    def __init__(self, obj: object, why: str) -> None:
        super().__init__(why)
        self.obj = obj


@functools.lru_cache(maxsize=4096)
def code_globals(code: types.CodeType) -> tuple[str, ...]:
    """Return the names that code, with the code nested in it, looks up or sets as globals."""
    import dis  # slow to import, and a worker may meet no function

    names: dict[str, None] = {}
    for instruction in dis.get_instructions(code):
        if instruction.opname in (
            "LOAD_GLOBAL",
            "STORE_GLOBAL",
            "DELETE_GLOBAL",
            "LOAD_NAME",
            "LOAD_FROM_DICT_OR_GLOBALS",
        ):
            names[instruction.argval] = None
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            names.update(dict.fromkeys(code_globals(constant)))
    return tuple(names)


def _string_constants(code: types.CodeType) -> Iterator[str]:
    for constant in code.co_consts:
        if isinstance(constant, str):
            yield constant
        elif isinstance(constant, types.CodeType):
            yield from _string_constants(constant)


def importable(obj: Any) -> bool:
    """Whether a function or class can be found by its module and qualified name in another process."""
    module = getattr(obj, "__module__", None)
    if module is None or module == "__main__" or module not in sys.modules:
        return False
    found: Any = sys.modules[module]
    for part in obj.__qualname__.split("."):
        found = getattr(found, part, None)
    return found is obj


def home_of(kind: type) -> str:
    """The module that a class says it is from, or "": some extension types say something else there."""
    module = kind.__module__
    return module if isinstance(module, str) else ""


def _module_dict(name: object) -> Any:
    return getattr(sys.modules.get(name), "__dict__", None) if isinstance(name, str) else None


class _StandIn:
    """Pickles as a call; the session's namespace takes over its place in the memo."""

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self._reduced = function, arguments

    def __reduce__(self) -> Any:
        return self._reduced


class Reducer:
    """The reducers, apart from the pickler they serve (the C one for writing, the Python one for explaining).

    Parameters
    ----------
    namespace : dict
        The session's globals; every reference to it means the reader's ``__main__``.
    """

    def __init__(self, namespace: dict[str, Any]) -> None:
        self.namespace = namespace
        self.emitted: dict[str, str] = {}  # global -> who asked for it
        self.also: dict[str, str] = {}  # global -> who mentions it in a string annotation
        self.attributes: set[str] = set()  # attribute names seen in code: which submodules to import
        self.trackers: list[str] = []
        self.sources: dict[str, str] = {}
        self.has_code = False
        self.last: object = None  # the last object met, for messages
        self._numbers: dict[type, int] = {}
        self._handlers: dict[type, Callable[[Any], Reduction] | None] = {}
        self._private_namespaces: dict[int, tuple[_StandIn, set[str]]] = {}
        self._modules: dict[int, types.ModuleType] = {}
        self._filenames: dict[str, str] = {}

    def reduce(self, obj: Any) -> Reduction:
        kind = type(obj)
        try:
            handler = self._handlers[kind]
        except KeyError:
            handler = self._handlers[kind] = self._handler(kind)
        if handler is None:
            self.last = obj
            return NotImplemented
        return handler(obj)

    def _handler(self, kind: type) -> Callable[[Any], Reduction] | None:
        """The reducer for a type; None means that the stock pickler does it right."""
        if kind in _NATIVE:
            return None
        table: dict[Any, Callable[[Any], Reduction]] = {
            types.FunctionType: self._function,
            types.CellType: self._cell,
            types.CodeType: self._code,
            staticmethod: self._method_wrapper,
            classmethod: self._method_wrapper,
            property: self._property,
            types.MemberDescriptorType: self._descriptor,
            types.GetSetDescriptorType: self._descriptor,
            memoryview: self._memoryview,
            weakref.WeakValueDictionary: self._weak_dictionary,
            weakref.WeakKeyDictionary: self._weak_dictionary,
            weakref.WeakSet: self._weak_set,
            type(os.environ): self._environ,
            _thread.LockType: self._lock,
            _thread.RLock: self._lock,
        }
        typing = sys.modules.get("typing")
        if typing is not None:
            table |= {typing.TypeVar: self._type_variable, typing.NewType: self._new_type}
            table |= {typing.ParamSpec: self._parameters, getattr(typing, "TypeVarTuple", None): self._parameters}
        if kind in table:
            return table[kind]
        if issubclass(kind, type):
            return self._class
        if issubclass(kind, types.ModuleType):
            return self._module
        if any(kind is type(getattr(sys, name, None)) for name in _STREAMS):
            return self._stream
        if home_of(kind).startswith(("IPython.", "ipykernel.")) and self._is_shell(kind):
            return lambda shell: (restore.shell, ())
        return self._refusal(kind) or self._array_subclass(kind) or self._by_dill(kind)

    @staticmethod
    def _is_shell(kind: type) -> bool:
        module = sys.modules.get("IPython.core.interactiveshell")
        return module is not None and issubclass(kind, module.InteractiveShell)

    # ---- what is never written

    def _refusal(self, kind: type) -> Callable[[Any], Reduction] | None:
        why = {
            ("_io", "TextIOWrapper"): "an open file; open it where it is used",
            ("_io", "BufferedReader"): "an open file; open it where it is used",
            ("_io", "BufferedWriter"): "an open file; open it where it is used",
            ("_io", "BufferedRandom"): "an open file; open it where it is used",
            ("_io", "FileIO"): "an open file; open it where it is used",
            ("ctypes", "CDLL"): "a library loaded into this process",
            ("ctypes", "PyDLL"): "a library loaded into this process",
            ("builtins", "PyCapsule"): "a pointer into this process",
            ("builtins", "frame"): "a running frame",
            ("builtins", "generator"): "a generator cannot leave its process; make a list of it",
            ("builtins", "coroutine"): "a running coroutine",
            ("subprocess", "Popen"): "a child process of this session",
            ("socket", "socket"): "a socket of this session",
        }.get((home_of(kind), kind.__qualname__))
        if why is None:
            return None

        def refuse(obj: object) -> Reduction:
            raise Refused(obj, f"cannot pickle {kind.__qualname__!r}: {why}")

        return refuse

    # ---- what dill knows better than the stock pickler

    def _by_dill(self, kind: type) -> Callable[[Any], Reduction] | None:
        """dill's own saver for a type of the standard library that dill registers.

        Other libraries' types and the session's instances follow the pickle protocol; dill is not imported for them.
        """
        if home_of(kind).partition(".")[0] not in sys.stdlib_module_names:
            return None
        from ._dill import saver_of

        saver = saver_of(kind)
        if saver is None:
            return None

        def reduce(obj: Any) -> Reduction:
            self.last = obj
            return saver(obj)

        return reduce

    # ---- code

    def _code(self, code: types.CodeType) -> Reduction:
        self.has_code = True
        renamed = self._renamed(code)
        try:
            # version 2 writes no back references: from version 3 on they follow reference counts, so that the
            # same code would have another digest in another session
            data = marshal.dumps(renamed, 2)
        except ValueError:  # a constant that version 2 cannot hold
            data = marshal.dumps(renamed)
        return restore.make_code, (data,)

    def _renamed(self, code: types.CodeType) -> types.CodeType:
        """Keep the code's source, under a file name without the kernel's pid or the cell's number in it."""
        name = self._filenames.get(code.co_filename)
        if name is None:
            name = self._filenames[code.co_filename] = self._stable_filename(code.co_filename)
        if name == code.co_filename:
            return code
        constants = tuple(self._renamed(c) if isinstance(c, types.CodeType) else c for c in code.co_consts)
        return code.replace(co_filename=name, co_consts=constants)

    def _stable_filename(self, filename: str) -> str:
        if os.path.exists(filename) or filename.startswith("<frozen"):
            return filename
        import linecache

        source = "".join(linecache.getlines(filename))
        if not source:
            return filename
        digest = new_digest()
        digest.update(source.encode("utf-8", "replace"))
        name = f"<cell {digest.hexdigest()[:8]}>"
        self.sources[name] = source
        return name

    def _function(self, function: types.FunctionType) -> Reduction:
        if importable(function):
            return NotImplemented
        self.last = function
        namespace: Any = function.__globals__
        needed: dict[str, Any] = {}
        if namespace is self.namespace:
            needed = self._needed(function)
        elif (module := self._modules.get(id(namespace))) is not None:
            namespace = _StandIn(restore.namespace_of, module)
        elif namespace is not builtins.__dict__ and _module_dict(namespace.get("__name__")) is namespace:
            namespace = _StandIn(restore.module_namespace, namespace["__name__"])
        elif namespace is not builtins.__dict__:
            stand_in, seen = self._private_namespaces.setdefault(
                id(namespace), (_StandIn(restore.new_namespace, namespace.get("__name__", "__main__")), set())
            )
            for name in code_globals(function.__code__):
                if name in namespace and name not in seen:
                    seen.add(name)
                    needed[name] = namespace[name]
            namespace = stand_in
        slots = {
            slot: value
            for slot in ("__defaults__", "__kwdefaults__", "__annotations__", "__doc__")
            if (value := getattr(function, slot))
        }
        slots["__qualname__"], slots["__module__"] = function.__qualname__, function.__module__
        skeleton = function.__code__, namespace, function.__name__, function.__closure__
        return restore.make_function, skeleton, (function.__dict__, slots, needed), None, None, restore.set_function

    def _needed(self, function: types.FunctionType) -> dict[str, Any]:
        """The session's globals that a function uses and that are not in the stream yet.

        They travel in the function's own state, so that they are there before any instance whose ``__setstate__``
        or ``__hash__`` calls the function.
        """
        needed = {}
        asker = f"{function.__qualname__}()"
        self.attributes.update(function.__code__.co_names)
        for name in code_globals(function.__code__):
            if name in self.namespace and name not in self.emitted:
                self.emitted[name] = asker
                needed[name] = self.namespace[name]
        for annotation in function.__annotations__.values():
            if isinstance(annotation, str):
                self._mention(annotation, asker)
        if not TAKES_CODE.isdisjoint(function.__code__.co_names):
            for text in _string_constants(function.__code__):
                for name in IDENTIFIER.findall(text):
                    if name in self.namespace:
                        self.also.setdefault(name, asker)
        return needed

    def _mention(self, annotation: str, asker: str) -> None:
        try:
            code = compile(annotation, "<annotation>", "eval")
        except SyntaxError:
            return
        for name in code.co_names:
            if name in self.namespace:
                self.also.setdefault(name, asker)

    def _cell(self, cell: types.CellType) -> Reduction:
        try:
            content = cell.cell_contents
        except ValueError:
            return restore.make_cell, ()
        return restore.make_cell, (), (content,), None, None, restore.set_cell

    def _method_wrapper(self, method: Any) -> Reduction:
        return type(method), (method.__func__,)

    def _property(self, prop: property) -> Reduction:
        return property, (prop.fget, prop.fset, prop.fdel, prop.__doc__)

    def _descriptor(self, descriptor: Any) -> Reduction:
        return restore.load_attribute, (descriptor.__objclass__, descriptor.__name__)

    # ---- classes

    def _class(self, cls: Any) -> Reduction:
        if importable(cls):
            return NotImplemented
        self.last = cls
        if not cls.__flags__ & (1 << 9):  # Py_TPFLAGS_HEAPTYPE
            handler = self._by_dill(type)
            return handler(cls) if handler is not None else NotImplemented
        self.has_code = True
        attributes = dict(cls.__dict__)
        for annotation in (attributes.get("__annotations__") or {}).values():
            if isinstance(annotation, str):
                self._mention(annotation, cls.__qualname__)
        if isinstance(cls, enum.EnumMeta):
            make, arguments = self._enum_skeleton(cls, attributes)
        else:
            make, arguments = self._class_skeleton(cls, attributes)
        if "__doc__" in attributes:  # where type.__new__ puts it, so that the class's copy has the same pickle
            attributes = {"__doc__": attributes.pop("__doc__"), **attributes}
        registered: list[type] = []
        if isinstance(cls, abc.ABCMeta):
            attributes.pop("_abc_impl", None)
            dump: Any = getattr(abc, "_get_dump", None)
            if dump is not None:
                registered = [found for reference in dump(cls)[0] if (found := reference()) is not None]
        for name in ("__module__", "__qualname__", "__slots__", "__orig_bases__"):
            attributes.pop(name, None)
        for name in ("__dict__", "__weakref__"):
            if not isinstance(attributes.get(name), property):
                attributes.pop(name, None)
        return make, arguments, (attributes, registered), None, None, restore.set_class

    def _number(self, cls: type) -> int:
        """Where the class's tracker stands in the payload's list: a random id in the stream would change its digest."""
        if cls not in self._numbers:
            self._numbers[cls] = len(self.trackers)
            self.trackers.append(restore.tracker_of(cls))
        return self._numbers[cls]

    def _class_skeleton(self, cls: Any, attributes: dict[str, Any]) -> tuple[Any, tuple[Any, ...]]:
        namespace = {"__module__": cls.__module__, "__qualname__": cls.__qualname__}
        for name in ("__slots__", "__orig_bases__", "_is_protocol"):
            if name in attributes:
                namespace[name] = attributes[name]
        slots = attributes.get("__slots__", ())
        for slot in (slots,) if isinstance(slots, str) else slots:
            attributes.pop(slot, None)
            if slot.startswith("__") and not slot.endswith("__"):
                attributes.pop(f"_{cls.__name__.lstrip('_')}{slot}", None)
        return restore.make_class, (type(cls), cls.__name__, cls.__bases__, namespace, self._number(cls))

    def _enum_skeleton(self, cls: Any, attributes: dict[str, Any]) -> tuple[Any, tuple[Any, ...]]:
        data_type = cls._member_type_
        machinery = {"_value_", "_name_", "__objclass__", "_sort_order_"}
        members = []
        for name, member in cls.__members__.items():
            raw = data_type.__new__(data_type, member) if data_type in (int, str, float, bytes) else member._value_
            own = {key: value for key, value in member.__dict__.items() if key not in machinery}
            members.append((name, raw, member._value_, own))
        for name in [n for n in attributes if n in cls.__members__ or n in _ENUM_MACHINERY]:
            del attributes[name]
        skeleton = (type(cls), cls.__name__, cls.__bases__, members, cls.__module__, cls.__qualname__, self._number(cls))
        return restore.make_enum, skeleton

    # ---- the rest

    def _module(self, module: types.ModuleType) -> Reduction:
        self.last = module
        name = module.__name__
        if name == "__main__" and module.__dict__ is self.namespace:
            return restore.main_module, ()
        if sys.modules.get(name) is module:
            prefix = name + "."
            loaded = (other[len(prefix) :] for other in sorted(sys.modules) if other.startswith(prefix))
            used = tuple(prefix + other for other in loaded if self.attributes.issuperset(other.split(".")))
            return restore.import_module, (name, used)
        self._modules[id(module.__dict__)] = module
        state = {k: v for k, v in module.__dict__.items() if k not in ("__builtins__", "__loader__", "__spec__")}
        return restore.make_module, (name,), state, None, None, restore.set_module

    def _stream(self, stream: Any) -> Reduction:
        for name in _STREAMS:
            if stream is getattr(sys, name, None):
                return restore.standard_stream, (name,)
        self.last = stream
        refuse = self._refusal(type(stream))
        return refuse(stream) if refuse is not None else NotImplemented

    def _lock(self, lock: object) -> Reduction:
        return restore.fresh_lock, (type(lock) is _thread.RLock,)

    def _memoryview(self, view: memoryview) -> Reduction:
        return memoryview, (view.tobytes(),)

    def _type_variable(self, variable: Any) -> Reduction:
        module = sys.modules.get(variable.__module__)
        if variable.__module__ != "__main__" and getattr(module, variable.__name__, None) is variable:
            return NotImplemented
        v = variable
        return restore.type_variable, (v.__name__, v.__constraints__, v.__bound__, v.__covariant__, v.__contravariant__)

    def _parameters(self, made: Any) -> Reduction:
        return type(made), (made.__name__,)

    def _weak_dictionary(self, weak: Any) -> Reduction:
        return type(weak), (), None, None, iter(list(weak.items()))

    def _weak_set(self, weak: Any) -> Reduction:
        return type(weak), (list(weak),)

    def _environ(self, environ: Any) -> Reduction:
        return (restore.load_global, ("os", "environ")) if environ is os.environ else NotImplemented

    def _new_type(self, made: Any) -> Reduction:
        return restore.new_type, (made.__name__, made.__supertype__, made.__module__)

    def _array_subclass(self, kind: type) -> Callable[[Any], Reduction] | None:
        """numpy's __reduce__ drops the attributes of a subclass's instances (numpy issue 10933)."""
        numpy: Any = sys.modules.get("numpy")
        if numpy is None or kind is numpy.ndarray or not issubclass(kind, numpy.ndarray):
            return None
        if home_of(kind).startswith("numpy") or not kind.__dictoffset__ or kind.__reduce__ is not numpy.ndarray.__reduce__:
            return None

        def reduce(array: Any) -> Reduction:
            function, arguments, state = array.__reduce__()
            return function, arguments, (state, array.__dict__), None, None, restore.set_array_subclass

        return reduce


class CannotPickle(Exception):
    """Pickling an object failed; `error` says why. An OSError is the disk's, never the object's."""

    def __init__(self, error: Exception) -> None:
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


class _CPickler(pickle.Pickler):
    """The C pickler, asking a Reducer first."""

    def __init__(self, file: Any, reducer: Reducer, buffer_callback: Any) -> None:
        super().__init__(file, 5, buffer_callback=buffer_callback)
        self._reduce = reducer.reduce

    def reducer_override(self, obj: Any) -> Any:
        return self._reduce(obj)


def _seed(pickler: Any, namespace: dict[str, Any]) -> list[_StandIn]:
    """Let the namespace and builtins' count as already written, as calls that return the reader's.

    An exact dict never reaches reducer_override, but the memo is asked before anything else. What is returned must be kept
    as long as the pickler: the memo knows objects by their address.
    """
    stand_ins = [_StandIn(restore.main_namespace), _StandIn(restore.builtins_namespace)]
    pickler.dump(stand_ins)
    memo = pickler.memo.copy()
    for obj, stand_in in zip((namespace, builtins.__dict__), stand_ins, strict=True):
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
    """

    def __init__(self, path: str | None) -> None:
        self.path = path
        self.written = 0
        self._file: BinaryIO | None = None
        self._held: list[pickle.PickleBuffer] = []
        self._places: dict[tuple[int, int], list[int]] = {}

    def place(self, buffer: pickle.PickleBuffer, raw: memoryview) -> list[int]:
        """Write a buffer unless it is there already; return its offset and length in bytes."""
        self._held.append(buffer)  # else its address could be another buffer's before the end
        key = _address(raw) or -len(self._held), raw.nbytes
        place = self._places.get(key)
        if place is None:
            with _on_disk():
                place = self._places[key] = self._write(raw)
        return place

    def _write(self, raw: memoryview) -> list[int]:
        offset = -(-self.written // PAGE) * PAGE
        if self.path is not None:
            if self._file is None:
                self._file = create_file(self.path)
            self._file.seek(offset)
            self._file.write(raw)
        self.written = offset + raw.nbytes
        return [offset, raw.nbytes]

    def close(self) -> None:
        self._held.clear()
        if self._file is not None:
            with self._file:
                sync_file(self._file)


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
        self.checksum = 0
        self.part: list[bytes] = []
        self.part_size = 0
        self.part_digest: Any = None

    def write(self, data: Any) -> int:
        view = memoryview(data)
        self.checksum = zlib.crc32(view, self.checksum)
        if self.part_digest is not None:
            self.part_digest.update(view)
            self.part_size += view.nbytes
            if self.part_size <= LARGEST_CANONICAL:
                self.part.append(bytes(view))
        self.size += view.nbytes
        if self._file is not None:
            with _on_disk():
                self._file.write(view)
        return view.nbytes

    def begin_part(self) -> None:
        self.part, self.part_size, self.part_digest = [], 0, new_digest()


def new_digest() -> Any:
    """Return a hash object, whose hexadecimal digest has 32 characters."""
    import hashlib  # loads OpenSSL: only where digests are wanted

    return hashlib.blake2b(digest_size=16)


_StockPickler: Any = pickle._Pickler


class PythonPickler(_StockPickler):  # type: ignore[misc]
    """The pure Python pickler, asking a Reducer first as the C one does.

    ``import dill`` puts dill's savers in the place of the stock class's; its own are named here.
    """

    dispatch: ClassVar[dict[Any, Any]] = {
        type(None): _StockPickler.save_none,
        bool: _StockPickler.save_bool,
        int: _StockPickler.save_long,
        float: _StockPickler.save_float,
        str: _StockPickler.save_str,
        bytes: _StockPickler.save_bytes,
        bytearray: _StockPickler.save_bytearray,
        pickle.PickleBuffer: _StockPickler.save_picklebuffer,
        tuple: _StockPickler.save_tuple,
        list: _StockPickler.save_list,
        dict: _StockPickler.save_dict,
        set: _StockPickler.save_set,
        frozenset: _StockPickler.save_frozenset,
        types.FunctionType: _StockPickler.save_global,
        type: _StockPickler.save_type,
    }

    def __init__(self, file: Any, reducer: Reducer, buffer_callback: Any) -> None:
        super().__init__(file, 5, buffer_callback=buffer_callback)
        self.reducer = reducer

    def reducer_override(self, obj: Any) -> Any:
        return self.reducer.reduce(obj)


class _DeepPickler(PythonPickler):
    """Recurses in Python only.

    The stock `save` passes a reduction on as ``*arguments``, a call that goes through C, whose depth Python 3.12 limits.
    """

    def save(self, obj: Any, save_persistent_id: bool = True) -> None:
        self.framer.commit_frame()
        kind = type(obj)
        if (known := self.memo.get(id(obj))) is not None:
            self.write(self.get(known[0]))
            return
        reduced = self.reducer_override(obj)
        if reduced is NotImplemented:
            if (save := self.dispatch.get(kind)) is not None:
                save(self, obj)
                return
            if issubclass(kind, type):
                self.save_global(obj)
                return
            reduce = copyreg.dispatch_table.get(kind)
            reduced = reduce(obj) if reduce is not None else obj.__reduce_ex__(self.proto)
        if isinstance(reduced, str):
            self.save_global(obj, reduced)
            return
        function, arguments, state, items, pairs, setter = (*reduced, None, None, None, None)[:6]
        self.save_reduce(function, arguments, state, items, pairs, setter, obj=obj)


class TooComplex(Exception):
    """There is no canonical order to be had in reasonable time."""


class _CanonicalPickler(PythonPickler):
    """Pickles equal objects to equal bytes, for digests only: what it writes is never read.

    The plain pickle shows two things that differ from session to session: the order of sets (hash randomisation), and
    which of several equal strings are one object (interning). Here sets come in the order of their elements' own pickles,
    and strings are written each time.
    """

    dispatch = PythonPickler.dispatch.copy()

    def __init__(self, file: Any, reducer: Reducer, budget: list[int], inside: frozenset[int] = frozenset()) -> None:
        super().__init__(file, reducer, lambda buffer: buffer.raw().nbytes < SMALL_BUFFER)
        self._budget, self._inside = budget, inside

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
        parts = sorted(_canonical(element, self.reducer, self._budget, inside) for element in obj)
        self.save((type(obj).__name__, parts))

    dispatch[set] = _save_set
    dispatch[frozenset] = _save_set


def _may_hold_sets(stream: bytes) -> bool:
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


def canonical_bytes(obj: Any, reducer: Reducer) -> bytes:
    """Return bytes that are equal in every session for an equal object.

    Raises
    ------
    TooComplex
        If sets hold objects that hold sets, so that there would be no end to it.
    """
    return _canonical(obj, reducer, [_MOST_SET_OBJECTS], frozenset())


def _canonical(obj: Any, reducer: Reducer, budget: list[int], inside: frozenset[int]) -> bytes:
    file = io.BytesIO()
    _CanonicalPickler(file, reducer, budget, inside).dump(obj)
    return file.getvalue()


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
        offset: int = 0,
        digests: bool = False,
        deep: bool = False,
    ) -> None:
        self.reducer = Reducer(namespace)
        self._offset = offset
        self._digests, self._deep = digests, deep
        self._stream = _Stream(file)
        self._buffers = buffers
        self._placed: list[list[int]] = []
        pickler: Any = _DeepPickler if deep else _CPickler
        self._pickler = pickler(self._stream, self.reducer, self._take)
        self._kept_alive = _seed(self._pickler, namespace)

    def _take(self, buffer: pickle.PickleBuffer) -> bool:
        """The pickler offers a buffer; true means that it stays in the stream."""
        raw = buffer.raw()
        if raw.nbytes < SMALL_BUFFER:
            return True
        self._placed.append(self._buffers.place(buffer, raw))
        if self._digests:
            self._part_buffers.update(raw)
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
        except Exception as error:
            if isinstance(error, RecursionError) and not self._deep:
                raise  # for `deeply`, which tries once more
            raise CannotPickle(error) from error

    def _digest(self, obj: Any, emitted: dict[str, str]) -> str:
        """A digest of what was just written, equal in every session for an equal object.

        It starts with "~" if the part is too large to be pickled once more in canonical order: then it depends on what was
        written before it, too.
        """
        stream = self._stream
        digest = stream.part_digest
        large = stream.part_size > SMALL_CANONICAL
        if not large or (stream.part_size <= LARGEST_CANONICAL and _may_hold_sets(b"".join(stream.part))):
            reducer = Reducer(self.reducer.namespace)
            reducer.emitted = emitted
            try:
                canonical = canonical_bytes(obj, reducer)
            except Exception:  # noqa: BLE001  too complex, or of an object that will not be pickled twice
                large = True
            else:
                large, digest = False, new_digest()
                digest.update(canonical)
        digest.update(self._part_buffers.digest())
        return f"{'~' if large else ''}{digest.hexdigest()}"

    def close(self) -> Payload:
        """Write the sources of the code in it, and return how to read the payload."""
        self._dump(self.reducer.sources)
        return Payload(
            size=self._stream.size,
            offset=self._offset,
            checksum=self._stream.checksum,
            buffers=tuple(self._placed),
            trackers=tuple(self.reducer.trackers),
            has_code=self.reducer.has_code,
            magic=importlib.util.MAGIC_NUMBER.hex(),
            python=sys.version.split()[0],
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
        size, digest = writer.dump((name, value))
        written[name] = size, digest, asker
        waiting += [(also, reducer.namespace[also], who) for also, who in reducer.also.items()]
        reducer.also.clear()
    writer.dump(None)
    for name, asker in reducer.emitted.items():
        if asker:
            written.setdefault(name, (0, "", asker))
    return written
