"""Command-line interface: one module per command."""

from unimask.cli.main import main

__all__ = ["main"]
