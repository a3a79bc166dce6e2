"""`unimask train`: labelled pictures to weights."""

from pathlib import Path
from typing import Annotated

import typer

from unimask.cli.main import DataArgument, FormatOption, WindowOption, app
from unimask.cli.windows import parse_window
from unimask.errors import SettingsError
from unimask.formats.terminal import Terminal

ModelOption = Annotated[
    str, typer.Option("--model", "-m", help="A preset or published name, untrained; or weights.")
]
TaskOption = Annotated[
    str | None,
    typer.Option(help="semantic, instance, panoptic (the usual one), or all for OneFormer."),
]
BackboneOption = Annotated[
    str | None,
    typer.Option(help="In place of a preset's: convnext-tiny or the like, or timm:NAME."),
]
PixelDecoderOption = Annotated[
    str | None,
    typer.Option(help="In place of a preset's: deformable, fpn, fpn-encoder or fapn."),
]
WeightsOption = Annotated[
    Path | None,
    typer.Option(help="ImageNet weights of a preset's backbone; timm lets timm fetch its own."),
]
ChannelsOption = Annotated[
    int | None, typer.Option(min=1, help="Channels of pictures that are not RGB.")
]
QueriesOption = Annotated[
    int | None, typer.Option(min=1, help="Masks per picture; trained weights can have more.")
]
NamesOption = Annotated[
    str | None, typer.Option(help="A,B,...: names of classes that are only numbered.")
]
RecomputeOption = Annotated[
    bool, typer.Option("--recompute", help="Half the memory for a third more time.")
]
TokenizerOption = Annotated[
    str, typer.Option(help="OneFormer's texts: bytes, or CLIP's tokenizer.json; the model's own.")
]

BadPictureOption = Annotated[
    str | None, typer.Option(help="What an unreadable picture does: stop (the rule) or skip.")
]


@app.command()
def train(
    data: DataArgument,
    model: ModelOption = "mask2former-nano",
    task: TaskOption = None,
    steps: Annotated[int | None, typer.Option(min=1, help="Updates of the weights.")] = None,
    epochs: Annotated[float | None, typer.Option(help="Passes over the data, instead.")] = None,
    size: Annotated[int | None, typer.Option(help="Side of the training square.")] = None,
    batch_size: Annotated[int | None, typer.Option(min=1, help="Pictures per pass.")] = None,
    accumulate: Annotated[int | None, typer.Option(min=1, help="Passes per update.")] = None,
    learning_rate: Annotated[float | None, typer.Option(help="Peak rate.")] = None,
    backbone: BackboneOption = None,
    pixel_decoder: PixelDecoderOption = None,
    backbone_weights: WeightsOption = None,
    channels: ChannelsOption = None,
    queries: QueriesOption = None,
    precision: Annotated[str | None, typer.Option(help="float32 or bfloat16.")] = None,
    recompute: RecomputeOption = False,
    names: NamesOption = None,
    format: FormatOption = None,
    window: WindowOption = None,
    evaluate_every: Annotated[int | None, typer.Option(help="Steps between validations.")] = None,
    tokenizer: TokenizerOption = "auto",
    seed: Annotated[int, typer.Option(help="Of every random draw.")] = 0,
    repeat_rare: Annotated[
        float | None, typer.Option(help="Share of pictures below which classes are shown more.")
    ] = None,
    weigh_classes: Annotated[
        bool, typer.Option("--weigh-classes", help="Rare classes count more in the loss.")
    ] = False,
    logger: Annotated[
        list[str] | None, typer.Option(help="tensorboard, wandb or mlflow, beside metrics.csv.")
    ] = None,
    workers: Annotated[int | None, typer.Option(min=0, help="Processes that read.")] = None,
    patience: Annotated[
        int | None, typer.Option(min=1, help="Validations without a better score, then the end.")
    ] = None,
    on_bad_picture: BadPictureOption = None,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="The run's folder.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Continue the run in --out.")] = False,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, mps.")] = "auto",
) -> None:
    """Train a network, from scratch or from weights; interrupt and resume at will.

    What is not said is chosen for the data and the machine, and told at the start.
    """
    from unimask.training import train as run_training

    if precision not in (None, "float32", "bfloat16"):
        raise SettingsError(f"--precision {precision}: give float32 or bfloat16")
    if on_bad_picture not in (None, "stop", "skip"):
        raise SettingsError(f"--on-bad-picture {on_bad_picture}: give stop or skip")
    said = {
        "steps": steps,
        "epochs": epochs,
        "size": size,
        "batch_size": batch_size,
        "accumulate": accumulate,
        "learning_rate": learning_rate,
        "backbone": backbone,
        "pixel_decoder": pixel_decoder,
        "backbone_weights": None if backbone_weights is None else str(backbone_weights),
        "channels": channels,
        "num_queries": queries,
        "precision": precision,
        "recompute": recompute,
        "evaluate_every": evaluate_every,
        "tokenizer": tokenizer,
        "seed": seed,
        "patience": patience,
        "workers": workers,
        "on_bad_picture": on_bad_picture,
        "repeat_rare": repeat_rare,
        "weigh_classes": weigh_classes,
        "loggers": tuple(logger or ()),
        "window": parse_window(window),
    }
    changes = {name: value for name, value in said.items() if value is not None}
    told = {"names": parse_names(names), "format": format}
    run = run_training(
        data, model, task=task, out=out, resume=resume, device=device, **told, **changes
    )
    if not run.finished:
        raise typer.Exit(130)
    Terminal().print(f"best weights: {run.folder / 'weights' / 'best'}", soft_wrap=True)


def parse_names(text: str | None) -> tuple[str, ...] | None:
    """Read names between commas."""
    if text is None:
        return None
    parts = tuple(part.strip() for part in text.split(","))
    if not all(parts):
        raise SettingsError(f"--names {text!r}: give names, such as nucleus,background")
    return parts
