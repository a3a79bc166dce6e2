"""Errors and warnings on stderr, one line each."""

import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import NoReturn, TextIO

import typer

from unimask.errors import printable


def fail(message: str) -> NoReturn:
    """Print an error as one line and exit with code 2."""
    print_error(message)
    sys.exit(2)


def print_error(message: str) -> None:
    """Print an error as one line."""
    print_line(f"error: {message}")


def report_failures(failures: Sequence[str]) -> None:
    """Print errors that did not stop the command; exit with code 2 if there are any.

    Raises:
        Exit: There are some.
    """
    for failure in failures:
        print_error(failure)
    if failures:
        raise typer.Exit(2)


def show_warning(message: Warning | str, category: type[Warning], *_: object) -> None:
    """Print a warning as one line."""
    print_line(f"warning: {message}")


def print_line(message: str) -> None:
    """Print one line to stderr; the exit code does not depend on whether that works."""
    try:
        print(f"unimask: {printable(' '.join(message.split()))}", file=sys.stderr, flush=True)
    except OSError:
        discard_output(sys.stderr)


def discard_output(stream: TextIO) -> None:
    """Redirect a stream to the null device, so that flushing it at exit cannot fail."""
    with suppress(OSError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
