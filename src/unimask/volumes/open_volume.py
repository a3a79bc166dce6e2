"""Opening of volumes by the kind of their files."""

from pathlib import Path

from unimask.errors import ImageError
from unimask.processing.dicom_file import MARK, MARK_START, is_dicom, is_header_without_preamble
from unimask.volumes.dicom_series import read_dicom, read_dicom_grid
from unimask.volumes.grid import Grid, check_grid, grid_of
from unimask.volumes.nifti import SUFFIXES as NIFTI_SUFFIXES
from unimask.volumes.nifti import read_nifti, read_nifti_grid
from unimask.volumes.nrrd import SUFFIXES as NRRD_SUFFIXES
from unimask.volumes.nrrd import read_nrrd, read_nrrd_grid
from unimask.volumes.tiff_stack import SUFFIXES as TIFF_SUFFIXES
from unimask.volumes.tiff_stack import read_tiff_stack
from unimask.volumes.volume import Volume, VolumeKind

SUFFIXES: tuple[tuple[tuple[str, ...], VolumeKind], ...] = (
    (NIFTI_SUFFIXES, "nifti"),
    (NRRD_SUFFIXES, "nrrd"),
    (TIFF_SUFFIXES, "tiff"),
)
"""Endings of the names of files of each kind."""

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
    kind = find_kind(path, series)
    if kind == "dicom":
        return read_dicom(path, series)
    return {"nifti": read_nifti, "nrrd": read_nrrd, "tiff": read_tiff_stack}[kind](path)


def read_grid(source: str | Path, series: str | int | None = None) -> Grid:
    """Read number, spacing and place of the voxels of a volume, from headers if possible.

    Args:
        source: Volume as `open_volume` takes it.
        series: DICOM series, as `open_volume` takes it.

    Raises:
        ImageError: The source is missing, damaged, of an unknown kind, or no regular grid of grey
            values.
        MissingExtraError: A package of the extra `medical` is not installed.
    """
    path = Path(source)
    kind = find_kind(path, series)
    if kind == "dicom":
        return check_grid(read_dicom_grid(path, series))
    if kind == "tiff":
        return grid_of(read_tiff_stack(path))
    return check_grid(read_nifti_grid(path) if kind == "nifti" else read_nrrd_grid(path))


def find_kind(path: Path, series: str | int | None) -> VolumeKind:
    """Return the kind of a volume by its name or its first bytes.

    Raises:
        ImageError: The path is missing, empty, or of an unknown kind.
    """
    if not path.exists():
        raise ImageError(f"{path} does not exist: check the path")
    name = path.name.lower()
    if path.is_dir():
        return "dicom"
    if series is not None:
        raise ImageError(f"{path} is one file: series= (--series) is for DICOM folders")
    if path.stat().st_size == 0:
        raise ImageError(f"{path} is empty (0 bytes): copy or download it again")
    for suffixes, kind in SUFFIXES:
        if name.endswith(suffixes):
            return kind
    with path.open("rb") as stream:
        header = stream.read(MARK_START + len(MARK))
    if is_dicom(header, name) or is_header_without_preamble(header):
        return "dicom"
    raise ImageError(f"{path} is no volume of a known kind: pass {KINDS}")
