"""Reading one label map: numbers, or colours packed into numbers."""

import numpy as np
from jaxtyping import Int, Integer, Shaped, UInt8
from PIL import Image, UnidentifiedImageError

from unimask.datasets.orientation import check_orientation, explain_mismatch
from unimask.datasets.packed import File, open_file, path_of
from unimask.errors import DataError
from unimask.processing.orientation import upright
from unimask.processing.stacks import read_array

LOSSY = frozenset({".jpg", ".jpeg", ".jfif", ".webp"})
"""Files that may blur labels into one another."""

Codes = Integer[np.ndarray, "h w"]
Stored = tuple[Shaped[np.ndarray, "h w ..."], UInt8[np.ndarray, "k 3"] | None]


def read_numbers(file: File) -> Codes:
    """Read a map whose values are numbers: one channel, a palette's indices, or equal channels.

    Raises:
        DataError: It cannot be read, has colours, or has negative or fractional values.
    """
    pixels, _ = stored(file)
    if pixels.ndim == 3:
        if not is_grey(pixels):
            raise DataError(
                f"{file} is a colour picture; a mask of numbers has one channel: export it so, or "
                "give format='semantic maps' if its colours are classes"
            )
        pixels = pixels[..., 0]
    if pixels.dtype.kind == "f" or (pixels.dtype.kind == "i" and pixels.size and pixels.min() < 0):
        raise DataError(f"{file} has negative or fractional values: number from 0")
    return pixels


def read_colours(file: File) -> Codes:
    """Read a map whose colours are classes, as red * 65536 + green * 256 + blue.

    Raises:
        DataError: It cannot be read, or is deeper than 8 bits a channel.
    """
    pixels, palette = stored(file)
    if palette is not None:
        return packed(palette)[pixels]
    if pixels.dtype != np.uint8:
        raise DataError(f"{file} has {pixels.dtype} values where 8-bit colours are: export it so")
    if pixels.ndim == 2:
        return pixels.astype(np.int32) * 0x010101
    return packed(pixels)


def read_channels(file: File) -> UInt8[np.ndarray, "h w 3"]:
    """Read a map whose channels are numbers of their own.

    Raises:
        DataError: It cannot be read, or has not three channels of 8 bits.
    """
    pixels, _ = stored(file)
    if pixels.ndim != 3 or pixels.dtype != np.uint8:
        raise DataError(f"{file} should have three channels of 8 bits: download it again")
    return pixels


def stored(file: File) -> Stored:
    """Give a file's pixels as they are stored, and the colours of its palette if it has one.

    Raises:
        DataError: It cannot be read, or is no map.
    """
    if file.suffix.lower() == ".npy":
        array = np.asarray(read_array(path_of(file)))
        if array.ndim != 2:
            raise DataError(f"{file} has shape {array.shape}: a label map is (h, w)")
        return array, None
    try:
        with open_file(file) as stream, Image.open(stream) as picture:
            picture.load()
            turned = upright(picture, str(file))
            mode = turned.mode
            palette = np.array(turned.getpalette("RGB") or (), np.uint8).reshape(-1, 3)
            pixels = np.asarray(turned, np.uint8 if mode == "1" else None)
    except UnidentifiedImageError:
        raise DataError(
            f"{file} cannot be read as a mask: it is no picture of a known kind"
        ) from None
    except (OSError, SyntaxError, ValueError) as error:
        raise DataError(f"{file} cannot be read as a mask ({error}): export it again") from error
    except Image.DecompressionBombError:
        raise DataError(f"{file} is absurdly large for a mask: check the file") from None
    if mode == "P":
        return pixels, np.pad(palette, ((0, 256 - len(palette)), (0, 0)))
    if mode == "LA":
        return pixels[..., 0], None
    if mode not in ("1", "L", "RGB", "RGBA") and not mode.startswith("I"):
        raise DataError(f"{file} is a {mode} picture: a label map has one channel, or RGB colours")
    return pixels[..., :3] if pixels.ndim == 3 else pixels, None


def is_grey(pixels: Shaped[np.ndarray, "h w 3"]) -> bool:
    """Say whether the channels are equal everywhere."""
    return bool((pixels[..., 0] == pixels[..., 1]).all() & (pixels[..., 0] == pixels[..., 2]).all())


def packed(colours: UInt8[np.ndarray, "*any 3"]) -> Int[np.ndarray, "*any"]:
    """Give each colour as one number."""
    wide = colours.astype(np.int32)
    return wide[..., 0] << 16 | wide[..., 1] << 8 | wide[..., 2]


def hex_of(code: int) -> str:
    """Write a packed colour as #rrggbb."""
    return f"#{code:06x}"


def check_size(codes: Codes, file: File, size: tuple[int, int], picture: File) -> None:
    """Refuse a map of another size than its image, or for which EXIF leaves two meanings.

    Raises:
        DataError: It is, and why.
    """
    if codes.shape == size:
        return check_orientation(picture, size, file)
    turned = explain_mismatch(picture, size, codes.shape)
    raise DataError(
        f"{file} is {codes.shape[0]} x {codes.shape[1]}, but its image {path_of(picture).name} is "
        f"{size[0]} x {size[1]}{turned or ': export the mask again at the size of the image'}"
    )
