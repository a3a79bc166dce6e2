"""Plugins of Pillow for HEIC, AVIF and JPEG XL, which are imported when such an image is opened."""

import importlib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO

from PIL import features

from unimask.errors import ImageError

HEADER_BYTES = 132
"""Number of bytes at the start of a file by which its format is recognised."""

MAX_BRANDS = 12
"""Number of brands of an ISO container that are compared."""

HEIF_BRANDS = frozenset(
    {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1"}
)
AVIF_BRANDS = frozenset({b"avif", b"avis"})

JXL_CODESTREAM, JXL_CONTAINER = b"\xff\x0a", b"\0\0\0\x0cJXL \r\n\x87\n"
"""First bytes of JPEG XL, without and with a container."""


@dataclass(frozen=True, slots=True)
class ImagePlugin:
    """Plugin for one format.

    Attributes:
        name: Name of the format for the user.
        module: Module of the plugin.
        package: Package that installs the module.
        suffixes: Suffixes of the format's files.
        register: Name of the function of the module that registers the plugin; empty if importing
            the module does.
        feature: Feature of Pillow that reads the format without a plugin; empty for none.
    """

    name: str
    module: str
    package: str
    suffixes: tuple[str, ...]
    register: str = ""
    feature: str = ""


HEIF = ImagePlugin(
    "HEIC", "pillow_heif", "pillow-heif", (".heic", ".heif", ".hif"), "register_heif_opener"
)
AVIF = ImagePlugin("AVIF", "pillow_avif", "pillow-avif-plugin", (".avif",), feature="avif")
JXL = ImagePlugin("JPEG XL", "pillow_jxl", "pillow-jxl-plugin", (".jxl",))

PLUGINS = (HEIF, AVIF, JXL)

PLUGIN_SUFFIXES = frozenset(suffix for plugin in PLUGINS for suffix in plugin.suffixes)
"""Suffixes of files that may need a plugin."""


def find_plugin(header: bytes) -> ImagePlugin | None:
    """Return the plugin for a file by its first bytes; None for formats that Pillow reads."""
    if header.startswith((JXL_CODESTREAM, JXL_CONTAINER)):
        return JXL
    if header[4:8] != b"ftyp":
        return None
    length = min(int.from_bytes(header[:4], "big"), len(header), 16 + 4 * MAX_BRANDS)
    brands = {header[8:12], *(header[place : place + 4] for place in range(16, length, 4))}
    if brands & AVIF_BRANDS and header[8:12] not in HEIF_BRANDS - {b"mif1", b"msf1"}:
        return AVIF
    return HEIF if brands & HEIF_BRANDS else None


@lru_cache
def register_plugin(plugin: ImagePlugin) -> bool:
    """Make Pillow read the format of a plugin; return whether it can."""
    if plugin.feature and features.check(plugin.feature):
        return True
    try:
        module = importlib.import_module(plugin.module)
    except ImportError:
        return False
    if plugin.register:
        getattr(module, plugin.register)()
    return True


def register_for_header(header: bytes, name: str) -> ImagePlugin | None:
    """Register the plugin that a file needs; return it, or None if it needs none.

    Args:
        header: First bytes of the file.
        name: Name of the file in messages.

    Raises:
        ImageError: The plugin is not installed.
    """
    plugin = find_plugin(header)
    if plugin is not None and not register_plugin(plugin):
        raise ImageError(
            f"{name} is a {plugin.name} image, and Pillow's plugin for these is missing: "
            f"pip install {plugin.package}, or save the image as PNG or JPEG"
        )
    return plugin


def register_for_stream(stream: BinaryIO) -> None:
    """Register the plugin that an open file needs, if it is installed."""
    header = stream.read(HEADER_BYTES)
    stream.seek(0)
    plugin = find_plugin(header)
    if plugin is not None:
        register_plugin(plugin)


def register_for_file(path: Path) -> None:
    """Register the plugin that a file needs by its suffix and first bytes, if it is installed."""
    if path.suffix.lower() in PLUGIN_SUFFIXES:
        with path.open("rb") as stream:
            register_for_stream(stream)
