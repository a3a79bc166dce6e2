"""Opening of volumes by the kind of their files."""

from pathlib import Path

from unimask.errors import ImageError
from unimask.processing.dicom_file import MARK, MARK_START, is_dicom, is_header_without_preamble
from unimask.volumes.dicom_series import read_dicom
from unimask.volumes.nifti import SUFFIXES as NIFTI_SUFFIXES
from unimask.volumes.nifti import read_nifti
from unimask.volumes.nrrd import SUFFIXES as NRRD_SUFFIXES
from unimask.volumes.nrrd import read_nrrd
from unimask.volumes.tiff_stack import SUFFIXES as TIFF_SUFFIXES
from unimask.volumes.tiff_stack import read_tiff_stack
from unimask.volumes.volume import Volume

KINDS = "NIfTI (.nii, .nii.gz), a DICOM folder or file, NRRD, or a TIFF stack"


def open_volume(source: str | Path, series: str | int | None = None) -> Volume:
    """Read a volume with its position in space.

    Args:
        source: NIfTI, folder of DICOM files, DICOM file with several frames, NRRD or TIFF stack.
        series: DICOM: number from 1 in the list of series, or start of a series instance UID. By
            default the only series of the folder.

    Raises:
        ImageError: The source is missing, damaged, of an unknown kind, or no regular grid of grey
            values.
        MissingExtraError: A package of the extra `medical` is not installed.

    Example:
        >>> from unimask.volumes import open_volume
        >>> volume = open_volume("ct.nii.gz")  # doctest: +SKIP
        >>> volume.shape, volume.spacing  # doctest: +SKIP
    """
    path = Path(source)
    if not path.exists():
        raise ImageError(f"{path} does not exist: check the path")
    name = path.name.lower()
    if path.is_dir():
        return read_dicom(path, series)
    if series is not None:
        raise ImageError(f"{path} is one file: series= (--series) is for DICOM folders")
    if path.stat().st_size == 0:
        raise ImageError(f"{path} is empty (0 bytes): copy or download it again")
    readers = (
        (NIFTI_SUFFIXES, read_nifti),
        (NRRD_SUFFIXES, read_nrrd),
        (TIFF_SUFFIXES, read_tiff_stack),
    )
    for suffixes, read in readers:
        if name.endswith(suffixes):
            return read(path)
    with path.open("rb") as stream:
        header = stream.read(MARK_START + len(MARK))
    if is_dicom(header, name) or is_header_without_preamble(header):
        return read_dicom(path, None)
    raise ImageError(f"{path} is no volume of a known kind: pass {KINDS}")
