"""Places of tracked objects: motion, size and extent, as arrays with a row for each track."""

import numpy as np
from jaxtyping import Bool, Float

from unimask.tracking.motion import POSITION_NOISE, Motions, Rows

EXTENT_DECAY = 0.98
"""Factor per observation of the known extent of an object that appears smaller."""

INTERVAL_NOISE = 0.5
"""Standard deviation of a position in an interval of possible ones that contains the prediction, as
a share of its length. It is larger than that of a uniform distribution, because such measurements
agree with many velocities: the box of a half hidden object may stand still while the object moves.
"""

EXIT_DEVIATIONS = 0.5
"""Distance from the image, in standard deviations of the predicted position, from which on an
object that left is not expected back."""

MIN_NOISE = 0.5
"""Smallest standard deviation of a measured position in pixels."""


class Places:
    """Places of all tracks, initially none.

    Attributes:
        motions: Predicted positions, those of the middle of the known extents.
        sizes: Square root of the area of each object in pixels.
        extents: Width and height of each object in pixels, hidden parts included.
        last_positions: Position of each object when it was last seen.
    """

    def __init__(self) -> None:
        self.motions = Motions()
        self.sizes: Float[np.ndarray, " t"] = np.zeros(0)
        self.extents: Float[np.ndarray, "t 2"] = np.zeros((0, 2))
        self.last_positions: Float[np.ndarray, "t 2"] = np.zeros((0, 2))

    @property
    def shifts(self) -> Float[np.ndarray, "t 2"]:
        """Predicted columns and rows in pixels from the last observation to the present."""
        return self.motions.positions - self.last_positions

    def append(self, boxes: Float[np.ndarray, "n 4"], sizes: Float[np.ndarray, " n"]) -> None:
        """Add objects.

        Args:
            boxes: First column and row, and those after the last, of each object.
            sizes: Square roots of their areas in pixels.
        """
        middles = (boxes[:, :2] + boxes[:, 2:]) / 2
        self.motions.append(middles, sizes)
        self.sizes = np.concatenate([self.sizes, sizes])
        self.extents = np.concatenate([self.extents, boxes[:, 2:] - boxes[:, :2]])
        self.last_positions = np.concatenate([self.last_positions, middles])

    def keep(self, rows: Rows) -> None:
        """Retain only these objects, in this order."""
        self.motions.keep(rows)
        self.sizes, self.extents = self.sizes[rows], self.extents[rows]
        self.last_positions = self.last_positions[rows]

    def predict(self, step: float) -> None:
        """Move the predicted positions forward by a number of steps."""
        self.motions.predict(step, self.sizes)

    def measure(
        self, rows: Rows, boxes: Float[np.ndarray, "#k n 4"]
    ) -> tuple[Float[np.ndarray, "k n 2"], Float[np.ndarray, "k n 2"]]:
        """Return the positions that boxes of objects imply, and their standard deviations.

        A box smaller than the object, which is partly hidden, allows an interval of positions, as
        does a larger one, when more of the object becomes visible. The one closest to the
        prediction is taken: the middle of the box moves at another speed than the object.

        Args:
            rows: Objects.
            boxes: First column and row, and those after the last, of each observation; the first
                axis has the observations of each object, or is 1 if they are the same for all.
        """
        half = self.extents[rows][:, None] / 2
        predicted = self.motions.positions[rows][:, None]
        first, second = boxes[..., 2:] - half, boxes[..., :2] + half
        lowest, highest = np.minimum(first, second), np.maximum(first, second)
        position = predicted.clip(lowest, highest)
        is_inside = (predicted > lowest) & (predicted < highest)
        noise = (POSITION_NOISE * self.sizes[rows] + MIN_NOISE)[:, None, None]
        return position, noise + INTERVAL_NOISE * is_inside * (highest - lowest)

    def squared_distances(
        self, rows: Rows, boxes: Float[np.ndarray, "n 4"]
    ) -> Float[np.ndarray, "k n"]:
        """Compute the squared Mahalanobis distance of each box from each object."""
        return self.motions.squared_distances(rows, *self.measure(rows, boxes[None]))

    def update(
        self, rows: Rows, boxes: Float[np.ndarray, "k 4"], sizes: Float[np.ndarray, " k"]
    ) -> None:
        """Continue objects by one observation each, with its box and size."""
        positions, noise = self.measure(rows, boxes[:, None])
        self.motions.update(rows, positions[:, 0], noise[:, 0])
        extents = boxes[:, 2:] - boxes[:, :2]
        known = self.extents[rows]
        # The position is that of the middle of the known extent.
        middles = (boxes[:, :2] + boxes[:, 2:]) / 2
        updated = np.where(extents > known, middles, self.motions.positions[rows])
        self.motions.positions[rows] = self.last_positions[rows] = updated
        self.extents[rows] = np.maximum(extents, EXTENT_DECAY * known)
        self.sizes[rows] = np.maximum(sizes, EXTENT_DECAY * self.sizes[rows])

    def is_near(self, size: tuple[int, int]) -> Bool[np.ndarray, " t"]:
        """Return which objects may be in the image of this height and width."""
        reach = self.extents / 2 + EXIT_DEVIATIONS * self.motions.deviations
        positions = self.motions.positions
        is_near = (positions >= -reach) & (positions <= np.array(size[::-1]) + reach)
        return np.logical_and(is_near[:, 0], is_near[:, 1])
