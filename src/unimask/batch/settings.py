"""Settings of a batch run: those that determine its results, and those of the processes."""

from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from unimask.bundled import bundled_names
from unimask.errors import SettingsError
from unimask.processing.images import MAX_PIXELS

ROWS_PER_PART = 256
MAX_ROWS_PER_PART = 10**6


@dataclass(frozen=True, kw_only=True)
class BatchSettings:
    """Settings that determine the results of a run, and are the same in all its processes.

    Attributes:
        input: Folder, pattern, list or archive; see `list_inputs`.
        model: Model, as `unimask.load` takes it.
        column: Column of the paths in a list.
        task: Task; None for the model's most general one.
        threshold: Minimum score from 0 to 1; None for the default of `Predictor.predict`.
        rows_per_part: Number of images per part.
        window: Values mapped to 0 and 255; see `Predictor.predict`.
        max_pixels: Largest number of pixels per image.
        tile: Side of tiles in pixels, "auto" or None; see `Predictor.predict`.
        overlap: Overlap of tiles as a share of their side.
        scale: Pixels of the network's input per pixel of the image, for tiles.
        preprocessing: "authors" or "hub", as `unimask.load` takes it.
        dtype: Dtype, as `unimask.load` takes it.
    """

    input: str
    model: str
    column: str | None = None
    task: str | None = None
    threshold: float | None = None
    rows_per_part: int = ROWS_PER_PART
    window: tuple[float, float] | str | None = None
    max_pixels: int = MAX_PIXELS
    tile: int | str | None = "auto"
    overlap: float = 0.25
    scale: float = 1.0
    preprocessing: str = "authors"
    dtype: str = "float32"

    def __post_init__(self) -> None:
        """Validate the number of images per part.

        Raises:
            SettingsError: It is out of range.
        """
        if not 1 <= self.rows_per_part <= MAX_ROWS_PER_PART:
            raise SettingsError(
                f"{self.rows_per_part} rows per part: pass 1 to {MAX_ROWS_PER_PART:,}"
            )

    def to_json(self) -> dict[str, Any]:
        """Return the settings as values of JSON."""
        values = asdict(self)
        return values | {
            "window": list(self.window) if isinstance(self.window, tuple) else self.window
        }

    def differences(self, recorded: dict[str, Any]) -> list[str]:
        """Describe each setting that differs from recorded ones by its option and both values."""
        values, defaults = self.to_json(), default_values()
        described = []
        for name, value in values.items():
            old = recorded.get(name, defaults.get(name))
            if old != value:
                described.append(f"{option_name(name)} {format_value(old)}")
        return described


@dataclass(frozen=True, kw_only=True)
class WorkerOptions:
    """Options of a process that computes parts, which other processes of a run need not share.

    Attributes:
        device: Device, as `unimask.load` takes it.
        batch_size: Largest number of images per forward pass.
        compile: Whether to compile the network.
        retry_errors: Whether to try the failed images of existing parts again.
    """

    device: str = "auto"
    batch_size: int = 1
    compile: bool = False
    retry_errors: bool = False


def default_values() -> dict[str, Any]:
    """Return the default of each setting that has one, for records that lack the setting."""
    return {f.name: f.default for f in fields(BatchSettings) if f.name not in ("input", "model")}


def option_name(name: str) -> str:
    """Return the option of the command line for a setting."""
    return "INPUT" if name == "input" else "--" + name.replace("_", "-")


def format_value(value: object) -> str:
    """Format a recorded value as it is written on the command line."""
    if value is None:
        return "unset"
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)


def absolute_model(model: str) -> str:
    """Return a model that is a path here as an absolute path, for processes in other folders."""
    path = Path(model).expanduser()

    return model if model in bundled_names() or not path.exists() else str(path.resolve())
