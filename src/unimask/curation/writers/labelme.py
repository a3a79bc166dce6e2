"""Write LabelMe: a JSON file beside each image."""

import json
from collections import Counter
from pathlib import Path

from unimask.curation.writers.writer import (
    STUFF_AS_OBJECTS,
    label_path,
    labelled_objects,
    split_folder,
)
from unimask.datasets import Sample
from unimask.formats.labelme import labelme_file, labelme_shapes
from unimask.formats.outlines import OutlineStyle
from unimask.labels import LabelSet


class LabelmeWriter:
    """LabelMe: `SPLIT/NAME.json` beside `SPLIT/NAME.png`, or both in the folder without splits.

    Objects are polygons (see `labelme_shapes`); parts of a thing share a group id. Stuff is written
    except for the background, each part as a shape of its own.

    Args:
        out: Folder of the dataset.
        labels: Label set of the dataset.
        outlines: Style of the polygons.
    """

    def __init__(self, out: Path, labels: LabelSet, outlines: OutlineStyle = "simple") -> None:
        self.out, self.labels = out, labels
        self.outlines: OutlineStyle = outlines
        self.lost = Counter[str]()

    def image_folder(self, split: str) -> Path:
        """Return the folder of a split's images."""
        return split_folder(self.out, split)

    def add(self, split: str, sample: Sample, file: str) -> None:
        """Write the shapes of one image; see `Writer`."""
        objects = labelled_objects(sample, self.labels, self.lost)
        self.lost[STUFF_AS_OBJECTS] += sum(not one.is_thing for one in objects)
        shapes = [
            shape
            for one in objects
            for shape in labelme_shapes(
                self.labels.names[one.label_id],
                one.rle,
                group_id=one.number if one.is_thing else None,
                score=one.score,
                outlines=self.outlines,
            )
        ]
        content = labelme_file(shapes, image_path=file, size=sample.size)
        path = label_path(self.image_folder(split), file, ".json")
        path.write_text(json.dumps(content, indent=1), encoding="utf-8")

    def finish(self, split: str) -> None:
        """Do nothing: the format has no file per split."""

    def close(self) -> None:
        """Do nothing: no file describes all splits."""
