"""Normal forms of values in other tools' JSON files: ids, flags, numbers and text."""

import re
from collections.abc import Callable, Mapping
from math import isfinite, isnan
from typing import Any, TypeVar

import msgspec

from unimask.errors import DataError

Id = int | float | str
"""Types in which ids occur; records declare ids with it and normalise them by `normalize_id`."""

Flag = bool | int | float | str | None
"""Types in which flags occur; records declare flags with it and parse them by `parse_flag`."""

Number = int | float | str | None
"""Types in which numbers occur, including text, which spreadsheets and VIA write."""

MAX_ID = 2**63 - 1
"""Largest id: a signed integer of 64 bits."""

INTEGER_TEXT = re.compile(r"-?(?:0|[1-9]\d{0,18})(?:\.0{1,18})?", re.ASCII)
"""Text that is an integer. "01" is not, because names of files and slides begin with zeros."""

INVALID_CHARACTERS = re.compile("[\0\ud800-\udfff]")
"""NUL and unpaired surrogates, which JSON can contain and file names cannot."""

MAX_NUMBER_LENGTH = 64
"""Maximum length in characters of a number in text."""

TRUE_WORDS = frozenset(("1", "1.0", "true", "t", "yes", "y"))
FALSE_WORDS = frozenset(("", "0", "0.0", "false", "f", "no", "n", "nan", "none", "null"))

PLAIN_WORDS = {
    "Object missing required": "lacks the",
    "`bool | int | float | str | null`": "0 or 1",
    "`int | float | str | null`": "a number",
    "`int | float | str`": "a whole number or text",
    "`": "",
}
"""Replacements in messages of msgspec, for users who do not know its terms."""

Record = TypeVar("Record")


class JsonValueError(DataError, ValueError):
    """An invalid value; its message is the end of a sentence.

    It is a ValueError so that msgspec reports it together with the path of its record.
    """


def normalize_id(value: object) -> int | str:
    """Return an id in its normal form, in which equal ids compare equal.

    1, 1.0, "1", " 1 " and "1.0" become the integer 1. "01" and other text stay text, stripped of
    surrounding whitespace.

    Raises:
        JsonValueError: It is neither an integer of 64 bits nor valid text.
    """
    if type(value) is int and abs(value) <= MAX_ID:
        return value
    if isinstance(value, str):
        text = parse_text(value).strip()
        if not text:
            raise JsonValueError("is an empty id: expected a whole number or text")
        if not INTEGER_TEXT.fullmatch(text):
            return text
        number: object = int(text.partition(".")[0])
    else:
        number = value
    if isinstance(number, float) and number.is_integer():
        number = int(number)
    if isinstance(number, bool) or not isinstance(number, int) or abs(number) > MAX_ID:
        raise JsonValueError(f"is {abbreviate(value)}: expected an id, a whole number or text")
    return number


def parse_flag(value: object) -> bool:
    """Parse a flag that is a boolean, a number or text.

    Missing values are False: None, NaN, "", "nan", "none" and "null".

    Raises:
        JsonValueError: The value means neither true nor false.
    """
    if value is None or value in (0, 1):
        return value == 1
    if isinstance(value, float) and isnan(value):
        return False
    word = value.strip().lower() if isinstance(value, str) else None
    if word in TRUE_WORDS:
        return True
    if word in FALSE_WORDS:
        return False
    raise JsonValueError(f"is {abbreviate(value)}: expected 0 or 1")


def parse_integer(value: object, maximum: int, minimum: int = 0) -> int:
    """Parse an integer, which may be written as 48, 48.0 or "48".

    Raises:
        JsonValueError: It is not an integer from `minimum` to `maximum`.
    """
    number = parse_float(value)
    if isfinite(number) and number.is_integer() and minimum <= number <= maximum:
        return int(value) if isinstance(value, int) else int(number)
    raise JsonValueError(
        f"is {abbreviate(value)}: expected a whole number from {minimum} to {maximum}"
    )


def parse_float(value: object) -> float:
    """Parse a number that is written as such or as text; return NaN if it is missing.

    Raises:
        JsonValueError: It is not a number, or too large for a float.
    """
    if type(value) is float:
        return value
    if value is None:
        return float("nan")
    if isinstance(value, int | float | str) and not isinstance(value, bool):
        try:
            if not isinstance(value, str):
                return float(value)
            if len(value) <= MAX_NUMBER_LENGTH:
                return float(value) if value.strip() else float("nan")
        except (ValueError, OverflowError):
            pass
    raise JsonValueError(f"is {abbreviate(value)}: expected a number")


def parse_text(value: object) -> str:
    """Return text that can be a name: without NUL and without unpaired surrogates.

    Raises:
        JsonValueError: The value is not such text.
    """
    if not isinstance(value, str):
        raise JsonValueError(f"is {abbreviate(value)}: expected text")
    if INVALID_CHARACTERS.search(value):
        raise JsonValueError(f"is {abbreviate(value)}: expected text of valid characters")
    return value


def parse_class_name(value: object) -> str:
    """Return the name of a class, which may be an integer.

    Raises:
        JsonValueError: The value is neither text nor an integer.
    """
    if isinstance(value, int | float) and not isinstance(value, bool):
        return str(normalize_id(value))
    return parse_text(value)


def normalize_fields(
    record: msgspec.Struct, normal_form: Mapping[str, Callable[[object], object]]
) -> None:
    """Replace fields of a record by their normal form.

    Args:
        record: Record to change in place; meant to be called from its `__post_init__`.
        normal_form: Function of this module for each field name.

    Raises:
        JsonValueError: A function refuses the value of its field; the message names the field.
    """
    field = ""
    try:
        for field, function in normal_form.items():
            setattr(record, field, function(getattr(record, field)))
    except JsonValueError as error:
        raise JsonValueError(f"{field} {error}") from None


def abbreviate(value: object) -> str:
    """Return the start of a value for a message."""
    if isinstance(value, int) and abs(value) > MAX_ID:
        return f"a number of {value.bit_length()} bits"
    if isinstance(value, str):
        return ascii(value[:40])
    return ascii(value)[:40] if not isinstance(value, dict | list) else json_type_name(value)


def json_type_name(value: object) -> str:
    """Return JSON's name for the type of a value."""
    return {dict: "an object", list: "an array"}.get(type(value), type(value).__name__)


def convert_record(value: Any, record: type[Record], path: str = "") -> Record:
    """Convert parsed JSON to a record, a `msgspec.Struct` with fields of the declared types.

    Args:
        value: Value that `json` parsed.
        record: Type of the record.
        path: Path of the value in its file, such as "images[3]".

    Raises:
        JsonValueError: A field is missing or of another type; the message begins with its path.
    """
    try:
        return msgspec.convert(value, record)
    except msgspec.ValidationError as error:
        message, _, place = str(error).rpartition(" - at `$")
        if not message:
            message, place = str(error), ""
        for technical, plain in PLAIN_WORDS.items():
            message = message.replace(technical, plain)
        message = message[:1].lower() + message[1:]
        field = f"{path}{place.removesuffix('`')}".removeprefix(".")
        raise JsonValueError(f"{field}: {message}" if field else message) from None
    except UnicodeError:
        raise JsonValueError(f"{path} has a key of invalid characters".lstrip()) from None
    except RecursionError:
        raise JsonValueError(f"{path} is nested too deeply".lstrip()) from None
