"""`unimask export`: a model's weights in another form."""

from pathlib import Path
from typing import Annotated

import typer

from unimask.cli.main import app, check_writable
from unimask.errors import SettingsError

FORMATS = ("huggingface",)


@app.command()
def export(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="Whatever predict takes.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder to write.")],
    format: Annotated[
        str, typer.Option(help="huggingface: a folder that transformers and unimask load.")
    ] = "huggingface",
) -> None:
    """Write a model as a folder for another program, or refuse where that has no such network."""
    if format not in FORMATS:
        raise SettingsError(f"--format {format}: choose one of {', '.join(FORMATS)}")
    if (out / "config.json").exists():
        raise SettingsError(f"{out} already holds a model: give another folder")
    check_writable(out)
    from unimask.checkpoints import misfit, write_huggingface
    from unimask.inference.load import read_source

    checkpoint = read_source(model)
    why = misfit(checkpoint.config)
    if why is not None:
        raise SettingsError(
            f"{model} cannot be written for transformers: {why}; unimask loads it as it is, and "
            "Predictor.save writes a folder for unimask"
        )
    write_huggingface(out, checkpoint)
    millions = sum(tensor.numel() for tensor in checkpoint.state.values()) / 1e6
    print(f"{out}: {len(checkpoint.labels)} classes, {millions:.1f} million parameters")
