"""The command `unimask`: its verbs, and how it fails."""

import atexit
import gc
import io
import os
import sys
import warnings
from pathlib import Path
from typing import Annotated, NoReturn, cast

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
"""What a wrong command line raises: a class of click's, or of Typer's own copy of it."""

DataArgument = Annotated[
    Path, typer.Argument(metavar="DATA", help="Folder of the dataset, or its name on the Hub.")
]
FormatOption = Annotated[
    str | None,
    typer.Option(
        help="Format of the labels, if it is not the one that is found: coco, coco-panoptic, yolo, "
        "labelme, cvat, 'semantic maps', 'instance ids', 'class and object channels', ..."
    ),
]
MasksOption = Annotated[
    str | None,
    typer.Option(
        help="Folder or ending of the label maps to read, where images have several; "
        "A,B,... reads masks of one class each."
    ),
]
PreprocessingOption = Annotated[
    str,
    typer.Option(
        help="authors: their test size. hub: as preprocessor_config.json says, which squashes "
        "pictures to 384x384 for Mask2Former on the Hub."
    ),
]

WindowOption = Annotated[
    str | None,
    typer.Option(
        help="LOW,HIGH: values of deep images that become black and white; or auto, for each "
        "image's own. Trained models keep theirs."
    ),
]

CompileOption = Annotated[
    bool,
    typer.Option("--compile", help="Compile the network for sizes that come more than once."),
]

OverwriteOption = Annotated[
    bool,
    typer.Option("--overwrite", help="Replace output files even if unimask did not write them."),
]

INTERRUPTED = 130
OUT_OF_MEMORY = "out of memory: give smaller pictures, a smaller --batch-size, or another --device"


def show_version(wanted: bool) -> None:
    """Print the version and leave."""
    if wanted:
        print(f"unimask {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=show_version, is_eager=True, help="Print it.")
    ] = False,
) -> None:
    """Universal image segmentation: semantic, instance and panoptic, with one network."""


def main() -> None:
    """Run a command; every foreseen failure is one line, exit code 2."""
    warnings.showwarning = show_warning
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # names may hold what it cannot encode
    # PyTorch leaves 10^5 objects: looking for garbage among them takes the exit 0.3 s.
    atexit.register(gc.freeze)
    try:
        from unimask.cli import (  # noqa: F401  (each adds its verb)
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
    except BrokenPipeError:  # whoever read our output has left: nobody is there to be told
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 1
    except MemoryError:
        fail(OUT_OF_MEMORY)
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        fail(OUT_OF_MEMORY)
    if code == INTERRUPTED and os.environ.get("RANK", "0") == "0":  # of many processes one says so
        print("unimask: stopped", file=sys.stderr)
    sys.exit(code)


def is_out_of_memory(error: RuntimeError) -> bool:
    """Recognise PyTorch's failures to get memory, on any device."""
    message = str(error).lower()
    return any(words in message for words in ("out of memory", "allocate memory"))


def told_usage(error: typer.BadParameter) -> str:
    """Say what is wrong with a command line, and where its help is."""
    command = error.ctx.command_path if error.ctx is not None else "unimask"
    return f"{error.format_message().rstrip('.')}; see {command} --help"


def fail(message: str) -> NoReturn:
    """Print one line and leave with code 2."""
    print_error(message)
    sys.exit(2)


def print_error(message: str) -> None:
    """Print one failure as one line."""
    print(f"unimask: error: {printable(' '.join(message.split()))}", file=sys.stderr)


def show_warning(message: Warning | str, category: type[Warning], *_: object) -> None:
    """Print a warning as one line."""
    print(f"unimask: warning: {printable(' '.join(str(message).split()))}", file=sys.stderr)
