"""Find the image of each LabelMe JSON file."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from unimask.datasets.image_files import image_size, is_file, normalise_path
from unimask.datasets.objects.labelme_records import LabelmeFile, embedded_image
from unimask.datasets.packed import File, PackedFile, file_path, read_file
from unimask.errors import DataError, ImageError
from unimask.processing.images import IMAGE_SUFFIXES, RGB


class EmbeddedImages:
    """Images embedded in JSON files as text, with the interface of a table column."""

    def __init__(self, files: Sequence[Path]) -> None:
        self.files = files

    def __getitem__(self, row: int, /) -> Mapping[str, Any]:
        return {"bytes": embedded_image(self.files[row]), "path": None}


def find_labelme_images(
    files: Sequence[Path], contents: Sequence[LabelmeFile], files_by_end: Mapping[str, Path]
) -> list[File]:
    """Return the image of each JSON file.

    It is the image that `imagePath` names, or the one beside the JSON file with the same stem. If
    both exist, the size stated in the JSON file decides; else, if several JSON files name the same
    image, each has the image of its own stem. If neither exists, it is an image anywhere in the
    dataset with the file name in `imagePath`, one in a folder called as the JSON file's before
    others, or the one embedded in `imageData`.

    Args:
        files: Paths of the JSON files.
        contents: Content of each JSON file.
        files_by_end: Files of the dataset by the ends of their paths.

    Raises:
        DataError: An image is missing or ambiguous, or has two JSON files.
    """
    path_images = [
        image_from_path(file, content) for file, content in zip(files, contents, strict=True)
    ]
    name_counts = Counter(path_images)
    embedded = EmbeddedImages(files)
    images: list[File] = []
    for row, (file, content) in enumerate(zip(files, contents, strict=True)):
        path_image, stem_image = path_images[row], image_from_stem(file)
        last = normalise_path(content.imagePath or "").rsplit("/", 1)[-1]
        if path_image is not None and stem_image is not None and path_image != stem_image:
            images.append(
                choose_image(
                    file, content, path_image, stem_image, is_shared=name_counts[path_image] > 1
                )
            )
        elif path_image is not None or stem_image is not None:
            images.append(path_image or stem_image or file)
        elif (end := f"{file.parent.name}/{last}") in files_by_end or (end := last) in files_by_end:
            images.append(files_by_end[end])
        elif content.imageData:
            virtual_path = file.parent / (last if last != "." else f"{file.stem}.png")
            images.append(PackedFile(embedded, row, virtual_path))
        else:
            raise DataError(
                f"{file} names the image {content.imagePath!r}, which does not exist: put it "
                "beside the file"
            )
    check_duplicates(files, images)
    return images


def image_from_path(file: Path, content: LabelmeFile) -> Path | None:
    """Return the image that `imagePath` names, or one of its file name beside the JSON file."""
    path_text = normalise_path(content.imagePath or "")
    for candidate in (file.parent / path_text, file.parent / path_text.rsplit("/", 1)[-1]):
        if path_text and is_file(candidate):
            return candidate
    return None


def image_from_stem(file: Path) -> Path | None:
    """Return the image beside a JSON file with the same stem; None if there is none."""
    candidates = (file.with_suffix(suffix) for suffix in sorted(IMAGE_SUFFIXES))
    return next((path for path in candidates if is_file(path)), None)


def choose_image(
    file: Path, content: LabelmeFile, path_image: Path, stem_image: Path, *, is_shared: bool
) -> Path:
    """Return which of two images belongs to a JSON file.

    Args:
        file: Path of the JSON file.
        content: Content of the JSON file.
        path_image: Image that its `imagePath` names.
        stem_image: Image with its stem.
        is_shared: Whether other JSON files name the same image.

    Raises:
        DataError: Neither the sizes nor the names decide.
    """
    if path_image.resolve() == stem_image.resolve():
        return path_image
    fits = [path for path in (path_image, stem_image) if has_size(path, content.size)]
    if len(fits) == 1:
        return fits[0]
    if is_shared:
        return stem_image
    raise DataError(
        f"{file} may be of {path_image.name}, which its imagePath names, or of {stem_image.name} "
        "beside it: correct imagePath, or move the other image away"
    )


def has_size(image: Path, size: tuple[int, int]) -> bool:
    """Return whether an image can be read and has this height and width."""
    try:
        return read_size(image) == size
    except (DataError, ImageError):
        return False


def check_duplicates(files: Sequence[Path], images: Sequence[File]) -> None:
    """Raise if an image has two JSON files: objects of one would be background of the other.

    Raises:
        DataError: An image has two JSON files.
    """
    first: dict[Path, Path] = {}
    for file, image in zip(files, images, strict=True):
        other = first.setdefault(file_path(image), file)
        if other is not file:
            raise DataError(
                f"{other} and {file.name} both label {file_path(image).name}: keep one of them, or "
                "join their shapes in one file"
            )


def read_size(image: File, channels: int = RGB) -> tuple[int, int]:
    """Return an image's height and width, from its header if possible.

    Raises:
        DataError, ImageError: The image cannot be read.
    """
    if isinstance(image, Path):
        return image_size(image, channels)
    height, width = read_file(image, channels).shape[:2]
    return height, width
