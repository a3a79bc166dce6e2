"""Read GeoJSON in pixels: a feature collection for each image, as QuPath and unimask write it."""

from collections.abc import Mapping, Sequence
from math import inf
from pathlib import Path

from unimask.datasets.image_files import find_images, is_file, list_files
from unimask.datasets.interface import DatasetOptions, DetectedDataset
from unimask.datasets.objects.coco_find import IMAGE_FOLDERS
from unimask.datasets.objects.collector import ObjectCollector, detect_splits
from unimask.datasets.objects.dataset import ObjectDataset
from unimask.datasets.objects.geojson_records import (
    GeojsonFeature,
    feature_mask,
    iterate_features,
    read_image_info,
)
from unimask.datasets.objects.json_kinds import outline_of
from unimask.datasets.objects.labelme_images import image_from_stem, read_size
from unimask.datasets.scenes.recognition import has_rasters, is_in_pixels
from unimask.errors import DataError
from unimask.labels import Colour

FORMAT = "GeoJSON"

WITHOUT_PIXELS = frozenset(("Point", "MultiPoint", "LineString", "MultiLineString", ""))
"""Types of geometries that enclose no pixels; "" for features without a geometry."""


def find_geojson(folder: Path) -> DetectedDataset | None:
    """Detect GeoJSON files with features in the folder and below it; folders may be splits.

    Beside georeferenced rasters, coordinates are on the ground unless the file shows otherwise.
    """
    files = [
        file
        for file in list_files(folder, ".geojson")
        if outline_of(file).keys.get("features") == "list"
    ]
    if files and has_rasters(folder):
        files = [file for file in files if is_in_pixels(file)]
    return detect_splits(FORMAT, folder, files, open_geojson, "lists features")


def open_geojson(
    folder: Path, splits: Mapping[str, Sequence[Path]], split: str, options: DatasetOptions
) -> ObjectDataset:
    """Open the images of a split.

    The classes are those of all splits, in the order of their label ids, or else by name.

    Args:
        folder: Folder of the dataset.
        splits: Files of each split.
        split: Name of the split to open.
        options: Options with the images' channels.

    Raises:
        DataError: A file is malformed, or an image is missing.
    """
    reader = GeojsonReader(folder, options.channels)
    for file in splits[split]:
        reader.read(file)
    for other in (file for name, files in splits.items() if name != split for file in files):
        reader.name_classes(other)
    return reader.collector.build(FORMAT, reader.images, options, reader.classes)


class GeojsonReader:
    """Reader of files, one image at a time.

    Args:
        folder: Folder of the dataset.
        channels: Number of channels of the images.
    """

    def __init__(self, folder: Path, channels: int) -> None:
        self.folder, self.channels = folder, channels
        self.collector = ObjectCollector(folder, "feature")
        self.images: list[Path] = []
        self.colours: dict[str, Colour | None] = {}
        self.label_ids: dict[str, float] = {}

    @property
    def classes(self) -> dict[str, Colour | None]:
        """Classes with their colours, in the order of their label ids, then of their names."""
        names = sorted(self.colours, key=lambda name: (self.label_ids[name], name))
        return {name: self.colours[name] for name in names}

    def name_class(self, feature: GeojsonFeature) -> str:
        """Return the class of a feature, and record it with its colour and label id."""
        name = feature.label
        self.colours[name] = self.colours.get(name) or feature.colour
        label_id = inf if feature.label_id is None else feature.label_id
        self.label_ids[name] = min(self.label_ids.get(name, inf), label_id)
        return name

    def name_classes(self, file: Path) -> None:
        """Record the classes of a file of another split.

        Raises:
            DataError: The file is malformed.
        """
        for place, feature in iterate_features(file):
            try:
                if feature.kind not in WITHOUT_PIXELS:
                    self.name_class(feature)
            except DataError as error:
                raise DataError(f"{file}: feature {place} {error}") from None

    def read(self, file: Path) -> None:
        """Add an image with its objects.

        Raises:
            DataError: The file is malformed, or its image is missing.
        """
        info = read_image_info(file)
        image = find_image(self.folder, file, str(info.file_name))
        size = info.size
        number = self.collector.add_image(image.name, size, file)
        self.images.append(image)
        for place, feature in iterate_features(file):
            if feature.kind in WITHOUT_PIXELS:
                self.collector.without_pixels[feature.kind or "without geometry"] += 1
                continue
            if feature.has_holes and size == (0, 0):
                size = read_size(image, self.channels)
            try:
                mask, label = feature_mask(feature, size), self.name_class(feature)
            except DataError as error:
                location = self.collector.describe_object(number, place)
                raise DataError(f"{location} {error}") from None
            if len(mask) if isinstance(mask, list) else mask.area:
                self.collector.add_object(number, label, place, mask)
            else:
                self.collector.add_unfinished(number, place, "encloses no pixel")


def find_image(folder: Path, file: Path, name: str) -> Path:
    """Return the image of a GeoJSON file: the named one, or the one with its stem.

    Raises:
        DataError: There is none.
    """
    if name and is_file(file.parent / name):
        return file.parent / name
    places = (file.parent, file.parent.parent, folder)
    folders = [place / inner for place in places for inner in ("", *IMAGE_FOLDERS)]
    for place in folders:
        image = image_from_stem(place / file.name)
        if image is not None:
            return image
    return find_images([name or file.stem], folders, file)[0]
