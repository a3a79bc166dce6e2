"""Folder of a run: settings, metrics, weights and the saved state."""

import csv
import io
import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import asdict, fields
from pathlib import Path
from typing import get_type_hints

import numpy as np
import torch
from jaxtyping import Int

from unimask.checkpoints import Checkpoint, write_huggingface
from unimask.checkpoints.config_validation import matches_type
from unimask.config import (
    BoxCriterionConfig,
    CriterionConfig,
    DenseCriterionConfig,
    LossConfig,
    PreprocessingConfig,
)
from unimask.datasets.transforms import Augmentation
from unimask.errors import CheckpointError, OutputError, SettingsError, TrainingError, one_line
from unimask.formats.atomic import atomic_path
from unimask.training.fingerprint import Fingerprint
from unimask.training.run_record import ANY_INTEGER, RunRecord, build
from unimask.training.saved_state import SavedState, parse_state
from unimask.training.settings import TrainingSettings

COLUMNS: tuple[str, ...] = (
    "step",
    "epoch",
    "learning_rate",
    "loss",
    "class",
    "mask",
    "dice",
    "box",
    "giou",
    "auxiliary",
    "seconds_per_step",
    "skipped",
    "unreadable",
    "metric",
    "score",
)

DATASET = "dataset.json"
"""File of the dataset's fingerprint."""

COUNTS, TOKENIZER = "classes.npy", "tokenizer"
"""File of the object counts per class, and folder of the tokenizer's files."""

TOKENIZER_FILES = ("tokenizer.json", "vocab.json", "merges.txt")

LARGEST_METRICS = 64_000_000
"""Largest accepted size of metrics.csv in bytes; 10^5 steps need less than 10^6."""

NOT_AS_WRITTEN = (
    ValueError, TypeError, AttributeError, LookupError, ArithmeticError, RecursionError
)  # fmt: skip
"""Errors raised by JSON and CSV files that were not written by unimask."""


class RunFolder:
    """Files of a run.

    Args:
        path: Path of the folder, which is created if missing.

    Raises:
        OutputError: The folder cannot be created.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.state_path = path / "state.pt"
        self.metrics_path = path / "metrics.csv"
        try:
            (path / "samples").mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(f"cannot make {path}: {error.strerror}; choose another") from error

    @classmethod
    def existing(cls, path: Path) -> "RunFolder":
        """Open the folder of an existing run.

        Raises:
            TrainingError: It holds no run.
        """
        if not (path / "settings.json").is_file():
            raise TrainingError(f"{path} holds no run to resume: start it without --resume")
        return cls(path)

    def write_settings(self, settings: TrainingSettings, facts: Mapping[str, object]) -> None:
        """Write the settings of the run and the record of its start."""
        with atomic_path(self.path / "settings.json") as path:
            path.write_text(json.dumps({**facts, "settings": asdict(settings)}, indent=2) + "\n")

    def write_fingerprint(self, fingerprint: Fingerprint) -> None:
        """Write the fingerprint of the dataset."""
        with atomic_path(self.path / DATASET) as path:
            path.write_text(json.dumps(fingerprint.to_json(), indent=0) + "\n")

    def read_fingerprint(self) -> Fingerprint | None:
        """Read the fingerprint of the dataset; None in folders of earlier releases.

        Raises:
            TrainingError: The file is damaged.
        """
        path = self.path / DATASET
        if not path.is_file():
            return None
        try:
            return build(Fingerprint, json.loads(path.read_text(encoding="utf-8")), "dataset")
        except (OSError, *NOT_AS_WRITTEN) as error:
            raise TrainingError(
                f"{path} is damaged ({one_line(error)}): remove it if the dataset is still the same"
            ) from error

    def keep_tokenizer(self, place: str) -> None:
        """Copy the files of a tokenizer for resumed runs."""
        source = Path(place).expanduser()
        files = {name: source / name for name in TOKENIZER_FILES}
        if source.is_file():
            files = {TOKENIZER_FILES[0]: source}
        for name, file in files.items():
            if file.is_file():
                with atomic_path(self.path / TOKENIZER / name) as path:
                    shutil.copyfile(file, path)

    def tokenizer(self, place: str) -> str:
        """Return the path of the tokenizer: the copy in this folder if there is one."""
        copy = self.path / TOKENIZER
        return str(copy) if copy.is_dir() else place

    def class_counts(
        self, count: Callable[[], np.ndarray], shape: tuple[int, int], *, new: bool
    ) -> Int[np.ndarray, "n k"]:
        """Return the number of objects of each class in each image; count them only once per run.

        Args:
            count: Function that counts them.
            shape: Number of images and of classes.
            new: Whether the run is new, so that an existing file belongs to another run.

        Raises:
            TrainingError: The file is damaged, or belongs to another dataset.
        """
        file = self.path / COUNTS
        if new or not file.is_file():
            counts = count()
            with atomic_path(file) as path:
                np.save(path, counts)
            return counts
        try:
            counts = np.load(file, allow_pickle=False)
            if counts.shape != shape or counts.dtype.kind not in "iu":
                raise ValueError(f"{counts.dtype} of shape {counts.shape}, not of {shape}")
            return counts
        except (OSError, *NOT_AS_WRITTEN) as error:
            raise TrainingError(
                f"{file} is damaged ({one_line(error)}): remove it, it is counted again"
            ) from error

    def read_settings(self) -> TrainingSettings:
        """Read the settings of the run; see `read_record`."""
        return self.read_record()[1]

    def read_record(self) -> tuple[RunRecord, TrainingSettings]:
        """Read the record of the run's start, and its settings.

        Raises:
            TrainingError: There is no run to resume, or the file is damaged.
        """
        path = self.path / "settings.json"
        if not path.is_file():
            raise TrainingError(f"{self.path} holds no run to resume: start it without --resume")
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
            return RunRecord.from_json(values), settings_of(values["settings"])
        except (*NOT_AS_WRITTEN, OSError, SettingsError, CheckpointError) as error:
            raise TrainingError(f"{path} is damaged ({one_line(error)}): start anew") from error

    def log(self, row: dict[str, object]) -> None:
        """Append a row to metrics.csv.

        Raises:
            OutputError: It cannot be written.
        """
        new = not self.metrics_path.exists()
        try:
            with self.metrics_path.open("a", newline="") as stream:
                writer = csv.DictWriter(stream, COLUMNS, restval="")
                if new:
                    writer.writeheader()
                writer.writerow(row)
        except OSError as error:
            raise OutputError(f"cannot write {self.metrics_path}: {error.strerror}") from error

    def rows(self) -> list[dict[str, str]]:
        """Read metrics.csv, without an incomplete last line.

        Raises:
            TrainingError: The file is damaged.
        """
        if not self.metrics_path.is_file():
            return []
        try:
            if self.metrics_path.stat().st_size > LARGEST_METRICS:
                raise ValueError(f"it has more than {LARGEST_METRICS / 1e6:.0f} MB")
            text = self.metrics_path.read_text(encoding="utf-8")
            return parse_rows(text[: text.rfind("\n") + 1])
        except (OSError, csv.Error, *NOT_AS_WRITTEN) as error:
            raise TrainingError(
                f"{self.metrics_path} is damaged ({one_line(error)}): move it away, and the run "
                "goes on with a new one"
            ) from None

    def remove_rows_after(self, step: int) -> None:
        """Remove the rows of steps that a resumed run will repeat.

        Raises:
            TrainingError: The file is damaged.
        """
        rows = [row for row in self.rows() if int(row["step"]) <= step]
        with atomic_path(self.metrics_path) as path, path.open("w", newline="") as stream:
            writer = csv.DictWriter(stream, COLUMNS, restval="")
            writer.writeheader()
            writer.writerows(rows)

    def save_state(self, state: dict[str, object]) -> None:
        """Write the saved state atomically.

        Raises:
            OutputError: It cannot be written; the previous one is kept.
        """
        with atomic_path(self.state_path) as path:
            try:
                torch.save(state, path)
            except RuntimeError as error:  # PyTorch's writer does not report the system's error
                free = shutil.disk_usage(self.path).free / 1e6
                raise OSError(f"it broke off, with {free:.0f} MB free there") from error

    def read_state(self) -> SavedState:
        """Read the saved state.

        Raises:
            TrainingError: There is none, or it is damaged.
        """
        if not self.state_path.is_file():
            raise TrainingError(f"{self.path} has no saved state yet: start it without --resume")
        try:
            content = torch.load(self.state_path, weights_only=True, map_location="cpu")
            return parse_state(content)
        except Exception as error:  # torch raises many kinds for a damaged file
            message = f"{self.state_path} is damaged ({one_line(error)}): start anew"
            raise TrainingError(message) from error

    def write_weights(self, name: str, checkpoint: Checkpoint) -> None:
        """Write `weights/NAME` in the Hugging Face schema."""
        write_huggingface(self.path / "weights" / name, checkpoint, overwrite=True)


def parse_rows(text: str) -> list[dict[str, str]]:
    """Parse the lines of metrics.csv.

    Raises:
        ValueError: The header has other columns, or a line has invalid values.
        csv.Error: The text is not CSV.
    """
    reader = csv.DictReader(io.StringIO(text), strict=True)
    names = list(reader.fieldnames or ())
    if names and (not {*COLUMNS[:4]} <= {*names} <= {*COLUMNS} or len({*names}) < len(names)):
        raise ValueError("its first line is not the one that training writes")
    rows = list(reader)
    for row in rows:
        if len(row) != len(names) or None in row.values():
            raise ValueError(f"line {reader.line_num} or before has more or fewer values")
        int(row["step"])
        for name in {*names} - {"metric"}:
            float(row[name] or 0)
    return rows


RENAMED_SETTINGS = {"on_bad_picture": "on_bad_image"}
"""Names of settings in folders of earlier releases, and their names today."""


def settings_of(values: dict) -> TrainingSettings:
    """Build the settings from their JSON values.

    Raises:
        ValueError: A value has the wrong type.
        Exception: The values are damaged in another way; one of `NOT_AS_WRITTEN`.
    """
    nested = {
        "augmentation": Augmentation,
        "criterion": criterion_of,
        "preprocessing": PreprocessingConfig,
    }
    for name, kind in nested.items():
        if values[name] is not None:
            values[name] = kind(**with_tuples(values[name]))
    field_names = {field.name for field in fields(TrainingSettings)}
    values = {RENAMED_SETTINGS.get(key, key): value for key, value in values.items()}
    given = {key: value for key, value in values.items() if key in field_names}
    settings = TrainingSettings(**with_tuples(given))
    for part in (settings, settings.augmentation, settings.criterion, settings.preprocessing):
        for name, hint in get_type_hints(type(part)).items():
            if part is not None and not matches_type(getattr(part, name), hint, ANY_INTEGER):
                raise ValueError(f"{name} is {str(getattr(part, name))[:60]!r}")
    return settings


def criterion_of(**values: object) -> LossConfig:
    """Build the configuration of the losses; earlier releases did not store its kind."""
    kinds = {"dense": DenseCriterionConfig, "boxes": BoxCriterionConfig}
    return kinds.get(str(values.get("kind")), CriterionConfig)(**values)  # type: ignore[arg-type]


def with_tuples(values: dict) -> dict:
    """Convert lists to tuples."""
    return {key: tuple(v) if isinstance(v, list) else v for key, v in values.items()}
