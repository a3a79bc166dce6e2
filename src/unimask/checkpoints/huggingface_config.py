"""Hugging Face's config.json and preprocessor_config.json to and from our dataclasses.

What that schema has no place for stands under the key `unimask`.
"""

from dataclasses import asdict, replace

from unimask.checkpoints.huggingface_backbones import read_backbone, write_backbone
from unimask.checkpoints.huggingface_mask2former import read_mask2former, write_mask2former
from unimask.checkpoints.huggingface_oneformer import read_oneformer, write_oneformer
from unimask.checkpoints.published import Publication
from unimask.config import (
    PostprocessingConfig,
    PreprocessingConfig,
    ResNetConfig,
    SegmenterConfig,
)
from unimask.errors import CheckpointError
from unimask.labels import LabelSet, Task, parse_task

Json = dict

OURS = "unimask"
"""The model type of what `transformers` would run wrongly."""


def read_architecture(config: Json, *, text: bool = False) -> SegmenterConfig:
    """Read the network's numbers.

    Args:
        config: config.json.
        text: Whether the weights hold OneFormer's text branch; published ones say that they were
            trained with it, and leave it out.

    Raises:
        CheckpointError: The family or the backbone is not known here, or a number is missing.
    """
    family = config.get("model_type")
    try:
        if family in ("mask2former", OURS):
            decoders = read_mask2former(config, extras(config))
        elif family == "oneformer":
            decoders = read_oneformer(config, extras(config))
        else:
            raise CheckpointError(
                f"config.json describes a {family!r} model; expected mask2former or oneformer"
            )
        classes = len(read_names(config))
        backbone = read_backbone(config)
        architecture = SegmenterConfig(backbone=backbone, num_classes=classes, **decoders)
        return architecture if text else replace(architecture, text=None)
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


def read_postprocessing(config: Json, published: PostprocessingConfig) -> PostprocessingConfig:
    """Read thresholds and the resize rule; without our key those published for these labels."""
    kept = extras(config).get("postprocessing")
    return published if kept is None else PostprocessingConfig(**kept)


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
    kept = {
        "is_thing": list(labels.is_thing),
        "tasks": list(tasks),
        "num_points": pixels.num_points,
        "preprocessing": asdict(preprocessing),
        "postprocessing": asdict(postprocessing),
    }
    if isinstance(architecture.backbone, ResNetConfig):
        kept["norm"] = architecture.backbone.norm
    if not can_transformers_run(architecture):
        kept["local_positions"] = queries.local_positions
        kept["proposals"], kept["max_proposals"] = queries.proposals, queries.max_proposals
    family = write_oneformer if queries.task_queries else write_mask2former
    config = {
        **family(architecture),
        "backbone_config": write_backbone(architecture.backbone),
        "id2label": {str(index): name for index, name in enumerate(labels.names)},
        "label2id": {name: index for index, name in enumerate(labels.names)},
        "unimask": kept,
    }
    if not can_transformers_run(architecture):
        config |= {"architectures": ["Segmenter"], "model_type": OURS}
    return config


def can_transformers_run(architecture: SegmenterConfig) -> bool:
    """Say whether that library has all parts of the network."""
    queries = architecture.transformer_decoder
    return not (queries.local_positions or queries.proposals)


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
