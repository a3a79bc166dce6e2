"""Parse the names of folders and files: image or label map, split, and the key of partners."""

import re
from typing import Literal

from unimask.datasets.name_forms import decode_name
from unimask.datasets.splits import SPLIT_NAMES

Role = Literal["image", "map"]

MAP_WORDS = frozenset(
    [
        "mask",
        "masks",
        "maskrcnn",
        "label",
        "labels",
        "lbl",
        "lbls",
        "annotation",
        "annotations",
        "annot",
        "annots",
        "anno",
        "annos",
        "gt",
        "gts",
        "groundtruth",
        "truth",
        "groundtruths",
        "segmentation",
        "segmentations",
        "segmentationclass",
        "seg",
        "segs",
        "semantic",
        "target",
        "targets",
        "labelid",
        "labelids",
        "labeltrainids",
        "manual",
        "instance",
        "instances",
        "panoptic",
        "bitmask",
        "bitmasks",
    ]
)
IMAGE_WORDS = frozenset(
    [
        "image",
        "images",
        "img",
        "imgs",
        "picture",
        "pictures",
        "photo",
        "photos",
        "jpegimages",
        "frame",
        "frames",
        "raw",
        "sat",
        "input",
        "inputs",
        "leftimg8bit",
        "original",
        "originals",
        "scan",
        "scans",
    ]
)
PAINTED_WORDS = frozenset(
    [
        "color",
        "colour",
        "colors",
        "colours",
        "rgb",
        "vis",
        "visual",
        "overlay",
        "preview",
        "viz",
        "visualization",
        "visualisation",
        "colormap",
        "colormaps",
    ]
)
"""Words for maps that are painted for viewing; maps of numbers with the same labels take
precedence."""

OBJECT_WORDS = frozenset(["instance", "instances", "inst", "object", "objects", "ids"])
CLASS_WORDS = frozenset(["semantic", "class", "classes", "segmentationclass", "category"])
"""Words for maps whose values are object ids, and for maps whose values are classes."""

ANNOTATOR_WORDS = frozenset(
    [
        "st",
        "nd",
        "rd",
        "th",
        "first",
        "second",
        "third",
        "annotator",
        "annotators",
        "expert",
        "experts",
        "reader",
        "rater",
        "observer",
        "doctor",
        "manual",
        "human",
        "ho",
    ]
)
VARIANT_WORDS = frozenset(
    [
        "edge",
        "edges",
        "contour",
        "contours",
        "boundary",
        "boundaries",
        "border",
        "borders",
        "outline",
        "weight",
        "weights",
        "distance",
        "fov",
        "roi",
        "field",
        "view",
        "old",
        "new",
        "backup",
        "copy",
        "fine",
        "coarse",
        "raw",
        "version",
        "v",
        "superpixel",
        "superpixels",
        "skeleton",
        "depth",
        "all",
        "full",
        "clean",
        "crop",
        "cropped",
        "resized",
    ]
)
"""Words that distinguish several maps of one image without naming a class."""

KEY_AFFIXES = (
    MAP_WORDS | IMAGE_WORDS | PAINTED_WORDS | {"l", "p", "gtfine", "ids", "manual1", "class"}
)
"""Words before or after the key that a file shares with its partner."""

NUMBERED_AFFIX = re.compile(
    rf"\A({'|'.join(sorted(MAP_WORDS | IMAGE_WORDS, key=len, reverse=True))})([0-9]+)\Z",
    re.IGNORECASE,
)
"""A mark and a number without a separator: "mask12"."""

KNOWN_WORDS = MAP_WORDS | IMAGE_WORDS | frozenset(SPLIT_NAMES)


def split_words(name: str) -> list[str]:
    """Split a name into lower-case words at punctuation, digits and capitals ("trainAnnot").

    Two known words without a separator ("trainannot") are split as well.
    """
    parts = re.split(r"[^A-Za-z0-9]+", name)
    words: list[str] = []
    for part in parts:
        if part.lower() in KNOWN_WORDS:
            words.append(part.lower())
            continue
        for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", part):
            words += split_compound(word.lower())
    return words


def split_compound(word: str) -> list[str]:
    """Split two known words, "valannot" into "val" and "annot"; return any other word unchanged."""
    if word not in KNOWN_WORDS:
        for place in range(2, len(word) - 1):
            if word[:place] in KNOWN_WORDS and word[place:] in KNOWN_WORDS:
                return [word[:place], word[place:]]
    return [word]


def role_from_names(names: tuple[str, ...]) -> Role | None:
    """Return the role of files by the names of their folders, outermost first.

    The innermost name with a known word decides; within one name, words for labels take precedence
    ("mask_images").
    """
    for name in reversed(names):
        words = set(split_words(name))
        if words & MAP_WORDS:
            return "map"
        if words & IMAGE_WORDS:
            return "image"
    return None


def class_from_name(name: str) -> str | None:
    """Return the class that a folder or ending of masks is named after ("1. cat_masks": "cat").

    Returns None if the name is not that of a class but only marks maps, their annotator or a
    variant.
    """
    parts = re.split(r"[_\-./ ]+", re.sub(r"^\d+\W+", "", name))
    split = [
        word for part in parts for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+|\d+", part) or [part]
    ]
    generic_words = MAP_WORDS | PAINTED_WORDS | CLASS_WORDS | OBJECT_WORDS | KNOWN_WORDS
    if any(word.lower() in ANNOTATOR_WORDS | VARIANT_WORDS for word in split):
        return None
    remaining = [part for part in parts if not {word for word in split_words(part)} & generic_words]
    class_words = [
        word for word in split if word.lower() not in generic_words and not word.isdecimal()
    ]
    return " ".join(remaining or class_words) or None if class_words else None


def kind_from_names(names: tuple[str, ...]) -> tuple[str, Literal["ids", "index"]] | None:
    """Return the word that states what the values of maps are, and its meaning, or None."""
    for word in (word for name in names for word in split_words(name)):
        if word in OBJECT_WORDS:
            return word, "ids"
        if word in CLASS_WORDS:
            return word, "index"
    return None


def split_from_names(names: tuple[str, ...]) -> str | None:
    """Return the split that folders of these names belong to, outermost first; None if unstated."""
    for name in names:
        for word in split_words(name):
            if word in SPLIT_NAMES:
                return SPLIT_NAMES[word]
    return None


def is_painted(names: tuple[str, ...]) -> bool:
    """Return whether names mark maps that are painted for viewing."""
    return any(PAINTED_WORDS & set(split_words(name)) for name in names)


def parse_key(stem: str) -> tuple[str, str]:
    """Split a file's stem into the key that partners share and the marks around it.

    Keys are in one Unicode normal form and without percent encoding.

    >>> parse_key("0001TP_006690_L")
    ('0001TP_006690', 'l')
    """
    stem = NUMBERED_AFFIX.sub(r"\1_\2", decode_name(stem))
    parts = re.split(r"([_\-. ]+)", stem)  # words at even positions, separators at odd ones
    affixes: list[str] = []
    while parts and parts[-1].lower() in KEY_AFFIXES:
        affixes.append(parts[-1].lower())
        del parts[-2:]
    while parts and parts[0].lower() in KEY_AFFIXES:
        affixes.append(parts[0].lower())
        del parts[:2]
    return "".join(parts), " ".join(affixes)
