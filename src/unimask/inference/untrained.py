"""Untrained networks: presets and published configurations, changed if asked."""

from collections.abc import Sequence
from dataclasses import replace

from unimask.checkpoints import Checkpoint, timm_normalisation
from unimask.config import PreprocessingConfig, SegmenterConfig, TimmConfig
from unimask.errors import SettingsError
from unimask.inference.load import choose_device
from unimask.inference.names import nearest
from unimask.inference.predictor import Predictor
from unimask.label_sets import in_known_colours
from unimask.labels import LabelSet
from unimask.modeling.build import build_segmenter
from unimask.presets import PRESETS, family_rules, family_tasks, preset
from unimask.published.configurations import CONFIGURATIONS

TIMM = "timm:"


def build(
    name: str,
    *,
    labels: Sequence[str] | None = None,
    is_thing: Sequence[bool] | None = None,
    backbone: str | None = None,
    channels: int = 3,
    device: str = "auto",
) -> Predictor:
    """Build an untrained network, to train it by hand or to try its speed.

    Args:
        name: An architecture, such as "mask2former-swin-tiny", or a published configuration of one,
            such as "mask2former-swin-tiny-coco-instance": with its tasks, test size and rules.
        labels: Names of the classes; a configuration has those of its data.
        is_thing: Per class: True where objects are counted; all by default.
        backbone: `timm:NAME` in place of the network's own (extra `timm`).
        channels: Of the pictures, 3 for RGB.
        device: As for `load`.

    Raises:
        MissingExtraError: timm is asked for and not installed.
        SettingsError: Nothing has that name, an architecture is given no labels, the label set is
            not one, or no backbone has that name.
    """
    label_set = None
    if labels is not None:
        things = tuple(is_thing) if is_thing is not None else (True,) * len(labels)
        label_set = in_known_colours(LabelSet(tuple(labels), things))
    elif is_thing is not None:
        raise SettingsError("is_thing goes with labels: give both, or neither")
    checkpoint = describe_untrained(name, label_set, backbone=backbone, channels=channels)
    network = build_segmenter(checkpoint.config).to(choose_device(device)).eval()
    told = name if backbone is None else f"{name} on {backbone}"
    return Predictor(network, checkpoint, f"untrained {told}")


def describe_untrained(
    name: str,
    labels: LabelSet | None = None,
    *,
    backbone: str | None = None,
    channels: int | None = None,
) -> Checkpoint:
    """Describe a network without weights; its state is empty.

    A published configuration brings its data's labels, and its authors' tasks, test size and rules
    for any labels; a preset brings only its family's rules.

    Args:
        name: A preset's, or a published configuration's.
        labels: Its classes; a configuration's own by default.
        backbone: `timm:NAME`; None keeps its own.
        channels: Of the pictures; None for RGB.

    Raises:
        SettingsError: Nothing has that name, a preset is given no labels, no backbone has that
            name, or there are no channels.
    """
    if name in CONFIGURATIONS:
        found = CONFIGURATIONS[name]
        labels = labels or found.labels
        config = found.network(len(labels))
        tasks, preprocessing = found.publication.tasks, found.preprocessing()
        postprocessing = found.publication.postprocessing(config)
    elif name not in PRESETS:
        raise SettingsError(f"unknown preset {name!r}: {nearest(name)}")
    elif labels is None:
        raise SettingsError(f"{name} has no classes of its own: give labels, the classes' names")
    else:
        config = preset(name, len(labels))
        tasks, preprocessing = family_tasks(config), PreprocessingConfig()
        postprocessing = family_rules(config)
    config = changed(config, backbone=backbone, channels=channels)
    return Checkpoint(
        config=config,
        state={},
        labels=labels,
        tasks=tasks,
        preprocessing=normalised_for(config, preprocessing),
        postprocessing=postprocessing,
    )


def changed(
    config: SegmenterConfig, *, backbone: str | None, channels: int | None
) -> SegmenterConfig:
    """Give an architecture another backbone, or one for other pictures.

    Args:
        config: The architecture.
        backbone: `timm:NAME`; None keeps its own.
        channels: Of the pictures; None for RGB.

    Raises:
        SettingsError: No backbone has that name, or there are no channels.
    """
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
