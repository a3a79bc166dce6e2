"""`unimask train`: labelled pictures to weights."""

import warnings
from pathlib import Path
from typing import Annotated

import typer

from unimask.cli.main import FormatOption, MasksOption, WindowOption, app
from unimask.cli.windows import parse_window
from unimask.errors import SettingsError
from unimask.formats.terminal import Terminal

DEFAULT_MODEL = "mask2former-nano"

DataArgument = Annotated[
    Path | None,
    typer.Argument(
        metavar="[DATA]",
        help="Folder of the dataset, or its name on the Hub; a resumed run knows it.",
    ),
]
ModelOption = Annotated[
    str | None,
    typer.Option(
        "--model",
        "-m",
        help="A preset or published name, untrained; or weights.",
        show_default=DEFAULT_MODEL,
    ),
]
SplitOption = Annotated[
    str | None, typer.Option(help="Split to train on.", show_default="train, or everything")
]
ValSplitOption = Annotated[
    str | None,
    typer.Option(help="Split to validate on.", show_default="val, or images that are set aside"),
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
    str | None,
    typer.Option(
        help="OneFormer's texts: bytes, or CLIP's tokenizer.json.", show_default="the model's own"
    ),
]

BadPictureOption = Annotated[
    str | None, typer.Option(help="What an unreadable picture does: stop (the rule) or skip.")
]


@app.command()
def train(
    data: DataArgument = None,
    model: ModelOption = None,
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
    masks: MasksOption = None,
    window: WindowOption = None,
    split: SplitOption = None,
    val_split: ValSplitOption = None,
    evaluate_every: Annotated[int | None, typer.Option(help="Steps between validations.")] = None,
    tokenizer: TokenizerOption = None,
    seed: Annotated[
        int | None, typer.Option(help="Seed of all random numbers.", show_default="0")
    ] = None,
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
    resume: Annotated[
        bool, typer.Option("--resume", help="Continue the run in --out, which needs nothing else.")
    ] = False,
    device: Annotated[
        str | None, typer.Option(help="auto, cpu, cuda, cuda:1, mps.", show_default="auto")
    ] = None,
) -> None:
    """Train a network, from scratch or from weights; interrupt and resume at will.

    Options you leave out are chosen from the data and the hardware, and printed at the start.
    """
    from unimask.training import train as run_training
    from unimask.training.processes import is_first_process

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
        "recompute": recompute or None,
        "evaluate_every": evaluate_every,
        "tokenizer": tokenizer,
        "seed": seed,
        "patience": patience,
        "workers": workers,
        "on_bad_picture": on_bad_picture,
        "repeat_rare": repeat_rare,
        "weigh_classes": weigh_classes or None,
        "loggers": tuple(logger) if logger else None,
        "window": parse_window(window),
    }
    changes = {name: value for name, value in said.items() if value is not None}
    first = is_first_process()
    if not first:
        warnings.simplefilter("ignore")  # the first of several processes shows them
    run = run_training(
        data, model if resume else model or DEFAULT_MODEL, task=task, out=out, resume=resume,
        names=parse_names(names), format=format, masks=masks, split=split, val_split=val_split,
        device=device, **changes,
    )  # fmt: skip
    if not run.finished:
        raise typer.Exit(130)
    if first:
        print_weights(run.folder)


def print_weights(folder: Path) -> None:
    """Print where the weights of a finished run are; the best ones if any were validated."""
    kind = "best" if (folder / "weights" / "best").is_dir() else "last"
    Terminal().print(f"{kind} weights: {folder / 'weights' / kind}", soft_wrap=True)


def parse_names(text: str | None) -> tuple[str, ...] | None:
    """Read names between commas."""
    if text is None:
        return None
    parts = tuple(part.strip() for part in text.split(","))
    if not all(parts):
        raise SettingsError(f"--names {text!r}: give names, such as nucleus,background")
    return parts
