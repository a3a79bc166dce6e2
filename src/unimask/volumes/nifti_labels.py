"""NIfTI files of label maps on the grid of a volume."""

import gzip
import io
from typing import Any

import numpy as np
from jaxtyping import Integer

from unimask.extras import import_extra
from unimask.volumes.volume import Volume

TEXT_FIELDS = ("descrip", "aux_file", "intent_name", "db_name")
"""Fields of a NIfTI header that hold text, which may identify a patient."""

HEADER_BYTES = {348: 352, 540: 544}
"""Offset of the voxels by the size of the header (NIfTI-1 and 2)."""


def nifti_bytes(labels: Integer[np.ndarray, "i j k"], volume: Volume) -> bytes:
    """Encode a label map as `.nii.gz` with the geometry of a volume.

    Of a NIfTI source, all fields of the header about geometry are copied bit for bit; text fields,
    extensions, scales and intents are not.

    Raises:
        MissingExtraError: nibabel is not installed.
    """
    nibabel = import_extra("nibabel", "medical")
    if volume.header is None:
        image = new_image(nibabel, labels, volume)
    else:
        header = copy_geometry(nibabel, volume.header, labels.dtype)
        kind = nibabel.Nifti2Image if header["sizeof_hdr"] == 540 else nibabel.Nifti1Image
        image = kind(labels, None, header)
    stream = io.BytesIO()
    with gzip.GzipFile(filename="", mode="wb", fileobj=stream, mtime=0, compresslevel=6) as file:
        file.write(image.to_bytes())
    return stream.getvalue()


def copy_geometry(nibabel: Any, source: Any, dtype: np.dtype) -> Any:
    """Return a header of a single file with the geometry of another header."""
    size = int(source["sizeof_hdr"])
    kind = nibabel.Nifti2Header if size == 540 else nibabel.Nifti1Header
    header = kind(source.binaryblock, source.endianness, check=False)
    header["magic"] = kind.single_magic
    header["vox_offset"] = HEADER_BYTES[size]
    for name in TEXT_FIELDS:
        if name in header.keys():  # noqa: SIM118 (a header has no __contains__)
            header[name] = b""
    header.set_intent("none")
    header["cal_min"] = header["cal_max"] = 0
    header.set_slope_inter(1, 0)
    header.set_data_dtype(dtype)
    return header


def new_image(nibabel: Any, labels: Integer[np.ndarray, "i j k"], volume: Volume) -> Any:
    """Return an image with the affine of a volume that is not NIfTI."""
    image = nibabel.Nifti1Image(labels, volume.affine)
    image.header.set_xyzt_units("mm")
    image.set_sform(volume.affine, code=1)
    axes = volume.affine[:3, :3] / np.linalg.norm(volume.affine[:3, :3], axis=0)
    # A quaternion cannot hold a sheared affine, as of a tilted gantry: only the sform does then.
    is_rigid = np.allclose(axes.T @ axes, np.eye(3), atol=1e-4)
    image.set_qform(volume.affine, code=1 if is_rigid else 0)
    return image
