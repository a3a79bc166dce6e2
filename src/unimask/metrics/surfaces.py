"""Dice and HD95 per image, the metrics of medical image segmentation."""

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.ndimage import binary_erosion, distance_transform_edt

from unimask.labels import LabelSet
from unimask.metrics.panoptic_quality import mean_percent


class SurfaceAgreement:
    """Dice and the 95th percentile of surface distances (HD95) per class, averaged over images.

    A class counts in the images where it is true or predicted. Where it is only one of them, its
    Dice is 0 and its distance undefined, which the mean distance excludes.

    Args:
        labels: Classes to evaluate.
    """

    def __init__(self, labels: LabelSet) -> None:
        self.labels = labels
        self.dice: list[list[float]] = [[] for _ in labels.names]
        self.distances: list[list[float]] = [[] for _ in labels.names]

    def update(
        self, predicted: Int[np.ndarray, "h w"], ground_truth: Int[np.ndarray, "h w"]
    ) -> None:
        """Add an image.

        Args:
            predicted: Label ids; -1 for none.
            ground_truth: Label ids of the ground truth; -1 for unlabelled pixels, which are
                ignored.
        """
        is_labelled = ground_truth >= 0
        for label in np.union1d(predicted[is_labelled], ground_truth[is_labelled]).tolist():
            if label < 0:
                continue
            predicted_mask, true_mask = (predicted == label) & is_labelled, ground_truth == label
            shared = np.count_nonzero(predicted_mask & true_mask)
            total = np.count_nonzero(predicted_mask) + np.count_nonzero(true_mask)
            self.dice[label].append(2 * shared / total)
            if predicted_mask.any() and true_mask.any():
                self.distances[label].append(hausdorff_95(predicted_mask, true_mask))

    def compute(self) -> dict[str, float | None]:
        """Return the means over classes: Dice in percent, HD95 in pixels; None if undefined."""
        means: dict[str, float | None] = {}
        for name in ("Dice", "HD95"):
            values = [row[name] for row in self.per_class().values()]
            defined = [value for value in values if value is not None]
            means[name] = float(np.mean(defined)) if defined else None
        return means

    def per_class(self) -> dict[str, dict[str, float | None]]:
        """Return mean Dice (percent) and HD95 (pixels) of each class; None if undefined."""
        columns = zip(self.labels.names, self.dice, self.distances, strict=True)
        return {
            name: {
                "Dice": mean_percent(np.array(dice)),
                "HD95": float(np.mean(distances)) if distances else None,
            }
            for name, dice, distances in columns
        }


def hausdorff_95(first: Bool[np.ndarray, "h w"], second: Bool[np.ndarray, "h w"]) -> float:
    """Compute the 95th percentile of the distances between two outlines, both ways, in pixels.

    Neither mask may be empty. An outline consists of the mask's pixels that share a side with a
    pixel outside the mask or with the image border.
    """
    surfaces = surface_pixels(first), surface_pixels(second)
    distances = [
        distance_to_nearest(surfaces[1])[surfaces[0]],
        distance_to_nearest(surfaces[0])[surfaces[1]],
    ]
    return float(np.percentile(np.concatenate(distances), 95))


def surface_pixels(mask: Bool[np.ndarray, "h w"]) -> Bool[np.ndarray, "h w"]:
    """Mark the pixels of a mask that share a side with a pixel outside it."""
    return mask & ~np.asarray(binary_erosion(mask), bool)


def distance_to_nearest(mask: Bool[np.ndarray, "h w"]) -> Float[np.ndarray, "h w"]:
    """Compute the distance in pixels from each pixel to the nearest pixel of a mask."""
    return np.asarray(distance_transform_edt(~mask))
