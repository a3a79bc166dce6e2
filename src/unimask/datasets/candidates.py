"""Determine the formats that a folder may have, the most likely first.

Every format's finder inspects the folder. Published layouts come first, then formats recognised by
the content of files, then those suggested by names only. Among equals the order of `FORMATS`
decides, which prefers richer labels: panoptic labels before objects, outlines with holes before
those without, and lists of objects before label maps.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from unimask.datasets.image_files import list_files
from unimask.datasets.interface import DetectedDataset, Evidence
from unimask.datasets.maps import channels, instance_ids, semantic
from unimask.datasets.maps.ade20k import find_ade20k
from unimask.datasets.maps.ade20k_full import find_ade20k_full
from unimask.datasets.maps.cell_tracking import find_cell_tracking
from unimask.datasets.maps.cellpose import find_cellpose
from unimask.datasets.maps.cityscapes import find_cityscapes
from unimask.datasets.maps.image_pairs import OTHER_MAP_FORMATS, find_image_pairs
from unimask.datasets.maps.kitti import find_kitti, find_kitti_step
from unimask.datasets.maps.label_studio_brush import find_label_studio_brush
from unimask.datasets.maps.mapillary_vistas import find_mapillary_vistas
from unimask.datasets.maps.mots import find_mots
from unimask.datasets.maps.open_images import find_open_images
from unimask.datasets.maps.voc import find_voc
from unimask.datasets.nested_folders import (
    MAX_NESTED_FOLDERS,
    MAX_SUBFOLDERS,
    Finder,
    find_nested,
    inner_levels,
    subfolders,
    unwrap_folder,
)
from unimask.datasets.objects.coco_find import find_coco_instances, find_coco_panoptic
from unimask.datasets.objects.cvat import find_cvat
from unimask.datasets.objects.darwin import find_darwin
from unimask.datasets.objects.datumaro import find_datumaro
from unimask.datasets.objects.geojson import find_geojson
from unimask.datasets.objects.label_studio import find_label_studio
from unimask.datasets.objects.labelme import find_labelme
from unimask.datasets.objects.segment_anything import find_segment_anything
from unimask.datasets.objects.supervisely import find_supervisely
from unimask.datasets.objects.via import find_via
from unimask.datasets.objects.yolo import find_yolo
from unimask.datasets.objects.youtube_vis import find_youtube_vis
from unimask.datasets.scenes.find import find_scenes
from unimask.datasets.scenes.find_class_maps import find_class_maps
from unimask.datasets.splits import find_splits
from unimask.datasets.tables.find import find_on_hub, find_tables_in_folder, is_on_hub
from unimask.datasets.tables.metadata import find_metadata
from unimask.datasets.volumes.dicom_pairs import find_dicom_volumes
from unimask.datasets.volumes.nnunet import find_nnunet
from unimask.datasets.volumes.pairs import find_volume_pairs
from unimask.errors import DataError, MissingExtraError, SettingsError
from unimask.formats.json_outline import read_json_outline

FORMATS: tuple[tuple[str, Finder], ...] = (
    ("ADE20K", find_ade20k),
    ("ADE20K 2021", find_ade20k_full),
    ("Cityscapes", find_cityscapes),
    ("Mapillary Vistas", find_mapillary_vistas),
    ("Pascal VOC", find_voc),
    ("KITTI", find_kitti),
    ("KITTI-STEP", find_kitti_step),
    ("MOTS", find_mots),
    ("Cell Tracking Challenge", find_cell_tracking),
    ("cellpose", find_cellpose),
    ("Open Images", find_open_images),
    ("nnU-Net", find_nnunet),
    ("COCO panoptic", find_coco_panoptic),
    ("COCO instances", find_coco_instances),
    ("YOLO segmentation", find_yolo),
    ("CVAT for images", find_cvat),
    ("LabelMe", find_labelme),
    ("YouTube-VIS", find_youtube_vis),
    ("Segment Anything", find_segment_anything),
    ("Datumaro", find_datumaro),
    ("Darwin", find_darwin),
    ("Supervisely", find_supervisely),
    ("Label Studio", find_label_studio),
    ("GeoTIFF scenes", find_scenes),
    ("GeoTIFF class maps", find_class_maps),
    ("volume pairs", find_volume_pairs),
    ("DICOM SEG", find_dicom_volumes),
    ("GeoJSON", find_geojson),
    ("VIA", find_via),
    ("Hugging Face image folder", find_metadata),
    ("Label Studio brush masks", find_label_studio_brush),
    ("Hugging Face dataset", find_tables_in_folder),
    (semantic.FORMAT, find_image_pairs),
)
"""Name and finder of each format."""

NESTED_FINDERS = (
    find_ade20k,
    find_cityscapes,
    find_mapillary_vistas,
    find_voc,
    find_cell_tracking,
    find_kitti,
    find_kitti_step,
    find_mots,
    find_open_images,
    find_nnunet,
    find_coco_panoptic,
    find_coco_instances,
    find_yolo,
    find_cvat,
)
"""Finders that look at fixed places of a folder, and are therefore tried in its inner folders too;
the others search all inner folders themselves."""

ARCHIVES = frozenset({".zip", ".tar", ".gz", ".tgz", ".bz2", ".xz", ".7z", ".rar"})
"""Suffixes of archives, which are not read."""

COSTLY_FINDER = find_tables_in_folder
"""Finder that loads whole tables; it runs only if no other format's files are present."""

MAP_FORMATS = (semantic.FORMAT, *OTHER_MAP_FORMATS)
"""Formats of label maps, which only the maps themselves distinguish."""

FORMAT_ALIASES = {
    "ADE20K": "ade ade20k",
    "Cityscapes": "cityscape",
    "Mapillary Vistas": "mapillary vistas vista",
    "Pascal VOC": "voc pascal voc2012 pascalvoc2012 voc2007",
    "KITTI": "kittisemantic kittiinstance",
    "MOTS": "kittimots motspng motschallenge",
    "Open Images": "openimagesv5 openimagesv6 openimagesv7",
    "Label Studio brush masks": "labelstudiobrush labelstudiopng",
    "Cell Tracking Challenge": "ctc celltracking",
    "nnU-Net": "nnunetraw nnunetv2 decathlon msd",
    "volume pairs": "volumes nifti nrrd bids",
    "DICOM SEG": "dicom seg dcm",
    "COCO panoptic": "panoptic cocopanopticsegmentation",
    "COCO instances": "coco cocoinstance cocojson roboflow cocosegmentation",
    "YOLO segmentation": "yolo yoloseg yolov5 yolov8 yolo11 ultralytics",
    "CVAT for images": "cvat cvatxml cvatimages cvatforimages11",
    "Label Studio": "labelstudiojson labelstudiomin jsonmin",
    "GeoJSON": "qupath",
    "GeoTIFF scenes": "geotiff scenes spacenet geopackage",
    "GeoTIFF class maps": "geotiffmaps geotiffmasks",
    "YouTube-VIS": "ytvis ytvos youtubevos ovis",
    "Segment Anything": "sam sa1b",
    "Datumaro": "datumarojson",
    "Darwin": "v7 darwinjson darwinv2",
    "Supervisely": "supervise superviselyproject",
    "VIA": "vgg vggimageannotator viajson",
    "Hugging Face image folder": "imagefolder metadata metadatajsonl",
    "Hugging Face dataset": "huggingface hf tables parquet huggingfacedatasets",
    semantic.FORMAT: "semantic semanticmap semanticmasks labelmaps maps masks",
    instance_ids.FORMAT: "instanceid idmaps objectids instancemaps",
    channels.FORMAT: "channels classandobjectchannel",
}
"""Other spellings of each format's name, in lower case without punctuation."""

ATTRIBUTE_FORMATS = ("VIA", "GeoTIFF scenes")
"""Formats whose objects have attributes of any name, one of which holds the class."""


@dataclass
class Candidates:
    """Formats that a folder may have.

    Attributes:
        formats: Detected formats, the most likely first.
        failures: Formats whose detection failed, and the error of each.
        levels: Folders below each folder that was searched.
    """

    formats: list[DetectedDataset] = field(default_factory=list)
    failures: list[tuple[str, DataError | MissingExtraError]] = field(default_factory=list)
    levels: dict[Path, list[list[Path]]] = field(default_factory=dict)

    def detect(self, format: str, find: Finder, folder: Path) -> None:
        """Detect one format in a folder, or in its inner folders that are named like splits."""
        try:
            result = find(folder) or find_splits(folder, find)
            if result is None and find in NESTED_FINDERS:
                if folder not in self.levels:
                    self.levels[folder] = inner_levels(folder)
                result = find_nested(folder, find, self.levels[folder])
        except (DataError, MissingExtraError) as error:
            self.failures.append((format, error))
        except OSError as error:
            location = error.filename or folder
            reason = DataError(f"{location} cannot be read: {error.strerror or error}")
            self.failures.append((format, reason))
        else:
            self.formats += [] if result is None else [result]

    @property
    def has_content_evidence(self) -> bool:
        """Whether any format was detected by the content of its files."""
        return any(each.evidence >= Evidence.CONTENT for each in self.formats)


def parse_format(text: str) -> str:
    """Return the canonical name of the format that the user means.

    Raises:
        SettingsError: The name is unknown; the message lists the known ones.
    """
    names = [*(name for name, _ in FORMATS), *OTHER_MAP_FORMATS]
    by_spelling = {normalise_name(name): name for name in names}
    for name, others in FORMAT_ALIASES.items():
        by_spelling.update(dict.fromkeys(others.split(), name))
    if (name_found := by_spelling.get(normalise_name(text))) is None:
        raise SettingsError(f"--format {text!r} is not known: pass one of {', '.join(names)}")
    return name_found


def split_attribute(text: str) -> tuple[str, str | None]:
    """Split a format as the user spells it into its name and the attribute that holds classes.

    Raises:
        SettingsError: The format is unknown, or its objects have no attributes.
    """
    spelling, _, attribute = text.partition(":")
    name = parse_format(spelling)
    if attribute and name not in ATTRIBUTE_FORMATS:
        raise SettingsError(
            f"--format {text!r} names the attribute {attribute!r}, but {name} names its classes: "
            f"pass --format {spelling}"
        )
    return name, attribute or None


def normalise_name(name: str) -> str:
    """Return a name in lower case without punctuation."""
    return re.sub(r"[\W_]+", "", name).lower()


def find_candidates(folder: Path, format: str | None) -> Candidates:
    """Detect all formats that a folder may have.

    Args:
        folder: Folder of the dataset, or its name on the Hub.
        format: Only format to accept (see `parse_format`); None for any.

    Raises:
        DataError: The folder does not exist, or has another format than `format`.
    """
    if not is_folder(folder) and not is_on_hub(folder):
        raise DataError(f"{folder} is not a folder: {path_advice(folder)}")
    if not folder.is_dir():
        candidates = Candidates()
        candidates.detect("Hugging Face dataset", find_on_hub, folder)
    else:
        folder = unwrap_folder(folder)
        candidates = detect_formats(folder, format)
        if not candidates.formats and not candidates.failures:
            candidates = detect_in_subfolders(folder, format)
    candidates.formats.sort(key=lambda each: -each.evidence)
    if format is not None:
        restrict_to_format(candidates, folder, format)
    return candidates


def is_folder(path: Path) -> bool:
    """Return whether a path is a folder; invalid paths are not."""
    try:
        return path.is_dir()
    except (OSError, ValueError):
        return False


def detect_formats(folder: Path, format: str | None) -> Candidates:
    """Detect each format in a folder; run the costly finder only if necessary."""
    candidates = Candidates()
    for name, find in FORMATS:
        if find is not COSTLY_FINDER or not candidates.has_content_evidence or format == name:
            candidates.detect(name, find, folder)
    return candidates


def detect_in_subfolders(folder: Path, format: str | None) -> Candidates:
    """Detect formats in the inner folders, whatever their names.

    A single inner folder is taken as the dataset, since archives often unpack into a nested folder,
    or into several, one in another. Several inner folders of one format are splits with the names
    of the folders.
    """
    inner, candidates = subfolders(folder), Candidates()
    if len(inner) == 1:
        for _ in range(MAX_NESTED_FOLDERS):
            candidates = detect_formats(inner[0], format)
            further = subfolders(inner[0])
            if candidates.formats or candidates.failures or len(further) != 1:
                break
            inner = further
        return candidates
    if len(inner) <= MAX_SUBFOLDERS:
        for name, find in FORMATS:
            if find is not COSTLY_FINDER:
                candidates.detect(name, partial(find_splits, find=find, any_name=True), folder)
    return candidates


def restrict_to_format(candidates: Candidates, folder: Path, format: str) -> None:
    """Restrict the candidates to one format.

    Raises:
        DataError: No candidate is left, so the folder has another format.
    """
    others = candidates.formats
    candidates.formats = [each for each in others if each.may_have_format(format)]
    candidates.failures = [each for each in candidates.failures if each[0] == format]
    if not candidates.formats and not candidates.failures and others:
        names = dict.fromkeys(
            name for each in others for name in (each.format, *each.possible_formats)
        )
        raise DataError(f"{folder} is not in the format {format}: it may be {' or '.join(names)}")


def unknown_format_message(folder: Path) -> str:
    """Return the error message for a folder without a known format."""
    names = ", ".join(name for name, _ in FORMATS if name != semantic.FORMAT)
    damaged = next(invalid_json_clauses(folder), "")
    return (
        f"{folder} contains no dataset in a known format{damaged}: expected images/ + masks/ of "
        f"any names, or the layout of {names} (docs/data.md shows each)"
    )


def invalid_json_clauses(folder: Path) -> Iterator[str]:
    """Yield the end of a sentence about each JSON file that cannot be parsed."""
    files = [file for file in list_files(folder, ".json")[:MAX_SUBFOLDERS] if file.is_file()]
    for file in files:
        if fault := read_json_outline(file, 1 << 20).error:
            yield f", and {file} cannot be read as JSON ({fault})"


def format_failures(failures: Sequence[tuple[str, Exception]]) -> str:
    """Return a message that lists the formats tried and why each failed."""
    return "; ".join(f"as {format}: {error}" for format, error in failures)


def path_advice(path: Path) -> str:
    """Return what to give instead of a path that is not a folder, as the end of a sentence."""
    if path.suffix.lower() in ARCHIVES:
        return "unpack the archive and pass its folder"
    if path.is_file():
        return f"pass the folder that holds the dataset, such as {path.parent}"
    return "pass the folder that holds the dataset, or the name of one on the Hub (owner/name)"
