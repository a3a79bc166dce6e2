"""Write COCO instances: a JSON file per split, with masks as run lengths."""

from collections import Counter
from math import isnan
from pathlib import Path

from unimask.curation.writers.writer import (
    category_records,
    object_masks,
    score_field,
    to_xywh,
    unsupported_stuff,
)
from unimask.datasets import Sample
from unimask.errors import DataError
from unimask.formats.json_lists import JsonListsFile
from unimask.formats.run_length import RunLength
from unimask.labels import LabelSet


class CocoWriter:
    """COCO instances: `annotations/instances_SPLIT.json` with run lengths, images in `SPLIT/`.

    Each object keeps its whole mask even where others overlap it, the area that its own file
    states, and its score. Stuff is not written; a background class needs no entry because it is
    what no object covers.

    Args:
        out: Folder of the dataset.
        labels: Label set of the dataset.

    Raises:
        DataError: No class is a thing.
    """

    def __init__(self, out: Path, labels: LabelSet) -> None:
        if not any(labels.is_thing):
            raise DataError(
                "COCO instances needs thing classes, but all classes are stuff: choose --to "
                "semantic, or pass a dataset of objects with --things"
            )
        self.out, self.labels, self.lost = out, labels, Counter[str]()
        self.unsupported_stuff = unsupported_stuff(labels)
        self.files: dict[str, JsonListsFile] = {}

    def image_folder(self, split: str) -> Path:
        """Return the folder of a split's images."""
        return self.out / split

    def add(self, split: str, sample: Sample, file: str) -> None:
        """Record the objects of one image; see `Writer`."""
        output = self.file(split)
        number = output.counts["images"] + 1
        height, width = sample.size
        if sample.ignored is not None:
            self.lost["pixels without ground truth"] += int(sample.ignored.sum())
        image = {"id": number, "file_name": file, "height": height, "width": width}
        output.extend("images", [image])
        annotations: list[dict] = []
        for object_number, rle in object_masks(sample).items():
            label = int(sample.label_ids[object_number - 1])
            if not self.labels.is_thing[label]:
                self.lost["regions of stuff"] += label in self.unsupported_stuff
                continue
            annotations.append(
                {
                    "id": output.counts["annotations"] + len(annotations) + 1,
                    "image_id": number,
                    "category_id": label + 1,
                    "segmentation": rle.to_coco(),
                    "area": object_area(sample, object_number, rle),
                    "bbox": to_xywh(rle),
                    "iscrowd": int(sample.crowds[object_number - 1]),
                    **score_field(sample, object_number),
                }
            )
        output.extend("annotations", annotations)

    def file(self, split: str) -> JsonListsFile:
        """Return the JSON file of a split."""
        if split not in self.files:
            path = self.out / "annotations" / f"instances_{split}.json"
            self.files[split] = JsonListsFile(path, ("images", "annotations"))
        return self.files[split]

    def finish(self, split: str) -> None:
        """Write the JSON file of a split."""
        things = [c for c in category_records(self.labels) if c["isthing"]]
        self.file(split).finish({"categories": things})

    def close(self) -> None:
        """Do nothing: no file describes all splits."""


def object_area(sample: Sample, number: int, rle: RunLength) -> float:
    """Return an object's area: the one that its file states, else its number of pixels."""
    file_area = float("nan") if sample.areas is None else float(sample.areas[number - 1])
    return rle.area if isnan(file_area) else file_area
