"""Hugging Face's config.json and preprocessor_config.json to and from our dataclasses.

What that schema has no place for stands under the key `unimask`.
"""

from dataclasses import asdict

from unimask.checkpoints.huggingface_backbones import read_backbone, write_backbone
from unimask.config import (
    DeformablePixelDecoderConfig,
    MaskedDecoderConfig,
    PostprocessingConfig,
    PreprocessingConfig,
    ResNetConfig,
    SegmenterConfig,
)
from unimask.errors import CheckpointError
from unimask.labels import TASKS, LabelSet, Task, parse_task

Json = dict

THEIRS, OURS = "mask2former", "unimask"
"""Types of model: what `transformers` can run, and what it would run wrongly."""


def read_architecture(config: Json) -> SegmenterConfig:
    """Read the network's numbers.

    Raises:
        CheckpointError: The family or the backbone is not known here, or a number is missing.
    """
    family = config.get("model_type")
    if family not in (THEIRS, OURS):
        raise CheckpointError(f"config.json describes a {family!r} model; expected {THEIRS}")
    try:
        pixels = DeformablePixelDecoderConfig(
            dim=config["feature_size"],
            mask_dim=config["mask_feature_size"],
            num_layers=config["encoder_layers"],
            num_heads=config["num_attention_heads"],
            num_points=extras(config).get("num_points", 4),
            ffn_dim=config["encoder_feedforward_dim"],
            dropout=config["dropout"],
            local_positions=extras(config).get("local_positions", False),
        )
        queries = MaskedDecoderConfig(
            dim=config["hidden_dim"],
            num_queries=config["num_queries"],
            num_layers=config["decoder_layers"] - 1,  # theirs counts the bare queries too
            num_heads=config["num_attention_heads"],
            ffn_dim=config["dim_feedforward"],
            dropout=config["dropout"],
            local_positions=extras(config).get("local_positions", False),
            proposals=extras(config).get("proposals", 0.0),
            max_proposals=extras(config).get("max_proposals", 600),
        )
        return SegmenterConfig(
            backbone=read_backbone(config),
            pixel_decoder=pixels,
            transformer_decoder=queries,
            num_classes=len(read_names(config)),
        )
    except KeyError as error:
        raise CheckpointError(f"config.json lacks {error}") from error


def extras(config: Json) -> Json:
    """Give what we keep beside the schema."""
    return config.get("unimask", {})


def read_names(config: Json) -> tuple[str, ...]:
    """Read the label names in the order of their ids."""
    names = config.get("id2label")
    if not names:
        raise CheckpointError("config.json has no id2label: the classes are unknown")
    return tuple(str(names[key]) for key in sorted(names, key=int))


def read_labels(config: Json) -> LabelSet:
    """Read names and things; without our key every class is a thing."""
    names = read_names(config)
    things = extras(config).get("is_thing", [True] * len(names))
    return LabelSet(names, tuple(bool(thing) for thing in things))


def read_tasks(config: Json) -> tuple[Task, ...]:
    """Read the tasks; without our key all, as a panoptic model answers all three."""
    return tuple(parse_task(task) for task in extras(config).get("tasks", reversed(TASKS)))


def read_preprocessing(config: Json, preprocessor: Json | None) -> PreprocessingConfig:
    """Read the picture's way to the tensor.

    The Hub's squares of 384 pixels come from a conversion, not from the authors: without our key
    the family's published test size counts.
    """
    if "preprocessing" in extras(config):
        return PreprocessingConfig(**tuples(extras(config)["preprocessing"]))
    if preprocessor is None:
        return PreprocessingConfig()
    size = preprocessor.get("size", {})
    mean = tuple(255 * value for value in preprocessor.get("image_mean", ()))
    std = tuple(255 * value for value in preprocessor.get("image_std", ()))
    default = PreprocessingConfig()
    return PreprocessingConfig(
        shortest_edge=size.get("shortest_edge", default.shortest_edge),
        longest_edge=size.get("longest_edge", default.longest_edge),
        mean=mean or default.mean,  # type: ignore[arg-type]
        std=std or default.std,  # type: ignore[arg-type]
    )


def read_postprocessing(config: Json) -> PostprocessingConfig:
    """Read thresholds and the resize rule."""
    return PostprocessingConfig(**extras(config).get("postprocessing", {}))


def tuples(values: Json) -> Json:
    """Turn JSON's lists into tuples."""
    return {key: tuple(v) if isinstance(v, list) else v for key, v in values.items()}


def write_config(
    architecture: SegmenterConfig,
    labels: LabelSet,
    tasks: tuple[Task, ...],
    preprocessing: PreprocessingConfig,
    postprocessing: PostprocessingConfig,
) -> Json:
    """Give config.json.

    Raises:
        CheckpointError: The decoders have different numbers of heads, which the schema cannot say.
    """
    pixels, queries = architecture.pixel_decoder, architecture.transformer_decoder
    for name in ("num_heads", "dropout", "local_positions"):
        if getattr(pixels, name) != getattr(queries, name):
            raise CheckpointError(f"the schema has one {name} for both decoders")
    kept = {
        "is_thing": list(labels.is_thing),
        "tasks": list(tasks),
        "num_points": pixels.num_points,
        "preprocessing": asdict(preprocessing),
        "postprocessing": asdict(postprocessing),
    }
    if isinstance(architecture.backbone, ResNetConfig):
        kept["norm"] = architecture.backbone.norm
    theirs = not (queries.local_positions or queries.proposals)
    if not theirs:
        kept["local_positions"] = queries.local_positions
        kept["proposals"], kept["max_proposals"] = queries.proposals, queries.max_proposals
    return {
        "architectures": ["Mask2FormerForUniversalSegmentation" if theirs else "Segmenter"],
        "model_type": THEIRS if theirs else OURS,
        "backbone_config": write_backbone(architecture.backbone),
        "feature_size": pixels.dim,
        "mask_feature_size": pixels.mask_dim,
        "hidden_dim": queries.dim,
        "encoder_feedforward_dim": pixels.ffn_dim,
        "encoder_layers": pixels.num_layers,
        "decoder_layers": queries.num_layers + 1,
        "num_attention_heads": queries.num_heads,
        "dim_feedforward": queries.ffn_dim,
        "dropout": queries.dropout,
        "num_queries": queries.num_queries,
        "id2label": {str(index): name for index, name in enumerate(labels.names)},
        "label2id": {name: index for index, name in enumerate(labels.names)},
        "unimask": kept,
    }


def write_preprocessor(preprocessing: PreprocessingConfig) -> Json:
    """Give preprocessor_config.json."""
    return {
        "image_processor_type": "Mask2FormerImageProcessor",
        "do_resize": True,
        "do_rescale": True,
        "do_normalize": True,
        "size": {
            "shortest_edge": preprocessing.shortest_edge,
            "longest_edge": preprocessing.longest_edge,
        },
        "size_divisor": preprocessing.size_divisor,
        "image_mean": [value / 255 for value in preprocessing.mean],
        "image_std": [value / 255 for value in preprocessing.std],
        "ignore_index": 255,
    }
