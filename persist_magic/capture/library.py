"""Types of the standard library that the stock pickler gets wrong or refuses, and subclasses of numpy's array.

Owns their reductions, each of which needs nothing but the object itself. No library is imported here: an object of its type
exists only where the session has imported it. Knows nothing of the session's own functions and classes.
"""

from __future__ import annotations

import _thread
import os
import sys
import types
import weakref
from collections.abc import Callable

from .. import restore
from .refusals import Refused

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Reduction = Any  # what object.__reduce__ may return: a str, a tuple of two to six, or NotImplemented


def reducer_of(kind: type) -> Callable[[Any], Reduction] | None:
    """Return how objects of a type are reduced, or None if nothing is known of it here."""
    if (known := _ALWAYS.get(kind)) is not None:
        return known
    for module, names in _IF_LOADED.items():
        loaded = sys.modules.get(module)
        for name, reducer in names.items() if loaded is not None else ():
            if kind is getattr(loaded, name, None):
                return reducer
    threading = sys.modules.get("threading")
    if (
        threading is not None
        and issubclass(kind, threading.Thread)
        and not any("__reduce__" in vars(c) for c in kind.__mro__[:-1])
    ):
        return _thread_object
    return _array_subclass(kind)


def home_of(kind: type) -> str:
    """The module that a class says it is from, or "": some extension types say something else there."""
    module = kind.__module__
    return module if isinstance(module, str) else ""


# ---------------------------------------------------------------- the parts of classes


def _method_wrapper(method: Any) -> Reduction:
    return type(method), (method.__func__,)


def _property(prop: property) -> Reduction:
    return property, (prop.fget, prop.fset, prop.fdel, prop.__doc__)


def _descriptor(descriptor: Any) -> Reduction:
    return restore.load_attribute, (descriptor.__objclass__, descriptor.__name__)


def _type_variable(variable: Any) -> Reduction:
    """``typing.TypeVar``, and ``ParamSpec`` and ``TypeVarTuple``, which have some of its attributes."""
    module = sys.modules.get(variable.__module__)
    if variable.__module__ != "__main__" and getattr(module, variable.__name__, None) is variable:
        return NotImplemented
    settings = {
        name: value
        for name in ("bound", "covariant", "contravariant", "infer_variance")
        if (value := getattr(variable, f"__{name}__", None))
    }
    constraints = getattr(variable, "__constraints__", ())
    return restore.type_variable, (type(variable), variable.__name__, constraints, settings, variable.__module__)


def _new_type(made: Any) -> Reduction:
    return restore.new_type, (made.__name__, made.__supertype__, made.__module__)


# ---------------------------------------------------------------- the standard library


def _lock(lock: object) -> Reduction:
    return restore.fresh_lock, (type(lock) is _thread.RLock,)


def _memoryview(view: memoryview) -> Reduction:
    """A view of a whole object as a view of that one, of a part of it as a view of a copy."""
    exporter: Any = view.obj
    if home_of(type(exporter)) == "numpy" and (view.shape, view.strides) == (exporter.shape, exporter.strides):
        return memoryview, (exporter,)
    if not view.nbytes:
        return memoryview, (b"" if view.readonly else bytearray(),)
    if len(view.format) != 1:
        raise Refused(f"cannot pickle 'memoryview' of format {view.format!r}", "take its object instead")
    whole = isinstance(exporter, (bytes, bytearray)) and view.c_contiguous and len(exporter) == view.nbytes
    if not whole:
        exporter = view.tobytes() if view.readonly else bytearray(view.tobytes())
    return restore.make_memoryview, (exporter, view.format, view.shape)


def _weak_dictionary(weak: Any) -> Reduction:
    return type(weak), (), None, None, iter(list(weak.items()))


def _weak_set(weak: Any) -> Reduction:
    return type(weak), (list(weak),)


def _weak_method(reference: Any) -> Reduction:
    method = reference()
    if method is None:
        raise Refused("cannot pickle 'WeakMethod': its object is gone", "drop it")
    return weakref.WeakMethod, (method,)


def _environ(environ: Any) -> Reduction:
    return (restore.load_global, ("os", "environ")) if environ is os.environ else NotImplemented


def _hidden_generator(generator: Any) -> Reduction:
    """The generator behind the functions of the module random, or of numpy.random, is the reader's."""
    for module, name in (("random", "_inst"), ("numpy.random.mtrand", "_rand")):
        if generator is getattr(sys.modules.get(module), name, None):
            return restore.load_global, (module, name)
    return NotImplemented


def _type_alias(alias: Any) -> Reduction:
    if _refers_to(alias.__value__, alias):
        raise Refused("cannot pickle 'TypeAliasType': a type alias that refers to itself", "define it inside the cell")
    return restore.type_alias, (alias.__name__, alias.__value__, alias.__type_params__, alias.__module__)


def _refers_to(kind: Any, alias: Any) -> bool:
    return kind is alias or any(_refers_to(each, alias) for each in getattr(kind, "__args__", ()))


def _struct(struct: Any) -> Reduction:
    return type(struct), (struct.format,)


def _context_variable(variable: Any) -> Reduction:
    contextvars: Any = sys.modules["contextvars"]
    state: list[tuple[Any, ...]] = []
    for context in (contextvars.copy_context(), contextvars.Context()):  # its value, its default
        try:
            state.append((context.run(variable.get),))
        except LookupError:
            state.append(())
    return restore.make_context_variable, (variable.name, *state)


def _future(future: Any) -> Reduction:
    if not future.done():
        raise Refused("cannot pickle 'Future': a running computation of this session", "take its result first")
    return NotImplemented


def _thread_local(local: Any) -> Reduction:
    """What this thread sees of it."""
    return type(local), (), dict(local.__dict__) or None


def _thread_object(thread: Any) -> Reduction:
    if thread.is_alive():
        raise Refused("cannot pickle 'Thread': a running thread", "start it inside the cell")
    process_bound = {"_handle", "_tstate_lock", "_invoke_excepthook", "_stderr"}
    state = {name: value for name, value in thread.__dict__.items() if name not in process_bound}
    return restore.make_thread, (type(thread),), state, None, None, restore.set_thread


# ---------------------------------------------------------------- numpy


def _array_subclass(kind: type) -> Callable[[Any], Reduction] | None:
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


_ALWAYS: dict[type, Callable[[Any], Reduction]] = {
    staticmethod: _method_wrapper,
    classmethod: _method_wrapper,
    property: _property,
    types.MemberDescriptorType: _descriptor,
    types.GetSetDescriptorType: _descriptor,
    memoryview: _memoryview,
    weakref.WeakValueDictionary: _weak_dictionary,
    weakref.WeakKeyDictionary: _weak_dictionary,
    weakref.WeakSet: _weak_set,
    weakref.WeakMethod: _weak_method,
    type(os.environ): _environ,
    _thread.LockType: _lock,
    _thread.RLock: _lock,
}
_IF_LOADED: dict[str, dict[str, Callable[[Any], Reduction]]] = {
    "typing": {
        "TypeVar": _type_variable,
        "ParamSpec": _type_variable,
        "TypeVarTuple": _type_variable,
        "NewType": _new_type,
        "TypeAliasType": _type_alias,
    },
    "random": {"Random": _hidden_generator},
    "numpy.random": {"RandomState": _hidden_generator},
    "concurrent.futures": {"Future": _future},
    "contextvars": {"ContextVar": _context_variable},
    "threading": {"local": _thread_local},
    "struct": {"Struct": _struct},
}
