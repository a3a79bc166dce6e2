"""Write CVAT for images 1.1: one XML file with the shapes of all images."""

import shutil
from collections import Counter
from pathlib import Path

from unimask.curation.writers.writer import STUFF_AS_OBJECTS, labelled_objects, split_folder
from unimask.datasets import Sample
from unimask.datasets.interface import ALL_IMAGES
from unimask.formats.cvat import cvat_image, cvat_meta, cvat_shapes
from unimask.formats.outlines import OutlineStyle
from unimask.labels import LabelSet, is_background
from unimask.visualization.palette import class_colour

TASK_NAME = "unimask"
"""Name of the task in the file; CVAT asks for the name of each task that it creates."""


class CvatWriter:
    """CVAT for images: `annotations.xml`, and images in `images/SPLIT`, or `images` without splits.

    Objects are polygons, or masks if they have holes (see `cvat_shapes`). Stuff is written except
    for the background, each part as a shape of its own. Splits are subsets of the images.

    Args:
        out: Folder of the dataset.
        labels: Label set of the dataset.
        outlines: Style of the polygons.
    """

    def __init__(self, out: Path, labels: LabelSet, outlines: OutlineStyle = "simple") -> None:
        self.out, self.labels = out, labels
        self.outlines: OutlineStyle = outlines
        self.lost = Counter[str]()
        self.num_images, self.has_scores = 0, False

    @property
    def part(self) -> Path:
        """Temporary file of the images' elements."""
        return self.out / ".annotations.xml.images"

    def image_folder(self, split: str) -> Path:
        """Return the folder of a split's images."""
        return split_folder(self.out / "images", split)

    def add(self, split: str, sample: Sample, file: str) -> None:
        """Record the shapes of one image; see `Writer`."""
        self.has_scores |= sample.scores is not None
        objects = labelled_objects(sample, self.labels, self.lost)
        self.lost[STUFF_AS_OBJECTS] += sum(not one.is_thing for one in objects)
        shapes = [
            cvat_shapes(
                self.labels.names[one.label_id],
                one.rle,
                group_id=one.number if one.is_thing else None,
                z_order=one.layer,
                score=one.score,
                outlines=self.outlines,
            )
            for one in objects
        ]
        subset = "" if split == ALL_IMAGES else split
        with self.part.open("a", encoding="utf-8") as stream:
            stream.write(cvat_image(self.num_images, file, sample.size, shapes, subset))
        self.num_images += 1

    def finish(self, split: str) -> None:
        """Do nothing: one file describes all splits."""

    def close(self) -> None:
        """Write the XML file and remove the temporary one."""
        classes = [
            (name, class_colour(label, self.labels.colour(label)))
            for label, name in enumerate(self.labels.names)
            if self.labels.is_thing[label] or not is_background(name)
        ]
        meta = cvat_meta(TASK_NAME, classes, images=self.num_images, has_scores=self.has_scores)
        with (self.out / "annotations.xml").open("w", encoding="utf-8") as stream:
            stream.write(meta)
            if self.part.exists():
                with self.part.open(encoding="utf-8") as images:
                    shutil.copyfileobj(images, stream)
                self.part.unlink()
            stream.write("</annotations>\n")
