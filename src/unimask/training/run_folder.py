"""A run's folder: settings, metrics, weights, and the state that resumes it."""

import csv
import json
from dataclasses import asdict, fields
from pathlib import Path

import torch

from unimask.checkpoints import Checkpoint, write_huggingface
from unimask.config import CriterionConfig, DenseCriterionConfig, LossConfig, PreprocessingConfig
from unimask.datasets.transforms import Augmentation
from unimask.errors import OutputError, TrainingError
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
    "seconds_per_step",
    "skipped",
    "metric",
    "score",
)


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

    def read_settings(self) -> TrainingSettings:
        """Read what the run was told.

        Raises:
            TrainingError: There is no run to resume.
        """
        path = self.path / "settings.json"
        if not path.is_file():
            raise TrainingError(f"{self.path} holds no run to resume: start it without --resume")
        values = json.loads(path.read_text())["settings"]
        nested = {
            "augmentation": Augmentation,
            "criterion": criterion_of,
            "preprocessing": PreprocessingConfig,
        }
        for name, kind in nested.items():
            if values[name] is not None:
                values[name] = kind(**with_tuples(values[name]))
        known = {field.name for field in fields(TrainingSettings)}
        return TrainingSettings(**{key: value for key, value in values.items() if key in known})

    def log(self, row: dict[str, object]) -> None:
        """Add a line to metrics.csv."""
        new = not self.metrics_path.exists()
        with self.metrics_path.open("a", newline="") as stream:
            writer = csv.DictWriter(stream, COLUMNS, restval="")
            if new:
                writer.writeheader()
            writer.writerow(row)

    def rows(self) -> list[dict[str, str]]:
        """Read metrics.csv."""
        if not self.metrics_path.is_file():
            return []
        with self.metrics_path.open(newline="") as stream:
            return list(csv.DictReader(stream))

    def forget_after(self, step: int) -> None:
        """Drop lines of steps that a resumed run will take again."""
        kept = [row for row in self.rows() if int(row["step"]) <= step]
        with atomic_path(self.metrics_path) as path, path.open("w", newline="") as stream:
            writer = csv.DictWriter(stream, COLUMNS)
            writer.writeheader()
            writer.writerows(kept)

    def save_state(self, state: dict[str, object]) -> None:
        """Write the resumable state, whole or not at all."""
        with atomic_path(self.state_path) as path:
            torch.save(state, path)

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
            raise TrainingError(f"{self.state_path} is damaged ({error}): start anew") from error

    def write_weights(self, name: str, checkpoint: Checkpoint) -> None:
        """Write `weights/NAME` in the Hugging Face schema."""
        write_huggingface(self.path / "weights" / name, checkpoint)


def criterion_of(**values: object) -> LossConfig:
    """Give the losses' configuration; runs of earlier releases do not say which."""
    kind = DenseCriterionConfig if values.get("kind") == "dense" else CriterionConfig
    return kind(**values)  # type: ignore[arg-type]


def with_tuples(values: dict) -> dict:
    """Turn JSON's lists into tuples."""
    return {key: tuple(v) if isinstance(v, list) else v for key, v in values.items()}
