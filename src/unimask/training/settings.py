"""What a run may be told: one dataclass, the same in Python and on the command line."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal, get_args, get_type_hints

from unimask.config import LossConfig, PreprocessingConfig, Window
from unimask.datasets.transforms import Augmentation
from unimask.errors import ImageError, SettingsError
from unimask.processing.intensities import checked


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainingSettings:
    """How a network is trained.

    Attributes:
        steps: Updates of the weights.
        batch_size: Pictures per process and pass.
        accumulate: Passes per update; the gradients are those of one large batch, but for the
            class loss's weighted mean, which each pass takes over its own pictures.
        learning_rate: Peak rate of everything but the backbone.
        backbone_rate: Factor on it for a pretrained backbone.
        backbone: In place of a preset's: "convnext-tiny" or another published one, or `timm:NAME`,
            which needs the extra `timm`.
        pixel_decoder: In place of a preset's: "deformable", "fpn", "fpn-encoder" or "fapn".
        backbone_weights: File of a backbone trained on ImageNet, for a network that is otherwise
            untrained: detectron2's `R-50.pkl`, torchvision's `.pth`, that of Swin's, ConvNeXt's
            or DiNAT's authors, or timm's own of the model that `backbone` names; "timm" lets timm
            fetch them.
        channels: Of the pictures, where they are not RGB; weights of RGB are fitted to them. None
            keeps the network's, 3 for a preset.
        num_queries: Masks that the network may propose per picture; None keeps its own number. A
            trained network keeps its queries and gets untrained ones beside them, so that it
            can have more, never fewer. Where queries are taken from the picture, the most of them
            in all, more or fewer.
        weight_decay: Decay of weight matrices; norms, embeddings and tables have none.
        clip_norm: Largest norm of all gradients together.
        schedule: How the rate falls after warm-up: "poly" (power 0.9), "cosine", or "step" (a
            tenth after 8/9 and again after 26/27 of the run, the papers' COCO schedule).
        warmup_steps: Steps over which the rate rises from 0.
        precision: "float32", or "bfloat16" autocast; matching and losses stay float32.
        recompute: Compute the insides of layers again for their gradients instead of keeping them:
            about half the memory, and a third more time.
        ema_decay: Of the running average of the weights, which is what is judged and kept; 0
            keeps the weights themselves.
        tokenizer: OneFormer's texts as "bytes", or as the tokens of CLIP, whose files are here
            (tokenizer.json, or a folder with it or with vocab.json and merges.txt). "auto" takes
            the files beside trained weights, as published OneFormers have them, else bytes.
        seed: Every random draw follows from it, the step and the picture.
        workers: Processes that read pictures.
        evaluate_every: Steps between two validations; 0 for one at the end.
        patience: Validations in a row without a better score after which the run ends; 0 for never.
        save_every: Steps between two saved states.
        on_bad_picture: What an unreadable picture or label does: "stop" ends the run, "skip" takes
            the next one in its place, and counts.
        repeat_rare: Share of the pictures below which a class is rare, whose pictures are then
            shown more often (`balance.repeat_factors`); LVIS takes 0.001, small data more. 0 for
            never.
        weigh_classes: Rare classes count more in the class loss (`balance.class_weights`).
        loggers: Where curves go beside `metrics.csv`: "tensorboard", "wandb", "mlflow".
        max_bad_steps: Steps in a row without finite losses after which the run stops.
        preprocessing: How pictures are predicted; None keeps the weights' own, or lets the
            shorter side be `augmentation.crop` for a network from scratch.
        window: Values of deep images that become black and white when they are read, or "auto"; the
            weights remember it, and predict with it. None keeps the weights' own.
        augmentation: How pictures are changed before the network learns from them.
        criterion: Weights of the losses and where they look; None takes the authors' for the
            network.
    """

    steps: int = 1000
    batch_size: int = 4
    accumulate: int = 1
    learning_rate: float = 1e-4
    backbone_rate: float = 0.1
    backbone: str | None = None
    pixel_decoder: str | None = None
    backbone_weights: str | None = None
    channels: int | None = None
    num_queries: int | None = None
    weight_decay: float = 0.05
    clip_norm: float = 0.01
    schedule: Literal["poly", "cosine", "step"] = "poly"
    warmup_steps: int = 100
    precision: Literal["float32", "bfloat16"] = "float32"
    recompute: bool = False
    ema_decay: float = 0.999
    tokenizer: str = "auto"
    seed: int = 0
    workers: int = 2
    evaluate_every: int = 0
    patience: int = 0
    save_every: int = 200
    on_bad_picture: Literal["stop", "skip"] = "stop"
    repeat_rare: float = 0.0
    weigh_classes: bool = False
    loggers: tuple[str, ...] = ()
    max_bad_steps: int = 10
    preprocessing: PreprocessingConfig | None = None
    window: Window = None
    augmentation: Augmentation = field(default_factory=Augmentation)
    criterion: LossConfig | None = None

    def __post_init__(self) -> None:
        """Refuse values that cannot be meant.

        Raises:
            SettingsError: A value is of another type, or outside its range.
        """
        for name, (least, most) in WHOLE.items():
            check_whole(name, getattr(self, name), least, most)
        for name in ("channels", "num_queries"):
            if getattr(self, name) is not None:
                check_whole(name, getattr(self, name), 1, 4096 if name == "channels" else 65_536)
        for name, (least, most, words) in REAL.items():
            check_real(name, getattr(self, name), least, most, words)
        for name in ("learning_rate", "clip_norm"):
            if getattr(self, name) == 0:
                raise SettingsError(f"{name} is 0: give a positive number")
        check_choices({name: getattr(self, name) for name in CHOICES})
        check_whole("size", self.augmentation.crop, 32, 16_384)
        if self.augmentation.crop % 32:
            raise SettingsError(f"size is {self.augmentation.crop}: give a multiple of 32")
        check_window(self.window)
        if self.window is not None and self.preprocessing is not None:
            both = replace(self.preprocessing, window=self.window)
            object.__setattr__(self, "preprocessing", both)


WHOLE = {
    "steps": (1, 10**9),
    "batch_size": (1, 65_536),
    "accumulate": (1, 65_536),
    "warmup_steps": (0, 10**9),
    "seed": (0, 2**63 - 1),
    "workers": (0, 1024),
    "evaluate_every": (0, 10**9),
    "patience": (0, 10**9),
    "save_every": (1, 10**9),
    "max_bad_steps": (1, 10**9),
}
"""Least and greatest value of settings that are whole numbers."""

REAL = {
    "learning_rate": (0.0, math.inf, "a positive number"),
    "backbone_rate": (0.0, math.inf, "0 or a positive number"),
    "weight_decay": (0.0, math.inf, "0 or a positive number"),
    "clip_norm": (0.0, math.inf, "a positive number"),
    "ema_decay": (0.0, math.nextafter(1.0, 0.0), "0 or a share below 1"),
    "repeat_rare": (0.0, 1.0, "a share from 0 to 1"),
}
"""Least and greatest value of settings that are finite numbers, and what they are."""


CHOICES = ("schedule", "precision", "on_bad_picture")
"""Settings that are one of a few words."""


def check_choices(values: Mapping[str, object]) -> None:
    """Refuse words that a setting does not know.

    Raises:
        SettingsError: There is one.
    """
    for name in CHOICES:
        choices = get_args(get_type_hints(TrainingSettings)[name])
        if name in values and values[name] not in choices:
            raise SettingsError(f"{name} is {values[name]!r}: give {' or '.join(choices)}")


def check_whole(name: str, value: object, least: int, most: int) -> None:
    """Refuse what is no whole number of a range.

    Raises:
        SettingsError: It is none.
    """
    if not isinstance(value, int) or isinstance(value, bool):
        raise SettingsError(f"{name} is {value!r}: give a whole number")
    if value < least:
        raise SettingsError(f"{name} is {value}: give at least {least}")
    if value > most:
        raise SettingsError(f"{name} is {value}: give at most {most}")


def check_real(name: str, value: object, least: float, most: float, words: str) -> None:
    """Refuse what is no finite number of a range.

    Raises:
        SettingsError: It is none.
    """
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise SettingsError(f"{name} is {value!r}: give {words}")
    if not math.isfinite(value) or not least <= value <= most:
        raise SettingsError(f"{name} is {value}: give {words}")


def check_window(window: object) -> None:
    """Refuse what is no window.

    Raises:
        SettingsError: It is neither "auto" nor two finite numbers, the lower first.
    """
    if window in (None, "auto"):
        return
    try:
        checked(window, "the images")
    except ImageError as error:
        raise SettingsError(str(error)) from None
