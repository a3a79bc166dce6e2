"""Labels of cases in one black and white mask per structure, as TotalSegmentator publishes them."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Integer

from unimask.datasets.volumes.case import find_values, label_dtype, whole_values
from unimask.datasets.volumes.label_values import describe_values
from unimask.errors import DataError
from unimask.labels import LabelSet
from unimask.volumes.grid import Grid, align, grid_of
from unimask.volumes.open_volume import open_volume, read_grid


@dataclass(frozen=True, eq=False)
class StructureMasks:
    """Masks of a case, one file per structure; a structure without a file is absent.

    Attributes:
        masks: File of each structure by its name.
        labels: Label set, the background first.
    """

    masks: dict[str, Path]
    labels: LabelSet

    @property
    def paths(self) -> tuple[Path, ...]:
        """Files of the labels."""
        return tuple(self.masks.values())

    def check(self, grid: Grid) -> None:
        """Test by headers that the masks are on the grid of the image.

        Raises:
            DataError, ImageError: They are not, or a file cannot be read.
        """
        for path in self.paths:
            align(read_grid(path), grid)

    def read(self, grid: Grid) -> Integer[np.ndarray, "i j k"]:
        """Return the label id of each voxel of the image; smaller structures are in front.

        Raises:
            DataError, ImageError: A file cannot be read, or is no mask.
        """
        voxels = {name: read_mask(path, grid) for name, path in self.masks.items()}
        found = np.zeros(grid.shape, label_dtype(len(self.labels)))
        flat = found.reshape(-1)
        for name in sorted(voxels, key=lambda name: -len(voxels[name])):
            flat[voxels[name]] = self.labels.names.index(name)
        return found


def read_mask(path: Path, grid: Grid) -> Integer[np.ndarray, " n"]:
    """Return the indices of the voxels of a mask in the flattened image.

    Raises:
        DataError, ImageError: The file cannot be read, or holds several values besides 0.
    """
    volume = open_volume(path)
    codes = whole_values(volume)
    values = [value for value in find_values(codes) if value]
    if len(values) > 1:
        raise DataError(
            f"{path} holds {describe_values(values)}, but its folder has one mask per structure: "
            "write 0 and 1"
        )
    return np.flatnonzero(align(grid_of(volume), grid).apply(codes, grid.shape))
