"""Motion of objects: a Kalman filter of position and constant velocity for each object and axis.

The states of all objects are rows of arrays, because one operation on an array of a hundred rows
takes hardly longer than on one row.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

POSITION_NOISE = 0.05
"""Standard deviation of a measured position, as a share of the object's size."""

VELOCITY_NOISE = 0.03
"""Standard deviation of the change of the velocity in one step, as a share of the size."""

FIRST_VELOCITY = 0.5
"""Standard deviation of the unknown velocity of a new object, as a share of its size per step."""

Rows = Sequence[int] | np.ndarray
"""Indices of objects."""


class Motions:
    """States of the filters, initially of no object.

    Attributes:
        positions: Column and row of each object in pixels.
        velocities: Columns and rows per step.
        covariances: Covariance matrix of position and velocity for each object and axis.
    """

    def __init__(self) -> None:
        self.positions: Float[np.ndarray, "t 2"] = np.zeros((0, 2))
        self.velocities: Float[np.ndarray, "t 2"] = np.zeros((0, 2))
        self.covariances: Float[np.ndarray, "t 2 2 2"] = np.zeros((0, 2, 2, 2))

    @property
    def deviations(self) -> Float[np.ndarray, "t 2"]:
        """Standard deviations of the positions in pixels."""
        return np.sqrt(self.covariances[:, :, 0, 0])

    def append(self, positions: Float[np.ndarray, "n 2"], sizes: Float[np.ndarray, " n"]) -> None:
        """Add objects at rest.

        Args:
            positions: Columns and rows in pixels.
            sizes: Square roots of the objects' areas in pixels, the unit of all noise.
        """
        covariances = np.zeros((len(positions), 2, 2, 2))
        covariances[:, :, 0, 0] = ((POSITION_NOISE * sizes) ** 2)[:, None]
        covariances[:, :, 1, 1] = ((FIRST_VELOCITY * sizes) ** 2)[:, None]
        self.positions = np.concatenate([self.positions, positions])
        self.velocities = np.concatenate([self.velocities, np.zeros_like(positions)])
        self.covariances = np.concatenate([self.covariances, covariances])

    def keep(self, rows: Rows) -> None:
        """Retain only these objects, in this order."""
        self.positions = self.positions[rows]
        self.velocities = self.velocities[rows]
        self.covariances = self.covariances[rows]

    def predict(self, step: float, sizes: Float[np.ndarray, " t"]) -> None:
        """Move all states forward by a number of steps."""
        self.positions = self.positions + step * self.velocities
        transition = np.array([[1.0, step], [0.0, 1.0]])
        noise = np.array([[step**3 / 3, step**2 / 2], [step**2 / 2, step]])
        self.covariances = transition @ self.covariances @ transition.T
        self.covariances += noise * ((VELOCITY_NOISE * sizes) ** 2)[:, None, None, None]

    def squared_distances(
        self, rows: Rows, positions: Float[np.ndarray, "k n 2"], noise: Float[np.ndarray, "k n 2"]
    ) -> Float[np.ndarray, "k n"]:
        """Compute squared Mahalanobis distances of measured positions from the predicted ones.

        Args:
            rows: Objects.
            positions: Columns and rows in pixels that were measured for each object.
            noise: Standard deviations of the measurements in pixels.
        """
        difference = positions - self.positions[rows][:, None]
        variance = self.covariances[rows][:, None, :, 0, 0] + noise**2
        return (difference**2 / variance).sum(-1)

    def update(
        self, rows: Rows, positions: Float[np.ndarray, "k 2"], noise: Float[np.ndarray, "k 2"]
    ) -> None:
        """Correct states by measured positions and their standard deviations in pixels."""
        covariances = self.covariances[rows]
        variance = covariances[..., 0, 0] + noise**2
        gain = covariances[..., 0] / variance[..., None]
        difference = positions - self.positions[rows]
        self.positions[rows] += gain[..., 0] * difference
        self.velocities[rows] += gain[..., 1] * difference
        self.covariances[rows] = covariances - gain[..., None] * covariances[..., 0, None, :]
