"""Reading pictures of any kind into uint8, as RGB where that is meant, or refusing them clearly."""

import glob
import http.client
import io
import os
import threading
import urllib.request
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Shaped, UInt8
from PIL import Image, UnidentifiedImageError

from unimask.errors import ImageError
from unimask.formats.output_folder import RECORD
from unimask.processing.decoded import rgb_pixels, upright_pixels
from unimask.processing.intensities import (
    EIGHT_BITS,
    PictureWarning,
    Window,
    stretch,
    stretch_channels,
    warn_of_range,
)
from unimask.processing.stacks import (
    MEND,
    RGB,
    check_channels,
    read_array,
    stack_of,
)
from unimask.processing.value_ranges import measure

MAX_PIXELS = 200_000_000
"""Larger pictures are refused from their header alone, unless the caller allows more."""

MAX_DOWNLOAD = 2**30
"""Bytes that are fetched from an address at most."""

KINDS = "avif bmp gif jfif jp2 jpeg jpg npy pgm png ppm tif tiff webp"
SUFFIXES = frozenset(f".{kind}" for kind in KINDS.split())

Picture = UInt8[np.ndarray, "h w c"]
Source = str | Path | Image.Image | np.ndarray

_PIL_LIMIT = threading.Lock()


def read_picture(
    source: Source | object,
    *,
    window: Window = None,
    max_pixels: int = MAX_PIXELS,
    channels: int = RGB,
) -> Picture:
    """Give a picture as uint8, upright; as RGB unless other channels are asked for.

    Grey becomes three equal channels, CMYK and palettes are converted; alpha is dropped, and the
    colours under it stay as they are stored. Deeper pixels (16-bit, 32-bit, floats) are mapped
    linearly to 0..255: from 0 to the largest value of their type, or between the two values of
    `window`. Whatever is lost on the way is told by a `PictureWarning`.

    With another number of channels than 3, a picture must have just as many, and they are what
    they are: nothing is converted, alpha is a channel, and "auto" looks at each of them alone.

    Args:
        source: A path (pictures, or `.npy` with an array), an http(s) address, a PIL picture, or an
            array (h, w), (h, w, 1) or (h, w, 3 or 4); (h, w, channels) where they are not 3.
        window: Values that become black and white; "auto" takes the 0.1 and 99.9 percentiles.
        max_pixels: Height times width that is still accepted.
        channels: 3 for RGB.

    Raises:
        ImageError: The picture is missing, corrupt, of an unknown kind, too large, or has other
            channels.
    """
    wanted = Wanted(window, max_pixels, channels)
    if isinstance(source, np.ndarray):
        return from_array(source, "the given array", wanted)
    if isinstance(source, Image.Image):
        name = getattr(source, "filename", "") or "the given picture"
        return convert(source, str(name), wanted)
    if not isinstance(source, str | Path):
        raise ImageError(f"a {type(source).__name__} is no picture: give a path, PIL or an array")
    if str(source).startswith(("http://", "https://")):
        return read_stream(download(str(source)), str(source), wanted)
    path = Path(source)
    try:
        if not path.exists():
            raise ImageError(f"{path} does not exist: check the path")
        if path.is_dir():
            raise ImageError(f"{path} is a folder: give the path of a picture")
        if path.is_file() and path.stat().st_size == 0:
            raise ImageError(f"{path} is empty (0 bytes): copy or download it again")
        if path.suffix.lower() == ".npy":
            return from_array(read_array(path), str(path), wanted)
        stream = path.open("rb")
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ImageError(f"{path} cannot be opened ({reason}): check the path") from error
    with stream:
        return read_stream(stream, str(path), wanted)


class Wanted(NamedTuple):
    """What a picture should become; as in `read_picture`."""

    window: Window
    max_pixels: int
    channels: int


def download(address: str) -> io.BytesIO:
    """Fetch a picture from the web.

    Raises:
        ImageError: It cannot be fetched, or is absurdly large.
    """
    try:
        with urllib.request.urlopen(address, timeout=30) as answer:
            data = answer.read(MAX_DOWNLOAD + 1)
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise ImageError(f"{address} cannot be fetched ({error}): check the address") from error
    if len(data) > MAX_DOWNLOAD:
        raise ImageError(f"{address} has over {MAX_DOWNLOAD:,} bytes: save it, give its path")
    return io.BytesIO(data)


def read_stream(stream: io.BytesIO | io.BufferedReader, name: str, wanted: Wanted) -> Picture:
    """Decode an open file."""
    try:
        with no_limit_of_pil():
            picture = Image.open(stream)
        pages = picture.format in ("TIFF", "GIF") and getattr(picture, "is_animated", False)
    except UnidentifiedImageError:
        kinds = "save it as PNG, JPEG or TIFF" if not is_tiff(stream) else MEND
        raise ImageError(f"{name} is not a picture of a known kind: {kinds}") from None
    except Exception as error:  # decoders raise whatever their format suggests
        raise damaged(name, error) from error
    with picture:
        if pages and wanted.channels == RGB:
            tell(f"{name} holds several pages: only the first is read")
        return convert(picture, name, wanted)


def is_tiff(stream: io.BytesIO | io.BufferedReader) -> bool:
    """Say whether a file begins as TIFF does: with channels that pillow does not know, perhaps."""
    stream.seek(0)
    return stream.read(4) in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


@contextmanager
def no_limit_of_pil() -> Iterator[None]:
    """Let PIL read headers of any size: our own limit, which the caller can set, speaks next."""
    with _PIL_LIMIT:
        limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            yield
        finally:
            Image.MAX_IMAGE_PIXELS = limit


def damaged(name: str, error: Exception) -> ImageError:
    """Say that a file cannot be decoded, in one line."""
    reason = str(error).strip().split("\n")[0] or type(error).__name__
    return ImageError(f"{name} is damaged ({reason}): copy or download it again")


def check_size(height: int, width: int, name: str, max_pixels: int) -> None:
    """Refuse pictures without pixels, and those with absurdly many."""
    if height < 1 or width < 1:
        raise ImageError(f"{name} has no pixels ({height} x {width})")
    if height * width > max_pixels:
        raise ImageError(
            f"{name} has {height} x {width} pixels, more than {max_pixels:,}: "
            "raise max_pixels (--max-pixels) if you trust it"
        )


def convert(picture: Image.Image, name: str, wanted: Wanted) -> Picture:
    """Turn any PIL picture upright and into uint8."""
    check_size(picture.height, picture.width, name, wanted.max_pixels)
    deep = has_deep_colours(picture)
    if deep and wanted.window not in (None, "auto"):
        tell(f"{name}: of its 16 bits a channel 8 are read; the window counts from 0 to 255")
    try:
        picture.load()
    except MemoryError:
        raise
    except Exception as error:
        raise damaged(name, error) from error
    if wanted.channels != RGB:
        return from_array(stored_channels(picture, name, wanted.channels), name, wanted)
    if picture.mode.startswith("I") or picture.mode == "F":
        return from_array(upright_pixels(picture, name), name, wanted)
    pixels = rgb_pixels(picture, name)
    if wanted.window not in (None, EIGHT_BITS):
        return stretch(pixels, wanted.window, name)
    if deep:
        warn_of_range([measure(pixels)], EIGHT_BITS, name)
    return pixels


def stored_channels(picture: Image.Image, name: str, channels: int) -> Shaped[np.ndarray, "h w c"]:
    """Give all channels of a picture, upright."""
    try:
        return stack_of(picture, name, channels)
    except (ImageError, MemoryError):
        raise
    except Exception as error:  # later pages are decoded only now
        raise damaged(name, error) from error


def has_deep_colours(picture: Image.Image) -> bool:
    """Return whether an undecoded image has colours of 16 bits, of which PIL reads 8."""
    stored = " ".join(str(tile[3]) for tile in getattr(picture, "tile", ()))
    return not picture.mode.startswith("I") and ";16" in stored


def tell(message: str) -> None:
    """Warn that something was lost."""
    warnings.warn(message, PictureWarning, stacklevel=4)


def from_array(array: Shaped[np.ndarray, "..."], name: str, wanted: Wanted) -> Picture:
    """Turn an array of any number type into uint8."""
    shape = array.shape
    if array.ndim == 2:
        array = array[..., None]
    usual = wanted.channels == RGB
    if array.ndim != 3 or (usual and array.shape[2] not in (1, 3, 4)):
        told = "(h, w), (h, w, 1) or (h, w, 3) in RGB" if usual else f"(h, w, {wanted.channels})"
        raise ImageError(f"{name} has shape {shape}: give {told}")
    check_size(array.shape[0], array.shape[1], name, wanted.max_pixels)
    if not usual:
        check_channels(array.shape[2], wanted.channels, name, "channels")
    array = array[..., :RGB] if usual else array
    given = array
    if array.dtype == np.bool_:
        array = array.astype(np.uint8) * np.uint8(255)
    if array.dtype != np.uint8 or wanted.window not in (None, EIGHT_BITS):
        scale = stretch if usual else stretch_channels
        array = scale(array, wanted.window, name)
    if usual and array.shape[2] == 1:
        return np.repeat(array, RGB, axis=2)
    return np.array(array, order="C") if array is given else array


def names_many(source: str | Path) -> bool:
    """Say whether a path is a folder or a glob pattern."""
    if str(source).startswith(("http://", "https://")):
        return False
    path = Path(source)
    return path.is_dir() or (any(mark in str(source) for mark in "*?[") and not path.exists())


def list_pictures(source: str | Path, *, recursive: bool = True) -> list[Path]:
    """List the images that a path, a folder or a glob pattern names, in order.

    Hidden files and folders are left out, and so are subfolders that unimask wrote results into.
    A pattern whose last part has no suffix ("scans/*") gives files
    with the suffix of a picture only.

    Args:
        source: A path, a folder or a pattern.
        recursive: Whether the subfolders of a folder are searched as well.

    Raises:
        ImageError: There are none.
    """
    path, known = Path(source), " ".join(sorted(SUFFIXES))
    if path.is_dir():
        folders = [path, *(subfolders(path) if recursive else ())]
        try:
            found = [e for folder in folders for e in folder.iterdir() if is_picture(e, SUFFIXES)]
        except OSError as error:
            raise ImageError(f"{path} cannot be listed ({error}): check its permissions") from error
        if not found:
            raise ImageError(f"{path} holds no pictures ({known}): give another folder")
        return sorted(found)
    if glob.has_magic(str(source)) and not path.exists():
        suffixes: frozenset[str] | None = None if path.suffix else SUFFIXES
        entries = map(Path, glob.iglob(str(source), recursive=True))
        found = [entry for entry in entries if is_picture(entry, suffixes)]
        if not found:
            raise ImageError(f"no picture fits {source}: check the pattern")
        return sorted(found)
    return [path]


def subfolders(folder: Path) -> Iterator[Path]:
    """Yield the visible folders below a folder, but for those that hold results of ours."""
    seen = {os.path.realpath(folder)}
    for place, inner, _ in os.walk(folder, followlinks=True):
        chosen = []
        for name in sorted(inner):
            path = Path(place, name)
            real = os.path.realpath(path)
            if not name.startswith(".") and real not in seen and not (path / RECORD).exists():
                seen.add(real)  # a link may lead back to a folder above
                chosen.append(name)
                yield path
        inner[:] = chosen


def is_picture(path: Path, suffixes: frozenset[str] | None) -> bool:
    """Tell whether a path is a visible file with one of the suffixes, or any if None."""
    fits = suffixes is None or path.suffix.lower() in suffixes
    return fits and not path.name.startswith(".") and path.is_file()


__all__ = [
    "MAX_PIXELS",
    "SUFFIXES",
    "Picture",
    "PictureWarning",
    "Source",
    "Window",
    "list_pictures",
    "names_many",
    "read_picture",
]
