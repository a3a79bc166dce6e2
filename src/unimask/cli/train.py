"""`unimask train`: train a network on labelled images."""

import warnings
from pathlib import Path
from typing import Annotated

import typer

from unimask.cli.app import (
    BandsOption,
    ChipOption,
    FormatOption,
    MasksOption,
    NamesOption,
    SlicesOption,
    WindowOption,
    app,
    parse_bands,
    parse_names,
    parse_window,
)
from unimask.cli.completion import complete, complete_devices, complete_models
from unimask.formats.terminal import Terminal
from unimask.labels import TASKS

DataArgument = Annotated[
    Path | None,
    typer.Argument(
        metavar="[DATA]",
        help="Path of the dataset folder, or name of a dataset on the Hugging Face Hub; "
        "not needed with --resume.",
    ),
]
ModelOption = Annotated[
    str | None,
    typer.Option(
        "--model",
        "-m",
        help="Preset or published name (trained from scratch), or trained weights to fine-tune.",
        show_default="mask2former-lite0, or unimask-lite0 for 20 objects per image or more; "
        "without the extra lite, mask2former-nano or unimask-nano",
        autocompletion=complete_models,
    ),
]
SplitOption = Annotated[
    str | None,
    typer.Option(help="Split to train on.", show_default="train, or all images if there is none"),
]
ValSplitOption = Annotated[
    str | None,
    typer.Option(
        help="Split to validate on.",
        show_default="val, or images set aside from the training split",
    ),
]
TaskOption = Annotated[
    str | None,
    typer.Option(
        help="Task to train for: semantic, instance, panoptic, or all (OneFormer). By "
        "default the most general task that the labels allow.",
        autocompletion=complete(*TASKS, "all"),
    ),
]
BackboneOption = Annotated[
    str | None,
    typer.Option(
        help="Backbone to use instead of the preset's, such as efficientnet-lite0, or timm:NAME."
    ),
]
PixelDecoderOption = Annotated[
    str | None,
    typer.Option(
        help="Pixel decoder to use instead of the preset's: deformable, fpn, fpn-encoder or fapn."
    ),
]
WeightsOption = Annotated[
    Path | None,
    typer.Option(
        help="File of ImageNet weights for the preset's backbone, or imagenet for those of "
        "efficientnet-lite0 to 2 (extra lite) and of a timm backbone, which timm downloads; "
        "none for random weights."
    ),
]
FreezeOption = Annotated[
    str | None,
    typer.Option(
        help="Part that is not trained: backbone, which must be pretrained, or none (default)."
    ),
]
ChannelsOption = Annotated[
    int | None,
    typer.Option(min=1, help="Number of channels per image, for images that are not RGB."),
]
QueriesOption = Annotated[
    int | None,
    typer.Option(
        min=1,
        help="Number of queries, which is the largest number of masks per image; trained "
        "weights can get more, not fewer.",
    ),
]
ClipsOption = Annotated[
    bool,
    typer.Option(
        "--clips",
        help="Train a Mask2Former to segment clips of labelled videos, on two frames per sample.",
    ),
]
RecomputeOption = Annotated[
    bool,
    typer.Option(
        "--recompute",
        help="Recompute activations in the backward pass (activation checkpointing): half "
        "the memory, a third more time.",
    ),
]
TokenizerOption = Annotated[
    str | None,
    typer.Option(
        help="Tokenizer of OneFormer's texts: bytes, or the path of CLIP's tokenizer.json.",
        show_default="the model's own",
    ),
]

BadImageOption = Annotated[
    str | None, typer.Option(help="Handling of unreadable images: stop (default) or skip.")
]


@app.command()
def train(
    data: DataArgument = None,
    model: ModelOption = None,
    task: TaskOption = None,
    steps: Annotated[int | None, typer.Option(min=1, help="Number of optimizer steps.")] = None,
    epochs: Annotated[
        float | None,
        typer.Option(help="Number of passes over the training images; alternative to --steps."),
    ] = None,
    size: Annotated[
        int | None,
        typer.Option(help="Side of the square training crops in pixels, a multiple of 32."),
    ] = None,
    batch_size: Annotated[
        int | None, typer.Option(min=1, help="Number of images per forward pass and process.")
    ] = None,
    accumulate: Annotated[
        int | None,
        typer.Option(
            min=1, help="Number of forward passes per optimizer step (gradient accumulation)."
        ),
    ] = None,
    learning_rate: Annotated[float | None, typer.Option(help="Peak learning rate.")] = None,
    backbone: BackboneOption = None,
    pixel_decoder: PixelDecoderOption = None,
    backbone_weights: WeightsOption = None,
    freeze: FreezeOption = None,
    channels: ChannelsOption = None,
    queries: QueriesOption = None,
    precision: Annotated[
        str | None, typer.Option(help="Floating-point precision: float32 or bfloat16 (autocast).")
    ] = None,
    recompute: RecomputeOption = False,
    clips: ClipsOption = False,
    names: NamesOption = None,
    format: FormatOption = None,
    masks: MasksOption = None,
    bands: BandsOption = None,
    chip: ChipOption = None,
    slices: SlicesOption = None,
    window: WindowOption = None,
    split: SplitOption = None,
    val_split: ValSplitOption = None,
    evaluate_every: Annotated[
        int | None,
        typer.Option(help="Number of steps between validations; 0 validates only at the end."),
    ] = None,
    tokenizer: TokenizerOption = None,
    seed: Annotated[
        int | None, typer.Option(help="Seed of all random numbers.", show_default="0")
    ] = None,
    repeat_rare: Annotated[
        float | None,
        typer.Option(
            help="Repeat images of classes that occur in less than this share of the images "
            "(0 to 1).",
            show_default="0, or 1 if most images show no rarer class",
        ),
    ] = None,
    weigh_classes: Annotated[
        bool | None,
        typer.Option(
            help="Weight rare classes higher in the class loss.",
            show_default="no, unless most images show no rarer class",
        ),
    ] = None,
    logger: Annotated[
        list[str] | None,
        typer.Option(
            help="Additional logger besides metrics.csv: tensorboard, wandb or mlflow; may be "
            "repeated."
        ),
    ] = None,
    workers: Annotated[
        int | None, typer.Option(min=0, help="Number of processes that load images.")
    ] = None,
    patience: Annotated[
        int | None,
        typer.Option(
            min=1, help="Stop after this many validations without a better score; by default never."
        ),
    ] = None,
    on_bad_image: BadImageOption = None,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Folder of the run.")] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Continue the run in --out with its saved options.")
    ] = False,
    device: Annotated[
        str | None,
        typer.Option(
            help="Device to train on: auto, cpu, cuda, cuda:N or mps.",
            show_default="auto",
            autocompletion=complete_devices,
        ),
    ] = None,
) -> None:
    """Train a network from scratch or from trained weights; runs can be interrupted and resumed.

    Options you leave out are chosen from the data and the hardware and printed before training
    starts.
    """
    from unimask.training import train as run_training
    from unimask.training.processes import is_first_process

    options = {
        "steps": steps,
        "epochs": epochs,
        "size": size,
        "batch_size": batch_size,
        "accumulate": accumulate,
        "learning_rate": learning_rate,
        "backbone": backbone,
        "pixel_decoder": pixel_decoder,
        "backbone_weights": None if backbone_weights is None else str(backbone_weights),
        "freeze": freeze,
        "channels": channels,
        "num_queries": queries,
        "precision": precision,
        "recompute": recompute or None,
        "clips": clips or None,
        "evaluate_every": evaluate_every,
        "tokenizer": tokenizer,
        "seed": seed,
        "patience": patience,
        "workers": workers,
        "on_bad_image": on_bad_image,
        "repeat_rare": repeat_rare,
        "weigh_classes": weigh_classes,
        "loggers": tuple(logger) if logger else None,
        "window": parse_window(window),
    }
    changes = {name: value for name, value in options.items() if value is not None}
    if not is_first_process():
        warnings.simplefilter("ignore")  # only the first process shows warnings
    run = run_training(
        data, model, task=task, out=out, resume=resume,
        names=parse_names(names), format=format, masks=masks, split=split, val_split=val_split,
        bands=parse_bands(bands), chip=chip, slices=slices, device=device, **changes,
    )  # fmt: skip
    if not run.finished:
        raise typer.Exit(130)
    if is_first_process():
        print_weights(run.folder)


def print_weights(folder: Path) -> None:
    """Print the path of a finished run's weights: the best if it was validated, else the last."""
    kind = "best" if (folder / "weights" / "best").is_dir() else "last"
    Terminal().print(f"{kind} weights: {folder / 'weights' / kind}", soft_wrap=True)
