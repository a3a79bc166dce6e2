"""The application `unimask`: options shared by its commands, and the handling of errors."""

import atexit
import gc
import io
import os
import sys
import warnings
from contextlib import suppress
from pathlib import Path
from typing import Annotated, NoReturn, TextIO, cast

import typer

from unimask.errors import UnimaskError, printable
from unimask.version import __version__

app = typer.Typer(
    name="unimask",
    help="Universal image segmentation: semantic, instance and panoptic, with one network.",
    pretty_exceptions_enable=False,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

USAGE_ERROR = cast(type[Exception], typer.BadParameter.__mro__[1])
"""Base class of errors in the command line, from click or from Typer's own copy of it."""

DataArgument = Annotated[
    Path,
    typer.Argument(
        metavar="DATA",
        help="Path of the dataset folder, or name of a dataset on the Hugging Face Hub.",
    ),
]
FormatOption = Annotated[
    str | None,
    typer.Option(
        help="Format of the labels, if detection is wrong: coco, coco-panoptic, yolo, "
        "labelme, cvat, 'semantic maps', 'instance ids', 'class and object "
        "channels', ..."
    ),
]
MasksOption = Annotated[
    str | None,
    typer.Option(
        help="Folder or file name ending of the label maps to read, if images have "
        "several; A,B,... reads one binary mask per class."
    ),
]
PreprocessingOption = Annotated[
    str,
    typer.Option(
        help="Preprocessing of images: authors (resize to the test size of the model's "
        "authors) or hub (as in preprocessor_config.json, which resizes to 384x384 "
        "without keeping the aspect ratio for Mask2Former on the Hub)."
    ),
]

WindowOption = Annotated[
    str | None,
    typer.Option(
        help="Range of pixel values to map to 0..255 for images of more than 8 bits: "
        "LOW,HIGH, or auto for the 0.1 and 99.9 percentiles of each image. By "
        "default that of the model."
    ),
]

CompileOption = Annotated[
    bool,
    typer.Option(
        "--compile", help="Compile the network with torch.compile; pays off when input sizes recur."
    ),
]

OverwriteOption = Annotated[
    bool,
    typer.Option(
        "--overwrite",
        help="Replace existing output files, including those that unimask did not write.",
    ),
]

INTERRUPTED = 130
OUT_OF_MEMORY = "out of memory: give smaller images, a smaller --batch-size, or another --device"


def show_version(wanted: bool) -> None:
    """Print the version and exit."""
    if wanted:
        print(f"unimask {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=show_version, is_eager=True, help="Print the version and exit."
        ),
    ] = False,
) -> None:
    """Universal image segmentation: semantic, instance and panoptic, with one network."""


def main() -> None:
    """Run the command line; exit with code 2 and one line for every expected error."""
    warnings.showwarning = show_warning
    open_closed_streams()
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # names may be unencodable
    # Freezing PyTorch's 10^5 objects spares the garbage collection at exit, which takes 0.3 s.
    atexit.register(gc.freeze)
    try:
        from unimask.cli import (  # noqa: F401  (each registers its command)
            benchmark,
            check,
            compare,
            convert,
            evaluate,
            export,
            models,
            predict,
            train,
        )

        code = app(sys.argv[1:] or ["--help"], prog_name="unimask", standalone_mode=False)
        sys.stdout.flush()
    except UnimaskError as error:
        fail(str(error))
    except USAGE_ERROR as error:
        fail(told_usage(cast(typer.BadParameter, error)))
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


def discard_output(stream: TextIO) -> None:
    """Redirect a stream to the null device, so that flushing it at exit cannot fail."""
    with suppress(OSError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def is_out_of_memory(error: RuntimeError) -> bool:
    """Return whether an error is one of PyTorch's out-of-memory errors, on any device."""
    message = str(error).lower()
    return any(words in message for words in ("out of memory", "allocate memory"))


def told_usage(error: typer.BadParameter) -> str:
    """Format a usage error as one line that names the command with the relevant help."""
    command = error.ctx.command_path if error.ctx is not None else "unimask"
    return f"{error.format_message().rstrip('.')}; see {command} --help"


def fail(message: str) -> NoReturn:
    """Print an error as one line and exit with code 2."""
    print_error(message)
    sys.exit(2)


def print_error(message: str) -> None:
    """Print an error as one line."""
    print_line(f"error: {message}")


def show_warning(message: Warning | str, category: type[Warning], *_: object) -> None:
    """Print a warning as one line."""
    print_line(f"warning: {message}")


def print_line(message: str) -> None:
    """Print one line to stderr; the exit code does not depend on whether that works."""
    try:
        print(f"unimask: {printable(' '.join(message.split()))}", file=sys.stderr, flush=True)
    except OSError:
        discard_output(sys.stderr)
