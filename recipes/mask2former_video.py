"""Train Mask2Former for video on YouTube-VIS with the settings of its authors.

    python recipes/mask2former_video.py 2019 DATA WEIGHTS OUT
    torchrun --nproc-per-node 8 recipes/mask2former_video.py 2021 DATA WEIGHTS OUT

WEIGHTS is the authors' network for COCO instances with ResNet-50, `model_final_3c8ec9.pkl`. A batch
has 16 clips of 2 frames, in any number of processes that divides 16.

Differences from the released configurations: the scale is drawn log-uniformly between their two
sizes (360 and 480), square crops of 640 pixels replace whole frames, and the learning rate decays
polynomially instead of to a tenth after two thirds of the run. Padding has no loss.
"""

import os
import sys
from dataclasses import dataclass
from pathlib import Path

from unimask.datasets.transforms import Augmentation
from unimask.published.model_configs import MODEL_CONFIGS
from unimask.training import TrainingSettings, train

CLIPS = 16
"""Number of clips per step."""

STEPS = {"2019": 6000, "2021": 8000}


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Training recipe of a published network.

    Attributes:
        model: Name of the published configuration.
        expected: Published scores of tracks, in percent.
        settings: Training settings.
    """

    model: str
    expected: dict[str, float]
    settings: TrainingSettings


def build_recipe(year: str) -> Recipe:
    """Build the recipe for YouTube-VIS 2019 or 2021."""
    model = f"mask2former-resnet50-youtube-vis-{year}-instance"
    steps = STEPS[year]
    settings = TrainingSettings(
        steps=steps,
        clips=True,
        batch_size=1,
        accumulate=CLIPS // int(os.environ.get("WORLD_SIZE", "1")),
        learning_rate=1e-4,
        backbone_rate=0.1,
        weight_decay=0.05,
        clip_norm=0.01,
        warmup_steps=10,
        precision="bfloat16",
        ema_decay=0.0,
        workers=4,
        evaluate_every=steps // 4,
        save_every=500,
        preprocessing=MODEL_CONFIGS[model].preprocessing(),
        augmentation=Augmentation(crop=640, min_scale=1.0, max_scale=480 / 360, colour=0.0),
    )
    return Recipe(
        model=model, expected={"AP": {"2019": 46.4, "2021": 40.6}[year]}, settings=settings
    )


def main(year: str, data: Path, weights: Path, out: Path) -> None:
    """Train, or resume an interrupted run."""
    resume = (out / "state.pt").exists()
    settings = build_recipe(year).settings
    train(data, str(weights), out=out, resume=resume, settings=settings)


if __name__ == "__main__":
    main(sys.argv[1], *map(Path, sys.argv[2:]))
