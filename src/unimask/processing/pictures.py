"""Reading pictures of any kind into uint8 RGB, or refusing them in one clear line."""

import io
import urllib.request
import warnings
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageOps, UnidentifiedImageError

from unimask.errors import ImageError

MAX_PIXELS = 200_000_000
"""Larger pictures are refused from their header alone, unless the caller allows more."""

SUFFIXES = frozenset([".bmp", ".gif", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp"])

Picture = UInt8[np.ndarray, "h w 3"]
Source = str | Path | Image.Image | np.ndarray
Window = tuple[float, float] | Literal["auto"] | None


class PictureWarning(UserWarning):
    """A picture was read, but something of it was changed or lost on the way."""


def read_picture(source: Source, *, window: Window = None, max_pixels: int = MAX_PIXELS) -> Picture:
    """Give a picture as uint8 RGB, upright.

    Grey becomes three equal channels, CMYK and palettes are converted, transparency is dropped.
    Deeper pixels (16-bit, 32-bit, floats) are mapped linearly to 0..255: from 0 to the largest
    value of their type, or between the two values of `window`.

    Args:
        source: A path, an http(s) address, a PIL picture, or an array (h, w), (h, w, 1) or
            (h, w, 3 or 4).
        window: Values that become black and white; "auto" takes the 0.1 and 99.9 percentiles.
        max_pixels: Height times width that is still accepted.

    Raises:
        ImageError: The picture is missing, corrupt, of an unknown kind, or too large.
    """
    if isinstance(source, np.ndarray):
        return from_array(source, window, max_pixels)
    if isinstance(source, Image.Image):
        return convert(source, "the given picture", window, max_pixels)
    text = str(source)
    if text.startswith(("http://", "https://")):
        return read_stream(download(text), text, window, max_pixels)
    path = Path(source)
    if not path.is_file():
        kind = "is a folder" if path.is_dir() else "does not exist"
        raise ImageError(f"{path} {kind}: give the path of a picture")
    if path.stat().st_size == 0:
        raise ImageError(f"{path} is empty (0 bytes): copy or download it again")
    try:
        with path.open("rb") as stream:
            return read_stream(stream, text, window, max_pixels)
    except OSError as error:
        raise ImageError(f"{path} cannot be read: {error.strerror or error}") from error


def download(address: str) -> io.BytesIO:
    """Fetch a picture from the web, at most 1 GB."""
    try:
        with urllib.request.urlopen(address, timeout=30) as answer:
            data = answer.read(2**30 + 1)
    except (OSError, ValueError) as error:
        raise ImageError(f"{address} cannot be fetched: {error}") from error
    if len(data) > 2**30:
        raise ImageError(f"{address} is larger than 1 GB: download it and give its path")
    return io.BytesIO(data)


def read_stream(stream: io.IOBase, name: str, window: Window, max_pixels: int) -> Picture:
    """Decode an open file."""
    with warnings.catch_warnings():
        # Our own limit speaks first; PIL's lower one would only repeat it.
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        try:
            with Image.open(stream) as picture:
                check_size(picture.height, picture.width, name, max_pixels)
                picture.load()
                return convert(picture, name, window, max_pixels)
        except ImageError:
            raise
        except Image.DecompressionBombError:
            raise ImageError(too_large(name, max_pixels)) from None
        except UnidentifiedImageError:
            raise ImageError(
                f"{name} is not a picture of a kind that can be read: save it as PNG, JPEG or TIFF"
            ) from None
        except Exception as error:  # decoders raise whatever their format suggests
            raise ImageError(
                f"{name} is damaged ({str(error).splitlines()[0] if str(error) else 'unreadable'})"
                ": copy or download it again"
            ) from error


def check_size(height: int, width: int, name: str, max_pixels: int) -> None:
    """Refuse pictures without pixels, and those with absurdly many."""
    if height < 1 or width < 1:
        raise ImageError(f"{name} has no pixels ({height} x {width})")
    if height * width > max_pixels:
        raise ImageError(f"{name} is {height} x {width}: " + too_large(name, max_pixels, bare=True))


def too_large(name: str, max_pixels: int, *, bare: bool = False) -> str:
    """Say what the limit is and how to lift it."""
    limit = f"more than {max_pixels:,} pixels; raise max_pixels (--max-pixels) if you trust it"
    return limit if bare else f"{name} has {limit}"


def convert(picture: Image.Image, name: str, window: Window, max_pixels: int) -> Picture:
    """Turn any PIL picture upright and into uint8 RGB."""
    check_size(picture.height, picture.width, name, max_pixels)
    picture = ImageOps.exif_transpose(picture)
    if picture.mode.startswith("I") or picture.mode == "F":
        return from_array(np.asarray(picture), window, max_pixels, name=name)
    if picture.mode in ("RGBA", "LA", "PA") or "transparency" in picture.info:
        picture = picture.convert("RGBA")  # its colours as stored: transparency is dropped
    pixels = np.array(picture.convert("RGB"))
    return pixels if window is None else stretch(pixels, window, name)


def from_array(
    array: np.ndarray, window: Window, max_pixels: int, *, name: str = "the given array"
) -> Picture:
    """Turn an array of any number type into uint8 RGB."""
    shape = array.shape
    if array.ndim == 2:
        array = array[..., None]
    if array.ndim != 3 or array.shape[2] not in (1, 3, 4):
        raise ImageError(f"{name} has shape {shape}: give (h, w), (h, w, 1) or (h, w, 3) in RGB")
    check_size(array.shape[0], array.shape[1], name, max_pixels)
    array = np.repeat(array, 3, axis=2) if array.shape[2] == 1 else array[..., :3]
    if array.dtype == np.bool_:
        array = array.astype(np.uint8) * 255
    if array.dtype == np.uint8 and window is None:
        return np.ascontiguousarray(array)
    return stretch(array, window, name)


def stretch(array: np.ndarray, window: Window, name: str) -> Picture:
    """Map values linearly to 0..255, and say what share of them fell outside the window."""
    low, high = limits(array, window, name)
    if high <= low:
        if window != "auto":
            raise ImageError(f"{name}: the window {low:g},{high:g} is empty; give LOW < HIGH")
        high = low + 1
    outside = np.count_nonzero((array < low) | (array > high)) / array.size
    if outside > 0 and window != "auto":
        warnings.warn(
            f"{name}: {outside:.1%} of the values lie outside {low:g},{high:g} and were clipped",
            PictureWarning,
            stacklevel=3,
        )
    scaled = (array.astype(np.float32) - low) * (255 / (high - low))
    return np.clip(np.rint(scaled), 0, 255).astype(np.uint8)


def limits(array: np.ndarray, window: Window, name: str) -> tuple[float, float]:
    """Choose the values that become black and white."""
    if window == "auto":
        low, high = np.percentile(array, (0.1, 99.9))
        return float(low), float(high)
    if window is not None:
        return window
    if array.dtype.kind == "f":
        if not np.isfinite(array).all():
            raise ImageError(f"{name} has values that are not finite: give a window or mend them")
        if array.size and array.min() >= 0 and array.max() <= 1:
            return 0.0, 1.0
        raise ImageError(f"{name} has floats outside 0..1: say what is black and white (--window)")
    if array.dtype.kind not in "iu":
        raise ImageError(f"{name} has values of type {array.dtype}: give numbers")
    largest = np.iinfo(array.dtype).max
    if array.dtype == np.int32 and array.size and array.max() <= 65535:
        largest = 65535  # PIL opens some 16-bit files as 32-bit integers
    return 0.0, float(largest)


def list_pictures(source: str | Path) -> list[Path]:
    """Give the pictures that a path, a folder or a glob pattern names, in order.

    Raises:
        ImageError: There are none.
    """
    path = Path(source)
    if path.is_dir():
        found = sorted(p for p in path.iterdir() if p.suffix.lower() in SUFFIXES)
        if not found:
            raise ImageError(f"{path} holds no pictures ({' '.join(sorted(SUFFIXES))})")
        return found
    if any(mark in str(source) for mark in "*?[") and not path.exists():
        anchor = Path(path.anchor) if path.is_absolute() else Path()
        pattern = str(path.relative_to(path.anchor)) if path.is_absolute() else str(path)
        found = sorted(p for p in anchor.glob(pattern) if p.is_file())
        if not found:
            raise ImageError(f"no file fits {source}: check the pattern")
        return found
    return [path]
