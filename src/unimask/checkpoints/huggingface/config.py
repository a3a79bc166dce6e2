"""Conversion of Hugging Face's config.json and preprocessor_config.json to and from our types.

Values that the schema has no key for are stored under the key `unimask`.
"""

import re
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

from torch import Tensor

from unimask.checkpoints.authors.recognition import has_generic_names
from unimask.checkpoints.checkpoint import ModelDescription
from unimask.checkpoints.config_validation import check_postprocessing, check_preprocessing
from unimask.checkpoints.huggingface.backbones import (
    check_options,
    own_backbone_values,
    read_backbone,
)
from unimask.checkpoints.huggingface.compatibility import (
    EOMT_MODEL_TYPES,
    OWN_MODEL_TYPE,
    write_architecture,
)
from unimask.checkpoints.huggingface.defaults import DEFAULT_CLASS_NAMES
from unimask.checkpoints.huggingface.detr import read_detr
from unimask.checkpoints.huggingface.eomt import read_eomt
from unimask.checkpoints.huggingface.mask2former import read_mask2former
from unimask.checkpoints.huggingface.maskformer import read_maskformer
from unimask.checkpoints.huggingface.oneformer import read_oneformer
from unimask.checkpoints.huggingface.own_schema import read_own_decoders
from unimask.config import (
    PostprocessingConfig,
    PreprocessingConfig,
    SegmenterConfig,
)
from unimask.errors import CheckpointError
from unimask.labels import TASKS, Colour, LabelSet, Task, is_unused, parse_task
from unimask.published.publication import Publication

Json = dict


def read_architecture(config: Json, tensors: dict[str, Tensor], folder: Path) -> SegmenterConfig:
    """Read the configuration of the network.

    Args:
        config: Content of config.json.
        tensors: Weights, from which undescribed backbones are derived. They also show whether there
            is a text encoder, which published OneFormers declare but leave out.
        folder: Model folder, whose name may contain what shapes do not show.

    Raises:
        CheckpointError: The family or the backbone is unknown, or a value is missing.
    """
    family = config.get("model_type")
    try:
        check_options(
            config, pre_norm=False, common_stride=4, activation_function="relu", norm="GN"
        )
        if family == OWN_MODEL_TYPE and "decoders" in read_own_values(config):
            parts = read_own_decoders(read_own_values(config)["decoders"])
        elif family in ("mask2former", OWN_MODEL_TYPE):
            parts = read_mask2former(config, read_own_values(config))
        elif family == "oneformer":
            parts = read_oneformer(config, read_own_values(config))
        elif family == "maskformer":
            parts = read_maskformer(config)
        elif family in EOMT_MODEL_TYPES:
            parts = read_eomt(config, tensors)
        elif family == "detr":
            parts = read_detr(config, tensors, folder)
        else:
            raise CheckpointError(
                f"config.json describes a {family!r} model; expected mask2former, oneformer, "
                "maskformer, eomt, eomt_dinov3 or detr"
            )
        if "backbone" not in parts:
            parts["backbone"] = read_backbone(config, tensors, folder)
        architecture = SegmenterConfig(num_classes=len(read_names(config)), **parts)
        text = any("text_mapper." in name for name in tensors)
        return architecture if text else replace(architecture, text=None)
    except KeyError as error:
        raise CheckpointError(f"config.json lacks {error}") from error


def read_own_values(config: Json) -> Json:
    """Return the values that unimask adds to the schema."""
    return config.get("unimask", {})


def read_names(config: Json) -> tuple[str, ...]:
    """Read the class names in the order of their label ids."""
    names = config.get("id2label") or DEFAULT_CLASS_NAMES
    return tuple(str(names[key]) for key in sorted(names, key=int))


def read_labels(config: Json, publication: Publication) -> LabelSet:
    """Read the label set; without unimask's keys, complete it from a known label set.

    Classes of an unknown label set are things. Outputs that a known set does not use get its names.

    Raises:
        CheckpointError: A colour or a category id is invalid.
        SettingsError: Their number differs from that of the names.
    """
    names, own_values = read_names(config), read_own_values(config)
    known = publication.label_set(len(names))
    if publication.labels and has_generic_names(names):
        names = known.names
    pairs = zip(names, known.names, strict=True)
    names = tuple(ours if is_unused(ours) else theirs for theirs, ours in pairs)
    things = tuple(thing is True for thing in read_list(own_values, "is_thing", known.is_thing))
    if any(not isinstance(thing, bool) for thing in read_list(own_values, "is_thing", ())):
        raise CheckpointError(f"config.json has is_thing of {str(things)[:60]}: expected booleans")
    # A folder written by unimask that lacks the other keys has no such values.
    own = "is_thing" in own_values
    colours = tuple(map(read_colour, read_list(own_values, "colours", ())))
    ids = tuple(map(read_category_id, read_list(own_values, "category_ids", ())))
    return LabelSet(
        names,
        things,
        colours if "colours" in own_values else known.colours,
        ids if own else known.category_ids,
    )


def read_list(own_values: Json, key: str, default: Sequence[object]) -> Sequence[object]:
    """Return the list under a key of unimask's values.

    Raises:
        CheckpointError: The value is not a list.
    """
    value = own_values.get(key, default)
    if not isinstance(value, list | tuple):
        raise CheckpointError(f"config.json has {key} of {str(value)[:60]!r}: expected a list")
    return value


def read_category_id(value: object) -> int:
    """Validate a category id.

    Raises:
        CheckpointError: It is not an integer of 64 bits.
    """
    if type(value) is not int or abs(value) >= 2**63:
        raise CheckpointError(
            f"config.json has the category id {str(value)[:60]!r}: expected a whole number"
        )
    return value


def read_colour(text: object) -> Colour | None:
    """Parse a colour of the form #rrggbb; None stays None."""
    if text is None:
        return None
    if not isinstance(text, str) or not re.fullmatch("#[0-9a-f]{6}", text):
        raise CheckpointError(f"config.json has the colour {text!r}: expected one as #80c0ff")
    red, green, blue = bytes.fromhex(text[1:])
    return red, green, blue


def write_colour(colour: Colour | None) -> str | None:
    """Format a colour as #rrggbb; None stays None."""
    return None if colour is None else f"#{bytes(colour).hex()}"


def read_tasks(config: Json, publication: Publication) -> tuple[Task, ...]:
    """Read the tasks; without unimask's key, those published for the labels, else all three.

    Raises:
        CheckpointError: There are none, or one is listed twice.
        TaskError: One of them is not a task.
    """
    listed_tasks = read_list(read_own_values(config), "tasks", publication.tasks)
    tasks: tuple[Task, ...] = tuple(parse_task(str(task)) for task in listed_tasks)
    if not tasks or len(set(tasks)) < len(tasks):
        raise CheckpointError(
            f"config.json has tasks of {list(tasks)}: expected {', '.join(TASKS)}, or some of them"
        )
    return tasks


def read_preprocessing(
    config: Json, preprocessor: Json | None, default: PreprocessingConfig
) -> PreprocessingConfig:
    """Read the pre-processing settings.

    The Hub's size of 384 x 384 comes from a conversion and not from the authors: without unimask's
    key, the published test size applies, of these labels or else of the family. MaskFormer's
    folders contain the authors' sizes, some in the format from before 2023: `size`, `max_size`,
    `size_divisibility` (0 for COCO, which is not padded).
    """
    if "preprocessing" in read_own_values(config):
        return check_preprocessing(
            PreprocessingConfig(**lists_to_tuples(read_own_values(config)["preprocessing"]))
        )
    if preprocessor is None:
        return default
    size = preprocessor.get("size", {})
    if not isinstance(size, dict):
        longest = preprocessor.get("max_size", default.longest_edge)
        size = {"shortest_edge": size, "longest_edge": longest}
    mean, std = read_normalisation(preprocessor)
    if default.square is not None:  # as large as the network's training images
        rules = replace(default, mean=mean or default.mean, std=std or default.std)
        return check_preprocessing(rules)
    return check_preprocessing(
        PreprocessingConfig(
            shortest_edge=size.get("shortest_edge", default.shortest_edge),
            longest_edge=size.get("longest_edge", default.longest_edge),
            size_divisor=read_size_divisor(config, preprocessor, default.size_divisor),
            mean=mean or default.mean,
            std=std or default.std,
        )
    )


def read_normalisation(preprocessor: Json) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Read mean and standard deviation on a scale from 0 to 255; empty if they are missing."""
    white = 1.0
    if preprocessor.get("do_rescale", True):
        white = 1 / preprocessor.get("rescale_factor", 1 / 255)
    if not preprocessor.get("do_normalize", True):
        return (0.0,) * 3, (white,) * 3
    mean = tuple(white * value for value in preprocessor.get("image_mean") or ())
    return mean, tuple(white * value for value in preprocessor.get("image_std") or ())


def read_size_divisor(config: Json, preprocessor: Json, default: int) -> int:
    """Read the size divisor of MaskFormer; the other families always use the authors' 32."""
    if config.get("model_type") != "maskformer":
        return default
    divisor = preprocessor.get("size_divisor", preprocessor.get("size_divisibility", default))
    return max(1, divisor)


def read_postprocessing(config: Json, published: PostprocessingConfig) -> PostprocessingConfig:
    """Read the post-processing settings; without unimask's key, those published for the labels."""
    settings = read_own_values(config).get("postprocessing")
    if settings is None:
        return published
    return check_postprocessing(PostprocessingConfig(**settings))


def lists_to_tuples(values: Json) -> Json:
    """Convert the lists of a JSON object to tuples."""
    return {key: tuple(v) if isinstance(v, list) else v for key, v in values.items()}


def write_config(model: ModelDescription) -> Json:
    """Build the content of config.json."""
    labels = model.labels
    _, network, more = write_architecture(model.config)
    own_values = {
        "is_thing": list(labels.is_thing),
        **({"colours": [write_colour(c) for c in labels.colours]} if labels.colours else {}),
        **({"category_ids": list(labels.category_ids)} if labels.category_ids else {}),
        "tasks": list(model.tasks),
        **more,
        "preprocessing": asdict(model.preprocessing),
        "postprocessing": asdict(model.postprocessing),
        **own_backbone_values(model.config.backbone),
    }
    return {
        **network,
        "id2label": {str(index): name for index, name in enumerate(labels.names)},
        "label2id": {name: index for index, name in enumerate(labels.names)},
        "unimask": own_values,
    }


def write_preprocessor(preprocessing: PreprocessingConfig) -> Json:
    """Build the content of preprocessor_config.json."""
    square = preprocessing.square
    return {
        "image_processor_type": f"{'Eomt' if square else 'Mask2Former'}ImageProcessor",
        "do_resize": True,
        "do_rescale": True,
        "do_normalize": True,
        "size": write_size(preprocessing),
        "size_divisor": preprocessing.size_divisor,
        "image_mean": [value / 255 for value in preprocessing.mean],
        "image_std": [value / 255 for value in preprocessing.std],
        "ignore_index": 255,
        **({"do_pad": square == "pad", "do_split_image": square == "windows"} if square else {}),
    }


def write_size(preprocessing: PreprocessingConfig) -> Json:
    """Build the size of preprocessor_config.json."""
    if preprocessing.squash is not None:
        return dict(zip(("height", "width"), preprocessing.squash, strict=True))
    return {
        "shortest_edge": preprocessing.shortest_edge,
        "longest_edge": None if preprocessing.square == "windows" else preprocessing.longest_edge,
    }
