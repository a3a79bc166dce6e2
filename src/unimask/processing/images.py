"""Reading of images of any kind as uint8 arrays, with clear errors for unusable ones."""

import http.client
import io
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

from unimask.errors import ImageError, one_line
from unimask.formats.bounded_reader import BoundedReader
from unimask.processing.dicom_file import is_dicom
from unimask.processing.dicom_image import DicomFile
from unimask.processing.encoded_image import EncodedImage
from unimask.processing.image_listing import IMAGE_SUFFIXES, is_folder_or_pattern, list_images
from unimask.processing.image_plugins import (
    HEADER_BYTES,
    register_for_file,
    register_for_header,
)
from unimask.processing.intensities import (
    UINT8_WINDOW,
    ImageWarning,
    Window,
    apply_window,
    stretch,
    stretch_channels,
    warn_about_range,
)
from unimask.processing.multichannel import (
    RGB,
    SUPPORTED_LAYOUTS,
    check_channels,
    open_array,
    read_stack,
)
from unimask.processing.pil_arrays import rgb_pixels, upright_pixels
from unimask.processing.value_ranges import measure_extent

MAX_PIXELS = 200_000_000
"""Default limit of an image's pixels, checked in its header before decoding."""

MAX_DOWNLOAD = 2**30
"""Largest number of bytes downloaded from an address."""

VOLUME_ENDINGS = (".nii", ".nii.gz", ".hdr", ".nrrd", ".nhdr")
"""Endings of the names of volumes, which are no images."""

ImageArray = UInt8[np.ndarray, "h w c"]
Source = str | Path | Image.Image | np.ndarray | EncodedImage

_PIL_LIMIT = threading.Lock()


def read_image(
    source: Source | object,
    *,
    window: Window = None,
    max_pixels: int = MAX_PIXELS,
    channels: int = RGB,
) -> ImageArray:
    """Read an image as an upright uint8 array, in RGB unless other channels are requested.

    DICOM files (extra `medical`) are windowed by `window`, else by the first window of the file,
    else by the range of its bits; MONOCHROME1 is inverted afterwards.

    Grey images get three equal channels, CMYK and palette images are converted, and alpha is
    dropped without blending. Deeper pixels (16-bit, 32-bit, floats) are mapped linearly to 0..255:
    from 0 to the largest value of their type, or from the two values of `window`. Every loss of
    information is reported as a `ImageWarning`.

    If `channels` is not 3, an image must have exactly that many channels. They are not converted,
    alpha is one of them, and "auto" maps each of them separately.

    Args:
        source: A path (image file, or `.npy` with an array), an http(s) address, a PIL image, an
            `EncodedImage`, or an array (h, w), (h, w, 1) or (h, w, 3 or 4); (h, w, channels) if
            `channels` is not 3.
        window: Values mapped to 0 and 255; "auto" takes the 0.1 and 99.9 percentiles.
        max_pixels: Largest accepted product of height and width.
        channels: Number of channels; 3 for RGB.

    Raises:
        ImageError: The image is missing, corrupt, of an unknown format, too large, or has another
            number of channels.
    """
    options = ImageOptions(window, max_pixels, channels)
    if isinstance(source, np.ndarray):
        return from_array(source, "the given array", options)
    if isinstance(source, Image.Image):
        name = getattr(source, "filename", "") or "the given image"
        return convert(source, str(name), options)
    if isinstance(source, EncodedImage):
        return read_stream(io.BytesIO(source.fetch()), source.name, options)
    if not isinstance(source, str | Path):
        raise ImageError(f"a {type(source).__name__} is no image: pass a path, PIL or an array")
    if str(source).startswith(("http://", "https://")):
        return read_stream(download(str(source)), str(source), options)
    path = Path(source)
    try:
        if not path.exists():
            raise ImageError(f"{path} does not exist: check the path")
        if path.is_dir():
            raise ImageError(f"{path} is a folder: pass the path of an image")
        if path.is_file() and path.stat().st_size == 0:
            raise ImageError(f"{path} is empty (0 bytes): copy or download it again")
        if path.suffix.lower() == ".npy":
            return from_array(open_array(path), str(path), options)
        stream = BoundedReader(path)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ImageError(f"{path} cannot be opened ({reason}): check the path") from error
    with stream:
        return read_stream(stream, str(path), options)


class ImageOptions(NamedTuple):
    """Requested form of an image, as in `read_image`."""

    window: Window
    max_pixels: int
    channels: int


def download(address: str) -> io.BytesIO:
    """Download an image.

    Raises:
        ImageError: The download fails, or exceeds `MAX_DOWNLOAD`.
    """
    try:
        with urllib.request.urlopen(address, timeout=30) as response:
            data = response.read(MAX_DOWNLOAD + 1)
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise ImageError(f"{address} cannot be fetched ({error}): check the address") from error
    if len(data) > MAX_DOWNLOAD:
        raise ImageError(f"{address} has over {MAX_DOWNLOAD:,} bytes: save it, pass its path")
    return io.BytesIO(data)


def read_stream(
    stream: io.BytesIO | io.BufferedReader, name: str, options: ImageOptions
) -> ImageArray:
    """Decode an open file."""
    header = stream.read(HEADER_BYTES)
    stream.seek(0)
    if is_dicom(header, name):
        return from_dicom(DicomFile(stream, name), options)
    plugin = register_for_header(header, name)
    try:
        with pil_limit_disabled():
            image = Image.open(stream)
        pages = image.format in ("TIFF", "GIF") and getattr(image, "is_animated", False)
    except UnidentifiedImageError as error:
        if plugin is not None:
            raise decode_error(name, error) from error
        hint = "save it as PNG, JPEG or TIFF" if not is_tiff(stream) else SUPPORTED_LAYOUTS
        if name.lower().endswith(VOLUME_ENDINGS):
            hint = "volumes are for predict_volume (unimask volume)"
        raise ImageError(f"{name} is not an image of a known kind: {hint}") from None
    except Exception as error:  # decoders raise many kinds of errors
        raise decode_error(name, error) from error
    with image:
        if pages and options.channels == RGB:
            warn(f"{name} holds several pages: only the first is read")
        return convert(image, name, options)


def is_tiff(stream: io.BytesIO | io.BufferedReader) -> bool:
    """Return whether a file starts like a TIFF; Pillow does not support all channel layouts."""
    stream.seek(0)
    return stream.read(4) in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


@contextmanager
def pil_limit_disabled() -> Iterator[None]:
    """Disable PIL's limit while a header is read; `max_pixels` is checked afterwards."""
    with _PIL_LIMIT:
        limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            yield
        finally:
            Image.MAX_IMAGE_PIXELS = limit


def decode_error(name: str, error: Exception) -> ImageError:
    """Build the error for a file that cannot be decoded."""
    return ImageError(f"{name} is damaged ({one_line(error)}): copy or download it again")


def check_size(height: int, width: int, name: str, max_pixels: int) -> None:
    """Raise ImageError if an image has no pixels or more than `max_pixels`."""
    if height < 1 or width < 1:
        raise ImageError(f"{name} has no pixels ({height} x {width})")
    if height * width > max_pixels:
        raise ImageError(
            f"{name} has {height} x {width} pixels, more than {max_pixels:,}: "
            "raise max_pixels (--max-pixels) if you trust it"
        )


def convert(image: Image.Image, name: str, options: ImageOptions) -> ImageArray:
    """Convert any PIL image to an upright uint8 array."""
    check_size(image.height, image.width, name, options.max_pixels)
    deep = has_16_bit_colours(image)
    if deep and options.window is not None and not isinstance(options.window, str):
        warn(f"{name}: of its 16 bits a channel 8 are read; the window counts from 0 to 255")
    try:
        image.load()
    except MemoryError:
        raise
    except Exception as error:
        raise decode_error(name, error) from error
    if options.channels != RGB:
        return from_array(stored_channels(image, name, options.channels), name, options)
    if image.mode.startswith("I") or image.mode == "F":
        return from_array(upright_pixels(image, name), name, options)
    pixels = rgb_pixels(image, name)
    if options.window not in (None, UINT8_WINDOW):
        return stretch(pixels, options.window, name)
    if deep:
        warn_about_range([measure_extent(pixels)], UINT8_WINDOW, name)
    return pixels


def stored_channels(image: Image.Image, name: str, channels: int) -> Shaped[np.ndarray, "h w c"]:
    """Return all channels of an image, upright."""
    try:
        return read_stack(image, name, channels)
    except (ImageError, MemoryError):
        raise
    except Exception as error:  # later pages are decoded only here
        raise decode_error(name, error) from error


def has_16_bit_colours(image: Image.Image) -> bool:
    """Return whether an undecoded image has 16-bit colours, of which PIL reads 8 bits."""
    stored = " ".join(str(tile[3]) for tile in getattr(image, "tile", ()))
    return not image.mode.startswith("I") and ";16" in stored


def warn(message: str) -> None:
    """Warn that information was lost."""
    warnings.warn(message, ImageWarning, stacklevel=4)


def from_array(array: Shaped[np.ndarray, "..."], name: str, options: ImageOptions) -> ImageArray:
    """Convert an array of any numeric type to uint8."""
    shape = array.shape
    if array.ndim == 2:
        array = array[..., None]
    is_rgb = options.channels == RGB
    if array.ndim != 3 or (is_rgb and array.shape[2] not in (1, 3, 4)):
        shapes = (
            "(h, w), (h, w, 1) or (h, w, 3) in RGB" if is_rgb else f"(h, w, {options.channels})"
        )
        raise ImageError(f"{name} has shape {shape}: pass {shapes}")
    check_size(array.shape[0], array.shape[1], name, options.max_pixels)
    if not is_rgb:
        check_channels(array.shape[2], options.channels, name, "channels")
    array = array[..., :RGB] if is_rgb else array
    original = array
    if array.dtype == np.bool_:
        array = array.astype(np.uint8) * np.uint8(255)
    if array.dtype != np.uint8 or options.window not in (None, UINT8_WINDOW):
        scale = stretch if is_rgb else stretch_channels
        array = scale(array, options.window, name)
    if is_rgb and array.shape[2] == 1:
        return np.repeat(array, RGB, axis=2)
    return np.array(array, order="C") if array is original else array


def from_dicom(file: DicomFile, options: ImageOptions) -> ImageArray:
    """Convert the first frame of a DICOM file; a window clips on purpose, without a warning."""
    check_size(*file.size, file.name, options.max_pixels)
    image = file.decode()
    if image.num_frames > 1:
        frames = f"{file.name} holds {image.num_frames} frames"
        warn(f"{frames}: only the first is read, see predict_volume")
    window = image.window if options.window is None else options.window
    if window is None or isinstance(window, str) or image.values.shape[2] > 1:
        rest = options._replace(window=image.bit_range if window is None else window)
        pixels = from_array(image.values, file.name, rest)
    else:
        grey = apply_window(image.values, window, file.name)
        pixels = from_array(grey, file.name, options._replace(window=None))
    return 255 - pixels if image.is_inverted else pixels


def count_pixels(source: Source) -> int:
    """Count the pixels of an image by its header; 0 if that does not state them."""
    if isinstance(source, np.ndarray):
        return int(np.prod(source.shape[:2]))
    try:
        if isinstance(source, Image.Image):
            return source.width * source.height
        if isinstance(source, EncodedImage):
            return 0
        path = Path(source)
        if not path.is_file():
            return 0
        if path.suffix.lower() == ".npy":
            return int(np.prod(open_array(path).shape[:2]))
        register_for_file(path)
        with pil_limit_disabled():
            image = Image.open(path)
        with image:
            return image.width * image.height
    except Exception:  # many types of exceptions; `read_image` raises one with a clear message
        return 0


__all__ = [
    "IMAGE_SUFFIXES",
    "MAX_PIXELS",
    "EncodedImage",
    "ImageArray",
    "ImageWarning",
    "Source",
    "Window",
    "count_pixels",
    "is_folder_or_pattern",
    "list_images",
    "read_image",
]
