"""Networks that the Hugging Face schema cannot describe: our values and tensor names."""

from collections.abc import Mapping
from dataclasses import asdict

from unimask.checkpoints.keymap import Rules
from unimask.config import (
    DeformablePixelDecoderConfig,
    DetrPixelDecoderConfig,
    FaPNPixelDecoderConfig,
    FPNPixelDecoderConfig,
    JointDecoderConfig,
    MapEncoderConfig,
    MaskedDecoderConfig,
    NoPixelDecoderConfig,
    PerPixelConfig,
    PerPixelPlusConfig,
    SegmenterConfig,
    StandardDecoderConfig,
    TaskQueriesConfig,
    TextConfig,
)
from unimask.errors import CheckpointError

Json = dict

PARTS = ("pixel_decoder", "transformer_decoder", "text")

PIXEL_DECODERS = {
    "deformable": DeformablePixelDecoderConfig,
    "fpn": FPNPixelDecoderConfig,
    "fapn": FaPNPixelDecoderConfig,
    "none": NoPixelDecoderConfig,
    "detr": DetrPixelDecoderConfig,
}
TRANSFORMER_DECODERS = {
    "masked": MaskedDecoderConfig,
    "standard": StandardDecoderConfig,
    "per_pixel": PerPixelConfig,
    "per_pixel_plus": PerPixelPlusConfig,
    "joint": JointDecoderConfig,
}
NESTED = {"encoder": MapEncoderConfig, "task_queries": TaskQueriesConfig}


def read_own_decoders(decoders: Json) -> Json:
    """Read the configurations of the decoders.

    Args:
        decoders: Values that `write_own_decoders` returned.

    Raises:
        CheckpointError: A part is of an unknown kind, or has an unknown value.
    """
    try:
        text = decoders["text"]
        return {
            "pixel_decoder": read_part(decoders["pixel_decoder"], PIXEL_DECODERS),
            "transformer_decoder": read_part(decoders["transformer_decoder"], TRANSFORMER_DECODERS),
            "text": None if text is None else TextConfig(**text),
        }
    except TypeError as error:
        raise CheckpointError(f"config.json has an unknown value: {error}") from None


def read_part(values: Json, kinds: Mapping[str, type]) -> object:
    """Read the configuration of one part."""
    kind = str(values.get("kind"))
    if kind not in kinds:
        raise CheckpointError(
            f"config.json has a {kind!r} decoder; supported are {', '.join(kinds)}"
        )
    nested = {
        name: NESTED[name](**value)
        for name, value in values.items()
        if name in NESTED and value is not None
    }
    tuples = {name: tuple(value) for name, value in values.items() if isinstance(value, list)}
    return kinds[kind](**values | nested | tuples)


def write_own_decoders(architecture: SegmenterConfig) -> Json:
    """Return all values of the decoders."""
    return {name: part for name, part in asdict(architecture).items() if name in PARTS}


OWN_NAMES: Rules = (
    ("pixel_decoder.**", "pixel_decoder.**"),
    ("transformer_decoder.**", "transformer_decoder.**"),
    ("task_encoder.**", "task_encoder.**"),
    ("text_mapper.**", "text_mapper.**"),
)
