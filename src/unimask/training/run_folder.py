"""A run's folder: settings, metrics, weights, and the state that resumes it."""

import csv
import io
import json
import shutil
from collections.abc import Callable
from dataclasses import asdict, fields
from pathlib import Path
from typing import get_type_hints

import numpy as np
import torch
from jaxtyping import Int

from unimask.checkpoints import Checkpoint, write_huggingface
from unimask.checkpoints.plausible import fits
from unimask.config import CriterionConfig, DenseCriterionConfig, LossConfig, PreprocessingConfig
from unimask.datasets.transforms import Augmentation
from unimask.errors import OutputError, SettingsError, TrainingError
from unimask.formats.atomic import atomic_path
from unimask.training.settings import TrainingSettings

COLUMNS: tuple[str, ...] = (
    "step",
    "epoch",
    "learning_rate",
    "loss",
    "class",
    "mask",
    "dice",
    "auxiliary",
    "seconds_per_step",
    "skipped",
    "unreadable",
    "metric",
    "score",
)


ANY_INTEGER = range(-(2**63), 2**63)

NOT_AS_WRITTEN = (
    ValueError, TypeError, AttributeError, LookupError, ArithmeticError, RecursionError
)  # fmt: skip
"""What goes wrong with JSON and CSV that were not written here."""


class RunFolder:
    """Names and writes the files of a run.

    Args:
        path: The folder; made if missing.

    Raises:
        OutputError: It cannot be made.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.state_path = path / "state.pt"
        self.metrics_path = path / "metrics.csv"
        try:
            (path / "samples").mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(f"cannot make {path}: {error.strerror}; choose another") from error

    def write_settings(self, settings: TrainingSettings, facts: dict[str, object]) -> None:
        """Keep what the run was told, and what it found."""
        with atomic_path(self.path / "settings.json") as path:
            path.write_text(json.dumps({**facts, "settings": asdict(settings)}, indent=2) + "\n")

    def class_counts(self, count: Callable[[], np.ndarray]) -> Int[np.ndarray, "n k"]:
        """Give the objects of each class in each picture: counted once, the same when resumed."""
        file = self.path / "classes.npy"
        if not file.is_file():
            counts = count()
            with atomic_path(file) as path:
                np.save(path, counts)
            return counts
        try:
            return np.load(file, allow_pickle=False)
        except (OSError, *NOT_AS_WRITTEN) as error:
            raise TrainingError(
                f"{file} is damaged ({error}): remove it, it is counted again"
            ) from error

    def read_settings(self) -> TrainingSettings:
        """Read what the run was told.

        Raises:
            TrainingError: There is no run to resume, or its settings are damaged.
        """
        path = self.path / "settings.json"
        if not path.is_file():
            raise TrainingError(f"{self.path} holds no run to resume: start it without --resume")
        try:
            return settings_of(json.loads(path.read_text(encoding="utf-8"))["settings"])
        except (*NOT_AS_WRITTEN, SettingsError) as error:
            raise TrainingError(f"{path} is damaged ({one_line(error)}): start anew") from error

    def log(self, row: dict[str, object]) -> None:
        """Add a line to metrics.csv.

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
        """Read metrics.csv, but for a last line that was cut short as the run was."""
        if not self.metrics_path.is_file():
            return []
        text = self.metrics_path.read_text(encoding="utf-8")
        return list(csv.DictReader(io.StringIO(text[: text.rfind("\n") + 1])))

    def forget_after(self, step: int) -> None:
        """Drop lines of steps that a resumed run will take again.

        Raises:
            TrainingError: The lines are damaged.
        """
        try:
            kept = [row for row in self.rows() if int(row["step"]) <= step]
        except NOT_AS_WRITTEN as error:
            told = f"{self.metrics_path} is damaged ({one_line(error)}): move it away"
            raise TrainingError(told) from None
        with atomic_path(self.metrics_path) as path, path.open("w", newline="") as stream:
            writer = csv.DictWriter(stream, COLUMNS)
            writer.writeheader()
            writer.writerows(kept)

    def save_state(self, state: dict[str, object]) -> None:
        """Write the resumable state, whole or not at all.

        Raises:
            OutputError: It cannot be written; the one before it is still there.
        """
        with atomic_path(self.state_path) as path:
            try:
                torch.save(state, path)
            except RuntimeError as error:  # PyTorch's writer keeps the system's reason to itself
                free = shutil.disk_usage(self.path).free / 1e6
                raise OSError(f"it broke off, with {free:.0f} MB free there") from error

    def read_state(self) -> dict:
        """Read the resumable state.

        Raises:
            TrainingError: There is none, or it is damaged.
        """
        if not self.state_path.is_file():
            raise TrainingError(f"{self.path} has no saved state yet: start it without --resume")
        try:
            return torch.load(self.state_path, weights_only=True, map_location="cpu")
        except Exception as error:  # torch raises many kinds for a damaged file
            told = f"{self.state_path} is damaged ({one_line(error)}): start anew"
            raise TrainingError(told) from error

    def write_weights(self, name: str, checkpoint: Checkpoint) -> None:
        """Write `weights/NAME` in the Hugging Face schema."""
        write_huggingface(self.path / "weights" / name, checkpoint, owned=True)


def one_line(error: Exception) -> str:
    """Give the start of what went wrong."""
    return " ".join(str(error).split())[:120]


def settings_of(values: dict) -> TrainingSettings:
    """Give what JSON says a run was told.

    Raises:
        ValueError: A value is of another type than it should.
        Exception: One of `NOT_AS_WRITTEN`, where it is damaged otherwise.
    """
    nested = {
        "augmentation": Augmentation,
        "criterion": criterion_of,
        "preprocessing": PreprocessingConfig,
    }
    for name, kind in nested.items():
        if values[name] is not None:
            values[name] = kind(**with_tuples(values[name]))
    known = {field.name for field in fields(TrainingSettings)}
    told = {key: value for key, value in values.items() if key in known}
    settings = TrainingSettings(**with_tuples(told))
    for part in (settings, settings.augmentation, settings.criterion, settings.preprocessing):
        for name, hint in get_type_hints(type(part)).items():
            if part is not None and not fits(getattr(part, name), hint, ANY_INTEGER):
                raise ValueError(f"{name} is {str(getattr(part, name))[:60]!r}")
    return settings


def criterion_of(**values: object) -> LossConfig:
    """Give the losses' configuration; runs of earlier releases do not say which."""
    kind = DenseCriterionConfig if values.get("kind") == "dense" else CriterionConfig
    return kind(**values)  # type: ignore[arg-type]


def with_tuples(values: dict) -> dict:
    """Turn JSON's lists into tuples."""
    return {key: tuple(v) if isinstance(v, list) else v for key, v in values.items()}
