"""Dice, HD95 and NSD of volumes in mm, per structure and per case."""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Integer

from unimask.errors import DataError, SettingsError
from unimask.metrics.volume_surfaces import robust_hausdorff, surface_dice, surface_distances

DEFAULT_TOLERANCE = 2.0
"""Tolerance of NSD in mm, unless a structure has its own."""


class StructureScore(NamedTuple):
    """Scores of a structure in a volume.

    Attributes:
        dice: Dice coefficient in percent; None if the structure is neither true nor predicted.
        hd95: 95th percentile of the distances of the surfaces in mm; None unless it is both.
        nsd: Normalised surface Dice in percent; None if it is neither, 0 if it is one of them.
    """

    dice: float | None
    hd95: float | None
    nsd: float | None


def score_structure(
    predicted: Bool[np.ndarray, "i j k"],
    ground_truth: Bool[np.ndarray, "x y z"],
    spacing: Sequence[float],
    tolerance: float = DEFAULT_TOLERANCE,
) -> StructureScore:
    """Score the mask of a structure in a volume.

    HD95 and NSD follow the convention of Nikolov et al. (2021), whose code is the package
    `surface-distance`: elements of surfaces count by area, HD95 is the larger percentile of both
    directions, and distances equal to the tolerance are within it.

    Args:
        predicted: Predicted mask.
        ground_truth: True mask.
        spacing: Distance of voxels along each axis in mm; axes count as perpendicular.
        tolerance: Distance in mm up to which surfaces agree in NSD.

    Raises:
        DataError: The masks differ in shape.
        SettingsError: The spacing or the tolerance is invalid.

    Example:
        >>> import numpy as np
        >>> from unimask.metrics import score_structure
        >>> truth = np.zeros((8, 8, 8), bool)
        >>> truth[2:6, 2:6, 2:6] = True
        >>> score_structure(np.roll(truth, 1, axis=0), truth, (3.0, 1.0, 1.0), tolerance=1.0).hd95
        3.0
    """
    check_grids(predicted, ground_truth, spacing)
    if not tolerance >= 0 or not math.isfinite(tolerance):
        raise SettingsError(f"tolerance {tolerance} must be a distance in mm, 0 or more")
    total = int(np.count_nonzero(predicted)) + int(np.count_nonzero(ground_truth))
    if not total:
        return StructureScore(None, None, None)
    dice = 200 * int(np.count_nonzero(predicted & ground_truth)) / total
    if not predicted.any() or not ground_truth.any():
        return StructureScore(dice, None, 0.0)
    distances = surface_distances(predicted, ground_truth, spacing)
    return StructureScore(
        dice, robust_hausdorff(distances), 100 * surface_dice(distances, tolerance)
    )


def check_grids(predicted: np.ndarray, ground_truth: np.ndarray, spacing: Sequence[float]) -> None:
    """Test that two arrays have one shape, and that the spacing is valid.

    Raises:
        DataError: The arrays differ in shape.
        SettingsError: The spacing is not three positive numbers.
    """
    if predicted.shape != ground_truth.shape:
        raise DataError(
            f"the prediction has {predicted.shape} voxels, the ground truth {ground_truth.shape}: "
            "resample one to the grid of the other"
        )
    if len(spacing) != 3 or not all(math.isfinite(each) and each > 0 for each in spacing):
        raise SettingsError(f"spacing {tuple(spacing)} must be three distances in mm")


class VolumeScores:
    """Dice, HD95 and NSD per structure and per case, and their means over cases.

    The mean of a structure is over the cases in which its score exists; the mean over structures is
    that of their means. HD95 does not exist where a structure was missed or invented: `missed`
    and `invented` count these cases, so that a mean distance is not read without them.

    Args:
        structures: Values of the structures in label maps, by name.
        tolerance: Tolerance of NSD in mm for all structures, or by name.

    Raises:
        SettingsError: A structure has no tolerance.

    Example:
        >>> import numpy as np
        >>> from unimask.metrics import VolumeScores
        >>> truth = np.zeros((8, 8, 8), np.uint8)
        >>> truth[2:6, 2:6, 2:6] = 1
        >>> scores = VolumeScores({"liver": 1, "spleen": 2}, tolerance=1.0)
        >>> scores.update("case 1", np.roll(truth, 1, axis=0), truth, (1.0, 1.0, 1.0))
        >>> scores.compute()
        {'Dice': 75.0, 'HD95': 1.0, 'NSD': 100.0}
    """

    def __init__(
        self, structures: Mapping[str, int], tolerance: float | Mapping[str, float] = 2.0
    ) -> None:
        self.structures = dict(structures)
        given = (
            tolerance if isinstance(tolerance, Mapping) else dict.fromkeys(structures, tolerance)
        )
        unknown = [name for name in structures if name not in given]
        if unknown:
            raise SettingsError(f"tolerance lacks {unknown[0]!r}: pass a distance in mm for each")
        self.tolerances = {name: float(given[name]) for name in structures}
        self.cases: dict[str, dict[str, StructureScore]] = {}
        self.missed = dict.fromkeys(structures, 0)
        self.invented = dict.fromkeys(structures, 0)

    def update(
        self,
        case: str,
        predicted: Integer[np.ndarray, "i j k"],
        ground_truth: Integer[np.ndarray, "x y z"],
        spacing: Sequence[float],
    ) -> None:
        """Add a case.

        Args:
            case: Name of the case, such as its file.
            predicted: Predicted label map.
            ground_truth: True label map.
            spacing: Distance of voxels along each axis in mm.

        Raises:
            DataError: The maps differ in shape, or the case was added before.
            SettingsError: The spacing is invalid.
        """
        if case in self.cases:
            raise DataError(f"case {case!r} was added before: give each case its own name")
        check_grids(predicted, ground_truth, spacing)
        scores = {}
        for name, value in self.structures.items():
            found, true = predicted == value, ground_truth == value
            scores[name] = score_structure(found, true, spacing, self.tolerances[name])
            self.missed[name] += bool(true.any() and not found.any())
            self.invented[name] += bool(found.any() and not true.any())
        self.cases[case] = scores

    def per_structure(self) -> dict[str, dict[str, float | None]]:
        """Return the means over cases: Dice and NSD in percent, HD95 in mm, and numbers of cases.

        `cases` is the number of cases with the structure; `missed` those where only the ground
        truth has it, `invented` those where only the prediction has it.
        """
        found = {}
        for name in self.structures:
            scores = [case[name] for case in self.cases.values()]
            found[name] = {
                "Dice": mean([score.dice for score in scores]),
                "HD95": mean([score.hd95 for score in scores]),
                "NSD": mean([score.nsd for score in scores]),
                "cases": sum(score.dice is not None for score in scores),
                "missed": self.missed[name],
                "invented": self.invented[name],
            }
        return found

    def compute(self) -> dict[str, float | None]:
        """Return the means over structures: Dice and NSD in percent, HD95 in mm."""
        rows = self.per_structure().values()
        return {name: mean([row[name] for row in rows]) for name in ("Dice", "HD95", "NSD")}


def mean(values: Sequence[float | None]) -> float | None:
    """Return the mean of the values that exist, None if there are none."""
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None
