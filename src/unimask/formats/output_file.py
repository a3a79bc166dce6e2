"""Single files of results: replaced only if they are recognisably ours, or on request."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from unimask.errors import OutputError, SettingsError
from unimask.formats.atomic import atomic_path, check_writable
from unimask.version import __version__

if TYPE_CHECKING:
    from PIL import Image

GENERATOR = f"unimask {__version__}"
"""What JSON reports, HTML pages and images of ours name as their maker."""

META = '<meta name="generator" content="unimask '
FIRST_KEY = '{\n  "generator": "unimask '
SOFTWARE = 0x0131
"""EXIF's tag for the program that wrote an image."""

BEGINNING = 1024
"""Bytes of a file that are looked at."""


def check_output_files(*paths: str | Path | None, overwrite: bool = False) -> None:
    """Test before the work that its files can be written.

    Args:
        paths: Files to write; None for those that nobody asked for.
        overwrite: Whether any file there may be replaced.

    Raises:
        OutputError: A folder cannot be written, or a file is there that unimask did not write.
        SettingsError: Two files have the same path.
    """
    files = [Path(path) for path in paths if path is not None]
    for file in files:
        check_writable(file.parent)
        check_replaceable(file, overwrite=overwrite)
    if len({file.resolve() for file in files}) < len(files):
        raise SettingsError(f"{files[0]} is asked for twice: give each output a file of its own")


def check_replaceable(path: Path, *, overwrite: bool = False) -> None:
    """Refuse to replace a file that unimask did not write.

    Raises:
        OutputError: It would.
    """
    if path.is_dir():
        raise OutputError(f"{path} is a folder: give the path of a file")
    if overwrite or not (path.exists() or path.is_symlink()) or is_ours(path):
        return
    raise OutputError(
        f"{path} was not written by unimask and is not replaced: give another file, or --overwrite"
    )


def is_ours(path: Path) -> bool:
    """Return True for a report, a page or an image that unimask wrote; links are not followed."""
    if path.is_symlink() or not path.is_file():
        return False
    try:
        with path.open("rb") as stream:
            beginning = stream.read(BEGINNING)
    except OSError:
        return False
    if beginning.startswith(FIRST_KEY.encode()) or META.encode() in beginning:
        return True
    from PIL import Image  # not before it is needed: each start of the command line waits for it

    try:
        with Image.open(path) as image:
            return str(image.getexif().get(SOFTWARE, "")).startswith("unimask ")
    except Exception:  # no image, or one whose decoder raises whatever its format suggests
        return False


def write_report(path: str | Path, report: Mapping[str, object], *, overwrite: bool) -> None:
    """Write a report as JSON that names its maker.

    Raises:
        OutputError: It would replace a file that unimask did not write, or cannot be written.
    """
    content = json.dumps({"generator": GENERATOR, **report}, indent=2)
    write_text(Path(path), content + "\n", overwrite=overwrite)


def write_text(path: Path, content: str, *, overwrite: bool) -> None:
    """Write a text file, whole or not at all.

    Raises:
        OutputError: It would replace a file that unimask did not write, or cannot be written.
    """
    check_replaceable(path, overwrite=overwrite)
    with atomic_path(path) as temporary:
        temporary.write_text(content, encoding="utf-8")


def check_image_suffix(path: Path) -> None:
    """Refuse names of images whose format nobody knows.

    Raises:
        SettingsError: It is one.
    """
    from PIL import Image

    if path.suffix.lower() not in Image.registered_extensions():
        raise SettingsError(f"{path} names no known image format: let it end in .png or .jpg")


def write_image(path: Path, image: "Image.Image", *, overwrite: bool) -> None:
    """Write an image that names its maker, in the format of its suffix.

    Raises:
        OutputError: It would replace a file that unimask did not write, or cannot be written.
    """
    from PIL import Image

    check_replaceable(path, overwrite=overwrite)
    exif = Image.Exif()
    exif[SOFTWARE] = GENERATOR
    with atomic_path(path) as temporary:
        image.save(temporary, exif=exif)
