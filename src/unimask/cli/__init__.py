"""The command line: one verb per file."""

from unimask.cli.main import main

__all__ = ["main"]
