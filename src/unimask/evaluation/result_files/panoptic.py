"""COCO panoptic results: a JSON file, and one PNG per image whose colours encode segment ids."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from unimask.datasets import Dataset
from unimask.errors import DataError, one_line
from unimask.evaluation.result_files.numbering import (
    MAX_COMPARED_IMAGES,
    CategoryMatch,
    choose_numbering,
    matched_label,
)
from unimask.evaluation.result_files.records import PanopticEntry
from unimask.evaluation.result_files.source import ImageIndex, unmatched_notes
from unimask.formats.bounded_reader import BoundedReader
from unimask.formats.json_values import Id, JsonValueError, convert_record
from unimask.formats.panoptic_png import decode_ids
from unimask.formats.run_length import encode_id_map
from unimask.labels import Task
from unimask.results import Result, Segment

FILE_FORM = '{"annotations": [{"image_id", "file_name", "segments_info": [{"id", "category_id"}]}]}'


class PanopticResults:
    """Segments in panopticapi's format; pixels of id 0 are void.

    Args:
        path: JSON file. Its PNGs are in a folder of the same name, in `panoptic/`, or beside it.
        content: Content of the JSON file.
        dataset: Dataset whose images the results belong to.
        categories: Numbering of categories, "data" or "labels"; None to detect it.

    Raises:
        DataError: An entry is invalid, or none belongs to an image of the dataset.
    """

    task: Task = "panoptic"

    def __init__(
        self, path: Path, content: dict, dataset: Dataset, categories: str | None = None
    ) -> None:
        self.path, self.labels, self.paths = path, dataset.labels, dataset.paths
        images = ImageIndex(dataset)
        self.entries: dict[int, dict[int, Id]] = {}
        self.files: dict[int, str] = {}
        num_unmatched = 0
        for number, item in enumerate(self.read_annotations(content)):
            entry = self.read_entry(number, item)
            name = entry.file_name
            index = images.find(entry.image_id, name, Path(name).stem)
            if index is None:
                num_unmatched += 1
                continue
            self.files[index] = name
            self.entries[index] = {int(s.id or 0): s.category_id for s in entry.segments_info}
        self.match_notes = unmatched_notes(len(dataset), len(self.entries), num_unmatched, path)
        self.folder = self.find_folder()
        categories_in_use = {
            category
            for segment_categories in self.entries.values()
            for category in segment_categories.values()
        }
        self.numbering = choose_numbering(
            dataset, categories_in_use, path, categories, lambda: self.match_categories(dataset)
        )

    def read_annotations(self, content: dict) -> list:
        """Return the list "annotations" of the JSON file.

        Raises:
            DataError: It is not a list.
        """
        if not isinstance(content["annotations"], list):
            raise DataError(f"{self.path}: annotations is not a list; it should be {FILE_FORM}")
        return content["annotations"]

    def read_entry(self, number: int, item: object) -> PanopticEntry:
        """Parse one entry.

        Raises:
            DataError: The entry is invalid.
        """
        try:
            return convert_record(item, PanopticEntry)
        except JsonValueError as error:
            raise DataError(
                f"{self.path}: annotations[{number}]: {error}; it should be {FILE_FORM}"
            ) from None

    def match_categories(self, dataset: Dataset) -> Iterator[CategoryMatch]:
        """Yield the category of each segment that matches a true one, and that one's label id."""
        for index in sorted(self.files)[:MAX_COMPARED_IMAGES]:
            sample, segment_categories = dataset[index], self.entries[index]
            ids = read_ids(self.folder / self.files[index], sample.size)
            for id, rle in encode_id_map(ids).items():
                label = matched_label(rle, sample)
                if label is not None and id in segment_categories:
                    yield segment_categories[id], label

    def find_folder(self) -> Path:
        """Find the folder of the PNGs, by the first of them."""
        file_name = next(iter(self.files.values()), "")
        folders = [self.path.with_suffix(""), self.path.parent / "panoptic", self.path.parent]
        for folder in folders:
            if (folder / file_name).is_file():
                return folder
        raise DataError(
            f"{self.path} names {file_name}, which is neither in {folders[0]}/ nor beside it: "
            "move the PNGs to one of these folders"
        )

    def result(self, index: int, size: tuple[int, int]) -> Result:
        """Return the segments of an image."""
        segments: list[Segment] = []
        if index in self.files:
            path, segment_categories = self.folder / self.files[index], self.entries[index]
            for id, rle in encode_id_map(read_ids(path, size)).items():
                if id not in segment_categories:
                    raise DataError(
                        f"{path} has segment {id}, which {self.path.name} does not list: "
                        "write the PNG and the JSON from the same results"
                    )
                label = self.numbering.label_id(segment_categories[id])
                segments.append(Segment.from_rle(self.labels, label, rle, id=id, score=None))
        return Result(
            task="panoptic",
            size=size,
            labels=self.labels,
            segments=tuple(segments),
            path=self.paths[index],
        )

    def notes(self) -> list[str]:
        """Return notes on results or images without counterpart, and on category ids."""
        return [*self.match_notes, *filter(None, [self.numbering.note])]


def read_ids(path: Path, size: tuple[int, int]) -> np.ndarray:
    """Read an image of segment ids.

    Raises:
        DataError: It is missing, has another size, or is not an RGB image.
    """
    ids = read_map(path, size)
    if ids.ndim != 3 or ids.shape[2] < 3:
        raise DataError(f"{path} is no RGB image, as COCO panoptic is: write ids as colours")
    return decode_ids(ids[..., :3])


def read_map(path: Path, size: tuple[int, int]) -> np.ndarray:
    """Read an image of numbers without interpreting them.

    Raises:
        DataError: It cannot be read, or has another size.
    """
    try:
        with BoundedReader(path) as stream, Image.open(stream) as image:
            image.load()
            values = np.asarray(image)
    except Image.DecompressionBombError:
        raise DataError(f"{path} is too large for a map: check the file") from None
    except Exception as error:  # image decoders raise many types of exceptions
        raise DataError(f"{path} cannot be read ({one_line(error)}): write it again") from None
    if values.shape[:2] != size:
        raise DataError(
            f"{path} is {values.shape[0]} x {values.shape[1]}, but its image is {size[0]} x "
            f"{size[1]}: write results at the image's size"
        )
    return values
