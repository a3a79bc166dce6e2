"""How right a prediction is: streams of pictures in, percentages out."""

from unimask.metrics.matched_precision import MatchedPrecision
from unimask.metrics.mean_iou import MeanIoU
from unimask.metrics.panoptic_quality import PanopticQuality

__all__ = ["MatchedPrecision", "MeanIoU", "PanopticQuality"]
