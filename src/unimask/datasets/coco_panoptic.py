"""COCO panoptic: one JSON, and a PNG per picture whose colours are segment ids."""

import json
from pathlib import Path

import numpy as np
from jaxtyping import Int
from PIL import Image

from unimask.datasets.found import About, Found, Opener, Wish, only
from unimask.datasets.maps.label_map import check_size
from unimask.datasets.sample import Sample
from unimask.errors import DataError
from unimask.formats.panoptic_png import decode_ids
from unimask.label_sets import in_known_colours
from unimask.labels import LabelSet
from unimask.processing.orientation import upright
from unimask.processing.pictures import read_picture

FORMAT = "COCO panoptic"


class CocoPanoptic:
    """Pictures with segments of things and stuff; pixels without a segment are unknown.

    Label ids count the categories in the order of the JSON's category ids.

    Args:
        annotations: The JSON.
        masks: Folder of the PNGs.
        images: Folder of the pictures.
        channels: Of the pictures, 3 for RGB.

    Raises:
        DataError: A file is missing or is not what it should be.
    """

    def __init__(self, annotations: Path, masks: Path, images: Path, channels: int = 3) -> None:
        self.channels = channels
        self.annotations, self.masks = annotations, masks
        self.about = About(FORMAT, told="pixels without a segment are ignored")
        self.name = annotations.stem if annotations.stem != "panoptic" else annotations.parent.name
        content = read_json(annotations)
        try:
            categories = sorted(content["categories"], key=lambda category: category["id"])
            names = tuple(str(category["name"]) for category in categories)
            things = tuple(bool(category["isthing"]) for category in categories)
            self.labels = in_known_colours(LabelSet(names, things))
            self.category_ids = {c["id"]: index for index, c in enumerate(categories)}
            files = {image["id"]: image["file_name"] for image in content["images"]}
            self.entries = [
                (images / files[entry["image_id"]], entry) for entry in content["annotations"]
            ]
        except (KeyError, TypeError) as error:
            raise DataError(
                f"{annotations} lacks {error}: it should be a COCO panoptic JSON with images, "
                "annotations and categories"
            ) from error
        if not self.entries:
            raise DataError(f"{annotations} has no annotations")
        self.entries.sort(key=lambda entry: entry[0])
        self.paths = [path for path, _ in self.entries]

    def __len__(self) -> int:
        return len(self.entries)

    def __getitem__(self, index: int) -> Sample:
        """Read one picture and its segments.

        Raises:
            DataError: The PNG is missing, of another size, or holds ids that the JSON lacks.
            ImageError: The picture cannot be read.
        """
        path, entry = self.entries[index]
        image = read_picture(path, channels=self.channels)
        ids = self.read_ids(entry)
        check_size(ids, self.masks / entry["file_name"], image.shape[:2], path)
        segments = entry["segments_info"]
        numbers = self.number(ids, segments, entry)
        return Sample(
            image=image,
            id_maps=numbers[None],
            label_ids=np.array([self.label_of(segment) for segment in segments], np.int64),
            crowds=np.array([bool(segment.get("iscrowd")) for segment in segments], bool),
            ignored=numbers == 0 if (numbers == 0).any() else None,
            path=path,
        )

    def count_things(self) -> Int[np.ndarray, " n"]:
        """Give the objects of thing classes in each picture, crowds left out."""
        of_thing = {id: self.labels.is_thing[label] for id, label in self.category_ids.items()}
        counts = [
            sum(of_thing.get(s["category_id"], False) and not s.get("iscrowd") for s in segments)
            for segments in (entry["segments_info"] for _, entry in self.entries)
        ]
        return np.array(counts, np.int64)

    def read_ids(self, entry: dict) -> np.ndarray:
        """Read the PNG of one annotation."""
        path = self.masks / entry["file_name"]
        try:
            with Image.open(path) as picture:
                if picture.mode not in ("RGB", "RGBA"):
                    raise DataError(f"{path} is a {picture.mode} picture; COCO panoptic uses RGB")
                picture.load()
                return decode_ids(np.asarray(upright(picture, str(path)).convert("RGB")))
        except (OSError, SyntaxError, ValueError) as error:
            raise DataError(f"{path} cannot be read ({error}): export it again") from error

    def number(self, ids: np.ndarray, segments: list[dict], entry: dict) -> np.ndarray:
        """Replace segment ids by 1..n in the order of the JSON."""
        known = np.array([0, *(segment["id"] for segment in segments)], np.int64)
        order = np.argsort(known)
        place = np.searchsorted(known[order], ids).clip(0, len(known) - 1)
        if (known[order][place] != ids).any():
            stray = int(ids[known[order][place] != ids][0])
            raise DataError(
                f"{self.masks / entry['file_name']} has segment {stray}, which "
                f"{self.annotations.name} does not list: export both together"
            )
        return order[place].astype(np.int32)

    def label_of(self, segment: dict) -> int:
        """Give the label id of a segment's category."""
        category = segment["category_id"]
        if category not in self.category_ids:
            raise DataError(
                f"{self.annotations} has a segment of category {category}, which is not among its "
                f"{len(self.category_ids)} categories: add it or mend the segment"
            )
        return self.category_ids[category]


def find_coco_panoptic(folder: Path) -> Found | None:
    """Look for `panoptic.json`, or for `annotations/panoptic_SPLIT.json` as COCO has them."""
    if (folder / "panoptic.json").is_file():
        return only(
            FORMAT, opener(folder / "panoptic.json", folder / "panoptic", folder / "images")
        )
    splits = {}
    for file in sorted(folder.glob("annotations/panoptic_*.json")):
        name = file.stem.removeprefix("panoptic_")
        splits[name.removesuffix("2017")] = opener(
            file, file.with_suffix(""), images_of(folder, name)
        )
    return Found(FORMAT, splits) if splits else None


def opener(annotations: Path, masks: Path, images: Path) -> Opener:
    """Say how to open one set of pictures."""

    def open_it(wish: Wish) -> CocoPanoptic:
        return CocoPanoptic(annotations, masks, images, wish.channels)

    return open_it


def images_of(folder: Path, split: str) -> Path:
    """Give COCO's folder of pictures for a split, as COCO itself has it if there is none."""
    candidates = (folder / split, folder / "images" / split, folder / "images")
    return next((path for path in candidates if path.is_dir()), candidates[0])


def read_json(path: Path) -> dict:
    """Read a JSON file.

    Raises:
        DataError: It is missing, or no JSON.
    """
    try:
        return json.loads(path.read_text())
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise DataError(f"{path} is not JSON ({error})") from error
