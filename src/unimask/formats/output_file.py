"""Single output files, which replace only files that unimask wrote, unless requested."""

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
"""Name of the generator in JSON reports, HTML pages and images."""

GENERATOR_TAG = '<meta name="generator" content="unimask '
GENERATOR_KEY = '{\n  "generator": "unimask '
ONNX_PRODUCER = b"\x12\x07unimask"
"""Producer of ONNX files, as encoded in their first bytes: field 2, 7 bytes long."""

OPENVINO_NAME = b'<net name="unimask '
"""Name of the graph in OpenVINO files."""

EXIF_SOFTWARE = 0x0131
"""EXIF tag of the software that wrote an image."""

INSPECTED_BYTES = 1024
"""Number of bytes of a file that are inspected."""


def check_output_files(*paths: str | Path | None, overwrite: bool = False) -> None:
    """Test in advance that output files can be written.

    Args:
        paths: Files to write; None for outputs that were not requested.
        overwrite: Whether any existing file may be replaced.

    Raises:
        OutputError: A folder is not writable, or a file exists that unimask did not write.
        SettingsError: Two files have the same path.
    """
    files = [Path(path) for path in paths if path is not None]
    for file in files:
        check_writable(file.parent)
        check_replaceable(file, overwrite=overwrite)
    if len({file.resolve() for file in files}) < len(files):
        raise SettingsError(f"{files[0]} is the path of two outputs: give each output its own file")


def check_replaceable(path: Path, *, overwrite: bool = False) -> None:
    """Refuse to replace a file that unimask did not write.

    Raises:
        OutputError: The path is a folder, or such a file exists and `overwrite` is False.
    """
    if path.is_dir():
        raise OutputError(f"{path} is a folder: pass the path of a file")
    if overwrite or not (path.exists() or path.is_symlink()) or is_written_by_unimask(path):
        return
    raise OutputError(
        f"{path} was not written by unimask and is not replaced: pass another file, or --overwrite"
    )


def is_written_by_unimask(path: Path) -> bool:
    """Return whether unimask wrote this report, page, image or graph; links are not followed."""
    if path.is_symlink() or not path.is_file():
        return False
    try:
        with path.open("rb") as stream:
            beginning = stream.read(INSPECTED_BYTES)
    except OSError:
        return False
    if beginning.startswith(GENERATOR_KEY.encode()) or GENERATOR_TAG.encode() in beginning:
        return True
    if ONNX_PRODUCER in beginning[:16] or OPENVINO_NAME in beginning:
        return True
    from PIL import Image  # It would slow down each start of the CLI.

    try:
        with Image.open(path) as image:
            return str(image.getexif().get(EXIF_SOFTWARE, "")).startswith("unimask ")
    except Exception:  # The file is no image, or its decoder raises an arbitrary exception.
        return False


def write_report(path: str | Path, report: Mapping[str, object], *, overwrite: bool) -> None:
    """Write a report as JSON that names its generator.

    Raises:
        OutputError: The path holds a file that unimask did not write, or cannot be written.
    """
    content = json.dumps({"generator": GENERATOR, **report}, indent=2)
    write_text(Path(path), content + "\n", overwrite=overwrite)


def write_text(path: Path, content: str, *, overwrite: bool) -> None:
    """Write a text file atomically.

    Raises:
        OutputError: The path holds a file that unimask did not write, or cannot be written.
    """
    check_replaceable(path, overwrite=overwrite)
    with atomic_path(path) as temporary:
        temporary.write_text(content, encoding="utf-8")


def check_image_suffix(path: Path) -> None:
    """Refuse names of images in an unknown format.

    Raises:
        SettingsError: The suffix is not that of a known image format.
    """
    from PIL import Image

    if path.suffix.lower() not in Image.registered_extensions():
        raise SettingsError(f"{path} has no suffix of a known image format: use .png or .jpg")


def write_image(path: Path, image: "Image.Image", *, overwrite: bool) -> None:
    """Write an image that names its generator, in the format of its suffix.

    Raises:
        OutputError: The path holds a file that unimask did not write, or cannot be written.
    """
    from PIL import Image

    check_replaceable(path, overwrite=overwrite)
    exif = Image.Exif()
    exif[EXIF_SOFTWARE] = GENERATOR
    with atomic_path(path) as temporary:
        image.save(temporary, exif=exif)
