"""Frozen dataclasses that cost next to nothing to define.

Owns `frozen`, a decorator in the place of ``dataclass(frozen=True)``. That one compiles six methods for each class, about
1 ms a class before Python 3.13, at every start of a worker; here one base class has them for all. `dataclasses.fields`,
`asdict` and `replace` work as usual.
"""

from __future__ import annotations

import dataclasses

__all__ = ["Frozen", "frozen"]

TYPE_CHECKING = False
if TYPE_CHECKING:
    from dataclasses import dataclass as frozen  # what it amounts to
else:

    def frozen(cls):
        """Make a class a dataclass; its base must be `Frozen`."""
        return dataclasses.dataclass(init=False, repr=False, eq=False)(cls)


class Frozen:
    """Base of frozen dataclasses: construction, comparison and repr by the fields, and no assignment."""

    if not TYPE_CHECKING:

        def __init__(self, *arguments, **named):
            fields = self.__dataclass_fields__
            if len(arguments) > len(fields):
                raise TypeError(f"{type(self).__name__} takes {len(fields)} values, {len(arguments)} were given")
            values = dict(zip(fields, arguments, strict=False))
            for name, each in fields.items():
                if name in values:
                    continue
                if name in named:
                    values[name] = named.pop(name)
                elif each.default is not dataclasses.MISSING:
                    values[name] = each.default
                else:
                    raise TypeError(f"{type(self).__name__} needs {name}")
            if named:
                raise TypeError(f"{type(self).__name__} has no place for {', '.join(named)}")
            self.__dict__.update(values)

    def __setattr__(self, name: str, value: object) -> None:
        raise dataclasses.FrozenInstanceError(f"cannot assign to {name}")

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and self.__dict__ == other.__dict__

    def __hash__(self) -> int:
        return hash(tuple(self.__dict__.values()))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in self.__dict__.items())})"
