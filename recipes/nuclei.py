"""Train the bundled model `nuclei` in two stages.

    python recipes/nuclei.py DATA OUT

DATA contains `train/` and `val/`, each with `images/` and `masks/` (instance ids): BBBC038, stage 1
of the 2018 Data Science Bowl, CC0. Each training stage takes about an hour on two cores. At the
end, the weights are written in half precision, which halves the file size.
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

STAGE_1 = TrainingSettings(
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
"""From scratch: `unimask-nano`, 4.6 million parameters. Most queries are selected from the image,
so a smaller share of them than in the paper is matched with "no object". Its weight is 0.4 instead
of 0.1, which also calibrates the scores."""

STAGE_2 = replace(
    STAGE_1,
    steps=3200,
    seed=1,
    learning_rate=4e-4,
    backbone_rate=1.0,
    augmentation=replace(
        STAGE_1.augmentation, min_scale=0.6, max_scale=1.4, noise=4.0, blur=0.8, grey=0.1
    ),
)
"""From the weights of stage 1, which scored no higher on training than on validation images: more
steps and weaker augmentation. The backbone was not pretrained on other data, so it trains at the
full learning rate."""

STAGES = (STAGE_1, STAGE_2)

OBJECT_THRESHOLD = 0.5
"""Minimum panoptic score of a query; the usual 0.8 suits a "no object" weight of 0.1."""

MIN_VISIBLE = 0.7
"""Minimum visible share of a nucleus. Labelled nuclei do not overlap, so one that is hidden by more
than 30 % is a duplicate."""


def publish(weights: Path, target: Path) -> None:
    """Write a model folder with weights in half precision and the thresholds above."""
    checkpoint = read_huggingface(weights)
    state = {name: tensor.half() for name, tensor in checkpoint.state.items()}
    rules = replace(
        checkpoint.description.postprocessing,
        object_threshold=OBJECT_THRESHOLD,
        min_visible=MIN_VISIBLE,
    )
    description = replace(checkpoint.description, postprocessing=rules)
    write_huggingface(target, Checkpoint(description, state))


def finished(folder: Path, settings: TrainingSettings) -> bool:
    """Return whether a stage has taken all its steps."""
    rows = RunFolder(folder).rows()
    return bool(rows) and int(rows[-1]["step"]) == settings.steps


def main(data: Path, out: Path) -> None:
    """Run the unfinished stages, each from the previous one's weights, then publish the model."""
    model = "unimask-nano"
    for number, settings in enumerate(STAGES, 1):
        folder = out / f"stage{number}"
        if not finished(folder, settings):
            resume = (folder / "state.pt").exists()
            run = train(data, model, out=folder, names=NAMES, settings=settings, resume=resume)
            if not run.finished:
                return
        model = str(folder / "weights" / "last")
    publish(Path(model), out / "nuclei")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
