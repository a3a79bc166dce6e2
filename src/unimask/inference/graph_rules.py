"""Labels and rules for graphs of other programs, from a model folder or a list of classes."""

import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec

from unimask.checkpoints import Preprocessing, read_folder_description
from unimask.config import PostprocessingConfig, PreprocessingConfig
from unimask.errors import SettingsError, UnimaskError, one_line
from unimask.formats.json_values import Flag, parse_flag
from unimask.formats.text_file import read_text
from unimask.inference.dtypes import LoadWarning
from unimask.labels import TASKS, LabelSet
from unimask.runtimes.foreign import GraphRules


class _Category(msgspec.Struct):
    """A category as in COCO's files; panoptic ones say whether it is a thing."""

    name: str
    id: int | None = None
    isthing: Flag = True
    color: tuple[int, int, int] | None = None


class _Classes(msgspec.Struct):
    """Names as in the metadata of exported files, or COCO's categories."""

    names: tuple[str, ...] = ()
    is_thing: tuple[bool, ...] = ()
    categories: tuple[_Category, ...] = ()


def read_graph_rules(
    labels: LabelSet | str | Path | None, folder: Path | None, preprocessing: Preprocessing
) -> GraphRules:
    """Read labels and rules for a graph of another program.

    Args:
        labels: Classes in the order of the network's outputs, or their JSON file; None for those
            of the folder.
        folder: Folder with config.json and preprocessor_config.json of the model, which needs no
            weights; None for the authors' usual rules.
        preprocessing: Source of the resizing; see `load`.

    Raises:
        CheckpointError: The folder lacks a file, or a file is damaged.
        SettingsError: There are neither labels nor a folder, or the labels are invalid.
    """
    known = None if labels is None else to_label_set(labels)
    if folder is None:
        if known is None:
            raise SettingsError("a graph of another program needs labels or rules: pass one")
        warnings.warn(
            "no rules are given: the authors' usual sizes, means and deviations are assumed; pass "
            "the folder of the model as rules",
            LoadWarning,
            stacklevel=4,
        )
        return GraphRules(
            labels=known,
            tasks=TASKS,
            preprocessing=PreprocessingConfig(),
            postprocessing=PostprocessingConfig(),
        )
    description = read_folder_description(folder, preprocessing)
    rules = GraphRules(
        labels=description.labels,
        tasks=description.tasks,
        preprocessing=description.preprocessing,
        postprocessing=description.postprocessing,
    )
    return rules if known is None else replace(rules, labels=known)


def to_label_set(labels: LabelSet | str | Path) -> LabelSet:
    """Return labels, or read them from a file."""
    return labels if isinstance(labels, LabelSet) else read_label_file(Path(labels).expanduser())


def read_label_file(path: Path) -> LabelSet:
    """Read a JSON file of classes in the order of a network's outputs.

    It holds `{"names": [...], "is_thing": [...]}`, where is_thing may be absent if all are things,
    a list of COCO's categories, or an annotation file with `categories`.

    Raises:
        SettingsError: The file does not exist, or holds no valid classes.
    """
    if not path.is_file():
        raise SettingsError(f"{path} does not exist: pass a JSON file with names and is_thing")
    try:
        content: Any = msgspec.json.decode(read_text(path))
        if isinstance(content, list):
            content = {"categories": content}
        classes = msgspec.convert(content, _Classes)
        return make_label_set(classes)
    except (msgspec.MsgspecError, UnimaskError, RecursionError) as error:
        raise SettingsError(
            f"{path} holds no list of classes ({one_line(error)}): expected "
            '{"names": [...], "is_thing": [...]} or COCO\'s categories'
        ) from None


def make_label_set(classes: _Classes) -> LabelSet:
    """Return the label set of a file's content; see `LabelSet` for the errors."""
    if classes.names:
        return LabelSet(classes.names, classes.is_thing or (True,) * len(classes.names))
    categories = classes.categories
    ids = tuple(category.id for category in categories if category.id is not None)
    return LabelSet(
        names=tuple(category.name for category in categories),
        is_thing=tuple(parse_flag(category.isthing) for category in categories),
        colours=tuple(category.color for category in categories),
        category_ids=ids if len(ids) == len(categories) else (),
    )
