"""Classes of polygons on the ground, from a property of any name."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Int

from unimask.datasets.interface import DatasetOptions
from unimask.datasets.maps.class_table import is_void
from unimask.datasets.objects.collector import UNLABELLED, name_only_class
from unimask.datasets.objects.dataset import VOID_LABEL, build_object_labels
from unimask.datasets.scenes.vector_file import VectorFile
from unimask.errors import DataError, SettingsError
from unimask.labels import LabelSet

CLASS_PROPERTIES = ("label", "class", "classification", "class_name", "category", "landcover")
"""Names of properties that hold the class, in lower case, the most likely first."""


class PolygonClasses:
    """Classes of the polygons of all files of a dataset.

    Args:
        folder: Folder of the dataset.
        files: Files of all splits.
        options: Options with a property that holds the class, or the name of the only class.

    Raises:
        DataError: No polygon has the property.
        SettingsError: The user gives other names than the files do.
    """

    def __init__(self, folder: Path, files: Sequence[VectorFile], options: DatasetOptions) -> None:
        self.attribute = find_class_property(folder, files, options.attribute)
        if self.attribute is None:
            self.label_names = [name_only_class(folder, options)]
            self.note = "all polygons are of one class"
        else:
            self.label_names = order_names(files, self.attribute)
            self.note = f"classes from the property {self.attribute!r}"
            self.apply_names(folder, options.names)
        known = [name for name in self.label_names if not is_void(name)]
        self.labels: LabelSet = build_object_labels(known)
        self.label_ids = {name: self.labels.names.index(name) for name in known}

    def apply_names(self, folder: Path, names: tuple[str, ...] | None) -> None:
        """Order the classes as the user does.

        Raises:
            SettingsError: The user's names are not those of the files.
        """
        if names is None:
            return
        known = [name for name in self.label_names if not is_void(name)]
        given = [name for name in names if name in known or name != "background"]
        if sorted(given) != sorted(known):
            raise SettingsError(
                f"--names cannot rename or choose classes here: {folder} names its own "
                f"({', '.join(known)}); leave --names out, or change them in its files"
            )
        self.label_names = [*given, *(name for name in self.label_names if is_void(name))]

    def read(self, file: VectorFile) -> Int[np.ndarray, " n"]:
        """Return the label id of each polygon of a file, `VOID_LABEL` for ignored ones."""
        if self.attribute is None:
            return np.zeros(len(file.shapes), np.int64)
        names = file.names(find_field(file, self.attribute) or self.attribute)
        ids = [self.label_ids.get(name or UNLABELLED, VOID_LABEL) for name in names]
        return np.array(ids, np.int64)


def find_class_property(
    folder: Path, files: Sequence[VectorFile], attribute: str | None
) -> str | None:
    """Return the property that holds the class; None if no polygon has one.

    Raises:
        DataError: No polygon has the property that the user names.
    """
    for name in CLASS_PROPERTIES if attribute is None else (attribute,):
        for file in files:
            field = find_field(file, name)
            if field is not None and any(file.names(field)):
                return field
    if attribute is not None:
        known = ", ".join(list(files[0].properties)[:8]) if files else ""
        raise DataError(
            f"no polygon of {folder} has the property {attribute} (there are {known or 'none'}): "
            "choose another"
        )
    return None


def find_field(file: VectorFile, name: str) -> str | None:
    """Return a property of a file by its name in any case; None if there is none."""
    return next((field for field in file.properties if field.lower() == name.lower()), None)


def order_names(files: Sequence[VectorFile], attribute: str) -> list[str]:
    """Return the names of the classes, in the order of their label ids, or else by name."""
    first: dict[str, float] = {}
    for file in files:
        names = file.names(find_field(file, attribute) or attribute)
        ids = file.properties.get("label_id", np.full(len(names), np.nan)).tolist()
        for name, label_id in zip(names, ids, strict=True):
            number = float(label_id) if isinstance(label_id, int | float) else np.inf
            number = np.inf if np.isnan(number) else number
            first[name or UNLABELLED] = min(first.get(name or UNLABELLED, np.inf), number)
    return sorted(first, key=lambda name: (first[name], name))
