"""Windows that suit the modality of a dataset, measured on its training cases."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Shaped

from unimask.config import Window
from unimask.datasets.volumes.case import VolumeCase
from unimask.errors import DataError
from unimask.volumes.volume import Volume

CT_PERCENTILES = (0.5, 99.5)
"""Percentiles of the labelled voxels of CT that become black and white, as in nnU-Net."""

SAMPLED_VOXELS = 10_000
"""Largest number of labelled voxels of a case that are used, evenly spaced, as in nnU-Net."""

AIR = -500
"""Value in Hounsfield units that every CT goes below, and no other modality."""


@dataclass(frozen=True, slots=True)
class IntensityRule:
    """Window for the images of a dataset.

    Attributes:
        window: Values that become black and white, or "z-score".
        modality: "CT" or "other".
        num_cases: Number of cases on which it was measured.
    """

    window: Window
    modality: str
    num_cases: int


def measure_intensities(cases: Sequence[VolumeCase]) -> IntensityRule:
    """Return the window for a dataset by its modality.

    CT: the 0.5 and 99.5 percentiles of the labelled voxels of all cases. Every other modality, and
    cases with images of several modalities: "z-score", the mean minus and plus 4 standard
    deviations of each image. Images without a stated modality are CT if all of them hold values
    below -500.

    Raises:
        DataError, ImageError: A file cannot be read, or no voxel is labelled.
    """
    parts = []
    for case in cases:
        if any(image.modality not in ("", "CT") for image in case.images):
            return IntensityRule("z-score", "other", 0)
        volumes = case.read_images()
        if not all(map(is_ct, volumes)):
            return IntensityRule("z-score", "other", 0)
        labels = case.labels.read(case.grid)
        parts += [sample_voxels(volume.values[labels > 0]) for volume in volumes]
    values = np.concatenate(parts)
    if not values.size:
        raise DataError(
            f"no voxel of the {len(cases)} training cases is labelled: label some, or pass --window"
        )
    low, high = (float(each) for each in np.percentile(values, CT_PERCENTILES))
    return IntensityRule((low, max(high, low + 1)), "CT", len(cases))


def is_ct(volume: Volume) -> bool:
    """Return whether an image is CT, as stated, or else by its lowest value."""
    if volume.modality:
        return volume.modality == "CT"
    return bool(np.nanmin(volume.values) < AIR)


def sample_voxels(values: Shaped[np.ndarray, " n"]) -> Shaped[np.ndarray, " m"]:
    """Return evenly spaced finite values, at most `SAMPLED_VOXELS`, as float64."""
    finite = values[np.isfinite(values)] if values.dtype.kind == "f" else values
    count = min(len(finite), SAMPLED_VOXELS)
    return finite[np.arange(count) * len(finite) // max(count, 1)].astype(np.float64)
