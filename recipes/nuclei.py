"""Train the bundled model `nuclei` in three stages.

    python -m recipes.nuclei BOWL TNBC OUT [MODEL STAGE]

BOWL and TNBC are the folders of `recipes.nuclei_data`. The first two stages use BOWL only; the
third adds TNBC. Each stage takes one to two hours on two cores. At the end, the weights are written
in half precision, which halves the file size.
"""

import sys
from dataclasses import replace
from pathlib import Path

from recipes import nuclei_data
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

STAGE_3 = replace(
    STAGE_2,
    steps=4000,
    seed=2,
    learning_rate=3e-4,
    augmentation=replace(
        STAGE_2.augmentation, stain=0.25, colour=0.2, invert=0.05, grey=0.05, noise=3.0
    ),
    criterion=CriterionConfig(num_points=2048, matching="cells", no_object_weight=0.4),
)
"""From the weights of stage 2, with more images of stained tissue: a lower learning rate, weaker
augmentation but for the stains, and masks matched on all their cells."""

STAGES = (STAGE_1, STAGE_2, STAGE_3)

OBJECT_THRESHOLD = 0.5
"""Minimum panoptic score of a query; the usual 0.8 suits a "no object" weight of 0.1."""

INSTANCE_THRESHOLD = 0.75
"""Minimum score of an instance: the one with the highest TP / (TP + FP + FN) at an IoU of 0.5 on
every seventh training image."""

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
        instance_threshold=INSTANCE_THRESHOLD,
        min_visible=MIN_VISIBLE,
    )
    description = replace(checkpoint.description, postprocessing=rules)
    write_huggingface(target, Checkpoint(description, state))


def finished(folder: Path, settings: TrainingSettings) -> bool:
    """Return whether a stage has taken all its steps."""
    rows = RunFolder(folder).rows()
    return bool(rows) and int(rows[-1]["step"]) == settings.steps


def main(bowl: Path, tnbc: Path, out: Path, model: str = "unimask-nano", first: int = 1) -> None:
    """Run the unfinished stages, each from the previous one's weights, then publish the model.

    Args:
        bowl: Folder of BBBC038.
        tnbc: Folder of TNBC.
        out: Folder of the runs and of the published model.
        model: Model from which the first stage starts.
        first: Number of the first stage, 1 to 3; for example 3 with `nuclei` as the model.
    """
    nuclei_data.main(bowl, tnbc, out / "data")
    for number, settings in list(enumerate(STAGES, 1))[first - 1 :]:
        folder = out / f"stage{number}"
        data = bowl if number < len(STAGES) else out / "data" / "nuclei"
        if not finished(folder, settings):
            resume = (folder / "state.pt").exists()
            run = train(data, model, out=folder, names=NAMES, settings=settings, resume=resume)
            if not run.finished:
                return
        model = str(folder / "weights" / "last")
    publish(Path(model), out / "nuclei")


if __name__ == "__main__":
    folders = Path(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3])
    if len(sys.argv) > 4:
        main(*folders, model=sys.argv[4], first=int(sys.argv[5]))
    else:
        main(*folders)
