"""Options that `Predictor.predict` and `Predictor.stream` share, for their overloads."""

from typing import Literal, TypedDict

from unimask.inference.augmentation import Augmentations
from unimask.inference.tiles import TileOption
from unimask.processing.images import Window

OnError = Literal["raise", "yield"]
"""What `Predictor.stream` does with the error of an image that cannot be read."""


class PredictOptions(TypedDict, total=False):
    """Keyword arguments; see `Predictor.predict`."""

    threshold: float | None
    batch_size: int
    window: Window
    max_pixels: int
    retain_confidence: bool
    tile: TileOption
    overlap: float
    scale: float
    tta: bool | Augmentations
