"""Result of a volume: label maps on its grid, and the files in which they are written."""

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from jaxtyping import Integer

from unimask.errors import SettingsError
from unimask.formats.output_folder import open_output_folder
from unimask.labels import LabelSet, Task
from unimask.volumes.dicom_seg_file import seg_bytes
from unimask.volumes.labelled_volume import VolumeStructure, class_values, table_rows
from unimask.volumes.nifti_labels import nifti_bytes
from unimask.volumes.planes import Plane
from unimask.volumes.volume import Volume

SUFFIXES = (
    ".nii.gz",
    ".nii",
    ".hdr",
    ".img",
    ".nrrd",
    ".nhdr",
    ".ome.tif",
    ".tif",
    ".tiff",
    ".dcm",
)
"""Suffixes of volumes that names of outputs omit."""


@dataclass(frozen=True, eq=False)
class VolumeResult:
    """Prediction for a volume.

    Attributes:
        task: Task that was predicted.
        labels: Classes of the network.
        volume: Volume that was segmented.
        plane: Plane of slicing.
        window: Values that became black and white; None for 8-bit values as they were.
        classes: Value of the class of each voxel on the grid of the volume: 0 for none and for the
            background, else see `values`.
        objects: Number of the object of each voxel from 1, 0 for none; None for semantic results.
        structures: Classes that occur, then objects, with their volumes.
        speed: Milliseconds per stage: "preprocess", "network" and "postprocess".
    """

    task: Task
    labels: LabelSet
    volume: Volume
    plane: Plane
    window: tuple[float, float] | None
    classes: Integer[np.ndarray, "i j k"] = field(repr=False)
    objects: Integer[np.ndarray, "i j k"] | None = field(repr=False)
    structures: tuple[VolumeStructure, ...]
    speed: dict[str, float] = field(default_factory=dict)

    @property
    def values(self) -> dict[str, int]:
        """Value of each class in `classes`, except for the background."""
        pairs = zip(self.labels.names, class_values(self.labels), strict=True)
        return {name: value for name, value in pairs if value}

    @property
    def stem(self) -> str:
        """Start of the names of output files: the name of the source without its suffix."""
        name = Path(self.volume.name).resolve().name
        for suffix in SUFFIXES:
            if name.lower().endswith(suffix) and len(name) > len(suffix):
                return name[: -len(suffix)]
        return name or "volume"

    def save(
        self, folder: str | Path, stem: str | None = None, *, seg: bool = False
    ) -> dict[str, Path]:
        """Write label maps on the grid of the volume, and the table of volumes.

        `STEM_classes.nii.gz` holds the classes, `STEM_objects.nii.gz` the numbers of objects
        (instance and panoptic), both with the affine and the geometry of the header of the source.
        `STEM_volumes.csv` holds the table, `STEM.json` everything else. `STEM_seg.dcm` is a DICOM
        SEG with a segment per class. Names and ids of patients, free text and private elements are
        not copied from the source.

        Args:
            folder: A new or empty folder, or one to which results were written before.
            stem: Start of the file names; by default the name of the source without its suffix.
            seg: Whether to write a DICOM SEG; the source must be DICOM.

        Returns:
            Paths of the written files: "classes", "objects", "table", "json" and "seg".

        Raises:
            MissingExtraError: A package of the extra `medical` is not installed.
            OutputError: The folder holds files of others, or cannot be written to; or the images
                lack what a DICOM SEG needs, after the other files were written.
            SettingsError: A DICOM SEG is requested, but the source is not DICOM; or nothing was
                found, after the other files were written.
        """
        stem = stem or self.stem
        contents = {"classes": (f"{stem}_classes.nii.gz", nifti_bytes(self.classes, self.volume))}
        if self.objects is not None:
            name = f"{stem}_objects.nii.gz"
            contents["objects"] = (name, nifti_bytes(self.objects, self.volume))
        contents["table"] = (f"{stem}_volumes.csv", to_csv(self.structures).encode())
        contents["json"] = (f"{stem}.json", json.dumps(self.to_dict(), indent=1).encode())
        if seg and self.volume.kind != "dicom":
            raise SettingsError(f"{self.volume.name} is no DICOM: a DICOM SEG refers to one")
        seg_name = f"{stem}_seg.dcm"
        output = open_output_folder(folder)
        output.check([*(name for name, _ in contents.values()), *([seg_name] if seg else [])])
        for name, data in contents.values():
            with output.new_file(name) as path:
                path.write_bytes(data)
        paths = {kind: Path(folder) / name for kind, (name, _) in contents.items()}
        if seg:  # last, because not all images have what it needs
            data = seg_bytes(self.classes, self.values, self.volume)
            with output.new_file(seg_name) as path:
                path.write_bytes(data)
            paths["seg"] = Path(folder) / seg_name
        return paths

    def to_dict(self) -> dict[str, object]:
        """Return everything except voxels as plain values."""
        return {
            "task": self.task,
            "shape": list(self.volume.shape),
            "spacing_mm": [round(each, 6) for each in self.volume.spacing],
            "plane": self.plane.name,
            "axis": self.plane.axis,
            "window": None if self.window is None else list(self.window),
            "values": self.values,
            "speed": {stage: round(ms, 3) for stage, ms in self.speed.items()},
            "structures": [
                {
                    "id": each.id,
                    "label": each.label,
                    "value": each.value,
                    "voxels": each.voxels,
                    "volume_ml": each.ml,
                    "components": each.components,
                    "slices": list(each.slices),
                    "score": each.score,
                }
                for each in self.structures
            ],
        }


def to_csv(structures: Sequence[VolumeStructure]) -> str:
    """Return the table of volumes as CSV."""
    stream = io.StringIO()
    csv.writer(stream, lineterminator="\n").writerows(table_rows(structures))
    return stream.getvalue()
