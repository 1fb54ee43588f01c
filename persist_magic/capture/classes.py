"""How classes of the session travel: a skeleton, then what belongs on it.

Owns the reduction of a class by value: what its ``type.__new__`` needs, what is set on it afterwards and in which order,
where it was registered, and what enumerations and ctypes want besides. Knows nothing of functions or of the session: the
class's number in the payload is given.
"""

from __future__ import annotations

import abc
import enum
import sys
import types

from .. import restore
from . import instances
from .standin import StandIn

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Reduction = Any

_METHODS = (types.FunctionType, classmethod, staticmethod, property)
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


def reduce_class(cls: Any, number: int, last: object) -> Reduction:
    """Reduce a class in two phases, so that any cycle through it holds.

    Parameters
    ----------
    number : int
        Where the class's tracker stands in the payload's list.
    last : object
        What is to be written after all that belongs to the class.
    """
    attributes = dict(cls.__dict__)
    is_enum = isinstance(cls, enum.EnumMeta)
    make, arguments = (_enum_skeleton if is_enum else _class_skeleton)(cls, attributes, number)
    if "__doc__" in attributes:  # where type.__new__ puts it, so that the class's copy has the same pickle
        attributes = {"__doc__": attributes.pop("__doc__"), **attributes}
    registered: list[type] = []
    if isinstance(cls, abc.ABCMeta):
        attributes.pop("_abc_impl", None)
        registered = _registry(cls)
    for name in ("__module__", "__qualname__", "__slots__", "__orig_bases__", "__dict__", "__weakref__"):
        attributes.pop(name, None)
    registers = [each for each in _library_abcs() if cls in _registry(each)]
    members = _attributes_of_members(cls) if is_enum else {}
    # the methods first: instances among the other attributes may be made by calling the class
    methods = {name: value for name, value in attributes.items() if isinstance(value, _METHODS)}
    others = {name: value for name, value in attributes.items() if name not in methods}
    state = StandIn(restore.set_methods, cls, methods), others, registered, registers, members, last
    return make, arguments, state, None, None, restore.set_class


def _class_skeleton(cls: Any, attributes: dict[str, Any], number: int) -> tuple[Any, tuple[Any, ...]]:
    namespace = {"__module__": cls.__module__, "__qualname__": cls.__qualname__}
    for name in ("__slots__", "__orig_bases__", "_is_protocol"):
        if name in attributes:
            namespace[name] = attributes[name]
    for name in ("__class__", "__dict__"):  # could not be set later: they would be the class's own
        if isinstance(attributes.get(name), property):
            namespace[name] = attributes.pop(name)
    if ctypes_example(type(cls)) is not None:  # their metaclass makes the fields
        fields = [name for name, *_ in attributes.get("_fields_", ())]
        for name in fields:
            attributes.pop(name, None)
        for name in ("_pack_", "_anonymous_", "_layout_", "_align_", "_fields_", "_type_", "_length_"):
            if name in attributes:
                namespace[name] = attributes.pop(name)
    slots = attributes.get("__slots__", ())
    for slot in (slots,) if isinstance(slots, str) else slots:
        attributes.pop(slot, None)
        if slot.startswith("__") and not slot.endswith("__"):
            attributes.pop(f"_{cls.__name__.lstrip('_')}{slot}", None)
    return restore.make_class, (type(cls), cls.__name__, cls.__bases__, namespace, number)


def _enum_skeleton(cls: Any, attributes: dict[str, Any], number: int) -> tuple[Any, tuple[Any, ...]]:
    data_type = cls._member_type_
    members = []
    for name, member in cls.__members__.items():
        members.append((name, _made_of(member, data_type), member._value_))
    for name in [n for n in attributes if n in cls.__members__ or n in _ENUM_MACHINERY]:
        del attributes[name]
    names = cls.__name__, cls.__module__, cls.__qualname__
    boundary = cls._boundary_ if sys.version_info >= (3, 11) and issubclass(cls, enum.Flag) else None
    return restore.make_enum, (type(cls), cls.__bases__, names, members, boundary, number)


def _made_of(member: Any, data_type: type) -> Any:
    """What a member of an enumeration is made of: its value, or the arguments of its data type."""
    if data_type in (int, str, float, bytes):
        return instances.plain(member, data_type)
    value = member._value_
    if type(value) is data_type and data_type is not object and not isinstance(value, tuple):
        reduced = value.__reduce_ex__(2)
        if isinstance(reduced, tuple) and reduced[0] is data_type and len(reduced) == 2:
            return reduced[1]
    return value


def _attributes_of_members(cls: Any) -> dict[str, dict[str, Any]]:
    """What the members of an enumeration carry besides name and value; they may refer to each other."""
    machinery = {"_value_", "_name_", "__objclass__", "_sort_order_", "_inverted_"}
    found = {}
    for name, member in cls.__members__.items():
        if name == member._name_ and (own := {k: v for k, v in member.__dict__.items() if k not in machinery}):
            found[name] = own
    return found


def _registry(cls: Any) -> list[type]:
    """The classes that were registered with an abstract base class."""
    dump: Any = getattr(abc, "_get_dump", None)
    return [found for reference in dump(cls)[0] if (found := reference()) is not None] if dump is not None else []


def _library_abcs() -> list[type]:
    """Abstract base classes of the standard library with which a class of the session may have been registered."""
    homes = (sys.modules.get(name) for name in ("collections.abc", "numbers", "os", "importlib.abc"))
    return [each for home in homes if home is not None for each in vars(home).values() if isinstance(each, abc.ABCMeta)]


def ctypes_example(meta: type) -> Any:
    """A class of a metaclass of ctypes: these metaclasses have no name by which they could be found."""
    ctypes = sys.modules.get("ctypes")
    names = ("Structure", "Union", "BigEndianStructure", "LittleEndianStructure", "c_int", "Array")
    classes = [getattr(ctypes, name) for name in names] if ctypes is not None else []
    return next((each for each in classes if type(each) is meta), None)
