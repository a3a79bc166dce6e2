"""Metrics that accumulate over a stream of images and return percentages."""

from unimask.metrics.average_precision import AveragePrecision
from unimask.metrics.boundaries import BoundaryIoU, boundary_ious
from unimask.metrics.calibration import CalibrationError
from unimask.metrics.cityscapes_precision import CityscapesPrecision
from unimask.metrics.matched_precision import MatchedPrecision
from unimask.metrics.mean_iou import MeanIoU
from unimask.metrics.object_ious import box_ious, count_pixels_inside, mask_ious
from unimask.metrics.objects import Objects
from unimask.metrics.panoptic_quality import PanopticQuality
from unimask.metrics.surfaces import SurfaceAgreement
from unimask.metrics.volume_scores import StructureScore, VolumeScores, score_structure

__all__ = [
    "AveragePrecision",
    "BoundaryIoU",
    "CalibrationError",
    "CityscapesPrecision",
    "MatchedPrecision",
    "MeanIoU",
    "Objects",
    "PanopticQuality",
    "StructureScore",
    "SurfaceAgreement",
    "VolumeScores",
    "boundary_ious",
    "box_ious",
    "count_pixels_inside",
    "mask_ious",
    "score_structure",
]
