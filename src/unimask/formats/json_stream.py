"""JSON files with long lists, item by item: the file is never in memory as a whole."""

import errno
import json
import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

from unimask.errors import DataError

CHUNK = 1 << 22
"""Characters that are read at once."""

LONGEST = 1 << 30
"""Characters of the longest single value."""

BLANK = re.compile(r"[ \t\r\n]*")
COMMA = re.compile(r"[ \t\r\n]*,[ \t\r\n]*(?=[^ \t\r\n\]])")
"""What separates two items of a list."""

TOKEN = 16
"""Characters of the longest token that an error may lie in if the text ends too early."""

AFTER = frozenset(" \t\r\n,:]}")
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
        with open_json(path) as stream:
            yield from Reader(stream).object_items(keys)
    except (OSError, RecursionError, ValueError) as error:
        raise unreadable(path, error) from error


def load_json(path: Path) -> Any:
    """Read a JSON file as a whole.

    Raises:
        DataError: It cannot be read, or is no JSON.
    """
    try:
        with open_json(path) as stream:
            return json.load(stream)
    except (OSError, RecursionError, ValueError) as error:
        raise unreadable(path, error) from error


def unreadable(path: Path, error: Exception) -> DataError:
    """Return the error of a file that cannot be read as JSON."""
    if isinstance(error, OSError):
        return DataError(f"{path} cannot be read: {error.strerror}")
    if isinstance(error, RecursionError):
        return DataError(f"{path} is nested too deeply for labels: export it again")
    return DataError(f"{path} is not the JSON it should be ({error}): export it again")


def open_json(path: Path) -> TextIO:
    """Open a JSON file as text: UTF-8, UTF-16 or UTF-32, with or without a byte order mark.

    Raises:
        OSError: The file cannot be opened.
    """
    if not stat.S_ISREG(os.stat(path).st_mode):
        raise OSError(errno.EINVAL, "it is no regular file")
    with path.open("rb") as stream:
        encoding = json.detect_encoding(stream.read(4))
    return path.open(encoding="utf-8-sig" if encoding == "utf-8" else encoding)


class Reader:
    """A window that moves over the text.

    Args:
        stream: The text.
        longest: Characters of the longest value that is read.
    """

    def __init__(self, stream: TextIO, longest: int = LONGEST) -> None:
        self.stream, self.longest = stream, longest
        self.text, self.place, self.passed = "", 0, 0
        self.decode = json.JSONDecoder().raw_decode

    @property
    def offset(self) -> int:
        """Characters of the text that have been read so far."""
        return self.passed + self.place

    def object_items(self, keys: tuple[str, ...]) -> Iterator[tuple[str, Any]]:
        """Walk over one object and over the lists that are asked for."""
        self.expect("{")
        while self.peek() != "}":
            key = self.value()
            self.expect(":")
            if key not in keys:
                self.skip()
            elif self.peek() == "[":
                yield from ((key, item) for item in self.list_items())
            else:
                yield key, self.value()
            if self.peek() != "}":
                self.expect(",")
        self.expect("}")
        self.expect_end()

    def skip(self) -> None:
        """Step over a value; of a list, no more than one item is in memory."""
        if self.peek() == "[":
            for _ in self.list_items():
                pass
        else:
            self.value()

    def list_items(self) -> Iterator[Any]:
        """Walk over one list."""
        self.expect("[")
        while self.peek() != "]":
            yield self.value()
            while comma := COMMA.match(self.text, self.place):  # the usual case, without calls
                self.place = comma.end()
                yield self.value()
            if self.peek() != "]":
                self.expect(",")
        self.expect("]")

    def value(self) -> Any:
        """Read one value, with as much of the file as it takes.

        Raises:
            ValueError: It is no JSON, or longer than `longest`.
        """
        self.peek()
        while True:
            try:
                value, end = self.decode(self.text, self.place)
            except json.JSONDecodeError as error:
                unfinished = error.msg.startswith("Unterminated string")
                if not unfinished and error.pos + TOKEN < len(self.text):
                    raise ValueError(f"{error.msg}, character {self.passed + error.pos}") from None
                if len(self.text) - self.place > self.longest:
                    raise ValueError(
                        f"a value of more than {self.longest} characters at {self.offset}"
                    ) from None
                if not self.more():
                    raise ValueError(f"{error.msg}, character {self.passed + error.pos}") from None
                continue
            # A number at the end of the window may go on behind it: "1", "1.", "1.5e", "1.5e-3".
            if self.text[end : end + 1] in AFTER or not self.more():
                self.place = end
                return value

    def peek(self) -> str:
        """Return the next character that is not blank.

        Raises:
            ValueError: There is none.
        """
        while True:
            blank = BLANK.match(self.text, self.place)
            self.place = self.place if blank is None else blank.end()
            if self.place < len(self.text):
                return self.text[self.place]
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

    def expect_end(self) -> None:
        """Check that nothing follows.

        Raises:
            ValueError: Something does, such as a second object.
        """
        while BLANK.fullmatch(self.text, self.place):
            self.place = len(self.text)
            if not self.more():
                return
        raise ValueError(f"{self.text[self.place :].lstrip()[:1]!r} after the end of the object")

    def more(self) -> bool:
        """Read on: as much again as is unfinished, so that long values take few readings."""
        rest = self.text[self.place :]
        read = self.stream.read(max(CHUNK, len(rest)))
        self.passed += self.place
        self.text, self.place = rest + read, 0
        return bool(read)
