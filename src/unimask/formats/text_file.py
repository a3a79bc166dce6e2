"""Small text files of other programs: lists of names, labels line by line, YAML."""

import codecs
from pathlib import Path
from typing import Any

import yaml

from unimask.errors import DataError, one_line

MAX_BYTES = 1 << 28
"""Maximum size of a text file in bytes."""

MAX_YAML_BYTES = 1 << 20
"""Maximum size of a YAML file in bytes."""

MAX_YAML_VALUES = 1 << 17
"""Maximum number of values of a YAML file, counting each alias as the values it stands for."""

BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # Before UTF-16, whose mark is its prefix.
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


def read_text(path: Path, max_bytes: int = MAX_BYTES) -> str:
    """Read a text file in UTF-8, or in the encoding of its byte order mark.

    Invalid bytes become replacement characters.

    Raises:
        DataError: The file cannot be read, or is longer than `max_bytes` bytes.
    """
    try:
        with path.open("rb") as stream:
            content = stream.read(max_bytes + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise DataError(f"{path} cannot be read: {reason}") from None
    if len(content) > max_bytes:
        raise DataError(f"{path} has more than {max_bytes} bytes: it is no list that belongs here")
    marks = (name for mark, name in BYTE_ORDER_MARKS if content.startswith(mark))
    return content.decode(next(marks, "utf-8"), "replace").removeprefix("\ufeff")


class BoundedLoader(yaml.SafeLoader):
    """YAML loader for plain values that limits the number of values behind aliases."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.values = 0
        self.sizes: dict[int, int] = {}

    def compose_node(self, parent: Any, index: Any) -> Any:
        """Compose one value, and count the values that it holds.

        Raises:
            ValueError: The file has too many values.
        """
        is_alias, before = self.check_event(yaml.AliasEvent), self.values
        node = super().compose_node(parent, index)
        self.values += self.sizes.get(id(node), 1) if is_alias else 1
        self.sizes.setdefault(id(node), self.values - before)
        if self.values > MAX_YAML_VALUES:
            raise ValueError(f"its aliases stand for more than {MAX_YAML_VALUES} values")
        return node


def parse_yaml(text: str) -> Any:
    """Parse YAML of plain values, in time and memory bounded by its length.

    Raises:
        ValueError: It is not valid YAML, or its aliases stand for too many values.
    """
    try:
        loader = BoundedLoader(text)
        try:
            return loader.get_single_data()
        finally:
            loader.dispose()
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    except Exception as error:  # Values with tags, such as !!timestamp, may raise any exception.
        raise ValueError(one_line(error, 300)) from None


def read_yaml(path: Path) -> dict[Any, Any]:
    """Read a YAML file of keys and values.

    Raises:
        DataError: It is not such a file.
    """
    try:
        content = parse_yaml(read_text(path, MAX_YAML_BYTES))
    except ValueError as error:
        raise DataError(f"{path} cannot be read as YAML ({error}): correct it") from None
    if not isinstance(content, dict):
        raise DataError(f"{path} is no YAML mapping: expected the keys path, train, val and names")
    return content
