"""Motion of an object: a Kalman filter of position and constant velocity for each axis."""

import numpy as np
from jaxtyping import Float

POSITION_NOISE = 0.05
"""Standard deviation of a measured position, as a share of the object's size."""

VELOCITY_NOISE = 0.03
"""Standard deviation of the change of the velocity in one step, as a share of the size."""

FIRST_VELOCITY = 0.5
"""Standard deviation of the unknown velocity of a new object, as a share of its size per step."""

Pair = Float[np.ndarray, " 2"]
"""One number for each axis: along columns, then along rows."""


class Motion:
    """State of the filter.

    Args:
        position: Column and row of the object in pixels.
        size: Square root of the object's area in pixels, the unit of all noise.
    """

    def __init__(self, position: Pair, size: float) -> None:
        self.position = position
        self.velocity = np.zeros(2)
        self.covariance = np.zeros((2, 2, 2))
        self.covariance[:, 0, 0] = (POSITION_NOISE * size) ** 2
        self.covariance[:, 1, 1] = (FIRST_VELOCITY * size) ** 2

    def predict(self, step: float, size: float) -> None:
        """Move the state forward by a number of steps."""
        self.position = self.position + step * self.velocity
        transition = np.array([[1.0, step], [0.0, 1.0]])
        noise = np.array([[step**3 / 3, step**2 / 2], [step**2 / 2, step]])
        self.covariance = transition @ self.covariance @ transition.T
        self.covariance += noise * (VELOCITY_NOISE * size) ** 2

    def squared_distances(
        self, positions: Float[np.ndarray, "n 2"], noise: Float[np.ndarray, "n 2"]
    ) -> Float[np.ndarray, " n"]:
        """Compute squared Mahalanobis distances of measured positions from the predicted one.

        Args:
            positions: Columns and rows in pixels.
            noise: Standard deviations of the measurements in pixels.
        """
        difference = positions - self.position
        return (difference**2 / (self.covariance[:, 0, 0] + noise**2)).sum(1)

    def update(self, position: Pair, noise: Pair) -> None:
        """Correct the state by a measured position and its standard deviations in pixels."""
        variance = self.covariance[:, 0, 0] + noise**2
        gain = self.covariance[:, :, 0] / variance[:, None]
        difference = position - self.position
        self.position = self.position + gain[:, 0] * difference
        self.velocity = self.velocity + gain[:, 1] * difference
        self.covariance = self.covariance - gain[:, :, None] * self.covariance[:, None, 0]
