"""Opening of uploaded images: known formats only, and their size is checked before decoding."""

import io

from PIL import Image, UnidentifiedImageError

from unimask.errors import ImageError
from unimask.processing.image_plugins import HEADER_BYTES, register_for_header
from unimask.processing.images import decode_error
from unimask.serving.failures import RequestError

FORMATS = {
    "PNG": "image/png",
    "JPEG": "image/jpeg",
    "MPO": "image/jpeg",
    "WEBP": "image/webp",
    "AVIF": "image/avif",
    "HEIF": "image/heic",
    "TIFF": "image/tiff",
    "BMP": "image/bmp",
    "GIF": "image/gif",
    "JPEG2000": "image/jp2",
    "PPM": "image/x-portable-anymap",
}
"""Formats by Pillow's names, with their media types.

Pillow knows more, some of which start programs (EPS), or decode as soon as they are opened.
"""

MAX_JPEG_SCANS = 200
"""Largest number of scans of a JPEG; each of them is decoded over the whole image."""

UPLOAD = "the uploaded image"
"""Name of the image in messages."""


def media_types() -> list[str]:
    """Return the media types of the formats that this installation of Pillow reads."""
    Image.init()
    return list(dict.fromkeys(kind for name, kind in FORMATS.items() if name in Image.OPEN))


def open_upload(data: bytes, max_pixels: int) -> Image.Image:
    """Open an image without decoding it.

    Args:
        data: The encoded image.
        max_pixels: Largest accepted product of height and width.

    Raises:
        RequestError: It is empty, no image of a known format, damaged, or too large.
    """
    if not data:
        raise RequestError(422, "the body is empty: send an image")
    try:
        register_for_header(data[:HEADER_BYTES], UPLOAD)
        Image.init()
        known = [name for name in FORMATS if name in Image.OPEN]
        image = Image.open(io.BytesIO(data), formats=known)
    except UnidentifiedImageError:
        raise RequestError(
            422, f"{UPLOAD} is not an image of a known kind: send PNG, JPEG, WebP or TIFF"
        ) from None
    except Image.DecompressionBombError:
        raise too_many_pixels(f"{UPLOAD} has", max_pixels) from None
    except ImageError as error:
        raise RequestError(422, str(error)) from None
    except MemoryError:
        raise
    except Exception as error:  # decoders raise many kinds of errors
        raise RequestError(422, str(decode_error(UPLOAD, error))) from None
    image.filename = UPLOAD  # for messages of later errors
    if image.width * image.height > max_pixels:
        size = f"{UPLOAD} has {image.height} x {image.width} pixels,"
        raise too_many_pixels(size, max_pixels)
    if image.format in ("JPEG", "MPO") and data.count(b"\xff\xda") > MAX_JPEG_SCANS:
        raise RequestError(422, f"{UPLOAD} has more than {MAX_JPEG_SCANS} scans: save it again")
    return image


def too_many_pixels(start: str, max_pixels: int) -> RequestError:
    """Build the error for an image with more pixels than the server accepts."""
    return RequestError(413, f"{start} more than {max_pixels:,} pixels: send a smaller image")
