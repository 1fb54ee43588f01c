"""Instances: those that can be reduced faster than the pickle protocol does it, and those that it would not bring back.

Owns the reductions of instances that are their attributes and nothing else, of exceptions, members of enumerations, values
and containers whose class has other ideas of its arguments than the builtin one, objects whose class answers for attributes
that it does not have, and objects that pickle as the name of a global. All other instances follow the pickle protocol. Knows
nothing of functions, classes or the session.
"""

from __future__ import annotations

import builtins
import collections
import copyreg
import enum
import operator
import sys
import types
from collections.abc import Callable

from .. import restore

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Reduction = Any

_HOOKS = frozenset({"__reduce__", "__reduce_ex__"})
_STATE_HOOKS = frozenset({"__getstate__", "__setstate__"})
_ARGUMENT_HOOKS = frozenset({"__getnewargs__", "__getnewargs_ex__"})
_VALUES = (tuple, str, int, float, complex, bytes, frozenset)
_CONTAINERS = (list, dict, set, collections.deque)


_STOCK = frozenset(each for each in vars(builtins).values() if isinstance(each, type)) | {
    collections.OrderedDict,
    collections.defaultdict,
    collections.deque,
    collections.Counter,
}


def reducer_of(kind: type, importable: bool) -> Callable[[Any], Reduction] | None:
    """Return how instances of a class are reduced, or None if the pickle protocol does it right.

    Parameters
    ----------
    importable : bool
        Whether the class is found by its name, so that somebody may have tried to pickle its instances before.
    """
    if kind in copyreg.dispatch_table:
        return None
    if issubclass(kind, BaseException):
        return None if _is_pickled_by(kind, importable) else _exception
    if issubclass(kind, enum.Enum):
        return None if importable else _member
    if _defines(kind, _HOOKS):
        return None if importable else _by_its_own_words
    special = _answers_for_anything(kind)
    if not importable:
        special |= issubclass(kind, _CONTAINERS) or _defines(kind, {"__setattr__"})
        special |= _defines(kind, {"__new__"}) and not issubclass(kind, _VALUES)
    if special and _made_of_builtins(kind) and not _defines(kind, _STATE_HOOKS | _ARGUMENT_HOOKS):
        return by_its_class
    if _is_plain(kind):
        return _plain_reducer(kind)
    if not importable and issubclass(kind, _VALUES) and _defines(kind, {"__new__"}) and not _defines(kind, _ARGUMENT_HOOKS):
        return by_its_class
    return None


def may_call_its_class(kind: type) -> bool:
    """Whether instances may be made by calling their class, and could be made without."""
    return _made_of_builtins(kind) and _defines(kind, _HOOKS | _ARGUMENT_HOOKS) and not issubclass(kind, enum.Enum)


def _defines(kind: type, names: frozenset[str] | set[str]) -> bool:
    """Whether a class, or one that it derives from, the builtin ones left out, defines one of the names."""
    return any(each not in _STOCK and not names.isdisjoint(vars(each)) for each in kind.__mro__)


def _answers_for_anything(kind: type) -> bool:
    """Whether the pickler, which asks an instance for its methods, may be told of one that is not there."""
    return _defines(kind, {"__getattr__", "__getattribute__"}) or isinstance(static(kind, "__class__"), property)


def _made_of_builtins(kind: type) -> bool:
    """Whether all of an instance is its attributes, its slots and the value of a builtin class."""
    known = object, collections.OrderedDict, collections.defaultdict, *_CONTAINERS, *_VALUES
    return all(each in known or _made_in_python(each) for each in kind.__mro__)


def _made_in_python(kind: type) -> bool:
    heap, immutable = 1 << 9, 1 << 8  # Py_TPFLAGS_HEAPTYPE, Py_TPFLAGS_IMMUTABLETYPE
    made_in_c = kind.__flags__ & immutable or isinstance(vars(kind).get("__new__"), types.BuiltinMethodType)
    return bool(kind.__flags__ & heap) and not made_in_c


def static(kind: type, name: str) -> Any:
    """Return what a class has under a name, without asking descriptors or a metaclass; None if nothing."""
    return next((vars(each)[name] for each in kind.__mro__ if name in vars(each)), None)


def _slots(obj: Any, kind: type) -> dict[str, Any]:
    """The values of an instance's slots, read without asking its class."""
    found = {}
    for name in copyreg._slotnames(kind):  # type: ignore[attr-defined]  # what copyreg.__reduce_ex__ itself uses
        descriptor = static(kind, name)
        if isinstance(descriptor, types.MemberDescriptorType):
            try:
                found[name] = descriptor.__get__(obj, kind)
            except AttributeError:
                continue
    return found


def _attributes(obj: Any) -> dict[str, Any]:
    try:
        found = object.__getattribute__(obj, "__dict__")
    except AttributeError:
        return {}
    return found if type(found) is dict else {}


def _state(obj: Any, kind: type) -> tuple[dict[str, Any], dict[str, Any]] | None:
    state = _attributes(obj), _slots(obj, kind)
    return state if any(state) else None


def _is_plain(kind: type) -> bool:
    """Whether an instance is its ``__dict__``, and nothing says otherwise."""
    classes = kind.__mro__[:-1]
    return (
        bool(classes)
        and all(_made_in_python(each) and "__slots__" not in vars(each) for each in classes)
        and isinstance(static(kind, "__dict__"), types.GetSetDescriptorType)
        and not _defines(kind, _HOOKS | _STATE_HOOKS | _ARGUMENT_HOOKS | {"__getattribute__", "__getattr__", "__class__"})
    )


# ---------------------------------------------------------------- the reductions


def _plain_reducer(kind: type) -> Callable[[Any], Reduction]:
    """What ``object.__reduce_ex__`` would say, in a third of its time: it looks for all that a class might define."""
    new: Any = copyreg.__newobj__  # type: ignore[attr-defined]
    made_of = (kind,)

    def reduce(obj: Any) -> Reduction:
        return new, made_of, obj.__dict__ or None

    return reduce


def by_its_class(obj: Any) -> Reduction:
    """What object.__reduce_ex__ would do, from the class alone."""
    kind = type(obj)
    base, raw = _base_value(obj, kind)
    made = restore.new_object, (base, kind, *raw)
    content: Any = None
    if issubclass(kind, collections.defaultdict):
        content = obj.default_factory, dict(dict.items(obj))
    elif issubclass(kind, dict):
        content = dict(dict.items(obj))
    elif issubclass(kind, collections.deque):
        content = list(collections.deque.__iter__(obj)), obj.maxlen
    elif issubclass(kind, (list, set)):
        content = list(list.__iter__(obj) if issubclass(kind, list) else set.__iter__(obj))
    else:
        return *made, _state(obj, kind), None, None, restore.set_object
    return *made, (*(_state(obj, kind) or ({}, {})), base, content), None, None, restore.set_container


def _base_value(obj: Any, kind: type) -> tuple[type, tuple[Any, ...]]:
    """The builtin class that makes the instance, and what it is to make it of."""
    base = next(each for each in kind.__mro__ if each in _STOCK)
    return base, (plain(obj, base),) if base in _VALUES else ()


def plain(obj: Any, base: type) -> Any:
    """The value of an instance of a subclass of `base`, whatever the subclass says of itself when it is converted."""
    read: dict[type, Callable[[Any], Any]] = {
        tuple: lambda value: tuple(tuple.__iter__(value)),
        str: str.__str__,
        int: int.__pos__,
        float: float.__pos__,
        complex: complex.__pos__,
        bytes: lambda value: bytes.__getitem__(value, slice(None)),
        frozenset: lambda value: frozenset(frozenset.__iter__(value)),
    }
    return read[base](obj)


def _by_its_own_words(obj: Any) -> Reduction:
    """An object that says how it is pickled, perhaps only as the global that it is bound to: a sentinel, a registry.

    The reader has no such global yet; it gets the object and with it the name.
    """
    reduced = obj.__reduce_ex__(5)
    kind = type(obj)
    if isinstance(reduced, tuple) and len(reduced) == 2 and not _says_so_itself(kind):
        # a library's words: they leave out what the session's class has added, and do not know its __new__
        made: Any = reduced
        base: Any = next(each for each in kind.__mro__ if not _is_of_session(each))
        if reduced[0] is kind and base.__new__ is not object.__new__:
            made = restore.new_object, (base, kind, *reduced[1])
        return *made, _state(obj, kind), None, None, restore.set_object
    by_name = isinstance(reduced, str) and not _found(getattr(obj, "__module__", None), reduced, obj)
    return by_its_class(obj) if by_name and _made_of_builtins(type(obj)) else reduced


def _says_so_itself(kind: type) -> bool:
    """Whether it is a class of the session that says how its instances are pickled."""
    return _is_of_session(next(each for each in kind.__mro__ if not _HOOKS.isdisjoint(vars(each))))


def _is_of_session(kind: type) -> bool:
    return kind.__module__ == "__main__" or "<locals>" in kind.__qualname__


def _is_pickled_by(kind: type, importable: bool) -> bool:
    """Whether an exception says how it is pickled; a library's words do not hold for an ``__init__`` of the session."""
    hooks = _HOOKS | _STATE_HOOKS | _ARGUMENT_HOOKS
    home = next((each for each in kind.__mro__ if each not in _STOCK and not hooks.isdisjoint(vars(each))), None)
    if home is None:
        return False
    own_init = not importable and any("__init__" in vars(each) for each in kind.__mro__[: kind.__mro__.index(home)])
    return not own_init


def _found(module: object, name: str, obj: object) -> bool:
    """Whether a library has an object under a name."""
    found: Any = sys.modules.get(module) if isinstance(module, str) and module != "__main__" else None
    for part in name.split("."):
        found = getattr(found, part, None)
    return found is obj


def _member(member: Any) -> Reduction:
    """A member of an enumeration by its name, a combination of flags by its value."""
    kind = type(member)
    if kind._member_map_.get(member._name_) is member:
        return operator.getitem, (kind, member._name_)
    return kind, (member._value_,)


def _exception(error: BaseException) -> Reduction:
    """An exception without calling its ``__init__``, which may want other arguments than the exception's ``args``.

    Its traceback stays behind: frames cannot travel.
    """
    kind = type(error)
    base = next(each for each in kind.__mro__ if each in _STOCK)
    members: dict[str, Any] = {}
    for each in base.__mro__:
        for name, descriptor in vars(each).items():
            if isinstance(descriptor, types.MemberDescriptorType) and (value := descriptor.__get__(error)) is not None:
                members[name] = value
    chain = error.__cause__, error.__context__, error.__suppress_context__
    group: Any = getattr(builtins, "BaseExceptionGroup", None)
    made_of = error.args if group is not None and issubclass(base, group) else ()
    state = error.args, members, chain, _attributes(error), _slots(error, kind)
    return restore.new_object, (base, kind, *made_of), state, None, None, restore.set_exception
