"""JSON files with long lists, item by item: the file is never in memory as a whole."""

import json
from collections.abc import Iterator
from io import TextIOBase
from pathlib import Path
from typing import Any

from unimask.errors import DataError

CHUNK = 1 << 22
"""Characters that are read at once."""

BLANK = " \t\r\n"
AFTER = frozenset(BLANK + ",:]}")
"""What may follow a value."""


def stream_lists(path: Path, keys: tuple[str, ...]) -> Iterator[tuple[str, Any]]:
    """Give (key, item) for each item of the lists under `keys` of a JSON object, as they come.

    A value under such a key that is no list is given as it is.

    Args:
        path: A file whose value is an object.
        keys: Names of its lists; what other names hold is skipped.

    Raises:
        DataError: The file cannot be read, is no JSON, or its value is no object.
    """
    try:
        with path.open(encoding="utf-8-sig") as stream:
            yield from Reader(stream).object_items(keys)
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path} is not the JSON it should be ({error}): export it again") from None


class Reader:
    """A window that moves over the text.

    Args:
        stream: The text.
    """

    def __init__(self, stream: TextIOBase) -> None:
        self.stream, self.text, self.place = stream, "", 0
        self.decode = json.JSONDecoder().raw_decode

    def object_items(self, keys: tuple[str, ...]) -> Iterator[tuple[str, Any]]:
        """Walk over one object and over the lists that are asked for."""
        self.expect("{")
        while self.peek() != "}":
            key = self.value()
            self.expect(":")
            if key not in keys:
                self.value()
            elif self.peek() == "[":
                yield from ((key, item) for item in self.list_items())
            else:
                yield key, self.value()
            if self.peek() != "}":
                self.expect(",")

    def list_items(self) -> Iterator[Any]:
        """Walk over one list."""
        self.expect("[")
        while self.peek() != "]":
            yield self.value()
            if self.peek() != "]":
                self.expect(",")
        self.expect("]")

    def value(self) -> Any:
        """Read one value, with as much of the file as it takes."""
        self.peek()
        while True:
            try:
                value, end = self.decode(self.text, self.place)
            except ValueError:
                if not self.more():
                    raise
                continue
            # A number at the end of the window may go on behind it: "1", "1.", "1.5e", "1.5e-3".
            if self.text[end : end + 1] in AFTER or not self.more():
                self.place = end
                return value

    def peek(self) -> str:
        """Give the next character that is not blank."""
        while True:
            while self.place < len(self.text):
                if self.text[self.place] not in BLANK:
                    return self.text[self.place]
                self.place += 1
            if not self.more():
                raise ValueError("it ends too early")

    def expect(self, character: str) -> None:
        """Step over a character.

        Raises:
            ValueError: Another one comes.
        """
        if self.peek() != character:
            raise ValueError(f"{self.text[self.place]!r} where {character!r} should be")
        self.place += 1

    def more(self) -> bool:
        """Read on: as much again as is unfinished, so that long values take few readings."""
        rest = self.text[self.place :]
        read = self.stream.read(max(CHUNK, len(rest)))
        self.text, self.place = rest + read, 0
        return bool(read)
