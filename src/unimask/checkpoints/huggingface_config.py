"""Hugging Face's config.json and preprocessor_config.json to and from our dataclasses.

What that schema has no place for stands under the key `unimask`.
"""

from dataclasses import asdict

from unimask.checkpoints.published import Publication
from unimask.config import (
    BackboneConfig,
    DeformablePixelDecoderConfig,
    MaskedDecoderConfig,
    PostprocessingConfig,
    PreprocessingConfig,
    ResNetConfig,
    SegmenterConfig,
    SwinConfig,
)
from unimask.errors import CheckpointError
from unimask.labels import LabelSet, Task, parse_task

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


def read_backbone(config: Json) -> BackboneConfig:
    """Read the backbone's numbers."""
    backbone = config["backbone_config"]
    kind = backbone.get("model_type")
    if kind in ("swin", "maskformer-swin"):
        return SwinConfig(
            embed_dim=backbone["embed_dim"],
            depths=tuple(backbone["depths"]),
            num_heads=tuple(backbone["num_heads"]),
            window_size=backbone["window_size"],
            mlp_ratio=backbone.get("mlp_ratio", 4.0),
            drop_path=backbone.get("drop_path_rate", 0.0),
        )
    if kind == "resnet":
        return ResNetConfig(
            block=backbone["layer_type"],
            stem_channels=backbone["embedding_size"],
            channels=tuple(backbone["hidden_sizes"]),
            depths=tuple(backbone["depths"]),
            norm=extras(config).get("norm", "frozen_batch"),
        )
    raise CheckpointError(f"the backbone {kind!r} is not known here; known are swin and resnet")


def read_names(config: Json) -> tuple[str, ...]:
    """Read the label names in the order of their ids."""
    names = config.get("id2label")
    if not names:
        raise CheckpointError("config.json has no id2label: the classes are unknown")
    return tuple(str(names[key]) for key in sorted(names, key=int))


def read_labels(config: Json, publication: Publication) -> LabelSet:
    """Read names and things; without our key a known set's things, else every class is one."""
    names = read_names(config)
    things = extras(config).get("is_thing", publication.label_set(len(names)).is_thing)
    return LabelSet(names, tuple(bool(thing) for thing in things))


def read_tasks(config: Json, publication: Publication) -> tuple[Task, ...]:
    """Read the tasks; without our key those published for these labels, else all three."""
    return tuple(parse_task(task) for task in extras(config).get("tasks", publication.tasks))


def read_preprocessing(
    config: Json, preprocessor: Json | None, publication: Publication
) -> PreprocessingConfig:
    """Read the picture's way to the tensor.

    The Hub's squares of 384 pixels come from a conversion, not from the authors: without our key
    the published test size counts: of these labels, or else of the family.
    """
    if "preprocessing" in extras(config):
        return PreprocessingConfig(**tuples(extras(config)["preprocessing"]))
    default = publication.preprocessing(read_backbone(config))
    if preprocessor is None:
        return default
    size = preprocessor.get("size", {})
    mean = tuple(255 * value for value in preprocessor.get("image_mean", ()))
    std = tuple(255 * value for value in preprocessor.get("image_std", ()))
    return PreprocessingConfig(
        shortest_edge=size.get("shortest_edge", default.shortest_edge),
        longest_edge=size.get("longest_edge", default.longest_edge),
        mean=mean or default.mean,  # type: ignore[arg-type]
        std=std or default.std,  # type: ignore[arg-type]
    )


def read_postprocessing(config: Json, publication: Publication) -> PostprocessingConfig:
    """Read thresholds and the resize rule; without our key those published for these labels."""
    known = asdict(publication.postprocessing)
    return PostprocessingConfig(**extras(config).get("postprocessing", known))


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


def write_backbone(backbone: BackboneConfig) -> Json:
    """Give the schema's backbone_config."""
    stages = ["stage1", "stage2", "stage3", "stage4"]
    if isinstance(backbone, SwinConfig):
        return {
            "model_type": "swin",
            "embed_dim": backbone.embed_dim,
            "depths": list(backbone.depths),
            "num_heads": list(backbone.num_heads),
            "window_size": backbone.window_size,
            "mlp_ratio": backbone.mlp_ratio,
            "drop_path_rate": backbone.drop_path,
            "out_features": stages,
        }
    return {
        "model_type": "resnet",
        "layer_type": backbone.block,
        "embedding_size": backbone.stem_channels,
        "hidden_sizes": list(backbone.channels),
        "depths": list(backbone.depths),
        "out_features": stages,
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
