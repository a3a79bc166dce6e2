"""Untrained networks from presets and published configurations, with optional changes."""

from collections.abc import Sequence
from dataclasses import replace

from unimask.checkpoints import ModelDescription, timm_normalisation
from unimask.config import (
    BackboneConfig,
    DetrPixelDecoderConfig,
    EfficientNetLiteConfig,
    MaskedDecoderConfig,
    NoPixelDecoderConfig,
    PixelDecoderConfig,
    PreprocessingConfig,
    SegmenterConfig,
    TimmConfig,
)
from unimask.errors import SettingsError
from unimask.inference.load import choose_device
from unimask.inference.names import describe_known_names
from unimask.inference.predictor import Predictor
from unimask.label_sets import add_known_colours
from unimask.labels import LabelSet
from unimask.modeling.build import build_segmenter
from unimask.presets import (
    BACKBONES,
    PIXEL_DECODERS,
    PRESETS,
    family_postprocessing,
    family_tasks,
    preset,
)
from unimask.published.model_configs import MODEL_CONFIGS

TIMM = "timm:"

EFFICIENTNET_LITE_NORMALISATION = 127.0, 128.0
"""Mean and standard deviation of every channel (TensorFlow's `efficientnet_lite_builder.py`)."""


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
    """Build an untrained network, for training in Python or for measuring its speed.

    Args:
        name: An architecture such as "mask2former-swin-tiny", or a published configuration
            such as "mask2former-swin-tiny-coco-instance" with its tasks, test size and rules.
        labels: Class names; by default those of a published configuration's data.
        is_thing: Whether each class is a thing; all are by default.
        backbone: Backbone instead of the network's own: a published one such as
            "convnext-tiny", or `timm:NAME` (extra `timm`).
        pixel_decoder: Pixel decoder instead of the network's own: "deformable", "fpn",
            "fpn-encoder" or "fapn".
        channels: Number of channels per image; 3 for RGB.
        device: Device of the network, as for `load`.

    Raises:
        MissingExtraError: timm is requested but not installed.
        SettingsError: The name, backbone or pixel decoder is unknown, the label set is invalid,
            or an architecture is given no labels.

    Example:
        >>> import unimask
        >>> model = unimask.build("mask2former-nano", labels=["cell"])
        >>> model.tasks
        ('panoptic', 'instance', 'semantic')
    """
    label_set = None
    if labels is not None:
        things = tuple(is_thing) if is_thing is not None else (True,) * len(labels)
        label_set = add_known_colours(LabelSet(tuple(labels), things))
    elif is_thing is not None:
        raise SettingsError("is_thing goes with labels: pass both, or neither")
    description = describe_untrained(
        name, label_set, backbone=backbone, pixel_decoder=pixel_decoder, channels=channels
    )
    network = build_segmenter(description.config).to(choose_device(device)).eval()
    return Predictor(
        network, description, f"untrained {name}{describe_replacements(backbone, pixel_decoder)}"
    )


def describe_replacements(backbone: str | None, pixel_decoder: str | None) -> str:
    """Describe the replaced parts of a network."""
    on = "" if backbone is None else f" on {backbone}"
    return on if pixel_decoder is None else f"{on} with {pixel_decoder}"


def describe_untrained(
    name: str,
    labels: LabelSet | None = None,
    *,
    backbone: str | None = None,
    pixel_decoder: str | None = None,
    channels: int | None = None,
) -> ModelDescription:
    """Describe an untrained network.

    A published configuration has its data's labels, and its authors' tasks, test size and rules
    for any labels; a preset has only its family's rules.

    Args:
        name: Name of a preset or of a published configuration.
        labels: Label set; a configuration's own by default.
        backbone: Backbone as for `build`; None keeps the network's own.
        pixel_decoder: Pixel decoder as for `build`; None keeps the network's own.
        channels: Number of channels per image; None for RGB.

    Raises:
        SettingsError: A name is unknown, a preset is given no labels, or `channels` is below 1.
    """
    if name in MODEL_CONFIGS:
        configuration = MODEL_CONFIGS[name]
        labels = labels or configuration.labels
        config = configuration.network(len(labels))
        tasks, preprocessing = configuration.publication.tasks, configuration.preprocessing()
        postprocessing = configuration.publication.postprocessing(config)
    elif name not in PRESETS:
        raise SettingsError(f"unknown preset {name!r}: {describe_known_names(name)}")
    elif labels is None:
        raise SettingsError(f"{name} has no classes of its own: pass labels, the classes' names")
    else:
        config = preset(name, len(labels))
        tasks, preprocessing = family_tasks(config), PreprocessingConfig()
        postprocessing = family_postprocessing(config)
    config = changed(config, backbone=backbone, pixel_decoder=pixel_decoder, channels=channels)
    return ModelDescription(
        config=config,
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
    """Replace the backbone, the pixel decoder or the number of channels of an architecture.

    Args:
        config: Architecture to change.
        backbone: Backbone as for `build`; None keeps the architecture's own.
        pixel_decoder: Pixel decoder as for `build`, with the dimensions of the architecture's
            own; None keeps that.
        channels: Number of channels per image; None for RGB.

    Raises:
        SettingsError: A name is unknown, or `channels` is below 1.
    """
    if backbone is not None:
        if isinstance(config.pixel_decoder, NoPixelDecoderConfig):
            raise SettingsError("an EoMT is one ViT, which cannot be replaced by another backbone")
        config = replace(config, backbone=named_backbone(backbone))
    if pixel_decoder is not None:
        config = replace(config, pixel_decoder=named_pixel_decoder(pixel_decoder, config))
    if channels is None:
        return config
    if channels < 1:
        raise SettingsError(f"channels is {channels}: pass 1 or more")
    return replace(config, backbone=replace(config.backbone, in_channels=channels))


def named_pixel_decoder(name: str, config: SegmenterConfig) -> PixelDecoderConfig:
    """Return the pixel decoder of a name, with the dimensions of the network's own.

    Raises:
        SettingsError: The name is unknown, or the network needs its own pixel decoder.
    """
    own, queries = config.pixel_decoder, config.transformer_decoder
    if name not in PIXEL_DECODERS:
        raise SettingsError(f"pixel decoder {name!r}: pass one of {', '.join(PIXEL_DECODERS)}")
    if isinstance(own, NoPixelDecoderConfig | DetrPixelDecoderConfig):
        raise SettingsError("an EoMT or a DETR has no pixel decoder")
    if isinstance(queries, MaskedDecoderConfig) and queries.local_positions:
        raise SettingsError("a network that measures in pixels needs its own pixel decoder")
    if PIXEL_DECODERS[name].kind == own.kind == "deformable":
        return own
    return replace(PIXEL_DECODERS[name], dim=own.dim, mask_dim=own.mask_dim)


def named_backbone(name: str) -> BackboneConfig:
    """Return the backbone of a name.

    Raises:
        SettingsError: The name is neither a published backbone nor one of timm's.
    """
    if name in BACKBONES:
        return BACKBONES[name]
    timm_name = name.removeprefix(TIMM)
    if timm_name == name or not timm_name:
        raise SettingsError(
            f"backbone {name!r}: pass {TIMM}NAME, such as {TIMM}convnextv2_atto, or one of "
            f"{', '.join(BACKBONES)}"
        )
    return TimmConfig(name=timm_name)


def normalised_for(
    config: SegmenterConfig, preprocessing: PreprocessingConfig
) -> PreprocessingConfig:
    """Set the mean and deviation of preprocessing for a backbone and its number of channels."""
    backbone = config.backbone
    if isinstance(backbone, TimmConfig):
        preprocessing = timm_normalisation(backbone, preprocessing)
    if isinstance(backbone, EfficientNetLiteConfig):
        mean, std = EFFICIENTNET_LITE_NORMALISATION
        preprocessing = replace(preprocessing, mean=(mean,) * 3, std=(std,) * 3)
    return preprocessing.with_channels(backbone.in_channels)
