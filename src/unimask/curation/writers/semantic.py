"""Write semantic maps: the label id of each pixel."""

from collections import Counter
from pathlib import Path

import numpy as np
from PIL import Image

from unimask.curation.writers.writer import (
    HIDDEN_PIXELS,
    category_records,
    label_path,
    write_json,
)
from unimask.datasets import Sample
from unimask.labels import IGNORE_LABEL, LabelSet

IGNORE_LABEL_16_BIT = 65535
"""Value of ignored pixels in 16-bit maps, in place of `IGNORE_LABEL`."""


class SemanticWriter:
    """Semantic maps: `SPLIT/images`, `SPLIT/masks` with the label id of each pixel, `classes.json`.

    255 marks ignored pixels, including crowds. With 255 classes or more, maps have 16 bits, and
    65535 marks ignored pixels.

    Args:
        out: Folder of the dataset.
        labels: Label set of the dataset.
    """

    def __init__(self, out: Path, labels: LabelSet) -> None:
        self.out, self.labels, self.lost = out, labels, Counter[str]()
        self.is_thing = np.array(labels.is_thing)
        self.is_16_bit = len(labels) >= IGNORE_LABEL
        rows = [
            {"name": c["name"], "color": "#{:02x}{:02x}{:02x}".format(*c["color"])}
            for c in category_records(labels)
        ]
        write_json(out / "classes.json", {"classes": rows})

    def image_folder(self, split: str) -> Path:
        """Return the folder of a split's images."""
        return self.out / split / "images"

    def add(self, split: str, sample: Sample, file: str) -> None:
        """Write the label map of one image; see `Writer`."""
        self.lost[HIDDEN_PIXELS] += sample.num_hidden_pixels
        ignore = IGNORE_LABEL_16_BIT if self.is_16_bit else IGNORE_LABEL
        labels = np.concatenate([[ignore], np.where(sample.crowds, ignore, sample.label_ids)])
        image = labels[sample.front].astype(np.uint16 if self.is_16_bit else np.uint8)
        Image.fromarray(image).save(label_path(self.out / split / "masks", file, ".png"))

    def finish(self, split: str) -> None:
        """Do nothing: the format has no file per split."""

    def close(self) -> None:
        """Do nothing: no file describes all splits."""
