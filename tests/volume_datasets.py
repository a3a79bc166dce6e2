"""Datasets of volumes for tests, written and read again by nibabel."""

import json
from pathlib import Path

import numpy as np
from medical_files import rotation, volume_values

ORIENTATIONS = ("RAS", "LPS", "PSR", "AIL", "SRA")
SPACING = (0.7, 0.9, 2.5)


def label_values(values: np.ndarray) -> np.ndarray:
    """Return made-up labels 0, 1, 2 of values: air, tissue and the brightest voxels."""
    return ((values > -500).astype(np.uint8) + (values > 150)).astype(np.uint8)


def save_volume(
    path: Path, values: np.ndarray, codes: str = "RAS", *, angle: float = 0.0, **fields
):
    """Write values (x, y, z) as NIfTI whose voxels are in another order.

    Args:
        path: File.
        values: Values in the order RAS.
        codes: Order of the axes in the file.
        angle: Rotation of the grid in radians.
        fields: `spacing` in mm along x, y, z.
    """
    import nibabel
    from nibabel.orientations import axcodes2ornt, inv_ornt_aff, ornt_transform

    affine = np.eye(4)
    affine[:3, :3] = rotation((angle, -angle, angle / 2)) * fields.get("spacing", SPACING)
    affine[:3, 3] = 5, -7, 11
    change = ornt_transform(axcodes2ornt(tuple("RAS")), axcodes2ornt(tuple(codes)))
    turned = nibabel.apply_orientation(values, change)
    path.parent.mkdir(parents=True, exist_ok=True)
    nibabel.save(nibabel.Nifti1Image(turned, affine @ inv_ornt_aff(change, values.shape)), path)


def write_nnunet(folder: Path, *, count: int = 5, modality: str = "CT", channels: int = 1) -> Path:
    """Write a raw dataset of nnU-Net with cases of different orientations.

    Args:
        folder: Folder.
        count: Number of cases.
        modality: Name of each channel.
        channels: Number of images per case.
    """
    for index in range(count):
        values = volume_values((4 + index % 3, 20, 24), seed=index).T
        codes = ORIENTATIONS[index % len(ORIENTATIONS)]
        for channel in range(channels):
            path = folder / "imagesTr" / f"case_{index:03d}_{channel:04d}.nii.gz"
            save_volume(path, values * (1 + channel), codes, angle=0.05 * index)
        label = folder / "labelsTr" / f"case_{index:03d}.nii.gz"
        save_volume(label, label_values(values), codes, angle=0.05 * index)
    content = {
        "channel_names": {str(channel): modality for channel in range(channels)},
        "labels": {"background": 0, "tissue": 1, "bright": 2},
        "numTraining": count,
        "file_ending": ".nii.gz",
    }
    (folder / "dataset.json").write_text(json.dumps(content))
    return folder


def axial_slices(path: Path) -> np.ndarray:
    """Read a volume by nibabel as axial slices (n, h, w), displayed as in radiology."""
    import nibabel

    image = nibabel.as_closest_canonical(nibabel.load(path))
    return np.asarray(image.dataobj)[::-1, ::-1].transpose(2, 1, 0)


def windowed(values: np.ndarray, low: float, high: float) -> np.ndarray:
    """Map a window to 0..255."""
    scaled = (values.astype(np.float64) - low) * (255 / (high - low))
    return np.clip(np.rint(scaled), 0, 255).astype(np.uint8)
