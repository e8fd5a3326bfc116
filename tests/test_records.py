"""Immutable records behave as frozen dataclasses with slots do."""

from __future__ import annotations

import copy
import pickle
from typing import ClassVar

import pytest

from browserid_sasl.records import Record, field, fields, replace


class Point(Record):
    """A record with one of everything."""

    dimensions: ClassVar[int] = 2

    x: int
    y: int = 0
    secret: bytes = field(default=b"", repr=False)
    marks: list[int] = field(default_factory=list)
    note: str = field(default="", compare=False, metadata="a note")

    @property
    def norm(self) -> int:
        """The sum of its coordinates."""
        return abs(self.x) + abs(self.y)


class Even(Record):
    """A record that checks itself."""

    number: int

    def __post_init__(self) -> None:
        if self.number % 2:
            raise ValueError(self.number)


class Other(Record):
    """A record with the fields of another."""

    number: int


class Nothing(Record):
    """A record without fields."""


def test_fields_are_given_by_position_or_name() -> None:
    assert Point(1, 2) == Point(x=1, y=2) == Point(1, y=2)
    assert (Point(1).y, Point(1).secret, Point(1).marks) == (0, b"", [])
    assert (Point(1, 2).norm, Point.dimensions, Nothing() == Nothing()) == (3, 2, True)


def test_a_default_that_is_made_is_made_each_time() -> None:
    assert Point(1).marks is not Point(1).marks


@pytest.mark.parametrize("arguments", [{}, {"y": 1}, {"x": 1, "z": 2}])
def test_what_does_not_fit_is_refused(arguments: dict[str, int]) -> None:
    with pytest.raises(TypeError):
        Point(**arguments)  # type: ignore[arg-type]


def test_a_field_without_default_after_one_with_is_refused() -> None:
    with pytest.raises(TypeError, match="a field without a default follows"):

        class Wrong(Record):
            x: int = 0
            y: int  # type: ignore[misc]


def test_it_can_check_itself() -> None:
    assert Even(2).number == 2
    with pytest.raises(ValueError, match="3"):
        Even(3)
    with pytest.raises(ValueError, match="5"):
        replace(Even(2), number=5)


def test_nothing_can_be_set_or_deleted() -> None:
    point = Point(1)
    with pytest.raises(AttributeError, match="Point is immutable: x can not be set"):
        point.x = 2  # type: ignore[misc]
    with pytest.raises(AttributeError, match="z can not be set"):
        point.z = 2
    with pytest.raises(AttributeError, match="Point is immutable: x can not be deleted"):
        del point.x
    assert point == Point(1)
    assert not hasattr(point, "__dict__")


def test_what_is_not_to_be_shown_is_not() -> None:
    assert repr(Point(1, secret=b"s3cret")) == "Point(x=1, y=0, marks=[], note='')"


def test_equality_and_hash_are_of_the_type_and_the_fields_that_count() -> None:
    assert Point(1, note="a") == Point(1, note="b")
    assert Point(1) != Point(2)
    assert Even(2) != Other(2)
    assert Other(2) != (2,)
    assert len({Other(2), Other(2), Other(3)}) == 2


def test_a_changed_copy() -> None:
    point = Point(1, 2, b"s")
    assert replace(point, y=3) == Point(1, 3, b"s")
    assert point.y == 2
    with pytest.raises(TypeError):
        replace(point, z=3)


def test_copies_and_pickles() -> None:
    point = Point(1, 2, b"s", [3], "note")
    for twin in (copy.copy(point), copy.deepcopy(point), pickle.loads(pickle.dumps(point))):
        assert (twin, twin.note) == (point, "note")


def test_matching_by_position() -> None:
    match Point(1, 2):
        case Point(x, y):
            assert (x, y) == (1, 2)


def test_what_was_declared_can_be_read() -> None:
    declared = fields(Point)
    assert list(declared) == ["x", "y", "secret", "marks", "note"]
    assert declared["note"].metadata == "a note"
    assert declared["marks"].factory is list
