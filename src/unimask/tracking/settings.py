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


MAX_CLIP_PIXELS = 30 * 480 * 864
"""Largest number of pixels of all frames of a clip in the network's input, unless its length is
given: a process with ResNet-50 stays below 4 GB (`benchmarks/clip_memory.py`)."""

MAX_CLIP_BYTES = 2**29
"""Largest size of the images of a clip, unless its length is given."""

MIN_CLIP = 4
"""Smallest number of frames of a clip, unless its length is given."""


@dataclass(frozen=True)
class ClipSettings:
    """How networks that segment clips divide a video.

    A video that is not longer than a clip is segmented as a whole. A longer one is segmented in
    clips that overlap, and objects are matched on the frames that two clips share.

    Attributes:
        length: Number of frames of a clip; None for as many as have 12 million pixels in the
            network's input, and 512 MB of images.
        overlap: Number of frames that a clip shares with the one before; None for a quarter.

    Raises:
        SettingsError: A value is out of range.
    """

    length: int | None = None
    overlap: int | None = None

    def __post_init__(self) -> None:
        """Validate the settings."""
        if self.length is not None and self.length < 2:
            raise SettingsError(f"clips of {self.length} frames: pass at least 2")
        if self.overlap is not None and not 1 <= self.overlap < (self.length or MIN_CLIP):
            raise SettingsError(
                f"an overlap of {self.overlap} frames must be at least 1, and less than "
                f"{self.length or MIN_CLIP}"
            )

    def resolve(self, pixels: int, image_bytes: int) -> tuple[int, int]:
        """Return the number of frames of a clip, and of those that it shares with the next.

        Args:
            pixels: Number of pixels of a frame in the network's input.
            image_bytes: Size of the image of a frame.
        """
        fitting = min(MAX_CLIP_PIXELS // pixels, MAX_CLIP_BYTES // image_bytes)
        length = self.length or max(MIN_CLIP, fitting)
        overlap = self.overlap or max(1, length // 4)
        return length, min(overlap, length - 1)
