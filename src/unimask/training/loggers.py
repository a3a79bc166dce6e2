"""External loggers of a run, in addition to metrics.csv."""

import sys
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from unimask.errors import MissingExtraError, SettingsError


@runtime_checkable
class Logger(Protocol):
    """Interface of a logger, which receives the metrics of a run."""

    def log(self, numbers: Mapping[str, float], step: int) -> None:
        """Log the metrics of one step."""
        ...

    def close(self) -> None:
        """Write everything that is still buffered."""
        ...


class TensorBoard:
    """Logger of TensorBoard, in `tensorboard/` of the run's folder."""

    def __init__(self, folder: Path, facts: Mapping[str, Any]) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self.writer = SummaryWriter(str(folder / "tensorboard"))
        self.writer.add_text("run", "\n\n".join(f"{key}: {value}" for key, value in facts.items()))

    def log(self, numbers: Mapping[str, float], step: int) -> None:
        """Log the metrics of one step."""
        for name, value in numbers.items():
            self.writer.add_scalar(name, value, step)

    def close(self) -> None:
        """Write everything that is still buffered."""
        self.writer.close()


class WeightsAndBiases:
    """Logger of Weights & Biases, configured by its environment variables."""

    def __init__(self, folder: Path, facts: Mapping[str, Any]) -> None:
        import wandb  # pyright: ignore[reportMissingImports]

        self.run = wandb.init(
            project="unimask", name=folder.name, dir=str(folder), config=dict(facts)
        )

    def log(self, numbers: Mapping[str, float], step: int) -> None:
        """Log the metrics of one step."""
        self.run.log(dict(numbers), step=step)

    def close(self) -> None:
        """Write everything that is still buffered."""
        self.run.finish()


class MLflow:
    """Logger of MLflow, configured by its environment variables."""

    def __init__(self, folder: Path, facts: Mapping[str, Any]) -> None:
        import mlflow  # pyright: ignore[reportMissingImports]

        self.mlflow = mlflow
        mlflow.start_run(run_name=folder.name)
        mlflow.log_params({key: str(value)[:500] for key, value in facts.items()})

    def log(self, numbers: Mapping[str, float], step: int) -> None:
        """Log the metrics of one step."""
        self.mlflow.log_metrics(dict(numbers), step=step)

    def close(self) -> None:
        """Write everything that is still buffered."""
        self.mlflow.end_run()


LOGGERS = {"tensorboard": TensorBoard, "wandb": WeightsAndBiases, "mlflow": MLflow}


def check_loggers(names: Sequence[str]) -> None:
    """Check that loggers exist and their packages are installed.

    Raises:
        MissingExtraError: A package is not installed.
        SettingsError: A name is unknown.
    """
    for name in names:
        if name not in LOGGERS:
            raise SettingsError(f"no logger {name!r}: choose of {', '.join(LOGGERS)}")
        if name not in sys.modules and find_spec(name) is None:
            raise MissingExtraError(name, name)


def open_loggers(names: Sequence[str], folder: Path, facts: Mapping[str, Any]) -> list[Logger]:
    """Open the loggers of a run.

    Args:
        names: Keys of `LOGGERS`.
        folder: Folder of the run.
        facts: Description of the run.

    Raises:
        MissingExtraError: A package is not installed.
        SettingsError: A name is unknown.
    """
    check_loggers(names)
    opened: list[Logger] = []
    for name in names:
        try:
            opened.append(LOGGERS[name](folder, facts))
        except ImportError:
            raise MissingExtraError(name, name) from None
    return opened


def numbers_of(row: Mapping[str, object]) -> dict[str, float]:
    """Extract the numbers of a row by name; the score is named after its metric."""
    rest = {k: v for k, v in row.items() if k not in ("step", "metric", "score")}
    if row.get("metric") and isinstance(row.get("score"), int | float):
        rest[str(row["metric"])] = row["score"]
    return {name: float(v) for name, v in rest.items() if isinstance(v, int | float)}
