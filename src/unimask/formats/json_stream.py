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

CHUNK_CHARACTERS = 1 << 22
"""Number of characters per read."""

MAX_VALUE_LENGTH = 1 << 30
"""Maximum length of a single value in characters."""

WHITESPACE = re.compile(r"[ \t\r\n]*")
COMMA = re.compile(r"[ \t\r\n]*,[ \t\r\n]*(?=[^ \t\r\n\]])")
"""What separates two items of a list."""

MAX_TOKEN_LENGTH = 16
"""Maximum length in characters of a token that may be incomplete at the end of the buffer."""

VALUE_DELIMITERS = frozenset(" \t\r\n,:]}")
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
            yield from JsonReader(stream).object_items(keys)
    except (OSError, RecursionError, ValueError) as error:
        raise json_error(path, error) from error


def stream_members(path: Path, key: str | None = None) -> Iterator[tuple[str, Any]]:
    """Yield (name, value) for each member of a JSON object, one at a time.

    Args:
        path: File whose value is a JSON object.
        key: Key of the object under which another object lies; None for the whole file. If it is
            absent, nothing is yielded.

    Raises:
        DataError: The file cannot be read, is not valid JSON, or has no such object.
    """
    try:
        with open_json(path) as stream:
            reader = JsonReader(stream)
            if key is None:
                yield from reader.members()
                reader.expect_end()
            else:
                yield from reader.members_under(key)
    except (OSError, RecursionError, ValueError) as error:
        raise json_error(path, error) from error


def stream_items(path: Path) -> Iterator[Any]:
    """Yield the items of a file whose value is a list, one at a time.

    Raises:
        DataError: The file cannot be read, is not valid JSON, or its value is not a list.
    """
    try:
        with open_json(path) as stream:
            reader = JsonReader(stream)
            yield from reader.list_items()
            reader.expect_end()
    except (OSError, RecursionError, ValueError) as error:
        raise json_error(path, error) from error


def load_json(path: Path) -> Any:
    """Read a whole JSON file.

    Raises:
        DataError: The file cannot be read, or is not valid JSON.
    """
    try:
        with open_json(path) as stream:
            return json.load(stream)
    except (OSError, RecursionError, ValueError) as error:
        raise json_error(path, error) from error


def json_error(path: Path, error: Exception) -> DataError:
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


class JsonReader:
    """Incremental parser over a buffer of the text.

    Args:
        stream: Text to parse.
        max_length: Maximum length of a value in characters.
    """

    def __init__(self, stream: TextIO, max_length: int = MAX_VALUE_LENGTH) -> None:
        self.stream, self.max_length = stream, max_length
        self.text, self.position, self.consumed = "", 0, 0
        self.decode = json.JSONDecoder().raw_decode

    @property
    def offset(self) -> int:
        """Characters of the text that have been read so far."""
        return self.consumed + self.position

    def object_items(self, keys: tuple[str, ...]) -> Iterator[tuple[str, Any]]:
        """Yield the items of the requested lists of an object."""
        for key in self.member_names():
            if key not in keys:
                self.skip()
            elif self.peek() == "[":
                yield from ((key, item) for item in self.list_items())
            else:
                yield key, self.value()
        self.expect_end()

    def member_names(self) -> Iterator[str]:
        """Yield the name of each member of an object; its value is to be read before the next."""
        self.expect("{")
        while self.peek() != "}":
            name = self.value()
            self.expect(":")
            yield name
            if self.peek() != "}":
                self.expect(",")
        self.expect("}")

    def members(self) -> Iterator[tuple[str, Any]]:
        """Yield the members of an object."""
        for name in self.member_names():
            yield name, self.value()

    def members_under(self, key: str) -> Iterator[tuple[str, Any]]:
        """Yield the members of an object that is itself a member of an object."""
        for name in self.member_names():
            if name == key:
                yield from self.members()
            else:
                self.skip()
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
            while comma := COMMA.match(self.text, self.position):
                self.position = comma.end()
                yield self.value()
            if self.peek() != "]":
                self.expect(",")
        self.expect("]")

    def value(self) -> Any:
        """Parse one value, reading as much of the file as it needs.

        Raises:
            ValueError: It is not valid JSON, or longer than `max_length`.
        """
        self.peek()
        while True:
            try:
                value, end = self.decode(self.text, self.position)
            except json.JSONDecodeError as error:
                unfinished = error.msg.startswith("Unterminated string")
                if not unfinished and error.pos + MAX_TOKEN_LENGTH < len(self.text):
                    raise ValueError(
                        f"{error.msg}, character {self.consumed + error.pos}"
                    ) from None
                if len(self.text) - self.position > self.max_length:
                    raise ValueError(
                        f"a value of more than {self.max_length} characters at {self.offset}"
                    ) from None
                if not self.read_more():
                    raise ValueError(
                        f"{error.msg}, character {self.consumed + error.pos}"
                    ) from None
                continue
            # A number at the end of the buffer may continue: "1", "1.", "1.5e", "1.5e-3".
            if self.text[end : end + 1] in VALUE_DELIMITERS or not self.read_more():
                self.position = end
                return value

    def peek(self) -> str:
        """Return the next character that is not blank.

        Raises:
            ValueError: The text ends.
        """
        while True:
            whitespace = WHITESPACE.match(self.text, self.position)
            self.position = self.position if whitespace is None else whitespace.end()
            if self.position < len(self.text):
                return self.text[self.position]
            if not self.read_more():
                raise ValueError("the file ends too early")

    def expect(self, character: str) -> None:
        """Skip a character.

        Raises:
            ValueError: The next character is another one.
        """
        if self.peek() != character:
            raise ValueError(f"{self.text[self.position]!r} where {character!r} should be")
        self.position += 1

    def expect_end(self) -> None:
        """Check that nothing follows the value.

        Raises:
            ValueError: Something follows, such as a second object.
        """
        while WHITESPACE.fullmatch(self.text, self.position):
            self.position = len(self.text)
            if not self.read_more():
                return
        raise ValueError(f"{self.text[self.position :].lstrip()[:1]!r} after the end of the object")

    def read_more(self) -> bool:
        """Read at least as much text as is unfinished, so that long values need few reads."""
        rest = self.text[self.position :]
        read = self.stream.read(max(CHUNK_CHARACTERS, len(rest)))
        self.consumed += self.position
        self.text, self.position = rest + read, 0
        return bool(read)
