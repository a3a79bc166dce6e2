"""Read COCO panoptic: one JSON file, and per image a PNG whose colours are segment ids."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int
from PIL import Image

from unimask.config import Window
from unimask.datasets.interface import DatasetInfo, warn_left_out
from unimask.datasets.maps.class_table import is_void
from unimask.datasets.maps.label_map import check_size
from unimask.datasets.objects.coco_records import (
    CocoImage,
    CocoPanopticCategory,
    CocoPanopticImage,
    CocoSegment,
    numeric_ids,
)
from unimask.datasets.sample import Sample
from unimask.errors import DataError, one_line
from unimask.formats.bounded_reader import BoundedReader
from unimask.formats.file_digest import sampled_digest
from unimask.formats.json_stream import stream_lists
from unimask.formats.json_values import JsonValueError, convert_record
from unimask.formats.panoptic_png import decode_ids
from unimask.label_sets import add_known_colours
from unimask.labels import LabelSet
from unimask.processing.images import pil_limit_disabled, read_image
from unimask.processing.orientation import rotate_upright

FORMAT = "COCO panoptic"
LIST_TYPES: Mapping[str, type[Any]] = {
    "images": CocoImage,
    "annotations": CocoPanopticImage,
    "categories": CocoPanopticCategory,
}


class CocoPanoptic:
    """Images with segments of things and stuff; pixels without a segment are ignored.

    Label ids number the categories in the order of the JSON file's category ids. Segments of
    categories named "void", "unlabeled" or the like are ignored as well.

    Args:
        annotations: Path of the JSON file.
        masks: Folder of the PNG files.
        images: Folder of the images.
        channels: Number of channels of the images, 3 for RGB.

    Raises:
        DataError: A file is missing or malformed.
    """

    def __init__(self, annotations: Path, masks: Path, images: Path, channels: int = 3) -> None:
        self.channels = channels
        self.window: Window = None
        self.annotations, self.masks = annotations, masks
        self.name = annotations.stem if annotations.stem != "panoptic" else annotations.parent.name
        records = read_lists(annotations)
        categories = sorted(
            index_by_id(annotations, "categories", records["categories"]).values(),
            key=category_order,
        )
        classes = [category for category in categories if not is_void(str(category.name))]
        void_names = [str(category.name) for category in categories if is_void(str(category.name))]
        if not classes:
            raise DataError(f"{annotations} lists no categories: it is not a COCO panoptic JSON")
        names = tuple(str(category.name) for category in classes)
        things = tuple(bool(category.isthing) for category in classes)
        ids = numeric_ids([category.id for category in classes])
        self.labels = add_known_colours(LabelSet(names, things, category_ids=ids))
        self.category_ids = {category.id: label for label, category in enumerate(classes)}
        self.void_ids = {category.id for category in categories} - self.category_ids.keys()
        ignored = "".join(f", and so is {name}" for name in void_names)
        self.info = DatasetInfo(FORMAT, notes=f"pixels without a segment are ignored{ignored}")
        files = index_by_id(annotations, "images", records["images"])
        self.entries = entries_of(annotations, files, records["annotations"])
        if unlabelled := [files[id].file_name for id in files.keys() - labelled_ids(self.entries)]:
            warn_left_out(
                f"{annotations}: {len(unlabelled)} images have no annotation, such as "
                f"{min(unlabelled)!r}: left out"
            )
        self.entries.sort(key=lambda entry: images / entry[0].file_name)
        self.paths = [images / image.file_name for image, _ in self.entries]

    def __len__(self) -> int:
        return len(self.entries)

    def __getitem__(self, index: int) -> Sample:
        """Read one image and its segments.

        Raises:
            DataError: The PNG file is missing, differs in size, or has ids that the JSON file
                lacks.
            ImageError: The image cannot be read.
        """
        path, (_, entry) = self.paths[index], self.entries[index]
        image = read_image(path, channels=self.channels, window=self.window)
        labels = [self.find_label(segment) for segment in entry.segments_info]
        ids = self.read_ids(entry, path, image.shape[:2])
        labelled_segments = list(zip(entry.segments_info, labels, strict=True))
        segments = [segment for segment, label in labelled_segments if label is not None]
        void_ids = [segment.id for segment, label in labelled_segments if label is None]
        ids[np.isin(ids, np.array(void_ids, np.int64))] = 0
        numbers = self.renumber(ids, segments, entry)
        return Sample(
            image=image,
            id_maps=numbers[None],
            label_ids=np.array([label for label in labels if label is not None], np.int64),
            crowds=np.array([segment.iscrowd for segment in segments], bool),
            ignored=numbers == 0 if (numbers == 0).any() else None,
            path=path,
        )

    def count_things(self) -> Int[np.ndarray, " n"]:
        """Count the objects of thing classes in each image, without crowds."""
        of_thing = {id: self.labels.is_thing[label] for id, label in self.category_ids.items()}
        counts = [
            sum(of_thing.get(s.category_id, False) and not s.iscrowd for s in entry.segments_info)
            for _, entry in self.entries
        ]
        return np.array(counts, np.int64)

    def label_digest(self, index: int) -> str:
        """Compute a digest of one image's segments: its PNG file, and their categories."""
        _, entry = self.entries[index]
        segments = [(s.id, s.category_id, bool(s.iscrowd)) for s in entry.segments_info]
        return sampled_digest([self.masks / entry.file_name], repr(segments))

    def read_ids(
        self, entry: CocoPanopticImage, image: Path, size: tuple[int, int]
    ) -> Int[np.ndarray, "h w"]:
        """Read the segment ids of one image from its PNG file.

        Raises:
            DataError: The file cannot be read, or differs from its image in size.
        """
        path = self.masks / entry.file_name
        try:
            with BoundedReader(path) as stream:
                with pil_limit_disabled():
                    png = Image.open(stream)
                if png.mode not in ("RGB", "RGBA"):
                    raise DataError(f"is a {png.mode} image; COCO panoptic uses RGB")
                ids = np.broadcast_to(np.int32(0), (png.height, png.width))
                if ids.size == size[0] * size[1]:
                    png.load()
                    ids = decode_ids(np.asarray(rotate_upright(png, str(path)).convert("RGB")))
        except DataError as error:
            raise DataError(f"{path} {error}") from None
        except Exception as error:  # image decoders raise many types of exceptions
            raise DataError(
                f"{path} cannot be read ({one_line(error)}): export it again"
            ) from error
        check_size(ids, path, size, image)
        return ids

    def renumber(
        self, ids: np.ndarray, segments: Sequence[CocoSegment], entry: CocoPanopticImage
    ) -> np.ndarray:
        """Replace segment ids by 1..n in the order of the JSON file.

        Raises:
            DataError: The image has an id that the JSON file does not list.
        """
        segment_ids = np.array([0, *(segment.id for segment in segments)], np.int64)
        order = np.argsort(segment_ids)
        place = np.searchsorted(segment_ids[order], ids).clip(0, len(segment_ids) - 1)
        if (segment_ids[order][place] != ids).any():
            unlisted = int(ids[segment_ids[order][place] != ids][0])
            raise DataError(
                f"{self.masks / entry.file_name} has segment {unlisted}, which "
                f"{self.annotations.name} does not list: export both together"
            )
        return order[place].astype(np.int32)

    def find_label(self, segment: CocoSegment) -> int | None:
        """Return the label id of a segment's category; None for a void category.

        Raises:
            DataError: The category is not listed.
        """
        category = segment.category_id
        if category not in self.category_ids and category not in self.void_ids:
            raise DataError(
                f"{self.annotations} has a segment of category {category}, which is not among its "
                f"{len(self.category_ids)} categories: add it or correct the segment"
            )
        return self.category_ids.get(category)


def read_lists(annotations: Path) -> dict[str, list[Any]]:
    """Read the images, annotations and categories of a COCO panoptic JSON file.

    Raises:
        DataError: The file cannot be read, lacks a list, or has an invalid record.
    """
    records: dict[str, list[Any]] = {key: [] for key in LIST_TYPES}
    for key, item in stream_lists(annotations, tuple(LIST_TYPES)):
        try:
            records[key].append(
                convert_record(item, LIST_TYPES[key], f"{key}[{len(records[key])}]")
            )
        except JsonValueError as error:
            raise DataError(f"{annotations}: {error}; export it again") from None
    for key, items in records.items():
        if not items:
            raise DataError(
                f"{annotations} has no {key}: it should be a COCO panoptic JSON with images, "
                "annotations and categories"
            )
    return records


def index_by_id(annotations: Path, key: str, records: Sequence[Any]) -> dict[Any, Any]:
    """Return records keyed by their ids.

    Raises:
        DataError: Two records have the same id.
    """
    records_by_id: dict[Any, Any] = {}
    for record in records:
        if records_by_id.setdefault(record.id, record) is not record:
            raise DataError(
                f"{annotations} lists two {key} whose id is {record.id!r}: renumber one"
            )
    return records_by_id


def category_order(category: CocoPanopticCategory) -> tuple[bool, Any]:
    """Return the sort key of a category: numeric ids first."""
    return isinstance(category.id, str), category.id


def entries_of(
    annotations: Path, images: Mapping[Any, CocoImage], records: Sequence[CocoPanopticImage]
) -> list[tuple[CocoImage, CocoPanopticImage]]:
    """Return each image with its segments.

    Raises:
        DataError: An image is not listed or has two annotations, or two segments share an id.
    """
    entries: dict[Any, tuple[CocoImage, CocoPanopticImage]] = {}
    for number, record in enumerate(records):
        location, image = f"{annotations}: annotations[{number}]", images.get(record.image_id)
        if image is None:
            raise DataError(
                f"{location} has image_id {record.image_id!r}, which the file does not list: add "
                "the image, or remove the annotation"
            )
        if record.image_id in entries:
            raise DataError(f"{location} is the second of image {record.image_id!r}: remove one")
        ids = [segment.id for segment in record.segments_info]
        if len(set(ids)) < len(ids):
            twice = Counter(ids).most_common(1)[0][0]
            raise DataError(f"{location} lists segment {twice} twice: export it again")
        entries[record.image_id] = image, record
    return list(entries.values())


def labelled_ids(entries: Sequence[tuple[CocoImage, CocoPanopticImage]]) -> set[Any]:
    """Return the ids of images that have an annotation."""
    return {image.id for image, _ in entries}
