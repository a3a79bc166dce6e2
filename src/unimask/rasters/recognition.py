"""Recognition of rasters among images, by file names and headers alone."""

import struct
from functools import cache
from importlib.util import find_spec
from pathlib import Path

GEO_TAGS = frozenset({33550, 33922, 34264, 34735})
"""TIFF tags of pixel scale, tie points, transform and reference system."""

RASTER_SUFFIXES = frozenset({".asc", ".bil", ".img", ".kea", ".nitf", ".ntf", ".vrt"})
"""Suffixes of files that GDAL reads and Pillow does not."""

MAX_TAGS = 4096
"""Largest number of tags that are read."""


def is_raster(source: object) -> bool:
    """Return whether a source is the path of a georeferenced TIFF or another raster of GDAL."""
    if not isinstance(source, str | Path) or str(source).startswith(("http://", "https://")):
        return False
    path = Path(source)
    suffix = path.suffix.lower()
    if suffix in RASTER_SUFFIXES:
        return path.is_file()
    return suffix in (".tif", ".tiff", ".gtiff") and not GEO_TAGS.isdisjoint(read_tags(path))


@cache
def has_rasterio() -> bool:
    """Return whether rasterio is installed."""
    return find_spec("rasterio") is not None


def read_tags(path: Path) -> frozenset[int]:
    """Return the tags of the first image of a TIFF, none if the file is not one."""
    try:
        with path.open("rb") as stream:
            header = stream.read(16)
            order = {b"II": "<", b"MM": ">"}[header[:2]]
            (version,) = struct.unpack(f"{order}H", header[2:4])
            is_big = version == 43
            place, count_type, size = (8, "Q", 20) if is_big else (4, "H", 12)
            if version not in (42, 43):
                return frozenset()
            (offset,) = struct.unpack_from(f"{order}{'Q' if is_big else 'I'}", header, place)
            stream.seek(offset)
            count_size = struct.calcsize(count_type)
            (count,) = struct.unpack(f"{order}{count_type}", stream.read(count_size))
            entries = stream.read(min(count, MAX_TAGS) * size)
            return frozenset(
                struct.unpack_from(f"{order}H", entries, start)[0]
                for start in range(0, len(entries) - 1, size)
            )
    except (OSError, KeyError, struct.error, OverflowError, ValueError):
        return frozenset()
