"""Label maps: the class of each pixel."""

from collections import Counter
from pathlib import Path

import numpy as np
from PIL import Image

from unimask.curation.writers.writer import HIDDEN, categories, write_json
from unimask.datasets import Sample
from unimask.labels import IGNORE_LABEL, LabelSet

IGNORE_16 = 65535
"""What 16-bit maps have in place of `IGNORE_LABEL`."""


class SemanticWriter:
    """Label maps: `SPLIT/images`, `SPLIT/masks` with the label id of each pixel, `classes.json`.

    255 is unknown truth, crowds among it; from 255 classes on, maps have 16 bits and 65535 is.

    Args:
        out: The dataset's folder.
        labels: Its classes.
    """

    def __init__(self, out: Path, labels: LabelSet) -> None:
        self.out, self.labels, self.lost = out, labels, Counter[str]()
        self.is_thing = np.array(labels.is_thing)
        self.deep = len(labels) >= IGNORE_LABEL
        rows = [
            {"name": c["name"], "color": "#{:02x}{:02x}{:02x}".format(*c["color"])}
            for c in categories(labels)
        ]
        write_json(out / "classes.json", {"classes": rows})

    def pictures(self, split: str) -> Path:
        """Give the folder of a split's pictures."""
        return self.out / split / "images"

    def add(self, split: str, sample: Sample, file: str) -> None:
        """Write one picture's label map; see `Writer`."""
        self.lost[HIDDEN] += sample.covered
        ignore = IGNORE_16 if self.deep else IGNORE_LABEL
        labels = np.concatenate([[ignore], np.where(sample.crowds, ignore, sample.label_ids)])
        folder = self.out / split / "masks"
        folder.mkdir(parents=True, exist_ok=True)
        picture = labels[sample.front].astype(np.uint16 if self.deep else np.uint8)
        Image.fromarray(picture).save(folder / f"{Path(file).stem}.png")

    def finish(self, split: str) -> None:
        """Nothing is common to a split."""
