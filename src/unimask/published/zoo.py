"""Published models: names, scores, sizes, licences, and addresses of the weights."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from unimask.labels import TASKS, Task
from unimask.published.model_configs import MODEL_CONFIGS, model_name

ZOO = Path(__file__).with_name("zoo.json")


@dataclass(frozen=True, kw_only=True, slots=True)
class PublishedModel:
    """One published set of weights, as listed in its authors' tables.

    Attributes:
        family: First part of the names of its presets, such as "mask2former" or "detr".
        backbone: Name and size of the backbone.
        data: Dataset that it was trained on.
        task: Task that it was trained for; "all" for OneFormer.
        scores: Scores by metric as the authors report them, in percent; `mIoU_ms` uses several
            scales and flips.
        queries: Number of queries; 0 for networks that classify pixels.
        millions: Number of parameters in millions, without those used only in training.
        licence: Licence of the weights.
        hub: Id of the repository on the Hugging Face Hub, if it is there.
        file: URL of the authors' file.
        size: Shortest edge of test images in pixels, if it differs from the usual one for the data.
        pretrained_on: Dataset of an earlier training, if any.
    """

    family: str
    backbone: str
    data: str
    task: str
    scores: dict[str, float]
    queries: int
    millions: float
    licence: str
    hub: str | None = None
    file: str | None = None
    size: int | None = None
    pretrained_on: str | None = None

    @property
    def name(self) -> str:
        """Name of its configuration."""
        return model_name(
            self.family,
            self.backbone,
            self.data,
            self.task,
            edge=self.size,
            pretrained_on=self.pretrained_on,
        )

    @property
    def tasks(self) -> tuple[Task, ...]:
        """Tasks that it supports, most demanding first."""
        return MODEL_CONFIGS[self.name].publication.tasks

    def matches(self, words: Iterable[str]) -> bool:
        """Return whether each word is part of its name, licence or Hub id, ignoring case.

        OneFormer's models match every task; `R50` is short for ResNet-50, as in the papers' tables.
        """
        tasks = TASKS if self.task == "all" else ()
        short = self.backbone.replace("resnet", "R")
        description = " ".join((self.name, *tasks, short, self.licence, self.hub or "")).lower()
        return all(word.lower() in description for word in words)


def published_models(*words: str) -> tuple[PublishedModel, ...]:
    """Return the published models that match all words, best-known families first."""
    rows = json.loads(ZOO.read_text())
    models = (PublishedModel(**row) for row in rows)
    return tuple(model for model in models if model.matches(words))
