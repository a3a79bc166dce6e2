"""Read the stored pixels of one map file; raise rather than drop a channel or a page."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Int, Shaped, UInt8
from PIL import Image, ImageSequence, UnidentifiedImageError

from unimask.datasets.maps.map_array import read_map_array
from unimask.datasets.packed import File, open_file
from unimask.errors import DataError, one_line
from unimask.processing.images import MAX_PIXELS, pil_limit_disabled
from unimask.processing.orientation import rotate_upright

ARRAY_SUFFIXES = frozenset({".npy", ".npz"})

MAX_COLOURS = 256
"""Maximum number of colours of a label map."""

LOSSY_FORMATS, MAX_TINT = frozenset({"JPEG", "MPO", "WEBP"}), 8
"""Formats that may tint greys, and the maximum difference of channels that is taken for that."""

PAGED_FORMATS = frozenset({"TIFF", "GIF", "PNG", "WEBP"})
"""Formats whose further pages or frames are read."""

MAX_PAGES = 10_000

SUBFILE_TYPE_TAG = 254
"""TIFF tag whose lowest bit marks a page as a reduced copy of another page."""

MAX_PAGE_OVERLAP = 0.5
"""Maximum share of the mask pixels that lie on several pages, for pages of one object each."""


class StoredMap(NamedTuple):
    """Contents of a map file.

    Attributes:
        pixels: Numbers (h, w), or colours (h, w, 3).
        palette: Colour of each number, if the file has a palette.
        is_paged: Whether the numbers are page numbers, each page the mask of one object.
    """

    pixels: Shaped[np.ndarray, "h w ..."]
    palette: UInt8[np.ndarray, "k 3"] | None = None
    is_paged: bool = False


def read_map_file(file: File) -> StoredMap:
    """Read a map file without dropping any of its channels and pages.

    Raises:
        DataError: The file cannot be read, is not a map, or holds information that maps do not
            have.
    """
    if file.suffix.lower() in ARRAY_SUFFIXES:
        return StoredMap(read_map_array(file))
    try:
        with open_file(file) as stream:
            with pil_limit_disabled():
                image = Image.open(stream)
            with image:
                return decode_map(image, file)
    except (DataError, MemoryError):
        raise
    except UnidentifiedImageError:
        raise DataError(
            f"{file} cannot be read as a mask: it is not an image in a known format"
        ) from None
    except Exception as error:  # image decoders raise many types of exceptions for damaged files
        reason = one_line(error)
        raise DataError(f"{file} cannot be read as a mask ({reason}): export it again") from error


def decode_map(image: Image.Image, file: File) -> StoredMap:
    """Decode all pages of an open image.

    Raises:
        DataError: The image is too large, or holds information that maps do not have.
    """
    if image.width * image.height > MAX_PIXELS:
        raise DataError(
            f"{file} has {image.height} x {image.width} pixels, more than {MAX_PIXELS:,}: "
            "cut it into tiles"
        )
    stored = " ".join(str(tile[3]) for tile in getattr(image, "tile", ()))
    if not image.mode.startswith("I") and ";16" in stored:
        raise DataError(
            f"{file} has several channels of 16 bits, of which only 8 can be read: save it as a "
            "16-bit image of one channel, or as .npy"
        )
    if image.format in PAGED_FORMATS and getattr(image, "is_animated", False):
        masks = list(enumerate_pages(image, file))
        if len(masks) > 1:
            return StoredMap(number_pages(masks, (image.height, image.width), file), is_paged=True)
        image.seek(0)
    image.load()
    is_lossy = image.format in LOSSY_FORMATS
    image = rotate_upright(image, str(file))
    mode = image.mode
    palette = np.array(image.getpalette("RGB") or (), np.uint8).reshape(-1, 3)
    pixels = np.asarray(image, np.uint8 if mode == "1" else None)
    if mode == "P":
        return StoredMap(pixels, np.pad(palette, ((0, 256 - len(palette)), (0, 0))))
    if mode in ("LA", "PA", "RGBA"):
        return StoredMap(select_label_channels(pixels[..., :-1], pixels[..., -1], file))
    if mode not in ("1", "L", "RGB", "F") and not mode.startswith("I"):
        raise DataError(f"{file} is a {mode} image: a label map has one channel, or RGB colours")
    return StoredMap(remove_tint(pixels) if is_lossy and mode == "RGB" and pixels.size else pixels)


def remove_tint(pixels: UInt8[np.ndarray, "h w 3"]) -> UInt8[np.ndarray, "h w ..."]:
    """Return the greys of an image that lossy compression has tinted; other images as they are."""
    spread = int((pixels.max(axis=2) - pixels.min(axis=2)).max())
    return pixels[..., 1] if 0 < spread <= MAX_TINT else pixels


def select_label_channels(
    colours: UInt8[np.ndarray, "h w c"], alpha: UInt8[np.ndarray, "h w"], file: File
) -> UInt8[np.ndarray, "h w ..."]:
    """Return the channels that hold the labels: the colours, or alpha if only alpha holds labels.

    Alpha is the map if the colours are constant or those of a photograph. Alpha is dropped if it is
    constant or determined by the colours.

    Raises:
        DataError: Colours and alpha both vary, and neither determines the other.
    """
    colour_map = colours[..., 0] if colours.shape[2] == 1 else colours
    if not alpha.size or (alpha == 255).all():
        return colour_map
    packed = np.zeros(alpha.shape, np.int64)
    for channel in range(colours.shape[2]):
        packed = packed << 8 | colours[..., channel]
    distinct = len(np.unique(packed))
    if distinct == 1 or (distinct > MAX_COLOURS and alpha.min() < alpha.max()):
        return alpha
    if len(np.unique(packed << 8 | alpha)) == distinct:
        return colour_map
    raise DataError(
        f"{file} has an alpha channel that separates what its colours do not: save the labels "
        "in one channel, or as colours without alpha"
    )


def enumerate_pages(image: Image.Image, file: File) -> Iterator[Bool[np.ndarray, "h w"]]:
    """Yield the mask on each page, skipping reduced copies of a page.

    Raises:
        DataError: There are too many pages, or a page differs in size or has more than two values.
    """
    size = image.size
    for number, page in enumerate(ImageSequence.Iterator(image)):
        if getattr(page, "tag_v2", {}).get(SUBFILE_TYPE_TAG, 0) & 1:
            continue
        if number >= MAX_PAGES or page.size != size:
            what = f"more than {MAX_PAGES}" if number >= MAX_PAGES else "differently large"
            raise DataError(f"{file} has {what} pages: save one map per file")
        grey = page if len(page.getbands()) == 1 and page.mode != "P" else page.convert("L")
        pixels = np.asarray(grey)
        mask = pixels != 0
        if mask.any() and pixels[mask].min() != pixels.max():
            raise DataError(
                f"{file} has several pages, and page {number + 1} more than two values: a map has "
                "one page, or on each page the black and white mask of one object"
            )
        yield mask


def number_pages(
    masks: list[Bool[np.ndarray, "h w"]], size: tuple[int, int], file: File
) -> Int[np.ndarray, "h w"]:
    """Number the objects of pages that hold one object each.

    Raises:
        DataError: The pages overlap like slices of a volume.
    """
    filled = [mask for mask in masks if mask.any()]
    numbers, overlap = merge_masks(enumerate(filled, start=1), size)
    if overlap > MAX_PAGE_OVERLAP:
        raise DataError(
            f"{file} has {len(masks)} pages that overlap, like slices of a volume or masks of "
            "several annotators: save one map per file"
        )
    return numbers


def merge_masks(
    masks: Iterable[tuple[int, Bool[np.ndarray, "h w"]]], size: tuple[int, int]
) -> tuple[Int[np.ndarray, "h w"], float]:
    """Merge masks into one map; where masks overlap, the smaller one is in front.

    Args:
        masks: Number and mask of each object.
        size: Height and width in pixels.

    Returns:
        The numbers, 0 outside all masks, and the share of mask pixels that lie in several masks.
    """
    numbers = np.zeros(size[0] * size[1], np.int32)
    areas = np.full(numbers.shape, np.iinfo(np.int32).max, np.int32)
    total = 0
    for number, mask in masks:
        inside = np.flatnonzero(mask)
        total += len(inside)
        inside = inside[areas[inside] > len(inside)]
        numbers[inside], areas[inside] = number, int(mask.sum())
    covered = int(np.count_nonzero(numbers))
    return numbers.reshape(size), (total - covered) / max(1, covered)
