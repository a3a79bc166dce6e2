"""Seeds of volumes and DICOM images, and their reader, which need the extra `medical`."""

import importlib.util
import warnings
from pathlib import Path

import numpy as np
from medical_files import volume_values, write_series

from unimask.processing.images import read_image
from unimask.volumes import open_volume
from unimask.volumes.planes import choose_plane

PACKAGES = ("nibabel", "pydicom", "nrrd", "tifffile")
HAS_MEDICAL = all(importlib.util.find_spec(name) is not None for name in PACKAGES)


def write_volumes(place: Path) -> None:
    """Write a volume of each kind."""
    import nibabel
    import nrrd
    import tifffile

    values = volume_values((3, 6, 7))
    for name in ("plain", "gzip", "nrrd", "tiff"):
        (place / name).mkdir(parents=True)
    image = nibabel.Nifti1Image(values, np.diag((1.0, 2, 3, 1)))
    nibabel.save(image, place / "plain" / "a.nii")
    nibabel.save(image, place / "gzip" / "a.nii.gz")
    space = {"space": "left-posterior-superior", "space directions": np.eye(3)}
    nrrd.write(str(place / "nrrd" / "a.nrrd"), values, {**space, "space origin": np.zeros(3)})
    metadata = {"spacing": 2.0, "unit": "um", "axes": "ZYX"}
    stack = values.astype(np.uint16)
    tifffile.imwrite(
        place / "tiff" / "a.tif", stack, imagej=True, resolution=(5, 4), metadata=metadata
    )
    write_series(place / "dicom", values, WindowCenter=40, WindowWidth=400)


def read_volumes(folder: Path) -> None:
    """Read a folder with one volume, and the first DICOM file as an image."""
    files = sorted(folder.iterdir())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pydicom warns about values that it corrects
        is_dicom = not files or files[0].suffix == ".dcm"
        volume = open_volume(folder if is_dicom else files[0])
        choose_plane(volume.affine, "auto")
        if is_dicom:
            read_image(files[0])
