"""Loading of the model that the options of a command name."""

from pathlib import Path
from typing import TYPE_CHECKING

from unimask.bundled import bundled_names
from unimask.errors import SettingsError

if TYPE_CHECKING:
    from unimask.inference.predictor import Predictor


def load_model(
    model: str | None,
    device: str,
    dtype: str,
    preprocessing: str,
    compiled: bool,
    labels: Path | None,
    rules: str | None,
) -> "Predictor":
    """Load the model of a command from its options."""
    from unimask.inference.load import load

    return load(
        require_model(model),
        device=device,
        dtype=dtype,  # type: ignore[arg-type]
        preprocessing=preprocessing,  # type: ignore[arg-type]
        compile=compiled,
        labels=labels,
        rules=rules,
    )


def require_model(model: str | None) -> str:
    """Return the model's name; require one, because no default model fits every image."""
    from unimask.inference.names import EXAMPLES

    if model is None:
        names = ", ".join([*bundled_names(), *EXAMPLES])
        raise SettingsError(f"choose a model with --model, for example one of: {names}")
    return model


def with_rules(
    model: str | None,
    device: str,
    dtype: str,
    preprocessing: str,
    compiled: bool,
    labels: Path | None,
    rules: str | None,
) -> "str | Predictor | None":
    """Load a file of another program, for which labels or rules are given, with all options."""
    if labels is None and rules is None:
        return model
    return load_model(model, device, dtype, preprocessing, compiled, labels, rules)
