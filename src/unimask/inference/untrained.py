"""Untrained networks: presets and published configurations, changed if asked."""

from collections.abc import Sequence
from dataclasses import replace

from unimask.checkpoints import Checkpoint, timm_normalisation
from unimask.config import (
    BackboneConfig,
    MaskedDecoderConfig,
    PixelDecoderConfig,
    PreprocessingConfig,
    SegmenterConfig,
    TimmConfig,
)
from unimask.errors import SettingsError
from unimask.inference.load import choose_device
from unimask.inference.names import nearest
from unimask.inference.predictor import Predictor
from unimask.label_sets import in_known_colours
from unimask.labels import LabelSet
from unimask.modeling.build import build_segmenter
from unimask.presets import (
    BACKBONES,
    PIXEL_DECODERS,
    PRESETS,
    family_rules,
    family_tasks,
    preset,
)
from unimask.published.configurations import CONFIGURATIONS

TIMM = "timm:"


def build(
    name: str,
    *,
    labels: Sequence[str] | None = None,
    is_thing: Sequence[bool] | None = None,
    backbone: str | None = None,
    pixel_decoder: str | None = None,
    channels: int = 3,
    device: str = "auto",
) -> Predictor:
    """Build an untrained network, to train it by hand or to try its speed.

    Args:
        name: An architecture, such as "mask2former-swin-tiny", or a published configuration of one,
            such as "mask2former-swin-tiny-coco-instance": with its tasks, test size and rules.
        labels: Names of the classes; a configuration has those of its data.
        is_thing: Per class: True where objects are counted; all by default.
        backbone: In place of the network's own: a published one, such as "convnext-tiny", or
            `timm:NAME` (extra `timm`).
        pixel_decoder: In place of the network's own: "deformable", "fpn", "fpn-encoder", "fapn".
        channels: Of the pictures, 3 for RGB.
        device: As for `load`.

    Raises:
        MissingExtraError: timm is asked for and not installed.
        SettingsError: Nothing has that name, an architecture is given no labels, the label set is
            not one, or no backbone or pixel decoder has that name.
    """
    label_set = None
    if labels is not None:
        things = tuple(is_thing) if is_thing is not None else (True,) * len(labels)
        label_set = in_known_colours(LabelSet(tuple(labels), things))
    elif is_thing is not None:
        raise SettingsError("is_thing goes with labels: give both, or neither")
    checkpoint = describe_untrained(
        name, label_set, backbone=backbone, pixel_decoder=pixel_decoder, channels=channels
    )
    network = build_segmenter(checkpoint.config).to(choose_device(device)).eval()
    told = f"untrained {name}{in_place(backbone, pixel_decoder)}"
    return Predictor(network, checkpoint, told)


def in_place(backbone: str | None, pixel_decoder: str | None) -> str:
    """Say which parts a network has in place of its own."""
    on = "" if backbone is None else f" on {backbone}"
    return on if pixel_decoder is None else f"{on} with {pixel_decoder}"


def describe_untrained(
    name: str,
    labels: LabelSet | None = None,
    *,
    backbone: str | None = None,
    pixel_decoder: str | None = None,
    channels: int | None = None,
) -> Checkpoint:
    """Describe a network without weights; its state is empty.

    A published configuration brings its data's labels, and its authors' tasks, test size and rules
    for any labels; a preset brings only its family's rules.

    Args:
        name: A preset's, or a published configuration's.
        labels: Its classes; a configuration's own by default.
        backbone: As for `build`; None keeps its own.
        pixel_decoder: As for `build`; None keeps its own.
        channels: Of the pictures; None for RGB.

    Raises:
        SettingsError: Nothing has that name, a preset is given no labels, no part has that name,
            or there are no channels.
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
    config = changed(config, backbone=backbone, pixel_decoder=pixel_decoder, channels=channels)
    return Checkpoint(
        config=config,
        state={},
        labels=labels,
        tasks=tasks,
        preprocessing=normalised_for(config, preprocessing),
        postprocessing=postprocessing,
    )


def changed(
    config: SegmenterConfig,
    *,
    backbone: str | None,
    pixel_decoder: str | None,
    channels: int | None,
) -> SegmenterConfig:
    """Give an architecture other parts, or a backbone for other pictures.

    Args:
        config: The architecture.
        backbone: As for `build`; None keeps its own.
        pixel_decoder: As for `build`, as wide as the architecture's own; None keeps that.
        channels: Of the pictures; None for RGB.

    Raises:
        SettingsError: No part has that name, or there are no channels.
    """
    if backbone is not None:
        config = replace(config, backbone=named_backbone(backbone))
    if pixel_decoder is not None:
        config = replace(config, pixel_decoder=named_pixel_decoder(pixel_decoder, config))
    if channels is None:
        return config
    if channels < 1:
        raise SettingsError(f"channels is {channels}: give 1 or more")
    return replace(config, backbone=replace(config.backbone, in_channels=channels))


def named_pixel_decoder(name: str, config: SegmenterConfig) -> PixelDecoderConfig:
    """Give the pixel decoder that a name stands for, as wide as the one in whose place it comes.

    Raises:
        SettingsError: Nothing has that name, or the network needs its own.
    """
    own, queries = config.pixel_decoder, config.transformer_decoder
    if name not in PIXEL_DECODERS:
        raise SettingsError(f"pixel decoder {name!r}: give one of {', '.join(PIXEL_DECODERS)}")
    if isinstance(queries, MaskedDecoderConfig) and queries.local_positions:
        raise SettingsError("a network that measures in pixels needs its own pixel decoder")
    if PIXEL_DECODERS[name].kind == own.kind == "deformable":
        return own
    return replace(PIXEL_DECODERS[name], dim=own.dim, mask_dim=own.mask_dim)


def named_backbone(name: str) -> BackboneConfig:
    """Give the backbone that a name stands for.

    Raises:
        SettingsError: It is neither a published one's nor one of timm's.
    """
    if name in BACKBONES:
        return BACKBONES[name]
    known = name.removeprefix(TIMM)
    if known == name or not known:
        raise SettingsError(
            f"backbone {name!r}: give {TIMM}NAME, such as {TIMM}convnextv2_atto, or one of "
            f"{', '.join(BACKBONES)}"
        )
    return TimmConfig(name=known)


def normalised_for(
    config: SegmenterConfig, preprocessing: PreprocessingConfig
) -> PreprocessingConfig:
    """Give a rule the mean and deviation that suit backbone and channels."""
    backbone = config.backbone
    if isinstance(backbone, TimmConfig):
        preprocessing = timm_normalisation(backbone, preprocessing)
    return preprocessing.for_channels(backbone.in_channels)
