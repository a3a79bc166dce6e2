"""Models of a server, by the names that clients use."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePath

from unimask.errors import SettingsError
from unimask.inference.predictor import Predictor
from unimask.labels import Colour, Task
from unimask.runtimes.network import RuntimeNetwork
from unimask.visualization.palette import class_colour

GPU_BATCH = 8
"""Default number of images per forward pass on GPUs; on CPUs it is 1.

One image already occupies all cores of a CPU: batches of 2 to 8 take as long per image, and more
memory.
"""

MODEL_SUFFIXES = (".onnx", ".xml", ".pkl", ".pth", ".pt")
"""Suffixes of model files, which names of models leave out."""


@dataclass(frozen=True)
class ServedModel:
    """A loaded model and its name in requests."""

    name: str
    predictor: Predictor

    @property
    def runtime(self) -> str:
        """Name of the library that computes the network."""
        network = self.predictor.network
        return network.runtime if isinstance(network, RuntimeNetwork) else "pytorch"

    @property
    def max_batch(self) -> int:
        """Largest number of images per forward pass if the settings have none."""
        return 1 if self.predictor.device.type == "cpu" else GPU_BATCH

    def default_threshold(self, task: Task) -> float | None:
        """Return the threshold of requests that set none; None for no threshold."""
        thresholds: dict[Task, float | None] = {
            "panoptic": self.predictor.description.postprocessing.object_threshold,
            "instance": self.predictor.min_score("instance"),
            "semantic": None,
        }
        return thresholds[task]

    def describe(self) -> dict[str, object]:
        """Return name, tasks, thresholds and classes as values for JSON."""
        labels = self.predictor.description.labels
        return {
            "name": self.name,
            "tasks": list(self.predictor.tasks),
            "default_task": self.predictor.tasks[0],
            "thresholds": {task: self.default_threshold(task) for task in self.predictor.tasks},
            "classes": [
                {
                    "id": index,
                    "label": label,
                    "category_id": labels.category_id(index),
                    "is_thing": labels.is_thing[index],
                    "colour": hex_colour(class_colour(index, labels.colour(index))),
                }
                for index, label in enumerate(labels.names)
            ],
            "runtime": self.runtime,
            "device": str(self.predictor.device),
        }


def hex_colour(colour: Colour) -> str:
    """Return a colour as `#rrggbb`."""
    return "#" + bytes(colour).hex()


def split_name(argument: str) -> tuple[str, str]:
    """Return the name and the source of a model given as NAME=SOURCE or SOURCE.

    The default name is the last part of the source without its suffix; characters that do not fit
    into addresses become "-".

    Raises:
        SettingsError: The name holds other characters than letters, digits, ".", "_" and "-".
    """
    name, separator, source = argument.partition("=")
    if not separator:
        source = argument
        path = PurePath(source.split("@")[0])
        stem = path.stem if path.suffix in MODEL_SUFFIXES else path.name
        name = re.sub(r"[^A-Za-z0-9._-]+", "-", stem).strip("-.")
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}", name) or not source:
        raise SettingsError(
            f"{argument!r}: name the model as NAME=MODEL, with letters, digits, '.', '_' and '-'"
        )
    return name, source


def split_names(arguments: Sequence[str]) -> dict[str, str]:
    """Return the sources of models by name, in order; see `split_name`.

    Raises:
        SettingsError: There is no model, or two have the same name.
    """
    sources: dict[str, str] = {}
    for argument in arguments:
        name, source = split_name(argument)
        if name in sources:
            raise SettingsError(f"two models are named {name}: write NAME={source} for one of them")
        sources[name] = source
    if not sources:
        raise SettingsError("name at least one model, such as nuclei")
    return sources
