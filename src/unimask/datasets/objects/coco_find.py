"""Find the COCO JSON files in a folder, and the folders of their images and masks."""

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

from unimask.datasets.image_files import is_ignored
from unimask.datasets.interface import (
    ALL_IMAGES,
    Dataset,
    DatasetOptions,
    DetectedDataset,
    Evidence,
    SplitOpener,
    UnlabelledError,
)
from unimask.datasets.objects.coco_instances import open_coco_instances
from unimask.datasets.objects.coco_panoptic import CocoPanoptic
from unimask.datasets.objects.coco_records import to_png_name
from unimask.datasets.objects.json_kinds import is_of_other_tool, outline_of
from unimask.datasets.splits import split_from_name
from unimask.formats.json_outline import JsonOutline, read_json_outline
from unimask.formats.json_stream import stream_lists

INSTANCES, PANOPTIC = "COCO instances", "COCO panoptic"

LABEL_FOLDERS = ("annotations", "annotation", "labels", "label", "anns", "ann")
"""Inner folders that may hold JSON files, besides the dataset's folder."""

OTHER_PREFIXES = ("captions", "person_keypoints", "stuff", "image_info")
"""Prefixes of COCO's files for other kinds of labels."""

IMAGE_FOLDERS = ("images", "JPEGImages", "imgs", "img", "data", "input_images")
"""Usual names of an image folder beside its JSON file."""

MAX_SEARCH_DEPTH = 2
"""Number of folder levels that are searched for the images and masks of a panoptic JSON file."""

JsonKind = Literal["instances", "panoptic", "nothing"]


@dataclass(frozen=True, slots=True)
class CocoJson:
    """JSON file with COCO's lists.

    Attributes:
        path: Path of the file.
        kind: Kind of annotations; "nothing" if the file lacks images or annotations.
        missing: Description of what the file lacks.
        is_empty: Whether the list of annotations is empty.
    """

    path: Path
    kind: JsonKind
    missing: str = ""
    is_empty: bool = False

    @property
    def split(self) -> str | None:
        """Split as the file name spells it ("train2017", "default"); None if it states none."""
        stem = self.path.stem
        for kind in ("instances_", "panoptic_"):
            if stem.startswith(kind) and len(stem) > len(kind):
                return stem.removeprefix(kind)
        return None


def find_coco_jsons(folder: Path) -> list[CocoJson]:
    """Return the COCO JSON files in a folder, and in its inner folders named like labels."""
    inner = [folder / name for name in sorted(os.listdir(folder)) if name.lower() in LABEL_FOLDERS]
    jsons = []
    for place in (folder, *filter(Path.is_dir, inner)):
        for name in sorted(os.listdir(place)):
            if name.endswith(".json") and not is_ignored(name):
                jsons.append(inspect_json(place / name))
    return [json for json in jsons if json is not None]


def inspect_json(file: Path) -> CocoJson | None:
    """Return the kind of a COCO JSON file; None if it has none of COCO's lists."""
    outline = outline_of(file)
    if is_of_other_tool(outline):
        return None
    if not outline.complete and not outline.item_keys("annotations"):
        outline = read_json_outline(file, until="annotations")  # long lists precede the annotations
    if outline.kind != "object" or "shapes" in outline.keys:
        return None
    items = outline.item_keys("annotations")
    is_empty = outline.complete and outline.counts.get("annotations") == 0
    if "segments_info" in items or (is_empty and "isthing" in outline.item_keys("categories")):
        return CocoJson(file, "panoptic")
    if not outline.keys.keys() & {"images", "annotations", "categories"}:
        return None
    if missing := missing_list(outline):
        fault = f"it cannot be read as JSON ({outline.error})" if outline.error else ""
        return CocoJson(file, "nothing", fault or missing)
    if items and not items & {"segmentation", "bbox", "category_id"}:
        return CocoJson(file, "nothing", "its annotations have no segmentation")
    return CocoJson(file, "instances", is_empty=is_empty)


def missing_list(outline: JsonOutline) -> str:
    """Return which list a JSON file lacks; empty if images and annotations are or may be there."""
    for key in ("images", "annotations"):
        if not outline.may_have(key) or outline.keys.get(key, "list") != "list":
            return f"it lists no {key}"
    if not outline.counts.get("images", 1) and outline.complete:
        return "it lists no images"
    return ""


def find_coco_instances(folder: Path) -> DetectedDataset | None:
    """Detect `annotations/instances_SPLIT.json` as COCO publishes it, or any COCO JSON file.

    A single file is the whole folder, unless its name states a split for evaluation; several files
    are splits named after the files.
    """
    jsons = find_coco_jsons(folder)
    files = [json for json in jsons if json.kind == "instances"]
    files = [json for json in files if not json.path.name.startswith(OTHER_PREFIXES)] or files
    official = [json for json in files if json.split is not None]
    files = official or files
    if not files:
        return unlabelled_format([json for json in jsons if json.kind == "nothing"])
    is_only_split = len(files) == 1 and not official
    splits, notes = ({ALL_IMAGES: files[0]}, ()) if is_only_split else split_by_name(files, folder)
    openers = {
        split: build_opener(folder, json.path, json.split or "") for split, json in splits.items()
    }
    reason = f"{files[0].path.name} lists images and annotations"
    evidence = Evidence.EMPTY if all(json.is_empty for json in files) else Evidence.CONTENT
    return DetectedDataset(INSTANCES, openers, (), evidence, reason, notes, has_class_names=True)


def unlabelled_format(jsons: Sequence[CocoJson]) -> DetectedDataset | None:
    """Return a format whose opening raises an error with the reason; None without a JSON file."""
    if not jsons:
        return None
    first = jsons[0]

    def refuse(options: DatasetOptions) -> Dataset:
        raise UnlabelledError(
            f"{first.path} is not a COCO dataset: {first.missing}; add the JSON that has the labels"
        )

    reason = f"{first.path.name} has lists of COCO"
    return DetectedDataset(INSTANCES, {ALL_IMAGES: refuse}, (), Evidence.EMPTY, reason)


def split_by_name(
    jsons: Sequence[CocoJson], folder: Path
) -> tuple[dict[str, CocoJson], tuple[str, ...]]:
    """Map each split to its JSON file; further files of a split get names of their own, and a note.

    COCO of 2014 and of 2017 in one folder are two files for "train" and two for "val".
    """
    splits: dict[str, CocoJson] = {}
    notes: list[str] = []
    for json in jsons:
        spelling = json.split or json.path.stem
        split = split_from_name(spelling)
        names = (split, spelling, json.path.stem, str(json.path.relative_to(folder)))
        name = next(name for name in names if name and name not in splits)
        splits[name] = json
        if split and name != split:
            notes.append(
                f"{split} is {splits[split].path.name}; {json.path.name} is left out of it (choose "
                f"{name} by --split or --val-split)"
            )
    return splits, tuple(notes)


def build_opener(folder: Path, annotations: Path, split: str) -> SplitOpener:
    """Return the opener of one JSON file, with the folders that may hold its images."""
    json_folder = annotations.parent
    spelling = split or annotations.stem
    split_folders = [name for name in (split, split_from_name(spelling)) if name]
    folders = [
        *(folder / name for name in split_folders),
        *(folder / "images" / name for name in split_folders),
        json_folder,
        *(json_folder / name for name in IMAGE_FOLDERS),
        *(folder / name for name in IMAGE_FOLDERS),
        folder,
    ]
    return partial(open_coco_instances, annotations, folders)


def find_coco_panoptic(folder: Path) -> DetectedDataset | None:
    """Detect JSON files whose annotations list segments: `panoptic.json`, `panoptic_SPLIT.json`."""
    files = [json for json in find_coco_jsons(folder) if json.kind == "panoptic"]
    if not files:
        return None
    is_only_split = len(files) == 1 and files[0].split is None
    splits, notes = ({ALL_IMAGES: files[0]}, ()) if is_only_split else split_by_name(files, folder)
    openers = {split: partial(open_panoptic, folder, json) for split, json in splits.items()}
    reason = f"the annotations of {files[0].path.name} list segments"
    return DetectedDataset(
        PANOPTIC, openers, (), Evidence.CONTENT, reason, notes, has_class_names=True
    )


def open_panoptic(folder: Path, json: CocoJson, options: DatasetOptions) -> CocoPanoptic:
    """Open one panoptic JSON file; its first image and mask determine their folders."""
    file, split = json.path, json.split or ""
    first = first_file_names(file)
    split_folders = [name for name in (split, split_from_name(split or file.stem)) if name]
    nearby = [path for place in (file.parent, folder) for path in (place, *subfolders(place))]
    named = [file.with_suffix(""), folder / file.stem, file.with_name("panoptic")]
    below = [inner for place in named if place.is_dir() for inner in subfolders(place)]
    masks = [*named, *below, *nearby]
    images = [
        *(folder / name for name in split_folders),
        *(folder / "images" / name for name in split_folders),
        *(place / name for place in (folder, file.parent) for name in IMAGE_FOLDERS),
    ]
    images += [inner for place in images if place.is_dir() for inner in subfolders(place)]
    return CocoPanoptic(
        file,
        find_folder_with(first.get("annotations"), masks),
        find_folder_with(
            first.get("images"),
            [*images, *nearby],
            excluded=find_folder_with(first.get("annotations"), masks),
        ),
        options.channels,
    )


def first_file_names(file: Path) -> dict[str, str]:
    """Return the file names of the first image and the first annotation, if present."""
    first: dict[str, str] = {}
    for key, item in stream_lists(file, ("images", "annotations")):
        name: Any = item.get("file_name") if isinstance(item, dict) else None
        if isinstance(name, str):
            first.setdefault(key, to_png_name(name) if key == "annotations" else name)
        if len(first) == 2:
            break
    return first


def find_folder_with(
    name: str | None, folders: Iterable[Path], excluded: Path | None = None
) -> Path:
    """Return the first folder that contains a file, else the first that exists."""
    candidates = list(dict.fromkeys(folders))
    try:
        with_file = [
            place for place in candidates if name and place != excluded and (place / name).is_file()
        ]
    except (OSError, ValueError):
        with_file = []
    existing = (place for place in candidates if place.is_dir() and place != excluded)
    return with_file[0] if with_file else next(existing, candidates[0])


def subfolders(folder: Path, levels: int = MAX_SEARCH_DEPTH) -> list[Path]:
    """Return the inner folders of a folder down to some levels, the nearest first."""
    with os.scandir(folder) as entries:
        names = sorted(entry.name for entry in entries if not is_ignored(entry.name))
    inner = [folder / name for name in names if (folder / name).is_dir()]  # links may form loops
    if levels > 1:
        inner += [below for path in inner for below in subfolders(path, levels - 1)]
    return inner
