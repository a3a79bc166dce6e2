"""`unimask export`: write a model in another library's format."""

from pathlib import Path
from typing import Annotated

import typer

from unimask.cli.app import app
from unimask.errors import SettingsError
from unimask.formats.atomic import check_writable
from unimask.formats.terminal import Terminal

FORMATS = ("huggingface",)


@app.command()
def export(
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL",
            help="Model to export: a bundled name such as nuclei, a folder, a training run or "
            "a Hub id.",
        ),
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="Output folder.")],
    format: Annotated[
        str,
        typer.Option(
            help="Format to write: huggingface (a folder that transformers and unimask load)."
        ),
    ] = "huggingface",
) -> None:
    """Export a model to another library's format, or fail if that library has no such network."""
    if format not in FORMATS:
        raise SettingsError(f"--format {format}: choose one of {', '.join(FORMATS)}")
    check_writable(out)
    from unimask.checkpoints import transformers_incompatibility, write_huggingface
    from unimask.checkpoints.huggingface.folder import FILES
    from unimask.formats.output_folder import open_output_folder

    if all((out / name).exists() for name in FILES):
        raise SettingsError(f"{out} already holds a model: choose another folder")
    open_output_folder(out).check(FILES)
    from unimask.inference.load import read_source

    checkpoint = read_source(model)
    why = transformers_incompatibility(checkpoint.description.config)
    if why is not None:
        raise SettingsError(
            f"{model} cannot be written for transformers: {why}; unimask loads it as it is, and "
            "Predictor.save writes a folder for unimask"
        )
    write_huggingface(out, checkpoint)
    millions = sum(tensor.numel() for tensor in checkpoint.state.values()) / 1e6
    counts = f"{len(checkpoint.description.labels)} classes, {millions:.1f} million parameters"
    Terminal().print(f"{out}: {counts}", soft_wrap=True)
