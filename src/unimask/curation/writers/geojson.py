"""Write GeoJSON: a feature collection beside each image."""

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
from unimask.formats.geojson import feature_collection, geojson_feature, geojson_properties
from unimask.formats.outlines import OutlineStyle
from unimask.labels import LabelSet
from unimask.visualization.palette import class_colour


class GeojsonWriter:
    """GeoJSON: `SPLIT/NAME.geojson` beside `SPLIT/NAME.png`, or both in the folder without splits.

    Each object is a feature in pixels of its image. Stuff is written except for the background.

    Args:
        out: Folder of the dataset.
        labels: Label set of the dataset.
        outlines: Style of the polygons.
    """

    def __init__(self, out: Path, labels: LabelSet, outlines: OutlineStyle = "exact") -> None:
        self.out, self.labels = out, labels
        self.outlines: OutlineStyle = outlines
        self.lost = Counter[str]()

    def image_folder(self, split: str) -> Path:
        """Return the folder of a split's images."""
        return split_folder(self.out, split)

    def add(self, split: str, sample: Sample, file: str) -> None:
        """Write the features of one image; see `Writer`."""
        objects = labelled_objects(sample, self.labels, self.lost)
        self.lost[STUFF_AS_OBJECTS] += sum(not one.is_thing for one in objects)
        features = [
            geojson_feature(
                one.rle,
                geojson_properties(
                    label=self.labels.names[one.label_id],
                    label_id=one.label_id,
                    is_thing=one.is_thing,
                    score=one.score,
                    area=one.rle.area,
                    colour=class_colour(one.label_id, self.labels.colour(one.label_id)),
                ),
                self.outlines,
            )
            for one in objects
        ]
        content = feature_collection(features, image_name=file, size=sample.size)
        path = label_path(self.image_folder(split), file, ".geojson")
        path.write_text(json.dumps(content), encoding="utf-8")

    def finish(self, split: str) -> None:
        """Do nothing: the format has no file per split."""

    def close(self) -> None:
        """Do nothing: no file describes all splits."""
