"""Other people's places for a run's curves, beside its own metrics.csv."""

import sys
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from unimask.errors import MissingExtraError, SettingsError


@runtime_checkable
class Logger(Protocol):
    """Takes the numbers of a run, a row per stretch of steps."""

    def log(self, numbers: Mapping[str, float], step: int) -> None:
        """Keep a row."""
        ...

    def close(self) -> None:
        """Write what is not written yet."""
        ...


class TensorBoard:
    """TensorBoard's files, in `tensorboard/` of the run's folder."""

    def __init__(self, folder: Path, facts: Mapping[str, Any]) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self.writer = SummaryWriter(str(folder / "tensorboard"))
        self.writer.add_text("run", "\n\n".join(f"{key}: {value}" for key, value in facts.items()))

    def log(self, numbers: Mapping[str, float], step: int) -> None:
        """Keep a row; see `Logger`."""
        for name, value in numbers.items():
            self.writer.add_scalar(name, value, step)

    def close(self) -> None:
        """Write what is not written yet."""
        self.writer.close()


class WeightsAndBiases:
    """Weights & Biases; who and where is told by its own environment variables."""

    def __init__(self, folder: Path, facts: Mapping[str, Any]) -> None:
        import wandb  # pyright: ignore[reportMissingImports]

        self.run = wandb.init(
            project="unimask", name=folder.name, dir=str(folder), config=dict(facts)
        )

    def log(self, numbers: Mapping[str, float], step: int) -> None:
        """Keep a row; see `Logger`."""
        self.run.log(dict(numbers), step=step)

    def close(self) -> None:
        """Write what is not written yet."""
        self.run.finish()


class MLflow:
    """MLflow; where is told by its own environment variables."""

    def __init__(self, folder: Path, facts: Mapping[str, Any]) -> None:
        import mlflow  # pyright: ignore[reportMissingImports]

        self.mlflow = mlflow
        mlflow.start_run(run_name=folder.name)
        mlflow.log_params({key: str(value)[:500] for key, value in facts.items()})

    def log(self, numbers: Mapping[str, float], step: int) -> None:
        """Keep a row; see `Logger`."""
        self.mlflow.log_metrics(dict(numbers), step=step)

    def close(self) -> None:
        """Write what is not written yet."""
        self.mlflow.end_run()


LOGGERS = {"tensorboard": TensorBoard, "wandb": WeightsAndBiases, "mlflow": MLflow}


def check_loggers(names: Sequence[str]) -> None:
    """Refuse loggers that cannot be opened, before anything else is done.

    Raises:
        MissingExtraError: What one of them needs is not installed.
        SettingsError: There is none of that name.
    """
    for name in names:
        if name not in LOGGERS:
            raise SettingsError(f"no logger {name!r}: choose of {', '.join(LOGGERS)}")
        if name not in sys.modules and find_spec(name) is None:
            raise MissingExtraError(name, name)


def open_loggers(names: Sequence[str], folder: Path, facts: Mapping[str, Any]) -> list[Logger]:
    """Open the places that a run is logged to.

    Args:
        names: Of `LOGGERS`.
        folder: The run's.
        facts: How the run was started.

    Raises:
        MissingExtraError: What one of them needs is not installed.
        SettingsError: There is none of that name.
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
    """Give a row's numbers under names that curves can have; a score goes by its metric's name."""
    rest = {k: v for k, v in row.items() if k not in ("step", "metric", "score")}
    if row.get("metric") and isinstance(row.get("score"), int | float):
        rest[str(row["metric"])] = row["score"]
    return {name: float(v) for name, v in rest.items() if isinstance(v, int | float)}
