"""Ids, flags and numbers are parsed in the spellings of other tools."""

import json
from typing import ClassVar

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from unimask.errors import DataError
from unimask.formats.json_values import (
    Flag,
    Id,
    JsonValueError,
    convert_record,
    normalize_fields,
    normalize_id,
    parse_class_name,
    parse_flag,
    parse_float,
    parse_integer,
    parse_text,
)

ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


class Shape(msgspec.Struct):
    id: Id
    crowd: Flag = None
    points: list[float] = []

    NORMAL: ClassVar = {"id": normalize_id, "crowd": parse_flag}

    def __post_init__(self) -> None:
        normalize_fields(self, self.NORMAL)


class Shapes(msgspec.Struct):
    shapes: list[Shape]


@pytest.mark.parametrize("value", [1, 1.0, "1", " 1 ", "1.0", "1.00"])
def test_equal_numbers_have_equal_ids(value):
    assert normalize_id(value) == 1 and type(normalize_id(value)) is int


@pytest.mark.parametrize("value", ["01", "1.5", "1e3", "a", "0x1", "1" * 30, "٣", "-", "1."])
def test_non_numeric_ids_stay_text(value):
    assert normalize_id(f" {value} ") == value


@pytest.mark.parametrize(
    "value",
    [None, True, 1.5, float("nan"), float("inf"), [1], {}, "", " ", 2**63, 1e30, "a\0", "\ud800"],
)
def test_invalid_ids_are_refused(value):
    with pytest.raises(DataError, match=r"^is "):
        normalize_id(value)


@pytest.mark.parametrize("value", [1, 1.0, True, "1", "true", " True ", "yes", "1.0"])
def test_true_flags(value):
    assert parse_flag(value) is True


@pytest.mark.parametrize(
    "value", [0, 0.0, False, "0", "false", "No", None, float("nan"), "", "nan", "null", "0.0"]
)
def test_false_flags(value):
    assert parse_flag(value) is False


@pytest.mark.parametrize("value", [2, -1, 0.5, "maybe", [], [0], {}, float("inf"), 10**400])
def test_invalid_flags_are_refused(value):
    with pytest.raises(DataError, match="expected 0 or 1"):
        parse_flag(value)


def test_whole_numbers_are_bounded():
    assert [parse_integer(value, 50) for value in (48, 48.0, "48", "48.0")] == [48] * 4
    for value in (51, -1, 1.5, None, "", "x", True, [], 10**400, 1e400, float("nan"), "9" * 5000):
        with pytest.raises(DataError):
            parse_integer(value, 50)
    assert parse_integer(2**62 + 1, 2**63) == 2**62 + 1


def test_missing_numbers_are_nan():
    assert [parse_float(value) for value in (1, "1.5", 2**70)] == [1, 1.5, 2.0**70]
    assert all(parse_float(value) != parse_float(value) for value in (None, "", "nan"))
    for value in (True, [], {}, "x", 10**400):
        with pytest.raises(DataError, match="expected a number"):
            parse_float(value)


def test_classes_may_be_called_by_numbers_but_not_by_lists():
    assert [parse_class_name(value) for value in (7, 7.0, "7", "cat")] == ["7", "7", "7", "cat"]
    for value in (None, True, [], {}, "\ud83d", "a\0b", 1.5):
        with pytest.raises(DataError, match=r"^is "):
            parse_class_name(value)


@given(ANYTHING)
def test_any_value_is_read_or_refused_in_one_line(value):
    for function in (normalize_id, parse_flag, parse_float, parse_text, parse_class_name):
        try:
            function(value)
        except DataError as error:
            assert "\n" not in str(error) and len(str(error)) < 200
    try:
        convert_record({"id": value, "crowd": value, "points": value}, Shape)
    except DataError as error:
        assert "\n" not in str(error)


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ({"id": 1, "points": [0, None]}, "shapes[1].points[1]: expected float, got null"),
        ({"id": 1, "points": [10**400]}, "shapes[1].points[0]: number out of range"),
        ({"id": None}, "shapes[1].id: expected a whole number or text, got null"),
        ({"id": 1, "crowd": "some"}, "shapes[1]: crowd is 'some': expected 0 or 1"),
        ({}, "shapes[1]: lacks the field id"),
        ([], "shapes[1]: expected object, got array"),
        ({"id": 1, "\ud800": 1}, "has a key of invalid characters"),
    ],
)
def test_record_errors_name_the_path_of_the_value(shape, message):
    with pytest.raises(JsonValueError) as refused:
        convert_record({"shapes": [{"id": "7", "crowd": float("nan")}, shape]}, Shapes)
    assert str(refused.value) == message


def test_records_are_normalised_and_unknown_fields_ignored():
    record = convert_record(json.loads('{"id": "7", "crowd": "false", "score": []}'), Shape)
    assert (record.id, record.crowd, record.points) == (7, False, [])
