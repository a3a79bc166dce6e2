"""DICOM SEG: labels of voxels, with the names of segments."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from jaxtyping import Float, Integer

from unimask.errors import ImageError, one_line
from unimask.extras import import_extra
from unimask.processing.dicom_file import SEGMENTATION_CLASSES, read_dataset, text


@dataclass(frozen=True, eq=False)
class LabelVolume:
    """Labels of the voxels of a volume.

    Attributes:
        values: Number of the segment of each voxel, 0 for none; column, row, slice.
        affine: Position of voxels in mm (RAS), see `Volume`.
        names: Names of the segments by number.
    """

    values: Integer[np.ndarray, "i j k"] = field(repr=False)
    affine: Float[np.ndarray, "4 4"]
    names: dict[int, str]


def read_dicom_seg(path: str | Path) -> LabelVolume:
    """Read a DICOM SEG; slices that it leaves out between others are empty.

    Raises:
        ImageError: The file is damaged, no DICOM SEG, fractional, or its segments overlap.
        MissingExtraError: highdicom is not installed.
    """
    path = Path(path)
    if not path.is_file():
        raise ImageError(f"{path} does not exist: check the path")
    if text(read_dataset(path, str(path), pixels=False), "SOPClassUID") not in SEGMENTATION_CLASSES:
        raise ImageError(f"{path} is no DICOM SEG: choose a file of segments")
    seg = import_extra("highdicom.seg", "medical")
    try:
        segments = seg.segread(path)
        if text(segments, "SegmentationType") == "FRACTIONAL":
            raise ImageError(f"{path} holds fractions: convert it to a binary DICOM SEG")
        volume = segments.get_volume(
            combine_segments=True, allow_missing_positions=True, relabel=False
        )
        numbers = [int(number) for number in segments.segment_numbers]
        names = {
            number: str(segments.get_segment_description(number).segment_label)
            for number in numbers
            if number
        }
    except (ImageError, MemoryError):
        raise
    except Exception as error:  # highdicom raises many kinds of errors
        if "overlap" in str(error).lower():
            message = f"{path} has segments that overlap: one label map cannot hold them"
        else:
            message = f"{path} cannot be read ({one_line(error)}): write it again"
        raise ImageError(message) from error
    # highdicom's axes are slice, row, column, and its coordinates left, posterior, superior.
    affine = np.diag((-1.0, -1.0, 1.0, 1.0)) @ np.asarray(volume.affine)[:, [2, 1, 0, 3]]
    values = np.asarray(volume.array).transpose(2, 1, 0)
    if np.linalg.det(affine[:3, :3]) < 0:  # slices against the normal: sort them as images are
        affine[:3, 3] += (values.shape[2] - 1) * affine[:3, 2]
        affine[:3, 2] *= -1
        values = values[..., ::-1]
    return LabelVolume(values, affine, names)
