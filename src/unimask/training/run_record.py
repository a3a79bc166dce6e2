"""Record of a run's start in its folder, so that the run can be resumed from it alone."""

from collections.abc import Callable, Mapping
from dataclasses import MISSING, asdict, dataclass, fields, is_dataclass
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

from unimask.checkpoints import ModelDescription
from unimask.checkpoints.config_validation import (
    check_postprocessing,
    check_preprocessing,
    check_types,
    matches_type,
)

ANY_INTEGER = range(-(2**63), 2**63)


@dataclass(frozen=True, kw_only=True, slots=True)
class RunRecord:
    """Arguments that a run was started with, except its `TrainingSettings`.

    Every field after the first four is None or False in folders of earlier releases.

    Attributes:
        model: Name or path of the initial model.
        task: One of the three tasks, or "all".
        data: Absolute path of the dataset folder, or its name on the Hub.
        labels: Class names of the dataset.
        split: Split to train on.
        val_split: Split to validate on; None for "val" or images set aside from the training split.
        names: Class names, or None if not given.
        format: Format of the labels, or None if not given.
        masks: Label maps to read, or None if not given.
        bands: Bands of scenes, or None if not given.
        chip: Side of the chips of scenes, or None if not given.
        slices: Number of neighbouring slices of volumes, or None if not given.
        device: Device, or None if not given.
        processes: Number of processes of the run.
        network: Network and settings of its predictions.
        pretrained: Whether the network or its backbone started from trained weights.
        bfloat16_speedup: Measured time of a step in float32 / time in bfloat16, by which the
            precision was chosen; None if it was given, or not measured.
    """

    model: str | None = None
    task: str | None = None
    data: str | None = None
    labels: tuple[str, ...] = ()
    split: str | None = None
    val_split: str | None = None
    names: tuple[str, ...] | None = None
    format: str | None = None
    masks: str | None = None
    bands: tuple[int, ...] | None = None
    chip: int | None = None
    slices: int | None = None
    device: str | None = None
    processes: int | None = None
    network: ModelDescription | None = None
    pretrained: bool = False
    bfloat16_speedup: float | None = None

    def summary(self) -> dict[str, object]:
        """Return the description for loggers."""
        return {
            "model": self.model,
            "task": self.task,
            "data": self.data,
            "labels": list(self.labels),
        }

    def to_json(self) -> dict[str, object]:
        """Convert the record to JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "RunRecord":
        """Build a record from its JSON values.

        Raises:
            ValueError: A value is missing, unknown, or of another type.
            CheckpointError: The configuration of the network is invalid.
        """
        field_names = {field.name for field in fields(cls)}
        known = {key: value for key, value in values.items() if key in field_names}
        record = build(cls, with_pretrained_outside(known), "run")
        if record.network is not None:
            check_types(record.network.config, "the network")
            check_preprocessing(record.network.preprocessing)
            check_postprocessing(record.network.postprocessing)
        return record


def with_pretrained_outside(values: dict[str, Any]) -> dict[str, Any]:
    """Move `pretrained` out of `network`, where earlier releases stored it."""
    network = values.get("network")
    if not isinstance(network, dict) or "pretrained" not in network:
        return values
    others = {key: value for key, value in network.items() if key != "pretrained"}
    return values | {"network": others, "pretrained": network["pretrained"]}


def build(kind: Any, value: Any, name: str) -> Any:
    """Build a value of a type from JSON values.

    Args:
        kind: Type hint of a configuration: dataclass, union, tuple or plain type.
        value: Dictionary for a dataclass, with `kind` for unions of them; list for a tuple.
        name: Name of the field in messages.

    Raises:
        ValueError: The value has another type.
    """
    if get_origin(kind) in (Union, UnionType):
        return build(union_member(get_args(kind), value, name), value, name)
    if is_dataclass(kind):
        return build_dataclass(kind, value, name)  # type: ignore[arg-type]
    if get_origin(kind) is tuple and isinstance(value, list):
        parts = get_args(kind)
        kinds = parts[:1] * len(value) if parts[1:] == (...,) else parts
        if len(kinds) == len(value):
            value = tuple(build(k, v, name) for k, v in zip(kinds, value, strict=True))
    if not matches_type(value, kind, ANY_INTEGER):
        raise ValueError(f"{name} is {str(value)[:60]!r}")
    return value


def build_dataclass(kind: Callable[..., Any], values: Any, name: str) -> Any:
    """Build a dataclass from a dictionary of its fields.

    Raises:
        ValueError: A field is missing, unknown, or of another type.
    """
    hints = get_type_hints(kind)
    if not isinstance(values, dict):
        raise ValueError(f"{name} is {str(values)[:60]!r}")
    if unknown := sorted(set(values) - set(hints)):
        raise ValueError(f"{name} has {unknown[0]!r}, which this release does not know")
    needed = {f.name for f in fields(kind) if f.default is f.default_factory is MISSING}  # type: ignore[arg-type]
    if missing := sorted(needed - set(values)):
        raise ValueError(f"{name} lacks {missing[0]!r}")
    return kind(**{field: build(hints[field], value, field) for field, value in values.items()})


def union_member(kinds: tuple[Any, ...], value: Any, name: str) -> Any:
    """Return the member of a union that matches a value.

    Raises:
        ValueError: No member matches.
    """
    if value is None and NoneType in kinds:
        return NoneType
    others = [kind for kind in kinds if kind is not NoneType]
    if len(others) == 1:
        return others[0]
    kind_name = value.get("kind") if isinstance(value, dict) else None
    for kind in others:
        if is_dataclass(kind):
            if default_kind(kind) == kind_name:
                return kind
        elif matches_type(value, kind, ANY_INTEGER) or (
            get_origin(kind) is tuple and isinstance(value, list)
        ):
            return kind
    raise ValueError(f"{name} is {str(kind_name or value)[:60]!r}")


def default_kind(config: Any) -> object:
    """Return the default `kind` of a configuration's dataclass."""
    return next((field.default for field in fields(config) if field.name == "kind"), None)
