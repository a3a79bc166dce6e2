"""Train the bundled model `rendered-town`.

    python -m recipes.rendered_town DATA --train 1500 --val 80 --size 512 --seed 0
    python -m recipes.rendered_town_model DATA OUT

DATA contains rendered scenes only. The backbone starts from ImageNet weights (extra `lite`).
Training takes about 40 minutes on two cores. At the end, the weights are written in half precision,
which halves the file size.
"""

import sys
from dataclasses import replace
from pathlib import Path

from unimask.checkpoints import Checkpoint, read_huggingface, write_huggingface
from unimask.config import CriterionConfig, PreprocessingConfig
from unimask.datasets.transforms import Augmentation
from unimask.training import TrainingSettings, train

MODEL = "unimask-lite0"
"""Scenes contain up to a hundred small objects, for which queries are selected from the image."""

SETTINGS = TrainingSettings(
    steps=1500,
    batch_size=4,
    learning_rate=6e-4,
    backbone_rate=0.3,
    warmup_steps=100,
    precision="bfloat16",
    ema_decay=0.998,
    workers=1,
    evaluate_every=500,
    preprocessing=PreprocessingConfig(
        shortest_edge=704, longest_edge=1408, mean=(127.0,) * 3, std=(128.0,) * 3
    ),
    augmentation=Augmentation(crop=256, min_scale=0.75, max_scale=1.3, rotate=True, colour=0.15),
    criterion=CriterionConfig(num_points=2048, matching="cells", no_object_weight=0.4),
)
"""Images are enlarged, so that the mask of a car is at least two cells wide."""

OBJECT_THRESHOLD = 0.5
"""Minimum panoptic score of a query; the usual 0.8 suits a "no object" weight of 0.1."""


def publish(weights: Path, target: Path) -> None:
    """Write a model folder with weights in half precision and the threshold above."""
    checkpoint = read_huggingface(weights)
    state = {name: tensor.half() for name, tensor in checkpoint.state.items()}
    rules = replace(checkpoint.description.postprocessing, object_threshold=OBJECT_THRESHOLD)
    description = replace(checkpoint.description, postprocessing=rules)
    write_huggingface(target, Checkpoint(description, state))


def main(data: Path, out: Path) -> None:
    """Train the model, or resume its training, and publish it."""
    run_folder = out / "run"
    resume = (run_folder / "state.pt").exists()
    run = train(data, MODEL, task="panoptic", out=run_folder, settings=SETTINGS, resume=resume)
    if run.finished:
        publish(run_folder / "weights" / "last", out / "rendered-town")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
