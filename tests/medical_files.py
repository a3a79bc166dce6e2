"""Small medical files for tests, written by pydicom and nibabel."""

from pathlib import Path

import numpy as np

CT_CLASS = "1.2.840.10008.5.1.4.1.1.2"


def volume_values(shape=(6, 20, 24), seed: int = 0) -> np.ndarray:
    """Return values of a made-up CT, int16 (slices, rows, columns): noisy blobs over air."""
    rng = np.random.default_rng(seed)
    grids = np.meshgrid(*(np.linspace(-1, 1, side) for side in shape), indexing="ij")
    values = np.full(shape, -1000.0)
    for _ in range(4):
        centre, radius = rng.uniform(-0.6, 0.6, 3), rng.uniform(0.3, 0.6)
        distance = sum((grid - c) ** 2 for grid, c in zip(grids, centre, strict=True))
        values[distance < radius**2] = rng.uniform(0, 300)
    return (values + rng.integers(0, 40, shape)).astype(np.int16)


def write_series(
    folder: Path,
    values: np.ndarray,
    *,
    spacing=(2.5, 0.7, 0.9),
    rows=(1, 0, 0, 0, 1, 0),
    origin=(-10.0, -20.0, 30.0),
    series: str = "1.2.3.4",
    slope: float = 1.0,
    intercept: float = -1024.0,
    **elements,
) -> list[Path]:
    """Write slices (n, h, w) as DICOM files, whose names are not in the order of their positions.

    Args:
        folder: Folder, created if needed.
        values: Values of the modality.
        spacing: Distances of slices, rows and columns in mm.
        rows: ImageOrientationPatient.
        origin: Position of the first pixel of the first slice.
        series: Series instance UID.
        slope: Rescale slope.
        intercept: Rescale intercept.
        elements: Further elements of every file.

    Returns:
        Paths in the order of the slices.
    """
    from pydicom.dataset import FileDataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian

    folder.mkdir(parents=True, exist_ok=True)
    normal = np.cross(rows[:3], rows[3:])
    names = np.random.default_rng(1).permutation(len(values))
    paths = []
    for index, plane in enumerate(values):
        meta = FileMetaDataset()
        meta.MediaStorageSOPClassUID = CT_CLASS
        meta.MediaStorageSOPInstanceUID = f"{series}.{index + 1}"
        meta.TransferSyntaxUID = ExplicitVRLittleEndian
        path = folder / f"IM{names[index]:04d}.dcm"
        data = FileDataset(str(path), {}, file_meta=meta, preamble=b"\0" * 128)
        data.SOPClassUID, data.SOPInstanceUID = CT_CLASS, f"{series}.{index + 1}"
        data.SeriesInstanceUID, data.StudyInstanceUID = series, "1.2.3"
        data.FrameOfReferenceUID = "1.2.9"
        data.Modality, data.PatientName, data.PatientID = "CT", "Doe^Jane", "4711"
        data.StudyDate = data.StudyTime = data.AccessionNumber = data.StudyID = ""
        data.PatientBirthDate = data.PatientSex = ""
        data.SeriesNumber, data.InstanceNumber = 1, len(values) - index
        data.Rows, data.Columns = plane.shape
        data.ImagePositionPatient = [
            f"{v:.10g}" for v in np.add(origin, index * spacing[0] * normal)
        ]
        data.ImageOrientationPatient = [f"{v:.10g}" for v in rows]
        data.PixelSpacing = [spacing[1], spacing[2]]
        data.SliceThickness = spacing[0]
        data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
        data.BitsAllocated = data.BitsStored = 16
        data.HighBit, data.PixelRepresentation = 15, 1
        data.RescaleSlope, data.RescaleIntercept = slope, intercept
        stored = (plane.astype(np.float64) - intercept) / slope
        data.PixelData = np.rint(stored).astype("<i2").tobytes()
        for keyword, value in elements.items():
            setattr(data, keyword, value)
        data.save_as(path, enforce_file_format=True)
        paths.append(path)
    return paths


def change(path: Path, **elements) -> None:
    """Change elements of a DICOM file; None deletes one."""
    import pydicom

    data = pydicom.dcmread(path)
    for keyword, value in elements.items():
        if value is None:
            delattr(data, keyword)
        else:
            setattr(data, keyword, value)
    data.save_as(path)


def rotation(angles=(0.2, -0.3, 0.4)) -> np.ndarray:
    """Return a rotation matrix from three angles in radians."""
    from scipy.spatial.transform import Rotation

    return Rotation.from_euler("xyz", angles).as_matrix()
