"""Write instance ids: maps with the object of each pixel, for objects of a single class."""

from collections import Counter
from pathlib import Path

import numpy as np
from PIL import Image

from unimask.curation.writers.writer import HIDDEN_PIXELS, label_path, write_json
from unimask.datasets import Sample
from unimask.errors import DataError
from unimask.labels import LabelSet

MAX_OBJECTS = 65535
"""Maximum number of objects in a 16-bit map."""


class InstanceIdWriter:
    """Instance ids: `SPLIT/images`, `SPLIT/masks` with 16-bit ids, `labels.json`.

    Args:
        out: Folder of the dataset.
        labels: Label set of one thing, and at most one stuff class, which is the background.

    Raises:
        DataError: There are other classes.
    """

    def __init__(self, out: Path, labels: LabelSet) -> None:
        if sum(labels.is_thing) != 1 or len(labels) > 2:
            raise DataError(
                "instance ids support one thing class and a background, but the data has "
                f"{sum(labels.is_thing)} things and {len(labels) - sum(labels.is_thing)} stuff: "
                "choose --to coco or coco-panoptic"
            )
        self.out, self.labels, self.lost = out, labels, Counter[str]()
        self.is_thing = np.array(labels.is_thing)
        stuff = [name for name, thing in zip(labels.names, self.is_thing, strict=True) if not thing]
        names = {"thing": labels.names[labels.things[0]], "stuff": (stuff or ["background"])[0]}
        write_json(out / "labels.json", names)

    def image_folder(self, split: str) -> Path:
        """Return the folder of a split's images."""
        return self.out / split / "images"

    def add(self, split: str, sample: Sample, file: str) -> None:
        """Write the id map of one image; see `Writer`.

        Raises:
            DataError: There are more objects than a 16-bit map can number.
        """
        self.lost[HIDDEN_PIXELS] += sample.num_hidden_pixels
        self.lost["pixels without ground truth"] += int((sample.front == 0).sum())
        thing = self.is_thing[sample.label_ids]
        self.lost["crowds, written as one object each"] += int((sample.crowds & thing).sum())
        ids = np.concatenate([[0], np.where(thing, np.cumsum(thing), 0)])
        if ids.max() > MAX_OBJECTS:
            raise DataError(f"{sample.path} has {ids.max()} objects, more than 16 bits can number")
        image = ids[sample.front].astype(np.uint16)
        Image.fromarray(image).save(label_path(self.out / split / "masks", file, ".png"))

    def finish(self, split: str) -> None:
        """Do nothing: the format has no file per split."""

    def close(self) -> None:
        """Do nothing: no file describes all splits."""
