"""Loss weights, and the points or pixels at which losses compare masks."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, kw_only=True, slots=True)
class CriterionConfig:
    """Mask2Former's losses at sampled points; the matcher uses the same weights (section 3.3).

    Attributes:
        class_weight: Weight of the cross entropy over classes.
        mask_weight: Weight of the binary cross entropy at the sampled points.
        dice_weight: Weight of the dice loss at the sampled points.
        contrastive_weight: Weight of the contrastive loss between queries and texts, if the network
            has texts.
        no_object_weight: Weight of the "no object" class in the cross entropy.
        num_points: Number of points sampled per mask.
        matching: Where the matcher compares masks: "points" for `num_points` random points, as in
            the papers, or "cells" for every cell of the predicted masks, which is cheaper for
            small crops, and equal in every step.
        dice_smoothing: Number added to numerator and denominator of the dice loss and cost, as a
            fraction of the points or cells that are compared; None for 1, as in the papers.
        oversample_ratio: Number of candidates drawn per selected point.
        importance_ratio: Fraction of the points selected where the prediction is most uncertain.
        ignore_void: Whether losses skip ignored pixels; False treats them as background, as the
            authors' code does.
        per_process_means: True averages the class loss over the images of each process, and counts
            at least one mask per process, as the authors' code does; False makes several processes
            compute the same loss as one process with all images.
    """

    kind: Literal["points"] = "points"
    class_weight: float = 2.0
    mask_weight: float = 5.0
    dice_weight: float = 5.0
    contrastive_weight: float = 0.5
    no_object_weight: float = 0.1
    num_points: int = 12544
    matching: Literal["points", "cells"] = "points"
    dice_smoothing: float | None = None
    oversample_ratio: float = 3.0
    importance_ratio: float = 0.75
    ignore_void: bool = True
    per_process_means: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class DenseCriterionConfig:
    """MaskFormer's losses at every pixel; the matcher uses the same weights (section 3.2).

    Attributes:
        class_weight: Weight of the cross entropy over classes.
        mask_weight: Weight of the focal loss of masks.
        dice_weight: Weight of the dice loss of masks.
        no_object_weight: Weight of the "no object" class in the cross entropy.
        focal_alpha: Weight of pixels inside the mask in the focal loss, from 0 to 1 (Lin et al.
            2017).
        focal_gamma: Exponent that reduces the focal loss of pixels that are already correct.
        ignore_void: Whether losses skip ignored pixels; False treats them as background, as the
            authors' code does.
        per_process_means: True averages the class loss over the images of each process, and counts
            at least one mask per process, as the authors' code does; False makes several processes
            compute the same loss as one process with all images.
    """

    kind: Literal["dense"] = "dense"
    class_weight: float = 1.0
    mask_weight: float = 20.0
    dice_weight: float = 1.0
    no_object_weight: float = 0.1
    focal_alpha: float = 0.25
    focal_gamma: float = 2.0
    ignore_void: bool = True
    per_process_means: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class BoxCriterionConfig:
    """DETR's losses; the matcher uses the same weights of classes and boxes (appendix A.2).

    Attributes:
        class_weight: Weight of the cross entropy over classes.
        box_weight: Weight of the L1 distance between boxes.
        giou_weight: Weight of one minus the generalized IoU of boxes.
        mask_weight: Weight of the focal loss of masks.
        dice_weight: Weight of the dice loss of masks.
        no_object_weight: Weight of the "no object" class in the cross entropy.
        focal_alpha: As in `DenseCriterionConfig`.
        focal_gamma: As in `DenseCriterionConfig`.
        ignore_void: As in `DenseCriterionConfig`.
        per_process_means: As in `DenseCriterionConfig`.
    """

    kind: Literal["boxes"] = "boxes"
    class_weight: float = 1.0
    box_weight: float = 5.0
    giou_weight: float = 2.0
    mask_weight: float = 1.0
    dice_weight: float = 1.0
    no_object_weight: float = 0.1
    focal_alpha: float = 0.25
    focal_gamma: float = 2.0
    ignore_void: bool = True
    per_process_means: bool = False


LossConfig = CriterionConfig | DenseCriterionConfig | BoxCriterionConfig
