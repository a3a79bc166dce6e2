"""Weights of losses, and where they compare masks."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, kw_only=True, slots=True)
class CriterionConfig:
    """Mask2Former's losses, at points; the matcher takes the weights for its costs (3.3).

    Attributes:
        class_weight: Cross entropy of the classes.
        mask_weight: Binary cross entropy at the sampled points.
        dice_weight: Dice at the sampled points.
        contrastive_weight: Contrast of queries and texts, where the network has texts.
        no_object_weight: Weight of the "no object" class in the cross entropy.
        num_points: Points sampled per mask.
        oversample_ratio: Candidates drawn per point kept.
        importance_ratio: Share of the points taken where the prediction is least certain.
        ignore_void: False counts ignored pixels as background, as the authors' code does.
        per_process_means: True averages the class loss over each process's own pictures, and counts
            at least one mask in each process, as the authors' code does; False makes several
            processes learn what one would with all their pictures.
    """

    kind: Literal["points"] = "points"
    class_weight: float = 2.0
    mask_weight: float = 5.0
    dice_weight: float = 5.0
    contrastive_weight: float = 0.5
    no_object_weight: float = 0.1
    num_points: int = 12544
    oversample_ratio: float = 3.0
    importance_ratio: float = 0.75
    ignore_void: bool = True
    per_process_means: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class DenseCriterionConfig:
    """MaskFormer's losses, at every pixel; the matcher takes the weights for its costs (3.2).

    Attributes:
        class_weight: Cross entropy of the classes.
        mask_weight: Focal loss of the masks.
        dice_weight: Dice of the masks.
        no_object_weight: Weight of the "no object" class in the cross entropy.
        focal_alpha: Share of a mask's inside in the focal loss (Lin et al. 2017).
        focal_gamma: How much less pixels count that are right already.
        ignore_void: False counts ignored pixels as background, as the authors' code does.
        per_process_means: True averages the class loss over each process's own pictures, and counts
            at least one mask in each process, as the authors' code does; False makes several
            processes learn what one would with all their pictures.
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


LossConfig = CriterionConfig | DenseCriterionConfig
