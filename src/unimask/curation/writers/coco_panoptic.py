"""Write COCO panoptic: a JSON file per split, and per image a PNG whose colours are segment ids."""

from collections import Counter
from pathlib import Path

import numpy as np
from PIL import Image

from unimask.curation.writers.writer import (
    HIDDEN_PIXELS,
    category_records,
    label_path,
    score_field,
    to_xywh,
)
from unimask.datasets import Sample
from unimask.datasets.ground_truth import panoptic_segments
from unimask.formats.json_lists import JsonListsFile
from unimask.formats.panoptic_png import encode_ids
from unimask.formats.run_length import RunLength, encode_id_map
from unimask.labels import LabelSet


class CocoPanopticWriter:
    """COCO panoptic: `annotations/panoptic_SPLIT.json`, PNGs beside it, images in `SPLIT/`.

    Category ids are label ids + 1. Each thing is a segment, and so is each stuff class.

    Args:
        out: Folder of the dataset.
        labels: Label set of the dataset.
    """

    def __init__(self, out: Path, labels: LabelSet) -> None:
        self.out, self.labels, self.lost = out, labels, Counter[str]()
        self.is_thing = np.array(labels.is_thing)
        self.files: dict[str, JsonListsFile] = {}

    def image_folder(self, split: str) -> Path:
        """Return the folder of a split's images."""
        return self.out / split

    def add(self, split: str, sample: Sample, file: str) -> None:
        """Write the segments of one image; see `Writer`."""
        self.lost[HIDDEN_PIXELS] += sample.num_hidden_pixels
        segments = panoptic_segments(sample, self.is_thing)
        ids = np.concatenate([[0], segments])[sample.front]
        folder = self.out / "annotations" / f"panoptic_{split}"
        path = label_path(folder, file, ".png")
        Image.fromarray(encode_ids(ids)).save(path)
        output = self.file(split)
        number = output.counts["images"] + 1
        height, width = sample.size
        output.extend(
            "images", [{"id": number, "file_name": file, "height": height, "width": width}]
        )
        info = [self.segment(sample, segments, id, rle) for id, rle in encode_id_map(ids).items()]
        output.extend(
            "annotations",
            [
                {
                    "image_id": number,
                    "file_name": path.relative_to(folder).as_posix(),
                    "segments_info": info,
                }
            ],
        )

    def segment(self, sample: Sample, segments: np.ndarray, id: int, rle: RunLength) -> dict:
        """Return the record of one segment in `segments_info`."""
        first = int(np.flatnonzero(segments == id)[0])
        return {
            "id": id,
            "category_id": int(sample.label_ids[first]) + 1,
            "area": rle.area,
            "bbox": to_xywh(rle),
            "iscrowd": int(sample.crowds[first]),
            **score_field(sample, first + 1),
        }

    def file(self, split: str) -> JsonListsFile:
        """Return the JSON file of a split."""
        if split not in self.files:
            path = self.out / "annotations" / f"panoptic_{split}.json"
            self.files[split] = JsonListsFile(path, ("images", "annotations"))
        return self.files[split]

    def finish(self, split: str) -> None:
        """Write the JSON file of a split."""
        self.file(split).finish({"categories": category_records(self.labels)})

    def close(self) -> None:
        """Do nothing: no file describes all splits."""
