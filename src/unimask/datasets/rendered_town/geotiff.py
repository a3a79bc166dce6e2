"""Write a scene as georeferenced rasters and polygons, block by block in constant memory."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from unimask.datasets.rendered_town.classes import TOWN_LABELS
from unimask.datasets.rendered_town.layout import Thing
from unimask.datasets.rendered_town.parallel import map_in_processes
from unimask.datasets.rendered_town.scene import RenderedTown, TownScene, divide
from unimask.datasets.rendered_town.window import Window
from unimask.errors import OutputError, SettingsError
from unimask.extras import import_extra
from unimask.formats.atomic import atomic_folder
from unimask.formats.json_lists import JsonListsFile
from unimask.formats.output_folder import list_foreign_files

EPSG = 32633
"""Code of the coordinate reference system: UTM zone 33 north, in metres."""

ORIGIN = (500_000.0, 5_400_000.0)
"""Easting and northing of the top left corner of the scene in metres."""

BLOCK = 512
"""Height and width of the blocks of the files; a divisor of the tiles that are rendered."""

CACHE_MEGABYTES = 64
"""Size of GDAL's cache of blocks."""

DECIMALS = 3
"""Decimals of the coordinates of polygons, in metres."""

PROFILE = {
    "driver": "GTiff",
    "tiled": True,
    "blockxsize": BLOCK,
    "blockysize": BLOCK,
    "compress": "deflate",
    "zlevel": 1,
    "predictor": 2,
    "bigtiff": "if_safer",
}

LAYERS = {"image": (3, "uint8"), "label_ids": (1, "uint8"), "ids": (1, "int32")}
"""Name, number of bands and type of each file."""


def write_geotiff(
    scene: TownScene,
    out: str | PathLike[str],
    *,
    window: Window | None = None,
    time: float = 0.0,
    epsg: int = EPSG,
    origin: tuple[float, float] = ORIGIN,
    workers: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Write a scene as GeoTIFF and GeoJSON, completely or not at all.

    The files are `image.tif`, `label_ids.tif` and `ids.tif`, with the arrays of `RenderedTown`, and
    `things.geojson`, with the whole outlines of buildings and cars in the same coordinates.

    Args:
        scene: Scene.
        out: Folder to write, new or empty.
        window: Window to write; None for the whole scene.
        time: Time in seconds.
        epsg: EPSG code of the coordinate reference system, in metres.
        origin: Easting and northing of the top left corner of the scene in metres.
        workers: Number of processes that render.
        progress: Function called with the number of tiles done and their total.

    Raises:
        MissingExtraError: rasterio is not installed.
        OutputError: `out` is not empty or cannot be written.
        SettingsError: The window, the time or the code is out of range.
    """
    window = window or Window(0, 0, *scene.size)
    tiles = list(divide(window))
    for entry in list_foreign_files(Path(out))[:1]:
        raise OutputError(f"{out} is not empty (it holds {entry}): choose a new folder")
    with atomic_folder(Path(out)) as folder:
        with ExitStack() as stack:
            files = open_layers(stack, folder, scene, window, epsg, origin)
            jobs = ((scene, tile, time) for tile in tiles)
            rendered = map_in_processes(TownScene.render, jobs, workers)
            for done, (tile, part) in enumerate(zip(tiles, rendered, strict=True), 1):
                write_tile(files, window, tile, part)
                if progress is not None:
                    progress(done, len(tiles))
        write_polygons(folder / "things.geojson", scene.things(window, time), epsg, origin)


def open_layers(
    stack: ExitStack,
    folder: Path,
    scene: TownScene,
    window: Window,
    epsg: int,
    origin: tuple[float, float],
) -> list[Any]:
    """Create the raster files, which the stack closes, and return them."""
    rasterio = import_extra("rasterio", "geo")
    stack.enter_context(rasterio.Env(GDAL_CACHEMAX=CACHE_MEGABYTES))
    try:
        crs = rasterio.CRS.from_epsg(epsg)
    except rasterio.errors.CRSError:
        raise SettingsError(f"EPSG:{epsg} is no coordinate reference system") from None
    scale = scene.style.scale
    left, top = origin[0] + window.column * scale, origin[1] - window.row * scale
    transform = rasterio.Affine(scale, 0.0, left, 0.0, -scale, top)
    files = []
    for name, (bands, dtype) in LAYERS.items():
        size = {"height": window.height, "width": window.width, "count": bands, "dtype": dtype}
        place = {"crs": crs, "transform": transform}
        file = rasterio.open(folder / f"{name}.tif", "w", **PROFILE, **size, **place)
        files.append(stack.enter_context(file))
    colours = rasterio.enums.ColorInterp
    files[0].colorinterp = [colours.red, colours.green, colours.blue]
    files[1].write_colormap(1, dict(enumerate(TOWN_LABELS.colours)))
    files[1].update_tags(1, **{str(n): name for n, name in enumerate(TOWN_LABELS.names)})
    return files


def write_tile(files: list[Any], window: Window, tile: Window, part: RenderedTown) -> None:
    """Write a rendered tile into the files of a window."""
    top, left = tile.row - window.row, tile.column - window.column
    slices = ((top, top + tile.height), (left, left + tile.width))
    for file, values in zip(files, part, strict=True):
        bands = np.moveaxis(values, -1, 0) if values.ndim == 3 else values[None]
        file.write(bands, window=slices)


def write_polygons(
    path: Path, things: Iterator[Thing], epsg: int, origin: tuple[float, float]
) -> None:
    """Write outlines as GeoJSON, in the coordinate reference system of the rasters."""
    features = JsonListsFile(path, ("features",))
    features.extend("features", (to_feature(thing, origin) for thing in things))
    name = f"urn:ogc:def:crs:EPSG::{epsg}"
    crs = {"type": "name", "properties": {"name": name}}
    features.finish({"type": "FeatureCollection", "crs": crs})


def to_feature(thing: Thing, origin: tuple[float, float]) -> dict[str, Any]:
    """Return a building or car as a feature of GeoJSON."""
    ring = np.round(np.array(origin) + thing.outline * (1, -1), DECIMALS).tolist()
    return {
        "type": "Feature",
        "properties": {"id": thing.id, "label": TOWN_LABELS.names[thing.label_id]},
        "geometry": {"type": "Polygon", "coordinates": [[*ring, ring[0]]]},
    }
