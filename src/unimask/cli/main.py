"""Entry point of the command line: run a command, and turn every expected error into one line."""

import atexit
import gc
import io
import os
import sys
import warnings
from importlib import import_module
from typing import cast

import typer

from unimask.cli.app import app
from unimask.cli.messages import discard_output, fail, show_warning
from unimask.errors import UnimaskError

USAGE_ERROR = cast(type[Exception], typer.BadParameter.__mro__[1])
"""Base class of errors in the command line, from click or from Typer's own copy of it."""

COMMANDS = (
    "batch", "benchmark", "check", "compare", "convert", "evaluate", "export", "models", "predict",
    "select", "serve", "slide", "track", "train", "volume",
)  # fmt: skip
"""Commands in the order of `unimask --help`; each is defined in the module of its name."""

INTERRUPTED = 130
OUT_OF_MEMORY = "out of memory: use smaller images, a smaller --batch-size, or another --device"


def main() -> None:
    """Run the command line; exit with code 2 and one line for every expected error."""
    warnings.showwarning = show_warning
    open_closed_streams()
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # names may be unencodable
    # Freezing PyTorch's 10^5 objects spares the garbage collection at exit, which takes 0.3 s.
    atexit.register(gc.freeze)
    try:
        register_commands(next(iter(sys.argv[1:]), None))
        code = app(sys.argv[1:] or ["--help"], prog_name="unimask", standalone_mode=False)
        sys.stdout.flush()
    except UnimaskError as error:
        fail(str(error))
    except USAGE_ERROR as error:
        fail(format_usage_error(cast(typer.BadParameter, error)))
    except (KeyboardInterrupt, typer.Abort):
        code = INTERRUPTED
    except BrokenPipeError:  # the reader has closed our pipe: no message can be shown
        discard_output(sys.stdout)
        code = 1
    except OSError as error:
        discard_output(sys.stdout)
        fail(f"{error.filename or 'the output'}: {error.strerror or error}")
    except MemoryError:
        fail(OUT_OF_MEMORY)
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        fail(OUT_OF_MEMORY)
    if code == INTERRUPTED and os.environ.get("RANK", "0") == "0":  # only the first process prints
        print("unimask: stopped", file=sys.stderr)
    sys.exit(code)


def register_commands(name: str | None = None) -> None:
    """Import the modules of commands, each of which registers its own with the application.

    Args:
        name: Command to run, whose module alone is imported; None or an unknown name for all.
    """
    for command in [name] if name in COMMANDS else COMMANDS:
        import_module(f"unimask.cli.{command}")


def open_closed_streams() -> None:
    """Open the null device in place of standard streams that the caller has closed.

    Otherwise the next opened file gets such a number, and output of libraries goes into it.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest number that is free, so this one
        if getattr(sys, name) is None:
            mode = "r" if name == "stdin" else "w"
            setattr(sys, name, open(number, mode, closefd=False))  # noqa: SIM115 (to the end)


def is_out_of_memory(error: RuntimeError) -> bool:
    """Return whether an error is one of PyTorch's out-of-memory errors, on any device."""
    message = str(error).lower()
    return any(words in message for words in ("out of memory", "allocate memory"))


def format_usage_error(error: typer.BadParameter) -> str:
    """Format a usage error as one line that names the command with the relevant help."""
    command = error.ctx.command_path if error.ctx is not None else "unimask"
    return f"{error.format_message().rstrip('.')}; see {command} --help"
