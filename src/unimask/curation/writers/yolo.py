"""Write YOLO segmentation: `data.yaml`, and per image a text file with a polygon per object."""

from collections import Counter
from pathlib import Path

import yaml

from unimask.curation.writers.writer import label_path, object_masks, unsupported_stuff
from unimask.datasets import Sample
from unimask.datasets.interface import ALL_IMAGES
from unimask.errors import DataError
from unimask.formats.outlines import OutlineStyle, outline_parts
from unimask.formats.run_length import RunLength
from unimask.formats.yolo import yolo_line
from unimask.labels import LabelSet


class YoloWriter:
    """YOLO segmentation: `images/SPLIT`, `labels/SPLIT`, `data.yaml`.

    An object is one polygon through the corners of its pixels, or a simplified one. YOLO cannot
    represent several parts or holes; bridges of zero width connect them, as Ultralytics connects
    the parts of COCO's objects. Readers that fill polygons get the exact mask; readers that also
    draw the outline, as Ultralytics does, get bridges one pixel wide. Crowds and stuff are not
    written; a background class needs no entry because it is what no object covers.

    Args:
        out: Folder of the dataset.
        labels: Label set of the dataset.
        outlines: Style of the polygons.

    Raises:
        DataError: No class is a thing.
    """

    def __init__(self, out: Path, labels: LabelSet, outlines: OutlineStyle = "exact") -> None:
        if not labels.things:
            raise DataError(
                "YOLO segmentation needs thing classes, but all classes are stuff: choose --to "
                "semantic, or pass a dataset of objects with --things"
            )
        self.out, self.labels = out, labels
        self.outlines: OutlineStyle = outlines
        self.lost = Counter[str]()
        self.class_numbers = {label: number for number, label in enumerate(labels.things)}
        self.unsupported_stuff = unsupported_stuff(labels)
        self.splits: dict[str, str] = {}

    def image_folder(self, split: str) -> Path:
        """Return the folder of a split's images."""
        return self.out / "images" / split

    def add(self, split: str, sample: Sample, file: str) -> None:
        """Write the objects of one image; see `Writer`."""
        unknown = 0 if sample.ignored is None else int(sample.ignored.sum())
        self.lost["pixels without ground truth"] += unknown
        lines = []
        for number, rle in object_masks(sample).items():
            label = int(sample.label_ids[number - 1])
            if label not in self.class_numbers:
                self.lost["regions of stuff"] += label in self.unsupported_stuff
            elif sample.crowds[number - 1]:
                self.lost["crowds"] += 1
            else:
                lines.append(self.polygon_line(label, rle))
        path = label_path(self.out / "labels" / split, file, ".txt")
        path.write_text("".join(lines))

    def polygon_line(self, label: int, rle: RunLength) -> str:
        """Return the line of one object, and count the bridges of its polygon."""
        parts = outline_parts(rle, self.outlines)
        bridges = sum(len(part.loops) for part in parts) - 1
        self.lost["gaps in objects of several parts or with holes, bridged"] += bridges
        return yolo_line(self.class_numbers[label], parts, rle.size)

    def finish(self, split: str) -> None:
        """Record the split and the class names in `data.yaml`."""
        self.splits["train" if split == ALL_IMAGES else split] = f"images/{split}"
        names = {
            self.class_numbers[label]: self.labels.names[label] for label in self.labels.things
        }
        content = yaml.safe_dump({**self.splits, "names": names}, sort_keys=False)
        (self.out / "data.yaml").write_text(content)

    def close(self) -> None:
        """Do nothing: `finish` updates the file of all splits."""
