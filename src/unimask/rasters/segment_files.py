"""Files of the segments of a large image, made from the objects and labels of its tiles."""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Int, Int16, Int32, Integer

from unimask.labels import LabelSet, Task
from unimask.rasters.features import FeatureWriter, Region
from unimask.rasters.label_rasters import BLOCK, LabelRaster, label_raster
from unimask.rasters.objects_file import ObjectsFile, StoredObject
from unimask.rasters.polygons import Ground
from unimask.rasters.strips_file import read_strips, regroup_rows
from unimask.rasters.visible import visible_objects
from unimask.tiling.masks import PlacedMask
from unimask.tiling.windows import TileWindow
from unimask.visualization.overlay import paint_runs

Progress = Callable[[str, int, int], None]
"""Function called with the name of a stage, the rows of pixels that are done, and their total."""


@dataclass(frozen=True)
class TileSegments:
    """What the tiles of an image left in files.

    Attributes:
        task: Task of the network.
        labels: Classes of the network.
        size: Height and width of the image in pixels.
        objects: File of objects.
        strips: File of the label map: -1 for no label (semantic), 0 for no stuff and -1 - class for
            stuff (panoptic).
        overlap_threshold: Panoptic: minimum share of its mask that an object must get.
        stuff_scores: Panoptic: score of each stuff class.
    """

    task: Task
    labels: LabelSet
    size: tuple[int, int]
    objects: Path
    strips: Path
    overlap_threshold: float
    stuff_scores: dict[int, float]

    def label_strips(self) -> Iterator[Int16[np.ndarray, "h w"]]:
        """Yield the label map in strips of `BLOCK` rows, without stuff that no tile accepted."""
        strips = regroup_rows(read_strips(self.strips, self.size[1]), BLOCK)
        if self.task != "panoptic":
            return strips
        accepted = np.zeros(len(self.labels) + 1, np.int16)
        accepted[[label + 1 for label in self.stuff_scores]] = 1
        return (strip * accepted[-strip] for strip in strips)


class Thing(NamedTuple):
    """Object with its number among the segments."""

    id: int
    item: StoredObject


class ThingPainter:
    """Maps of the objects of an image, in strips.

    Args:
        objects: Objects of the image.
        things: Objects to draw, in descending order of score.
        width: Width of the image in pixels.
    """

    def __init__(self, objects: ObjectsFile, things: list[Thing], width: int) -> None:
        self.objects, self.things, self.width = objects, things, width
        windows = [thing.item.window for thing in things]
        self.tops = np.array([window.row for window in windows], np.int64)
        self.bottoms = np.array([window.bottom for window in windows], np.int64)
        self.label_ids = np.array([0, *(thing.item.label_id for thing in things)], np.int32)

    def paint(self, row: int, height: int) -> Int32[np.ndarray, "h w"]:
        """Return the ids of a strip, 0 at pixels without an object; high scores are on top."""
        strip = TileWindow(row, 0, height, self.width)
        ids = np.zeros((self.width, height), np.int32)
        present = (self.tops < row + height) & (self.bottoms > row)
        for index in np.flatnonzero(present)[::-1].tolist():
            thing = self.things[index]
            runs = self.objects.read_mask(thing.item).runs_within(strip)
            paint_runs(ids, thing.id, *runs)
        return ids.T


class SegmentFiles:
    """Writer of the files of an image: rasters of ids and classes, and polygons.

    Args:
        segments: Segments of the tiles.
        ground: Coordinates of the image.
        folder: Folder to write to.
        features: Writer of polygons, None for none.
        progress: Function that is called now and then.
    """

    def __init__(
        self,
        segments: TileSegments,
        ground: Ground,
        folder: Path,
        features: FeatureWriter | None,
        progress: Progress,
    ) -> None:
        self.segments, self.ground, self.folder = segments, ground, folder
        self.features, self.progress = features, progress
        self.counts: Counter[str] = Counter()
        self.num_cut = 0

    def write(self) -> dict[str, Path]:
        """Write all files; return the path of each."""
        is_semantic = self.segments.task == "semantic"
        paths = self.write_classes() if is_semantic else self.write_objects()
        if self.features is not None:
            self.features.finish()
        return paths

    def write_classes(self) -> dict[str, Path]:
        """Write the raster of classes of a semantic map, and its regions."""
        path = self.folder / "classes.tif"
        with class_raster(path, self.segments, self.ground) as (raster, nodata):
            for row, strip in self.strips("writing"):
                present = np.unique(strip[strip >= 0]).tolist()
                self.counts.update({self.segments.labels.names[label]: 0 for label in present})
                raster.write(np.where(strip < 0, nodata, strip))
                self.add_regions(row, strip)
        for name in self.counts:
            self.counts[name] = 1
        return {"classes": path}

    def write_objects(self) -> dict[str, Path]:
        """Write the raster of ids of instances or panoptic segments, and their polygons."""
        segments = self.segments
        objects = ObjectsFile(segments.objects)
        self.num_cut = objects.num_cut
        things = list(self.number_things(objects))
        painter = ThingPainter(objects, things, segments.size[1])
        paths = {"ids": self.folder / "ids.tif"}
        stuff_ids = np.zeros(len(segments.labels) + 1, np.int64)
        if segments.task == "panoptic":
            paths["classes"] = self.folder / "classes.tif"
            stuff_ids = self.write_panoptic_classes(painter, paths["classes"])
        place = segments.size, self.ground.georeference
        with label_raster(paths["ids"], *place, dtype="uint32", nodata=0) as raster:
            for row, strip in self.strips("writing"):
                ids = painter.paint(row, len(strip))
                stuff = np.where(ids > 0, 0, -strip)
                raster.write(np.where(ids > 0, ids, stuff_ids[stuff]))
                self.add_regions(row, np.where(stuff > 0, stuff - 1, -1), stuff_ids)
        objects.close()
        return paths

    def number_things(self, objects: ObjectsFile) -> Iterator[Thing]:
        """Yield the accepted objects, and write their polygons."""
        if self.segments.task == "panoptic":
            accepted = visible_objects(objects, self.segments.overlap_threshold)
        else:
            accepted = ((item, objects.read_mask(item)) for item in objects.objects)
        total = len(objects.objects)
        for number, (item, mask) in enumerate(accepted, start=1):
            self.counts[self.segments.labels.names[item.label_id]] += 1
            self.add_object(number, item, mask)
            self.progress("polygons", number, total)
            yield Thing(number, item)

    def add_object(self, number: int, item: StoredObject, mask: PlacedMask) -> None:
        """Write the polygon of an object."""
        if self.features is not None:
            self.features.add_mask(Region(number, item.label_id, item.score), mask)

    def add_regions(
        self,
        row: int,
        labels: Integer[np.ndarray, "h w"],
        ids: Int[np.ndarray, " n"] | None = None,
    ) -> None:
        """Add rows of label ids, -1 for none, to the polygons of classes."""
        if self.features is None or self.segments.task == "instance":
            return

        def region(label_id: int) -> Region:
            number = label_id + 1 if ids is None else int(ids[label_id + 1])
            return Region(number, label_id, self.segments.stuff_scores.get(label_id))

        self.features.add_rows(row, labels.astype(np.int16), region)

    def write_panoptic_classes(self, painter: ThingPainter, path: Path) -> Int[np.ndarray, " n"]:
        """Write the raster of classes; return the id of each stuff class, by class + 1."""
        counts = np.zeros(len(self.segments.labels) + 1, np.int64)
        with class_raster(path, self.segments, self.ground) as (raster, nodata):
            for row, strip in self.strips("classes"):
                ids = painter.paint(row, len(strip))
                stuff = np.where(ids > 0, 0, -strip)
                counts += np.bincount(stuff.ravel(), minlength=len(counts))
                classes = np.where(stuff > 0, stuff - 1, nodata)
                raster.write(np.where(ids > 0, painter.label_ids.take(ids), classes))
        counts[0] = 0
        present = np.flatnonzero(counts)
        self.counts.update(self.segments.labels.names[label - 1] for label in present)
        stuff_ids = np.zeros(len(counts), np.int64)
        stuff_ids[present] = len(painter.things) + 1 + np.arange(len(present))
        return stuff_ids

    def strips(self, stage: str) -> Iterator[tuple[int, Int16[np.ndarray, "h w"]]]:
        """Yield first rows and labels of strips; those of instances are empty."""
        height, width = self.segments.size
        if self.segments.task == "instance":
            sizes = (min(BLOCK, height - row) for row in range(0, height, BLOCK))
            strips = (np.zeros((size, width), np.int16) for size in sizes)
        else:
            strips = self.segments.label_strips()
        row = 0
        for strip in strips:
            yield row, strip
            row += len(strip)
            self.progress(stage, row, height)


@contextmanager
def class_raster(
    path: Path, segments: TileSegments, ground: Ground
) -> Iterator[tuple[LabelRaster, int]]:
    """Open a raster of label ids for writing; yield it with its value for no label."""
    dtype, nodata = ("uint8", 255) if len(segments.labels) < 255 else ("uint16", 65535)
    place = segments.size, ground.georeference
    with label_raster(path, *place, dtype=dtype, nodata=nodata, labels=segments.labels) as raster:
        yield raster, nodata
