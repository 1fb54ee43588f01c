"""The pickler: C pickle, with reducers for what belongs to the session.

Owns how functions, classes, modules, locks and streams are reduced, and what is refused. Needs the standard library only;
dill is imported when an object turns up that the stock pickler refuses or would store by a name the worker does not have,
and its own savers then reduce it. Knows nothing of files: see `payload`.
"""

from __future__ import annotations

import builtins
import collections
import copyreg
import functools
import marshal
import operator
import os
import pickle
import sys
import types
from collections.abc import Callable, Collection

from .. import restore
from ..digests import text_digest
from . import classes, instances, library
from .arrays import Arrays
from .bytecode import IDENTIFIER, TAKES_CODE, code_globals, code_imports, string_constants
from .library import home_of
from .refusals import Refused, why_refused
from .standin import StandIn

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, ClassVar

    from .arrays import Spill

    Reduction = Any  # what object.__reduce__ may return: a str, a tuple of two to six, or NotImplemented

ATOMS = frozenset({int, float, complex, str, bytes, bytearray, bool, type(None)})

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
    types.SimpleNamespace,
    types.GenericAlias,
}
_ARROW = " ← "
_LONGEST_CHAIN = 4
_STREAMS = ("stdin", "stdout", "stderr", "__stdin__", "__stdout__", "__stderr__")


def importable(obj: Any) -> bool:
    """Whether a function or class can be found by its module and qualified name in another process."""
    module = getattr(obj, "__module__", None)
    if module is None or module == "__main__" or module not in sys.modules or made_here(sys.modules[module]):
        return False
    found: Any = sys.modules[module]
    for part in obj.__qualname__.split("."):
        found = getattr(found, part, None)
    return found is obj


def made_here(module: types.ModuleType) -> bool:
    """Whether a module was made at run time by executing code in it, so that another process cannot import it."""
    members = vars(module) if isinstance(module, types.ModuleType) else {}
    return "__builtins__" in members and members.get("__spec__") is None and members.get("__file__") is None


def _module_of(namespace: dict[str, Any]) -> types.ModuleType | None:
    """The module in sys.modules whose globals these are."""
    name = namespace.get("__name__")
    module = sys.modules.get(name) if isinstance(name, str) else None
    return module if getattr(module, "__dict__", None) is namespace else None


def asked_by(function: types.FunctionType, namespace: dict[str, Any], askers: dict[str, str], current: str) -> str:
    """Return who uses the globals of a function, and who asked for that in turn: "select() ← cell".

    Parameters
    ----------
    askers : dict of str to str
        For globals that are known already, who asked for each.
    current : str
        The global in which the function was found.
    """
    own = function.__name__
    if own in askers and namespace.get(own) is function:
        parent = askers[own]
    else:
        parent = f"{current} ← {askers[current]}" if askers.get(current) else ""
    if parent.count(_ARROW) > _LONGEST_CHAIN:
        parent = f"…{_ARROW}{parent.rpartition(_ARROW)[2]}"
    return f"{function.__qualname__}(){_ARROW}{parent}" if parent else f"{function.__qualname__}()"


class _Finished:
    """Stands at the end of a class's attributes."""

    def __init__(self, cls: type) -> None:
        self.cls = cls


class Reducer:
    """The reducers, apart from the pickler they serve (the C one for writing, the Python one for explaining).

    Parameters
    ----------
    namespace : dict
        The session's globals; every reference to it means the reader's ``__main__``.
    wanted, spill
        See `Arrays`.
    arrays : Arrays, optional
        What reduces arrays, in place of the one that is made of `wanted` and `spill`.

    Attributes
    ----------
    reduce : callable
        What the pickler asks for each object: ``reducer_override``.
    current : str
        The global that is being written.
    emitted : dict of str to str
        Globals in the stream, and who asked for each: "select() ← cell".
    """

    def __init__(
        self,
        namespace: dict[str, Any],
        wanted: Collection[int] = (),
        spill: Spill | None = None,
        arrays: Arrays | None = None,
    ) -> None:
        self.namespace = namespace
        self.current = ""
        self.emitted: dict[str, str] = {}
        self.also: dict[str, str] = {}  # global -> who mentions it in a string annotation
        self.attributes: set[str] = set()  # attribute names seen in code: which submodules to import
        self.modules: set[str] = set()  # modules by whose names the stream refers to something
        self.imports: set[str] = set()  # modules that functions in it import when they run
        self.trackers: list[str] = []
        self.sources: dict[str, str] = {}
        self.has_code = False
        self._wanted = wanted
        self._arrays = arrays or Arrays(wanted, spill, lambda: self.current)
        self._scripts: dict[str, dict[str, None]] = {}  # file that %run executed -> its functions
        self._numbers: dict[type, int] = {}
        self._under_way: set[type] = set()  # classes whose attributes are being written
        self._private_namespaces: dict[int, tuple[StandIn, set[str]]] = {}
        self._modules: dict[int, types.ModuleType] = {}
        self._filenames: dict[str, str] = {}
        self.reduce = self._dispatcher()

    def _dispatcher(self) -> Callable[[Any], Reduction]:
        """Make the function that is called for each object: a closure, since its time is the pickler's time."""
        handlers: dict[type, Callable[[Any], Reduction] | None] = {}

        def reduce(obj: Any) -> Reduction:
            try:
                handler = handlers[type(obj)]
            except KeyError:
                handler = handlers[type(obj)] = self._handler(type(obj))
            return NotImplemented if handler is None else handler(obj)

        return reduce

    def packages(self) -> dict[str, str]:
        """Return the versions of the packages that the stream refers to, by the names under which they are imported."""
        if not self.modules:
            return {}
        from .modules import versions

        return versions(self.modules)

    def remarks(self) -> list[str]:
        """Return in words what will be different in the job."""
        remarks = self._arrays.remarks()
        for path, functions in self._scripts.items():
            names = ", ".join(f"{each}()" for each in functions)
            remarks.append(f"{names} came from {path}, executed by %run: in the job, too, with that script's own globals")
        return remarks

    def _handler(self, kind: type) -> Callable[[Any], Reduction] | None:
        """The reducer for a type; None means that the stock pickler does it right."""
        if kind in _NATIVE:
            return None
        if (special := self._sessions_own(kind)) is not None:
            return special
        known = self._refusal(kind) or library.reducer_of(kind) or self._by_dill(kind)
        return known or self._instance(kind)

    def _instance(self, kind: type) -> Callable[[Any], Reduction] | None:
        """The reducer of instances; those that stand on their own class are made while it is no more than a skeleton."""
        stock = instances.reducer_of(kind, importable(kind))
        if importable(kind) or not instances.may_call_its_class(kind):
            return stock

        def reduce(obj: Any) -> Reduction:
            if not self._under_way.isdisjoint(kind.__mro__):
                return instances.by_its_class(obj)
            return NotImplemented if stock is None else stock(obj)

        return reduce

    def _sessions_own(self, kind: type) -> Callable[[Any], Reduction] | None:
        """The reducers that know the session."""
        table: dict[type, Callable[[Any], Reduction]] = {
            types.FunctionType: self._function,
            types.MethodType: self._method,
            types.BuiltinFunctionType: self._builtin_method,
            types.CellType: self._cell,
            types.CodeType: self._code,
            _Finished: self._finish,
        }
        if (numpy := sys.modules.get("numpy")) is not None and hasattr(numpy, "memmap"):
            table |= {numpy.ndarray: self._arrays.reduce, numpy.memmap: self._arrays.reduce_map}
            if issubclass(kind, numpy.ndarray) and kind not in table:
                return self._noted_array(library.reducer_of(kind))
        if (torch := sys.modules.get("torch")) is not None and hasattr(torch, "Tensor"):
            table[torch.Tensor] = self._arrays.reduce_tensor
        if kind in table:
            return table[kind]
        if issubclass(kind, type):
            return self._class
        if issubclass(kind, types.ModuleType):
            return self._module
        if any(kind is type(getattr(sys, name, None)) for name in _STREAMS):
            return self._stream
        if home_of(kind).startswith(("IPython.", "ipykernel.", "persist_magic.worker.")) and self._is_shell(kind):
            return lambda shell: (restore.shell, ())
        return None

    @staticmethod
    def _is_shell(kind: type) -> bool:
        module = sys.modules.get("IPython.core.interactiveshell")
        return module is not None and issubclass(kind, module.InteractiveShell)

    @staticmethod
    def _refusal(kind: type) -> Callable[[Any], Reduction] | None:
        words = why_refused(kind)
        if words is None:
            return None

        def refuse(obj: object) -> Reduction:
            raise Refused(*words)

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
            self.modules.add("dill")
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
        name = f"<cell {text_digest(source)[:8]}>"
        self.sources[name] = source
        return name

    def _function(self, function: types.FunctionType) -> Reduction:
        if importable(function):
            self.modules.add(function.__module__)
            return NotImplemented
        self.imports.update(code_imports(function.__code__))
        namespace, needed = self._namespace_of(function)
        slots = {
            slot: value
            for slot in ("__defaults__", "__kwdefaults__", "__annotations__", "__type_params__")
            if (value := getattr(function, slot, None))
        }
        slots["__doc__"] = function.__doc__  # None, too: else it would come from the code
        slots["__qualname__"], slots["__module__"] = function.__qualname__, function.__module__
        skeleton = function.__code__, namespace, function.__name__, function.__closure__
        return restore.make_function, skeleton, (function.__dict__, slots, needed), None, None, restore.set_function

    def _namespace_of(self, function: types.FunctionType) -> tuple[Any, dict[str, Any]]:
        """What a function's globals are written as, and those of them that travel in the function's own state."""
        namespace: Any = function.__globals__
        if namespace is self.namespace:
            return namespace, self._needed(function)
        if namespace is builtins.__dict__ or id(namespace) in self._wanted:  # in the memo: a seed, or a captured dict
            return namespace, {}
        if (module := self._modules.get(id(namespace)) or _module_of(namespace)) is not None:
            if not made_here(module):
                self.modules.add(module.__name__)
                return StandIn(restore.module_namespace, module.__name__), {}
            return StandIn(restore.namespace_of, module), {}
        if "__file__" in namespace:
            self._scripts.setdefault(os.path.basename(namespace["__file__"]), {})[function.__qualname__] = None
        own_builtins = namespace.get("__builtins__")
        if own_builtins is builtins or own_builtins is builtins.__dict__:
            own_builtins = None
        stand_in, seen = self._private_namespaces.setdefault(
            id(namespace), (StandIn(restore.new_namespace, namespace.get("__name__", "__main__"), own_builtins), set())
        )
        used = [name for name in code_globals(function.__code__) if name in namespace and name not in seen]
        seen.update(used)
        needed = {name: namespace[name] for name in used}
        return stand_in, needed

    def _method(self, method: types.MethodType) -> Reduction:
        """A bound method, not by name where the name would find another function."""
        function, owner = method.__func__, method.__self__
        kind = owner if isinstance(owner, type) else type(owner)
        name = getattr(function, "__name__", "")
        found = instances.static(kind, name)
        shadowed = not isinstance(owner, type) and name in (getattr(owner, "__dict__", None) or ())
        if importable(function) and getattr(found, "__func__", found) is function and not shadowed:
            return NotImplemented
        return types.MethodType, (function, owner)

    def _builtin_method(self, method: Any) -> Reduction:
        """A builtin function, or a method of a builtin class that the object's own class has overridden."""
        owner = method.__self__
        if owner is None or isinstance(owner, (type, types.ModuleType)):
            return NotImplemented
        homes = [each for each in type(owner).__mro__ if method.__name__ in vars(each)]
        if not homes or not isinstance(vars(homes[0])[method.__name__], types.FunctionType):
            return NotImplemented
        base = next(each for each in homes if isinstance(vars(each)[method.__name__], types.MethodDescriptorType))
        return restore.bound_method, (base, method.__name__, owner)

    def _needed(self, function: types.FunctionType) -> dict[str, Any]:
        """The session's globals that a function uses and that are not in the stream yet.

        They travel in the function's own state, so that they are there before any instance whose ``__setstate__``
        or ``__hash__`` calls the function.
        """
        needed = {}
        asker = asked_by(function, self.namespace, self.emitted, self.current)
        self.attributes.update(function.__code__.co_names)
        for name in code_globals(function.__code__):
            if name in self.namespace and name not in self.emitted:
                self.emitted[name] = asker
                needed[name] = self.namespace[name]
        windows = [value for value in needed.values() if getattr(value, "__dict__", None) is self.namespace]
        if windows or "__main__" in code_imports(function.__code__):  # it may read globals as attributes of the module
            for name in function.__code__.co_names:
                if name in self.namespace and name not in self.emitted:
                    self.emitted[name] = asker
                    needed[name] = self.namespace[name]
        for annotation in function.__annotations__.values():
            if isinstance(annotation, str):
                self._mention(annotation, asker)
        if not TAKES_CODE.isdisjoint(function.__code__.co_names):
            for text in string_constants(function.__code__):
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

    # ---- classes

    def _class(self, cls: Any) -> Reduction:
        if importable(cls):
            self.modules.add(cls.__module__)
            # Python 3.13 moved its paths; others find them where they always were
            return NotImplemented if cls.__module__ != "pathlib._local" else (restore.load_global, ("pathlib", cls.__name__))
        if (example := classes.ctypes_example(cls)) is not None:
            return type, (example,)
        if not cls.__flags__ & (1 << 9):  # Py_TPFLAGS_HEAPTYPE
            handler = self._by_dill(type)
            return handler(cls) if handler is not None else NotImplemented
        self.has_code = True
        annotations = vars(cls).get("__annotations__")
        for annotation in annotations.values() if isinstance(annotations, dict) else ():
            if isinstance(annotation, str):
                self._mention(annotation, f"{cls.__qualname__} ← {self.emitted.get(cls.__qualname__) or 'cell'}")
        self._under_way.add(cls)
        return classes.reduce_class(cls, self._number(cls), _Finished(cls))

    def _finish(self, marker: _Finished) -> Reduction:
        self._under_way.discard(marker.cls)
        return restore.given, (None,)

    def _number(self, cls: type) -> int:
        """Where the class's tracker stands in the payload's list: a random id in the stream would change its digest."""
        if cls not in self._numbers:
            self._numbers[cls] = len(self.trackers)
            self.trackers.append(restore.tracker_of(cls))
        return self._numbers[cls]

    # ---- the rest

    def _module(self, module: types.ModuleType) -> Reduction:
        name = module.__name__
        if name == "__main__" and module.__dict__ is self.namespace:
            return restore.main_module, ()
        known = sys.modules.get(name) is module
        if known and not made_here(module):
            self.modules.add(name)
            prefix = name + "."
            loaded = sorted(other[len(prefix) :] for other in sys.modules if other.startswith(prefix))
            used = tuple(prefix + other for other in loaded if self.attributes.issuperset(other.split(".")))
            return restore.import_module, (name, used)
        self._modules[id(module.__dict__)] = module
        state = {k: v for k, v in module.__dict__.items() if k not in ("__builtins__", "__loader__", "__spec__")}
        return restore.make_module, (name, known), state, None, None, restore.set_module

    def _noted_array(self, reducer: Callable[[Any], Reduction] | None) -> Callable[[Any], Reduction]:
        """A subclass of numpy's array is written with data of its own."""

        def reduce(array: Any) -> Reduction:
            self._arrays.note(array)
            return NotImplemented if reducer is None else reducer(array)

        return reduce

    def _stream(self, stream: Any) -> Reduction:
        for name in _STREAMS:
            if stream is getattr(sys, name, None):
                return restore.standard_stream, (name,)
        refuse = self._refusal(type(stream))
        return refuse(stream) if refuse is not None else NotImplemented


class CPickler(pickle.Pickler):
    """The C pickler, asking a Reducer first."""

    def __init__(self, file: Any, reducer: Reducer, buffer_callback: Any) -> None:
        super().__init__(file, 5, buffer_callback=buffer_callback)
        vars(self)["reducer_override"] = reducer.reduce  # not a method: one call less for each object


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


class DeepPickler(PythonPickler):
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
