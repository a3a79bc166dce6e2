"""Metadata of exported graphs: everything that predictions need beside the graph itself, as JSON.

Each entry of the file's metadata is a JSON value under its own key, so that programs without
unimask read one entry with one JSON parser.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from unimask.config import PostprocessingConfig, PreprocessingConfig
from unimask.errors import CheckpointError, UnimaskError, one_line
from unimask.labels import Colour, LabelSet, Task
from unimask.version import __version__

FORMAT_VERSION = 1
"""Version of the metadata; files with a higher one are refused."""

GENERATOR = f"unimask {__version__}"

EXTERNAL_SUFFIX = ".data"
"""Suffix of the file of external weights, appended to the name of the ONNX file."""


def weights_path(path: Path) -> Path:
    """Return the file of weights beside a graph; ONNX files have one above 2 GB only."""
    if path.suffix.lower() == ".xml":
        return path.with_suffix(".bin")
    return path.with_name(path.name + EXTERNAL_SUFFIX)


@dataclass(frozen=True, kw_only=True, slots=True)
class GraphInput:
    """Input `pixel_values` of a graph: RGB (or all channels) from 0 to 255, not normalised.

    Attributes:
        dtype: "float32" or "uint8".
        batch: Number of images per call; None for any.
        channels: Number of channels.
        size: Height and width.
    """

    dtype: str
    batch: int | None
    channels: int
    size: tuple[int, int]


@dataclass(frozen=True, kw_only=True, slots=True)
class ExportedDescription:
    """Everything that predictions with an exported graph depend on, except the graph.

    Attributes:
        labels: Classes in the order of the network's outputs.
        tasks: Tasks of the graph, the most general first.
        takes_task: Whether the graph has an input `task` with an index into `tasks` per image.
        input: Format of the input `pixel_values`.
        preprocessing: Resizing and padding, with the mean colour for padding; the graph normalises.
        postprocessing: Settings of post-processing.
        source: Model that was exported.
        licence: Licence of its weights, if known.
    """

    labels: LabelSet
    tasks: tuple[Task, ...]
    takes_task: bool
    input: GraphInput
    preprocessing: PreprocessingConfig
    postprocessing: PostprocessingConfig
    source: str
    licence: str | None = None


class _Entries(msgspec.Struct, kw_only=True):
    """Entries of the metadata under their keys."""

    generator: str
    format_version: int
    names: tuple[str, ...]
    is_thing: tuple[bool, ...]
    tasks: tuple[Task, ...]
    takes_task: bool
    input: GraphInput
    preprocessing: PreprocessingConfig
    postprocessing: PostprocessingConfig
    colours: tuple[Colour | None, ...] = ()
    category_ids: tuple[int, ...] = ()
    source: str = ""
    licence: str | None = None


def to_metadata(description: ExportedDescription) -> dict[str, str]:
    """Return the metadata of a graph: a JSON value for each key."""
    labels = description.labels
    entries: dict[str, Any] = {
        "generator": GENERATOR,
        "format_version": FORMAT_VERSION,
        "names": labels.names,
        "is_thing": labels.is_thing,
        "colours": labels.colours,
        "category_ids": labels.category_ids,
        "tasks": description.tasks,
        "takes_task": description.takes_task,
        "input": description.input,
        "preprocessing": description.preprocessing,
        "postprocessing": description.postprocessing,
        "source": description.source,
        "licence": description.licence,
    }
    return {key: msgspec.json.encode(value).decode() for key, value in entries.items()}


def has_metadata(metadata: Mapping[str, str]) -> bool:
    """Return whether these entries look like the metadata of our exports."""
    return metadata.get("generator", "").startswith('"unimask ')


def from_metadata(metadata: Mapping[str, str], name: str) -> ExportedDescription:
    """Read the metadata of a graph.

    Args:
        metadata: Entries of the file.
        name: Path of the file, for messages.

    Raises:
        CheckpointError: An entry is missing or has a wrong type, or a newer unimask wrote the file.
    """
    try:
        known = [key for key in _Entries.__struct_fields__ if key in metadata]
        version = msgspec.json.decode(metadata["format_version"], type=int)
        if version > FORMAT_VERSION:
            raise CheckpointError(
                f"{name} has metadata of version {version}, this unimask reads {FORMAT_VERSION}: "
                "update unimask"
            )
        values = {key: msgspec.json.decode(metadata[key]) for key in known}
        entries = msgspec.convert(values, _Entries)
        labels = LabelSet(
            entries.names, entries.is_thing, entries.colours, category_ids=entries.category_ids
        )
    except (msgspec.MsgspecError, KeyError, UnicodeDecodeError) as error:
        raise CheckpointError(
            f"{name} has damaged metadata ({one_line(error)}): export the model again"
        ) from None
    except CheckpointError:
        raise
    except UnimaskError as error:
        raise CheckpointError(f"{name} has damaged metadata: {error}") from None
    return ExportedDescription(
        labels=labels,
        tasks=entries.tasks,
        takes_task=entries.takes_task,
        input=entries.input,
        preprocessing=entries.preprocessing,
        postprocessing=entries.postprocessing,
        source=entries.source,
        licence=entries.licence,
    )
