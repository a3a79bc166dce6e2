"""OME-TIFF and OME-Zarr files as images of one level."""

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from unimask.errors import ImageError, one_line
from unimask.extras import import_extra
from unimask.rasters.large_image import LargeImage
from unimask.rasters.ome_image import OmeImage, to_micrometres
from unimask.rasters.slide_image import SlideImage


class OmeTiffImage(OmeImage):
    """OME-TIFF, or another TIFF with levels, at one of its levels.

    Args:
        path: File.
        options: Keyword arguments `mpp`, `level` and `tissue` of `OmeImage`.

    Raises:
        ImageError: The file is missing, damaged or of another kind, or has no such level.
        MissingExtraError: A package of the extra `slide` is not installed.
    """

    def __init__(self, path: str | Path, **options: Any) -> None:
        tifffile, zarr = import_extra("tifffile", "slide"), import_extra("zarr", "slide")
        import_extra("imagecodecs", "slide")  # decodes JPEG, LZW and others
        if not os.path.exists(path):
            raise ImageError(f"{path} does not exist: check the path")
        self.file: Any = None
        try:
            try:
                self.file = tifffile.TiffFile(path)
                series = self.file.series[0]
                arrays = [
                    open_tiff_level(zarr, series, number) for number in range(len(series.levels))
                ]
                finest, names = read_ome_pixels(tifffile, self.file.ome_metadata)
                axes = "".join(series.axes).lower()
                widths = [level.shape[axes.index("x")] for level in series.levels]
            except (tifffile.TiffFileError, OSError, ValueError, KeyError, IndexError) as error:
                raise ImageError(
                    f"{path} cannot be read as OME-TIFF ({one_line(error)}): copy or download it "
                    "again"
                ) from error
            mpp_of_levels = [finest and finest * widths[0] / width for width in widths]
            super().__init__(str(path), arrays, axes, mpp_of_levels, band_names=names, **options)
        except ImageError:
            self.close()
            raise

    def close(self) -> None:
        """Close the file."""
        if self.file is not None:
            self.file.close()


def open_tiff_level(zarr: Any, series: Any, number: int) -> Any:
    """Return a level of a series of a TIFF as an array of zarr."""
    opened = zarr.open(series.aszarr(level=number), mode="r")
    return opened["0"] if hasattr(opened, "array_keys") else opened


def read_ome_pixels(tifffile: Any, text: str | None) -> tuple[float | None, list[str]]:
    """Return micrometres per pixel and the names of the channels of the first image of OME-XML."""
    if text is None:
        return None, []
    images = tifffile.xml2dict(text)["OME"]["Image"]
    pixels = (images[0] if isinstance(images, list) else images)["Pixels"]
    size = pixels.get("PhysicalSizeX")
    mpp = None if size is None else to_micrometres(float(size), pixels.get("PhysicalSizeXUnit"))
    channels = pixels.get("Channel", [])
    channels = channels if isinstance(channels, list) else [channels]
    return mpp, [str(channel["Name"]) for channel in channels if "Name" in channel]


class OmeZarrImage(OmeImage):
    """OME-Zarr (NGFF 0.4 or 0.5) in a folder, at one of its levels.

    Args:
        path: Folder of the image, which holds `.zattrs` or `zarr.json`.
        options: Keyword arguments `mpp`, `level` and `tissue` of `OmeImage`.

    Raises:
        ImageError: The folder holds no image, or a level without data was chosen.
        MissingExtraError: A package of the extra `slide` is not installed.
    """

    def __init__(self, path: str | Path, **options: Any) -> None:
        zarr = import_extra("zarr", "slide")
        metadata = read_zarr_metadata(Path(path))
        try:
            scales = metadata["multiscales"][0]
            group = zarr.open_group(str(path), mode="r")
            arrays = [group[item["path"]] for item in scales["datasets"]]
            axes, mpp_of_levels = read_scales(scales)
            names = [str(item["label"]) for item in metadata.get("omero", {}).get("channels", [])]
        except (KeyError, IndexError, TypeError, ValueError, OSError) as error:
            raise ImageError(
                f"{path} is no complete OME-Zarr ({one_line(error)}): copy or download it again"
            ) from error
        super().__init__(str(path), arrays, axes, mpp_of_levels, band_names=names, **options)
        if not self.arrays[self.level].nchunks_initialized:
            raise ImageError(
                f"{path}: level {self.level} holds no data: choose another one (--level), or "
                "download it again"
            )


def read_zarr_metadata(path: Path) -> dict[str, Any]:
    """Return the metadata of an image in OME-Zarr.

    Raises:
        ImageError: The folder does not exist, or holds no image.
    """
    if not path.is_dir():
        raise ImageError(f"{path} does not exist: check the path")
    try:
        if (path / "zarr.json").exists():
            content = json.loads((path / "zarr.json").read_bytes())
            metadata = content.get("attributes", {}).get("ome", {})
        else:
            metadata = json.loads((path / ".zattrs").read_bytes())
    except (OSError, ValueError):
        metadata = {}
    if not isinstance(metadata, dict) or "multiscales" not in metadata:
        raise ImageError(
            f"{path} holds no OME-Zarr image: pass the folder whose .zattrs or zarr.json lists "
            '"multiscales"'
        )
    return metadata


def read_scales(scales: dict[str, Any]) -> tuple[str, list[float | None]]:
    """Return the names of the axes, and micrometres per pixel of each level."""
    axes = "".join(str(axis["name"]) for axis in scales["axes"])
    unit = scales["axes"][axes.index("x")].get("unit")
    common = find_scale(scales.get("coordinateTransformations", []), axes)
    return axes, [
        None
        if unit is None
        else to_micrometres(common * find_scale(item["coordinateTransformations"], axes), unit)
        for item in scales["datasets"]
    ]


def find_scale(transformations: list[dict[str, Any]], axes: str) -> float:
    """Return the factor along x of transformations; 1 if there is none."""
    for item in transformations:
        if item.get("type") == "scale":
            return float(item["scale"][axes.index("x")])
    return 1.0


def open_slide(
    path: str | Path,
    *,
    mpp: float | None = None,
    level: int | None = None,
    tissue: bool = True,
) -> SlideImage | OmeImage:
    """Open a slide, OME-TIFF or OME-Zarr at one of its levels.

    Args:
        path: File or folder.
        mpp: Micrometres per pixel of the network's input; None for those of the level.
        level: Index of the level; None to choose it by `mpp`, or the finest without.
        tissue: Whether glass is left out of images in bright field.

    Returns:
        The image, whose `scale` is the number of pixels of the network's input per pixel.

    Raises:
        ImageError: The file is missing, damaged or of another kind, or has no such level.
        MissingExtraError: A package of the extra `slide` is not installed.
    """
    name = str(path).lower()
    kind: type[SlideImage] | type[OmeImage] = SlideImage
    if os.path.isdir(path):
        kind = OmeZarrImage
    elif name.endswith((".ome.tif", ".ome.tiff", ".ome.tf2", ".ome.btf")):
        kind = OmeTiffImage
    return kind(path, mpp=mpp, level=level, tissue=tissue)  # type: ignore[call-arg]


def band_numbers(image: LargeImage, channels: Sequence[str | int]) -> list[int]:
    """Return the numbers of channels, counted from 1, from numbers or names.

    Raises:
        ImageError: There is no channel of a name.
    """
    numbers = []
    for channel in channels:
        if isinstance(channel, int):
            numbers.append(channel)
            continue
        names = list(getattr(image, "band_names", ()))
        if channel not in names:
            known = f"it has {', '.join(names)}" if names else "its channels have no names"
            raise ImageError(f"{image.name} has no channel {channel!r}: {known}")
        numbers.append(names.index(channel) + 1)
    return numbers
