"""What the authors published: names, scores, sizes, licences, and where the weights are."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from unimask.labels import TASKS, Task
from unimask.published.configurations import CONFIGURATIONS, configuration_name

ZOO = Path(__file__).with_name("zoo.json")


@dataclass(frozen=True, kw_only=True, slots=True)
class PublishedModel:
    """One published set of weights, as its authors' tables tell it.

    Attributes:
        family: "mask2former", "oneformer", "maskformer" or a baseline of MaskFormer's paper.
        backbone: Its name and size.
        data: What it was trained on.
        task: The task it was trained for; "all" for OneFormer.
        scores: The authors' own, in percent; `mIoU_ms` is over several scales and flips.
        queries: Masks that it proposes; 0 where it classifies pixels.
        millions: Parameters, without what only training needs.
        licence: Of the weights.
        hub: Its id on the Hugging Face Hub, if it is there.
        file: Address of the authors' own file.
        size: Shorter side of test pictures, where it is not the usual one for the data.
        pretrained_on: Data that it saw before.
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
        """The name of its configuration."""
        return configuration_name(
            self.family,
            self.backbone,
            self.data,
            self.task,
            edge=self.size,
            pretrained_on=self.pretrained_on,
        )

    @property
    def tasks(self) -> tuple[Task, ...]:
        """What it answers, widest first."""
        return CONFIGURATIONS[self.name].publication.tasks

    def fits(self, words: Iterable[str]) -> bool:
        """Say whether each word is part of its name, licence or Hub id, whatever the case.

        OneFormer's, trained for all tasks, fit each of them; `R50` is the tables' word for ResNets.
        """
        tasks = TASKS if self.task == "all" else ()
        short = self.backbone.replace("resnet", "R")
        told = " ".join((self.name, *tasks, short, self.licence, self.hub or "")).lower()
        return all(word.lower() in told for word in words)


def published_models(*words: str) -> tuple[PublishedModel, ...]:
    """Give the published models that fit all words, best known families first."""
    rows = json.loads(ZOO.read_text())
    models = (PublishedModel(**row) for row in rows)
    return tuple(model for model in models if model.fits(words))
