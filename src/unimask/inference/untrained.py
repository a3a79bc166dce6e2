"""Untrained networks: a preset, with another backbone or for other channels if asked."""

from collections.abc import Sequence
from dataclasses import replace

from unimask.checkpoints import Checkpoint, timm_normalisation
from unimask.config import PreprocessingConfig, SegmenterConfig, TimmConfig
from unimask.errors import SettingsError
from unimask.inference.load import choose_device
from unimask.inference.predictor import Predictor
from unimask.labels import LabelSet
from unimask.modeling.build import build_segmenter
from unimask.presets import family_rules, family_tasks, preset

TIMM = "timm:"


def build(
    preset_name: str,
    *,
    labels: Sequence[str],
    is_thing: Sequence[bool] | None = None,
    backbone: str | None = None,
    channels: int = 3,
    device: str = "auto",
) -> Predictor:
    """Build an untrained network, to train it by hand or to try its speed.

    Args:
        preset_name: One of the architectures, such as "mask2former-swin-tiny".
        labels: Names of the classes.
        is_thing: Per class: True where objects are counted; all by default.
        backbone: `timm:NAME` in place of the preset's own (extra `timm`).
        channels: Of the pictures, 3 for RGB.
        device: As for `load`.

    Raises:
        MissingExtraError: timm is asked for and not installed.
        SettingsError: No preset or no backbone has that name, or the label set is not one.
    """
    things = tuple(is_thing) if is_thing is not None else (True,) * len(labels)
    label_set = LabelSet(tuple(labels), things)
    config = architecture(preset_name, len(label_set), backbone=backbone, channels=channels)
    network = build_segmenter(config).to(choose_device(device)).eval()
    checkpoint = Checkpoint(
        config=config,
        state={},
        labels=label_set,
        tasks=family_tasks(config),
        preprocessing=normalised_for(config, PreprocessingConfig()),
        postprocessing=family_rules(config),
    )
    name = preset_name if backbone is None else f"{preset_name} on {backbone}"
    return Predictor(network, checkpoint, f"untrained {name}")


def architecture(
    preset_name: str, num_classes: int, *, backbone: str | None, channels: int | None
) -> SegmenterConfig:
    """Give a preset's architecture, changed as asked.

    Args:
        preset_name: One of the presets.
        num_classes: Classes.
        backbone: `timm:NAME`; None keeps the preset's.
        channels: Of the pictures; None for RGB.

    Raises:
        SettingsError: No preset or backbone has that name, or there are no channels.
    """
    config = preset(preset_name, num_classes)
    if backbone is not None:
        config = replace(config, backbone=named_backbone(backbone))
    if channels is None:
        return config
    if channels < 1:
        raise SettingsError(f"channels is {channels}: give 1 or more")
    return replace(config, backbone=replace(config.backbone, in_channels=channels))


def named_backbone(name: str) -> TimmConfig:
    """Give the backbone that a name stands for.

    Raises:
        SettingsError: It is none of timm's.
    """
    known = name.removeprefix(TIMM)
    if known == name or not known:
        raise SettingsError(f"backbone {name!r}: give {TIMM}NAME, such as {TIMM}convnextv2_atto")
    return TimmConfig(name=known)


def normalised_for(
    config: SegmenterConfig, preprocessing: PreprocessingConfig
) -> PreprocessingConfig:
    """Give a rule the mean and deviation that suit backbone and channels."""
    backbone = config.backbone
    if isinstance(backbone, TimmConfig):
        preprocessing = timm_normalisation(backbone, preprocessing)
    return preprocessing.for_channels(backbone.in_channels)
