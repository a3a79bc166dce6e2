"""unimask: universal image segmentation, one network family for three tasks.

import unimask

model = unimask.load("nuclei")
result = model.predict("cells.png", task="panoptic")
result.save("out/")
"""

from importlib import import_module
from typing import TYPE_CHECKING

from unimask.version import __version__

if TYPE_CHECKING:
    from unimask.batch import read_batch
    from unimask.curation import check, convert, write_predictions
    from unimask.evaluation import compare, evaluate
    from unimask.inference import Augmentations, Predictor, load
    from unimask.inference.untrained import build
    from unimask.processing import postprocess
    from unimask.results import Result, Segment
    from unimask.selection import select
    from unimask.training import TrainingSettings, train

__all__ = [
    "Augmentations",
    "Predictor",
    "Result",
    "Segment",
    "TrainingSettings",
    "__version__",
    "build",
    "check",
    "compare",
    "convert",
    "evaluate",
    "load",
    "postprocess",
    "read_batch",
    "select",
    "train",
    "write_predictions",
]

# Public names are imported on first access: `import unimask` imports neither torch nor an extra.
HOMES = {
    "Augmentations": "unimask.inference",
    "Predictor": "unimask.inference",
    "Result": "unimask.results",
    "Segment": "unimask.results",
    "TrainingSettings": "unimask.training",
    "build": "unimask.inference.untrained",
    "check": "unimask.curation",
    "compare": "unimask.evaluation",
    "convert": "unimask.curation",
    "evaluate": "unimask.evaluation",
    "load": "unimask.inference",
    "postprocess": "unimask.processing",
    "read_batch": "unimask.batch",
    "select": "unimask.selection",
    "train": "unimask.training",
    "write_predictions": "unimask.curation",
}


def __getattr__(name: str) -> object:
    """Import a public name from the package that defines it."""
    if name not in HOMES:
        raise AttributeError(f"module 'unimask' has no attribute {name!r}")
    value = getattr(import_module(HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """List the public names."""
    return sorted(__all__)
