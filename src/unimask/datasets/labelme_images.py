"""Which image each LabelMe JSON is of."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from unimask.datasets.labelme_records import LabelmeFile, embedded_image
from unimask.datasets.packed import File, PackedFile, path_of, read_file
from unimask.datasets.picture_files import is_file, picture_size, plain_name
from unimask.errors import DataError, ImageError
from unimask.processing.pictures import RGB, SUFFIXES


class EmbeddedImages:
    """The images that JSON files hold as text, as a column of files."""

    def __init__(self, files: Sequence[Path]) -> None:
        self.files = files

    def __getitem__(self, row: int, /) -> Mapping[str, Any]:
        return {"bytes": embedded_image(self.files[row]), "path": None}


def find_images(
    files: Sequence[Path], contents: Sequence[LabelmeFile], known: Mapping[str, Path]
) -> list[File]:
    """Return the image of each JSON.

    It is the image that `imagePath` names, or the one of the JSON's own name beside it. Where both
    are there, the size that the JSON tells decides; else, where several JSONs name the same image,
    it is the one of their own names. Where there is neither, it is an image of the name that
    `imagePath` ends in anywhere in the dataset, or the one in `imageData`.

    Args:
        files: The JSONs.
        contents: What they hold.
        known: Files of the dataset by name.

    Raises:
        DataError: An image is missing, or may be either of two, or has two JSONs.
    """
    named = [named_image(file, content) for file, content in zip(files, contents, strict=True)]
    claims = Counter(named)
    embedded = EmbeddedImages(files)
    images: list[File] = []
    for row, (file, content) in enumerate(zip(files, contents, strict=True)):
        found, own = named[row], image_beside(file)
        last = plain_name(content.imagePath or "").rsplit("/", 1)[-1]
        if found is not None and own is not None and found != own:
            images.append(chosen(file, content, found, own, shared=claims[found] > 1))
        elif found is not None or own is not None:
            images.append(found or own or file)
        elif last in known:
            images.append(known[last])
        elif content.imageData:
            called = file.parent / (last if last != "." else f"{file.stem}.png")
            images.append(PackedFile(embedded, row, called))
        else:
            raise DataError(
                f"{file} names the image {content.imagePath!r}, which is not there: put it beside "
                "the file"
            )
    check_distinct(files, images)
    return images


def named_image(file: Path, content: LabelmeFile) -> Path | None:
    """Return the image that `imagePath` names, or of its last part beside the JSON."""
    plain = plain_name(content.imagePath or "")
    for candidate in (file.parent / plain, file.parent / plain.rsplit("/", 1)[-1]):
        if plain and is_file(candidate):
            return candidate
    return None


def image_beside(file: Path) -> Path | None:
    """Return the image that has the JSON's name."""
    beside = (file.with_suffix(suffix) for suffix in sorted(SUFFIXES))
    return next((path for path in beside if is_file(path)), None)


def chosen(file: Path, content: LabelmeFile, named: Path, own: Path, *, shared: bool) -> Path:
    """Return which of two images a JSON is of.

    Args:
        file: The JSON.
        content: What it holds.
        named: The image that its `imagePath` names.
        own: The image that has its name.
        shared: Other JSONs name the same image.

    Raises:
        DataError: Nothing tells.
    """
    if named.resolve() == own.resolve():
        return named
    fits = [path for path in (named, own) if has_size(path, content.size)]
    if len(fits) == 1:
        return fits[0]
    if shared:
        return own
    raise DataError(
        f"{file} may be of {named.name}, which its imagePath names, or of {own.name} beside it: "
        "correct imagePath, or move the other image away"
    )


def has_size(image: Path, size: tuple[int, int]) -> bool:
    """Return whether an image can be read and has a height and width."""
    try:
        return size_of(image) == size
    except (DataError, ImageError):
        return False


def check_distinct(files: Sequence[Path], images: Sequence[File]) -> None:
    """Refuse two JSONs of one image: objects of the one would be background of the other.

    Raises:
        DataError: There are two.
    """
    first: dict[Path, Path] = {}
    for file, image in zip(files, images, strict=True):
        other = first.setdefault(path_of(image), file)
        if other is not file:
            raise DataError(
                f"{other} and {file.name} both label {path_of(image).name}: keep one of them, or "
                "join their shapes in one file"
            )


def size_of(image: File, channels: int = RGB) -> tuple[int, int]:
    """Return height and width of an image, by its header where that tells.

    Raises:
        DataError, ImageError: It cannot be read.
    """
    if isinstance(image, Path):
        return picture_size(image, channels)
    height, width = read_file(image, channels).shape[:2]
    return height, width
