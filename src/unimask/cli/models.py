"""`unimask models`: list the published models."""

import json as json_format
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from unimask.bundled import bundled_names
from unimask.cli.app import app
from unimask.errors import SettingsError
from unimask.formats.terminal import Terminal

if TYPE_CHECKING:
    from unimask.published.zoo import PublishedModel

SCORE_COLUMNS = ("PQ", "AP", "mIoU")

TABLE_WIDTH = 160
"""Minimum number of characters per line, so that names can be copied in full."""


@app.command()
def models(
    words: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[WORD]...", help="List only models whose names contain all these words."
        ),
    ] = None,
    json: Annotated[
        bool,
        typer.Option(
            "--json", help="Print everything known as JSON, including download addresses."
        ),
    ] = False,
) -> None:
    """List bundled and published models: scores, size, licence and how to load them."""
    from unimask.published.model_configs import MODEL_CONFIGS
    from unimask.published.zoo import published_models

    required = words or []
    matches = published_models(*required)
    bundled = [name for name in bundled_names() if matches_words(name, required)]
    weighted = {model.name for model in published_models()}
    bare = [n for n in MODEL_CONFIGS if n not in weighted and matches_words(n, required)]
    if not matches and not bundled and not bare:
        raise SettingsError(f"no model is called {' and '.join(required)}: try fewer words")
    if json:
        rows = [{"name": model.name, **asdict(model), "tasks": model.tasks} for model in matches]
        print(json_format.dumps(rows, indent=2))
        return
    console = Terminal(width=max(Terminal().width, TABLE_WIDTH))
    for name in bundled:
        console.print(f"{name}: bundled, loads by this name, works offline")
    if matches:
        print_published(console, matches)
    if bare:
        console.print(f"published without weights, for unimask train: {', '.join(bare)}")


def print_published(console: Terminal, models: Sequence["PublishedModel"]) -> None:
    """Print a table of models with their scores and how to load them."""
    table = Table("model", *SCORE_COLUMNS, "million", "licence", "load", box=None, pad_edge=False)
    for model in models:
        scores = [format_score(model.scores.get(column)) for column in SCORE_COLUMNS]
        size = f"{model.millions:.0f}"
        table.add_row(model.name, *scores, size, model.licence, model.hub or "file")
    console.print(table)
    console.print(
        "scores are the authors' own, in percent; models with a Hub id load by it, the others "
        "as files from the addresses that --json gives; unimask train takes each name, untrained"
    )


def format_score(score: float | None) -> str:
    """Format a score in percent; an empty text if it was not published."""
    return "" if score is None else f"{score:.1f}"


def matches_words(name: str, words: Sequence[str]) -> bool:
    """Return whether a name contains each word, ignoring case."""
    return all(word.lower() in name.lower() for word in words)
