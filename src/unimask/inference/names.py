"""Names of untrained networks, and where to find trained weights for them."""

from difflib import get_close_matches

from unimask.presets import PRESETS
from unimask.published.model_configs import MODEL_CONFIGS
from unimask.published.zoo import PublishedModel, published_models

BUNDLED_WEIGHTS = {"unimask-nano": "nuclei", "unimask-lite0": "rendered-town"}
"""Bundled weights of each preset."""

EXAMPLES = (
    "facebook/mask2former-swin-tiny-coco-panoptic",
    "facebook/mask2former-swin-tiny-coco-instance",
)
"""Examples of Hub ids in messages."""

MAX_SUGGESTIONS = 2
"""Largest number of published models named in a message."""


def is_untrained(name: str) -> bool:
    """Return whether a name is that of a preset or of a published configuration."""
    return name in PRESETS or name in MODEL_CONFIGS


def describe_known_names(name: str) -> str:
    """Format a hint with the known names most similar to an unknown one."""
    close = get_close_matches(name, [*PRESETS, *MODEL_CONFIGS], MAX_SUGGESTIONS)
    meant = f"did you mean {' or '.join(close)}? " if close else ""
    return (
        f"{meant}presets are {', '.join(PRESETS)}; published configurations such as "
        f"{next(iter(MODEL_CONFIGS))} are listed by unimask models"
    )


def describe_trained_weights(name: str) -> str:
    """Format where to find trained weights of an untrained network."""
    if name in BUNDLED_WEIGHTS:
        return f"load weights of it: {BUNDLED_WEIGHTS[name]}"
    models = [model for model in published_models() if name in network_names(model)]
    hubs = [model.hub for model in models if model.hub is not None]
    files = [model.file for model in models if model.file is not None]
    if not models:
        return f"load weights of another: {', '.join(EXAMPLES)} (none of this one are published)"
    listed = (hubs or files)[:MAX_SUGGESTIONS]
    more = f" (unimask models {name} lists more)" if len(models) > len(listed) else ""
    manner = "load weights of it" if hubs else "load weights of it by their path, downloaded from"
    return f"{manner}: {', '.join(listed)}{more}"


def network_names(model: PublishedModel) -> tuple[str, str]:
    """Return the names of a published model's network: its configuration and its preset."""
    return model.name, MODEL_CONFIGS[model.name].preset
