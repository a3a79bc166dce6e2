"""How right a prediction is: streams of pictures in, percentages out."""

from unimask.metrics.average_precision import AveragePrecision
from unimask.metrics.matched_precision import MatchedPrecision
from unimask.metrics.mean_iou import MeanIoU
from unimask.metrics.object_ious import box_ious, mask_ious
from unimask.metrics.objects import Objects
from unimask.metrics.panoptic_quality import PanopticQuality

__all__ = [
    "AveragePrecision",
    "MatchedPrecision",
    "MeanIoU",
    "Objects",
    "PanopticQuality",
    "box_ious",
    "mask_ious",
]
