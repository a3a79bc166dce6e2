"""Settings of the tracker."""

from dataclasses import dataclass

from unimask.errors import SettingsError


@dataclass(frozen=True)
class TrackerSettings:
    """When tracks begin and end, and what decides which segment continues which track.

    Attributes:
        birth_steps: Number of consecutive results with an object before it gets an id; those of the
            first result get one at once.
        birth_score: Minimum score of an object to begin a track, 0 to 1.
        max_missing: Number of steps after which a track that was not seen ends. An object that
            appears again before keeps its id.
        overlap_weight: Weight of the IoU of a segment with the track's last mask, which is moved by
            the predicted motion.
        motion_weight: Weight of the distance from the predicted position.
        embedding_weight: Weight of the cosine similarity of query embeddings, where the network
            has them.

    Raises:
        SettingsError: A value is out of range.
    """

    birth_steps: int = 2
    birth_score: float = 0.5
    max_missing: float = 30
    overlap_weight: float = 1.0
    motion_weight: float = 1.0
    embedding_weight: float = 0.5

    def __post_init__(self) -> None:
        """Validate the settings."""
        if self.birth_steps < 1 or self.max_missing < 0:
            raise SettingsError(
                f"birth_steps {self.birth_steps} must be at least 1, and max_missing "
                f"{self.max_missing} not negative"
            )
        if not 0 <= self.birth_score <= 1:
            raise SettingsError(f"birth_score {self.birth_score} is not from 0 to 1")
        weights = (self.overlap_weight, self.motion_weight, self.embedding_weight)
        if min(weights) < 0 or self.overlap_weight + self.motion_weight == 0:
            raise SettingsError(
                f"weights {weights} must not be negative, and overlap_weight and motion_weight not "
                "both 0"
            )
