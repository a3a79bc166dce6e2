"""Train Mask2Former with the settings of its authors; their published scores are included.

    python recipes/mask2former.py coco DATA BACKBONE OUT
    torchrun --nproc-per-node 8 recipes/mask2former.py ade20k DATA BACKBONE OUT

BACKBONE is a file of ImageNet weights for the model's backbone: the Swin authors'
`swin_tiny_patch4_window7_224.pth`, or for Mapillary detectron2's `R-50.pkl`. The batch size per
process is 2; any number of processes that divides 8 gives the papers' 16 images per step.

Differences from the released configurations: the scale is drawn log-uniformly from its range,
relative to the test size; for Cityscapes, square crops replace crops of 512 x 1024 pixels with
about the same area; padding and unlabelled pixels have no loss (docs/numerics.md).
"""

import os
import sys
from dataclasses import dataclass
from pathlib import Path

from unimask.datasets.transforms import Augmentation
from unimask.training import TrainingSettings, train

IMAGES, AT_ONCE = 16, 2


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Training recipe of a published model.

    Attributes:
        model: Name of the published configuration: architecture, test size and post-processing.
        expected: Published scores, in percent.
        settings: Training settings.
    """

    model: str
    expected: dict[str, float]
    settings: TrainingSettings


def build_settings(steps: int, schedule: str, augmentation: Augmentation) -> TrainingSettings:
    """Build settings with the shared values: 16 images, AdamW at 1e-4, a tenth for the backbone."""
    processes = int(os.environ.get("WORLD_SIZE", "1"))
    return TrainingSettings(
        steps=steps,
        batch_size=AT_ONCE,
        accumulate=IMAGES // AT_ONCE // processes,
        learning_rate=1e-4,
        backbone_rate=0.1,
        weight_decay=0.05,
        clip_norm=0.01,
        schedule=schedule,  # type: ignore[arg-type]
        warmup_steps=10 if schedule == "step" else 0,
        precision="bfloat16",
        ema_decay=0.0,
        workers=8,
        evaluate_every=steps // 10,
        save_every=1000,
        augmentation=augmentation,
    )


def recipes() -> dict[str, Recipe]:
    """Return all recipes by dataset name."""
    return {
        "coco": Recipe(  # large-scale jitter, 50 epochs, no colour augmentation
            model="mask2former-swin-tiny-coco-panoptic",
            expected={"PQ": 53.2, "AP": 43.3, "mIoU": 63.2},
            settings=build_settings(
                368_750, "step", Augmentation(crop=1024, min_scale=0.1, max_scale=2.0, colour=0.0)
            ),
        ),
        "ade20k": Recipe(
            model="mask2former-swin-tiny-ade20k-semantic",
            expected={"mIoU": 47.7},
            settings=build_settings(160_000, "poly", Augmentation(crop=512)),
        ),
        "cityscapes": Recipe(
            model="mask2former-swin-tiny-cityscapes-panoptic",
            expected={"PQ": 63.9, "AP": 39.1, "mIoU": 80.5},
            settings=build_settings(90_000, "poly", Augmentation(crop=736)),
        ),
        "mapillary": Recipe(  # published only with Swin-L and ResNet-50
            model="mask2former-resnet50-mapillary-vistas-panoptic",
            expected={"PQ": 36.3, "mIoU": 50.7},
            settings=build_settings(300_000, "poly", Augmentation(crop=1024)),
        ),
    }


def main(name: str, data: Path, backbone: Path, out: Path) -> None:
    """Train, or resume an interrupted run."""
    recipe = recipes()[name]
    train(
        data,
        recipe.model,
        out=out,
        resume=(out / "state.pt").exists(),
        settings=recipe.settings,
        backbone_weights=str(backbone),
    )


if __name__ == "__main__":
    main(sys.argv[1], *map(Path, sys.argv[2:]))
