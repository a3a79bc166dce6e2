"""Streaming of JSON files with long lists, item by item, without loading the whole file."""

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
"""Number of characters per read."""

LONGEST = 1 << 30
"""Maximum length of a single value in characters."""

BLANK = re.compile(r"[ \t\r\n]*")
COMMA = re.compile(r"[ \t\r\n]*,[ \t\r\n]*(?=[^ \t\r\n\]])")
"""What separates two items of a list."""

TOKEN = 16
"""Maximum length in characters of a token that may be incomplete at the end of the buffer."""

AFTER = frozenset(" \t\r\n,:]}")
"""Characters that may follow a value."""


def stream_lists(path: Path, keys: tuple[str, ...]) -> Iterator[tuple[str, Any]]:
    """Yield (key, item) for each item of the lists under `keys` of a JSON object.

    A value under such a key that is not a list is yielded itself.

    Args:
        path: File whose value is a JSON object.
        keys: Keys of its lists; values of other keys are skipped.

    Raises:
        DataError: The file cannot be read, is not valid JSON, or its value is not an object.
    """
    try:
        with open_json(path) as stream:
            yield from Reader(stream).object_items(keys)
    except (OSError, RecursionError, ValueError) as error:
        raise unreadable(path, error) from error


def load_json(path: Path) -> Any:
    """Read a whole JSON file.

    Raises:
        DataError: The file cannot be read, or is not valid JSON.
    """
    try:
        with open_json(path) as stream:
            return json.load(stream)
    except (OSError, RecursionError, ValueError) as error:
        raise unreadable(path, error) from error


def unreadable(path: Path, error: Exception) -> DataError:
    """Return the error for a file that cannot be read as JSON."""
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
    """Incremental parser over a buffer of the text.

    Args:
        stream: Text to parse.
        longest: Maximum length of a value in characters.
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
        """Yield the items of the requested lists of an object."""
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
        """Skip a value; of a list, at most one item is in memory."""
        if self.peek() == "[":
            for _ in self.list_items():
                pass
        else:
            self.value()

    def list_items(self) -> Iterator[Any]:
        """Yield the items of a list."""
        self.expect("[")
        while self.peek() != "]":
            yield self.value()
            # The usual case without method calls.
            while comma := COMMA.match(self.text, self.place):
                self.place = comma.end()
                yield self.value()
            if self.peek() != "]":
                self.expect(",")
        self.expect("]")

    def value(self) -> Any:
        """Parse one value, reading as much of the file as it needs.

        Raises:
            ValueError: It is not valid JSON, or longer than `longest`.
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
            # A number at the end of the buffer may continue: "1", "1.", "1.5e", "1.5e-3".
            if self.text[end : end + 1] in AFTER or not self.more():
                self.place = end
                return value

    def peek(self) -> str:
        """Return the next character that is not blank.

        Raises:
            ValueError: The text ends.
        """
        while True:
            blank = BLANK.match(self.text, self.place)
            self.place = self.place if blank is None else blank.end()
            if self.place < len(self.text):
                return self.text[self.place]
            if not self.more():
                raise ValueError("it ends too early")

    def expect(self, character: str) -> None:
        """Skip a character.

        Raises:
            ValueError: The next character is another one.
        """
        if self.peek() != character:
            raise ValueError(f"{self.text[self.place]!r} where {character!r} should be")
        self.place += 1

    def expect_end(self) -> None:
        """Check that nothing follows the value.

        Raises:
            ValueError: Something follows, such as a second object.
        """
        while BLANK.fullmatch(self.text, self.place):
            self.place = len(self.text)
            if not self.more():
                return
        raise ValueError(f"{self.text[self.place :].lstrip()[:1]!r} after the end of the object")

    def more(self) -> bool:
        """Read at least as much text as is unfinished, so that long values need few reads."""
        rest = self.text[self.place :]
        read = self.stream.read(max(CHUNK, len(rest)))
        self.passed += self.place
        self.text, self.place = rest + read, 0
        return bool(read)
