"""Records behave as frozen dataclasses do."""

from __future__ import annotations

import dataclasses

import pytest

from persist_magic.frozen import Frozen, frozen


@frozen
class Point(Frozen):
    x: int
    y: int
    label: str = ""


def test_construction_by_place_and_by_name() -> None:
    assert Point(1, 2) == Point(x=1, y=2, label="")
    assert Point(1, y=2, label="a") != Point(1, 2)
    assert hash(Point(1, 2)) == hash(Point(1, y=2))
    assert repr(Point(1, 2)) == "Point(x=1, y=2, label='')"


@pytest.mark.parametrize(
    ("arguments", "named", "words"),
    [
        ((1,), {}, "Point needs y"),
        ((1, 2, "a", 4), {}, "takes 3 values, 4 were given"),
        ((1, 2), {"z": 3}, "has no place for z"),
        ((1, 2), {"x": 3}, "has no place for x"),
    ],
)
def test_wrong_values_are_told(arguments: tuple[object, ...], named: dict[str, object], words: str) -> None:
    with pytest.raises(TypeError, match=words):
        Point(*arguments, **named)


def test_nothing_is_assigned_later() -> None:
    point = Point(1, 2)
    with pytest.raises(dataclasses.FrozenInstanceError):
        point.x = 3


def test_the_library_knows_them() -> None:
    point = Point(1, 2)
    assert dataclasses.asdict(point) == {"x": 1, "y": 2, "label": ""}
    assert dataclasses.replace(point, y=5) == Point(1, 5)
