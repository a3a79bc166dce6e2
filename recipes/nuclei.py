"""The recipe of the bundled model `nuclei`, leg by leg.

    python recipes/nuclei.py DATA OUT

DATA holds `train/` and `val/`, each with `images/` and `masks/` (instance ids): BBBC038, stage 1 of
the 2018 Data Science Bowl, CC0. One leg takes about an hour on two cores. `publish` writes the
weights of a finished run as half-precision numbers, which halves the file.
"""

import sys
from dataclasses import replace
from pathlib import Path

from unimask.checkpoints import Checkpoint, read_huggingface, write_huggingface
from unimask.config import CriterionConfig, PreprocessingConfig
from unimask.datasets.transforms import Augmentation
from unimask.training import TrainingSettings, train
from unimask.training.run_folder import RunFolder

NAMES = ("nucleus", "background")

LEG_1 = TrainingSettings(
    steps=3000,
    batch_size=6,
    learning_rate=5e-4,
    clip_norm=0.1,
    warmup_steps=100,
    schedule="cosine",
    precision="bfloat16",
    ema_decay=0.998,
    workers=1,
    evaluate_every=1000,
    preprocessing=PreprocessingConfig(shortest_edge=512, longest_edge=1024, stretch=True),
    augmentation=Augmentation(
        crop=256,
        min_scale=0.5,
        max_scale=1.5,
        rotate=True,
        gamma=0.4,
        invert=0.1,
        grey=0.2,
        noise=8.0,
        blur=1.5,
    ),
    criterion=CriterionConfig(num_points=2048, no_object_weight=0.4),
)
"""From scratch: `unimask-nano`, 4.6 million parameters. Most queries are cells of the image, so
"no object" is not as common as among the paper's queries: its weight is 0.4 instead of 0.1, and
scores mean what they say."""

LEG_2 = replace(
    LEG_1,
    steps=3200,
    seed=1,
    learning_rate=4e-4,
    backbone_rate=1.0,
    augmentation=replace(
        LEG_1.augmentation, min_scale=0.6, max_scale=1.4, noise=4.0, blur=0.8, grey=0.1
    ),
)
"""From leg 1's weights, which fitted train no better than val: more steps, gentler images. The
backbone was never pretrained on anything else, so it learns at the full rate."""

LEGS = (LEG_1, LEG_2)

OBJECT_THRESHOLD = 0.5
"""Hence panoptic results keep queries from one half on; 0.8 belongs to a weight of 0.1."""

MIN_VISIBLE = 0.7
"""Nuclei do not overlap in the truth: what better ones hide by a third is a duplicate."""


def publish(weights: Path, target: Path) -> None:
    """Write weights in half precision."""
    checkpoint: Checkpoint = read_huggingface(weights)
    state = {name: tensor.half() for name, tensor in checkpoint.state.items()}
    rules = replace(
        checkpoint.postprocessing, object_threshold=OBJECT_THRESHOLD, min_visible=MIN_VISIBLE
    )
    write_huggingface(target, replace(checkpoint, state=state, postprocessing=rules))


def finished(folder: Path, settings: TrainingSettings) -> bool:
    """Say whether a leg has taken all its steps."""
    rows = RunFolder(folder).rows()
    return bool(rows) and int(rows[-1]["step"]) == settings.steps


def main(data: Path, out: Path) -> None:
    """Run the legs that are not finished, each from the last one's weights, then publish."""
    model = "unimask-nano"
    for number, settings in enumerate(LEGS, 1):
        folder = out / f"leg{number}"
        if not finished(folder, settings):
            resume = (folder / "state.pt").exists()
            run = train(data, model, out=folder, names=NAMES, settings=settings, resume=resume)
            if not run.finished:
                return
        model = str(folder / "weights" / "last")
    publish(Path(model), out / "nuclei")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
