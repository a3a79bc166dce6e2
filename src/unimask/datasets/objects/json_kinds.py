"""Recognise the JSON files of labelling tools by their keys."""

from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

from unimask.datasets.image_files import list_files, walk_folders
from unimask.formats.json_outline import JsonOutline, read_json_outline

OUTLINE_CHARACTERS = 1 << 20
"""Number of leading characters that usually suffice to determine what a JSON file lists; the same
for all formats, so that each file is scanned once."""

MAX_SAMPLED_FILES = 64
"""Number of JSON files in a folder of which one must be a tool's: a tool that writes a file per
image writes nothing but such files."""

VIA_PROJECT_KEY = "_via_img_metadata"
"""Key of the images in a VIA project file; the other export has them at the top level."""

VIA_IMAGE_KEYS = frozenset(("filename", "regions"))
"""Keys of each image in VIA's files."""

LABEL_STUDIO_TASK_KEYS = (frozenset(("data", "annotations")), frozenset(("data", "completions")))
"""Keys of a task of Label Studio; releases before 1.0 call annotations completions."""

LABEL_STUDIO_MIN_KEYS = frozenset(("annotation_id", "annotator", "lead_time"))
"""Keys that each annotation has in Label Studio's JSON-MIN."""

SUPERVISELY_SIZE_KEYS = frozenset(("height", "width"))
"""Keys of the size of the image in Supervisely's files."""

SAM_IMAGE_KEYS = frozenset(("file_name", "height", "width"))
"""Keys of the image in the files of SA-1B."""

DATUMARO_ITEM_KEYS = frozenset(("id", "annotations"))
"""Keys of each item in Datumaro's files."""

IsKind = Callable[[JsonOutline], bool]
"""Function that decides whether a JSON file is a tool's."""


def is_via(outline: JsonOutline) -> bool:
    """Return whether a JSON file is a VIA project, or VIA's annotations exported as JSON."""
    if VIA_PROJECT_KEY in outline.keys:
        return True
    return any(keys >= VIA_IMAGE_KEYS for keys in outline.members.values())


def is_label_studio(outline: JsonOutline) -> bool:
    """Return whether a JSON file is Label Studio's: tasks, JSON-MIN, or one annotation or task."""
    if outline.kind == "list":
        keys = outline.item_keys("")
        return any(keys >= fields for fields in (*LABEL_STUDIO_TASK_KEYS, LABEL_STUDIO_MIN_KEYS))
    has_task = "data" in outline.member_keys("task") and "result" in outline.keys
    return has_task or any(outline.keys.keys() >= fields for fields in LABEL_STUDIO_TASK_KEYS)


def is_supervisely(outline: JsonOutline) -> bool:
    """Return whether a JSON file holds Supervisely's annotation of an image."""
    has_size = outline.member_keys("size") >= SUPERVISELY_SIZE_KEYS
    return has_size and outline.keys.get("objects") == "list"


def is_segment_anything(outline: JsonOutline) -> bool:
    """Return whether a JSON file holds the masks of an image, as the dataset SA-1B has them."""
    has_image = outline.member_keys("image") >= SAM_IMAGE_KEYS
    return has_image and outline.keys.get("annotations") == "list"


def is_youtube_vis(outline: JsonOutline) -> bool:
    """Return whether a JSON file lists videos with their frames, as YouTube-VIS does."""
    return "file_names" in outline.item_keys("videos") and "images" not in outline.keys


def is_datumaro(outline: JsonOutline) -> bool:
    """Return whether a JSON file is a subset of Datumaro's own format."""
    is_listed = outline.item_keys("items") >= DATUMARO_ITEM_KEYS
    return is_listed and "label" in outline.member_keys("categories")


def is_darwin(outline: JsonOutline) -> bool:
    """Return whether a JSON file is an item of V7, in Darwin JSON 2."""
    return "slots" in outline.member_keys("item") and outline.keys.get("annotations") == "list"


OTHER_TOOLS: tuple[IsKind, ...] = (
    is_via,
    is_label_studio,
    is_supervisely,
    is_segment_anything,
    is_youtube_vis,
    is_datumaro,
    is_darwin,
)
"""Tools whose files share keys with COCO's or LabelMe's."""


def is_of_other_tool(outline: JsonOutline) -> bool:
    """Return whether a JSON file is of a tool that is neither COCO nor LabelMe."""
    return any(is_kind(outline) for is_kind in OTHER_TOOLS)


def outline_of(file: Path) -> JsonOutline:
    """Return the outline of a JSON file, as far as formats are detected by it."""
    return read_json_outline(file, OUTLINE_CHARACTERS)


def find_json_files(folder: Path, is_kind: IsKind) -> list[Path]:
    """Return the JSON files of a kind in a folder and below it.

    Only the first files are inspected if none of them is of the kind, so that the cost does not
    grow with the number of files of other tools.
    """
    sample = islice(iterate_json_files(folder), MAX_SAMPLED_FILES)
    if not any(is_kind(outline_of(file)) for file in sample):
        return []
    return [file for file in list_files(folder, ".json") if is_kind(outline_of(file))]


def iterate_json_files(folder: Path) -> Iterator[Path]:
    """Yield the JSON files in a folder and below it, without hidden ones."""
    for place, names in walk_folders(folder):
        for name in names:
            if name.lower().endswith(".json"):
                yield place / name
