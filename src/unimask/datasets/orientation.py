"""Check that labels and images with an EXIF orientation refer to the same pixels.

Images are turned upright when they are read, and so are masks with an orientation of their own.
Labels that differ in size from the upright image are refused. If turning preserves the size, only
the mask's own orientation shows for which pixels it was made.
"""

from unimask.datasets.packed import File, file_path, open_file
from unimask.errors import DataError
from unimask.processing.orientation import TRANSPOSED_ORIENTATIONS, read_orientation

Size = tuple[int, int]
"""Height and width in pixels."""


def file_orientation(file: File) -> int | None:
    """Read the EXIF orientation of an image file; return None if it has none."""
    try:
        with open_file(file) as stream:
            return read_orientation(stream)
    except (DataError, OSError):
        return None


def explain_mismatch(image: File, image_size: Size, labels_size: Size) -> str:
    """Explain how EXIF causes labels to differ in size from their image; "" if it does not.

    Args:
        image: File of the image.
        image_size: Height and width of the upright image.
        labels_size: Height and width for which the labels were made.
    """
    orientation = file_orientation(image)
    if orientation not in TRANSPOSED_ORIENTATIONS or labels_size != image_size[::-1]:
        return ""
    return (
        f" (the image is turned upright by its EXIF orientation {orientation}, and the labels fit "
        "it as it is stored: turn them upright too, or take the tag out of the image, for example "
        "by exiftool -Orientation=)"
    )


def check_orientation(image: File, size: Size, mask: File) -> None:
    """Raise if a mask fits its image both as stored and as turned by EXIF.

    Args:
        image: File of the image.
        size: Height and width of the upright image and of the mask.
        mask: File of the mask; if it has an EXIF orientation, the mask is turned as well.

    Raises:
        DataError: Nothing shows for which of the two the mask was made.
    """
    orientation = file_orientation(image)
    if orientation in (None, 1) or file_orientation(mask) is not None:
        return
    if orientation in TRANSPOSED_ORIENTATIONS and size[0] != size[1]:
        return  # a mask of the stored pixels would have another size
    raise DataError(
        f"{file_path(image)} is turned upright by its EXIF orientation {orientation}, and its mask "
        f"{mask} has the same size either way: if the mask fits the image as viewers show it, save "
        "the image upright without the tag (mogrify -auto-orient), else take the tag out of the "
        "image (exiftool -Orientation=)"
    )
