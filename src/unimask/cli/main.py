"""The command `unimask`: its verbs, and how it fails."""

import sys
import warnings
from typing import Annotated

import typer

from unimask.errors import UnimaskError
from unimask.version import __version__

app = typer.Typer(
    name="unimask",
    help="Universal image segmentation: semantic, instance and panoptic, with one network.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


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
    from unimask.cli import evaluate, predict, train  # noqa: F401  (each adds its verb)

    warnings.showwarning = show_warning
    try:
        app()
    except UnimaskError as error:
        fail(str(error))
    except KeyboardInterrupt:
        print("unimask: stopped", file=sys.stderr)
        sys.exit(130)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(1)
    except MemoryError:
        fail("out of memory: use smaller pictures, a smaller --batch-size or fewer --workers")


def fail(message: str) -> None:
    """Print one line and leave with code 2."""
    print(f"unimask: error: {' '.join(message.split())}", file=sys.stderr)
    sys.exit(2)


def show_warning(message, category, *_: object, **__: object) -> None:
    """Print a warning as one line."""
    print(f"unimask: warning: {message}", file=sys.stderr)
