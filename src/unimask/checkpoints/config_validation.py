"""Validation of configurations from files before anything is built from them."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from torch import Tensor

from unimask.checkpoints.skeleton import build_skeleton
from unimask.config import (
    DiNATConfig,
    EfficientNetLiteConfig,
    PostprocessingConfig,
    PreprocessingConfig,
    ResNetConfig,
    SegmenterConfig,
    SwinConfig,
    TimmConfig,
    ViTConfig,
)
from unimask.errors import CheckpointError, one_line

MAX_INTEGER = 2**16
"""Maximum of integers: widths, queries, classes. The vocabulary has 49408."""

MAX_EDGE = 2**14
"""Maximum edge of images in pixels; the largest published one is 5120."""

MAX_FLOAT = 1e10
"""Maximum of other numbers: a window may lie anywhere within 32-bit values."""

ZERO_ALLOWED = frozenset(
    {"num_layers", "size_divisor", "context", "max_proposals", "num_registers"}
)

SPARE_ELEMENTS = 2**24
"""Numbers that a network may have beyond twice those of its file, for a text encoder that is left
out.
"""

MAX_LAYERS = 500
MAX_WINDOW_SIZE = 64


def expected_tensors(config: SegmenterConfig, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return names and shapes of a network's tensors, unless it is far larger than its file.

    Args:
        config: Configuration that the file describes.
        tensors: Tensors that the file contains.

    Raises:
        CheckpointError: The network is invalid, or does not fit the file.
    """
    check_types(config, "the network")
    check_heads(config)
    check_mask_probs(config)
    layers = sum(field_values(config, "num_layers", "projector_layers"))
    layers += sum(getattr(config.backbone, "depths", ()))
    windows = field_values(config, "window_size", "kernel_size")
    if layers > min(len(tensors), MAX_LAYERS) or max(windows, default=0) > MAX_WINDOW_SIZE:
        raise CheckpointError("the network is described as far larger than its weights")
    num_elements = sum(value.numel() for value in tensors.values())
    if (
        min_num_parameters(config) > num_elements
        or count_position_indices(config.backbone) > SPARE_ELEMENTS + num_elements
    ):
        raise CheckpointError("the network is described as far larger than its weights")
    try:
        return build_skeleton(config, SPARE_ELEMENTS + 2 * num_elements).state_dict()
    except (ValueError, RuntimeError, ArithmeticError, AssertionError, IndexError) as error:
        reason = one_line(error)
        raise CheckpointError(f"there is no such network: {reason}") from error


def check_types(value: Any, name: str) -> None:
    """Check the values of a configuration against its type annotations.

    Raises:
        CheckpointError: A value has another type, or is out of range.
    """
    hints = get_type_hints(type(value))
    for field in fields(value):
        item = getattr(value, field.name)
        nothing = type(item) is int and item == 0 and field.name in ZERO_ALLOWED
        if not nothing and not matches_type(item, hints[field.name]):
            raise CheckpointError(f"{field.name} of {name} is {str(item)[:60]!r}")
        if is_dataclass(item):
            check_types(item, field.name)


def check_heads(config: SegmenterConfig) -> None:
    """Check that the numbers of heads divide widths, which no weight's shape ensures.

    Raises:
        CheckpointError: A number of heads does not divide its width.
    """
    pixels, backbone = config.pixel_decoder, config.backbone
    encoder = getattr(pixels, "encoder", None)
    shared = [(getattr(part, "dim", 0), part) for part in (pixels, config.transformer_decoder)]
    pairs = [
        (width, getattr(part, "num_heads", 1))
        for width, part in (*shared, (getattr(pixels, "dim", 0), encoder))
    ]
    if isinstance(backbone, SwinConfig | DiNATConfig):
        pairs += [(backbone.embed_dim * 2**i, heads) for i, heads in enumerate(backbone.num_heads)]
    if isinstance(backbone, ViTConfig):
        check_vit(backbone)
        pairs.append((backbone.dim, backbone.num_heads))
    for width, heads in pairs:
        if width % heads:
            raise CheckpointError(f"num_heads is {heads}, which does not divide the width {width}")


def check_vit(backbone: ViTConfig) -> None:
    """Check sizes of a ViT that no weight's shape shows.

    Raises:
        CheckpointError: Patches cannot be upscaled to a stride of 4, images do not consist of
            patches, or heads are too narrow for rotary positions.
    """
    side = backbone.patch_size
    if side.bit_count() > 1 or side < 4:
        raise CheckpointError(f"patch_size is {side}: only powers of two from 4 are supported")
    if backbone.image_size % side:
        raise CheckpointError(f"image_size is {backbone.image_size}, no multiple of {side}")
    if backbone.positions == "rotary" and backbone.dim // backbone.num_heads % 4:
        raise CheckpointError(
            f"heads have {backbone.dim // backbone.num_heads} channels: rotary positions need a "
            "multiple of 4"
        )


def check_mask_probs(config: SegmenterConfig) -> None:
    """Check the probabilities of masked attention.

    Raises:
        CheckpointError: They are no probabilities, or not one per block.
    """
    probs = getattr(config.transformer_decoder, "mask_probs", ())
    if probs and len(probs) != config.transformer_decoder.num_layers:  # type: ignore[union-attr]
        raise CheckpointError(f"mask_probs has {len(probs)} values: expected one per block")
    if any(not 0 <= prob <= 1 for prob in probs):
        raise CheckpointError(f"mask_probs is {str(probs)[:60]}: expected values from 0 to 1")


def check_preprocessing(config: PreprocessingConfig) -> PreprocessingConfig:
    """Validate pre-processing settings and return them.

    Raises:
        CheckpointError: A value has another type, or is out of range.
    """
    check_types(config, "the preprocessing")
    edges = (config.shortest_edge, config.longest_edge, *(config.squash or ()))
    if max(edges) > MAX_EDGE or min(config.std) <= 0:
        raise CheckpointError("the preprocessing has edges that are too large, or a deviation of 0")
    if config.square is not None and len(set(config.fixed_size or (0, 1))) > 1:
        raise CheckpointError(f"the preprocessing has squares of size {config.fixed_size}")
    window = config.window
    if isinstance(window, tuple) and not window[0] < window[1]:
        raise CheckpointError(f"the preprocessing has the window {window}: LOW must be below HIGH")
    return config


def check_postprocessing(config: PostprocessingConfig) -> PostprocessingConfig:
    """Validate post-processing settings and return them.

    Raises:
        CheckpointError: A value has another type, or a fraction or score is not between 0 and 1.
    """
    check_types(config, "the postprocessing")
    for name in ("object_threshold", "overlap_threshold", "instance_threshold", "min_visible"):
        if not 0 <= getattr(config, name) <= 1:
            raise CheckpointError(f"{name} of the postprocessing is {getattr(config, name)}")
    return config


def matches_type(value: object, hint: Any, whole: range = range(1, MAX_INTEGER + 1)) -> bool:
    """Return whether a value has a type; integers must be in `whole` too."""
    kind, parts = get_origin(hint), get_args(hint)
    if kind in (Union, UnionType):
        return any(matches_type(value, part, whole) for part in parts)
    if kind is Literal:
        return isinstance(value, str) and value in parts
    if kind is tuple:
        return isinstance(value, tuple) and matches_tuple_type(value, parts, whole)
    if hint is float:
        return isinstance(value, int | float) and abs(value) < MAX_FLOAT and math.isfinite(value)
    if hint is int:
        return type(value) is int and value in whole
    return isinstance(value, hint)


def matches_tuple_type(value: tuple, parts: tuple, whole: range) -> bool:
    """Return whether the items of a tuple have the types of a tuple annotation."""
    if parts[1:] == (...,):
        return len(value) <= MAX_INTEGER and all(
            matches_type(item, parts[0], whole) for item in value
        )
    return len(value) == len(parts) and all(
        matches_type(item, part, whole) for item, part in zip(value, parts, strict=True)
    )


def field_values(config: Any, *names: str) -> Iterator[Any]:
    """Yield every value of these field names, in nested configurations too."""
    for field in fields(config):
        value = getattr(config, field.name)
        if field.name in names:
            yield value
        elif is_dataclass(value):
            yield from field_values(value, *names)


def min_num_parameters(config: SegmenterConfig) -> int:
    """Compute a lower bound of a network's size: each layer has at least its width squared.

    Building a network takes a small multiple of this in memory, however few numbers its file has.
    """
    total = min_backbone_parameters(config.backbone)
    for part in nested_configs(config):
        width = getattr(part, "dim", 0)
        layers = getattr(part, "num_layers", 0)
        hidden = getattr(part, "ffn_dim", 0)
        queries = getattr(part, "num_queries", 0) + getattr(part, "vocabulary", 0)
        total += layers * width * (width + hidden) + queries * width
        total += width * getattr(part, "mask_dim", 0)
    return total + config.num_classes


def nested_configs(config: Any) -> Iterator[Any]:
    """Yield nested configurations, recursively."""
    for field in fields(config):
        value = getattr(config, field.name)
        if is_dataclass(value):
            yield value
            yield from nested_configs(value)


def count_position_indices(backbone: Any) -> int:
    """Compute the size of Swin's relative position indices, which files do not contain."""
    if not isinstance(backbone, SwinConfig):
        return 0
    return sum(backbone.depths) * backbone.window_size**4


def min_backbone_parameters(backbone: Any) -> int:
    """Compute a lower bound of a backbone's size; 0 for timm's, which their names determine."""
    if isinstance(backbone, TimmConfig):
        return 0
    if isinstance(backbone, EfficientNetLiteConfig):
        return min_efficientnet_lite_parameters(backbone)
    first = getattr(backbone, "embed_dim", 0)
    widths = getattr(backbone, "dims", None) or getattr(backbone, "channels", None)
    widths = widths or tuple(first * 2**stage for stage in range(4))
    share = 8 if isinstance(backbone, ResNetConfig) else 1
    hidden = 1 + int(getattr(backbone, "mlp_ratio", 0))
    total = sum(d * w * w * hidden for d, w in zip(backbone.depths, widths, strict=True)) // share
    if isinstance(backbone, SwinConfig):
        table = (2 * backbone.window_size - 1) ** 2
        total += sum(map(math.prod, zip(backbone.depths, backbone.num_heads, strict=True))) * table
    return total


def min_efficientnet_lite_parameters(backbone: EfficientNetLiteConfig) -> int:
    """Compute a lower bound of the size of an EfficientNet-Lite, whose blocks expand 6 times."""
    inputs = (backbone.stem_channels, *backbone.channels)
    stages = zip(inputs, backbone.channels, backbone.depths, strict=False)
    return sum(i * w + (d - 1) * 2 * w * w for i, w, d in stages)
