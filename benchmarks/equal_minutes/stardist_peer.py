"""Train StarDist for some minutes with its defaults, and write its results.

    PYTHON -m benchmarks.equal_minutes.stardist_peer DATA OUT TASK MINUTES

It runs in an environment with `stardist`, `tensorflow-cpu` and `tensorboard`, and without unimask.
DATA has `SPLIT/images` and `SPLIT/masks`, label maps of instances. Normalization, augmentation and
the tuning of thresholds on images set aside from `train` are those of the package's example for
colour images.
"""

import json
import sys
import time
from pathlib import Path

import keras  # pyright: ignore[reportMissingImports]
import numpy as np
import stardist  # pyright: ignore[reportMissingImports]
from csbdeep.utils import normalize  # pyright: ignore[reportMissingImports]
from PIL import Image
from stardist import fill_label_holes  # pyright: ignore[reportMissingImports]
from stardist.models import Config2D, StarDist2D  # pyright: ignore[reportMissingImports]

from benchmarks.equal_minutes.coco_rows import instance_row

HELD_OUT = 0.15
"""Share of the training images on which the package validates and tunes its thresholds."""


class StopAfter(keras.callbacks.Callback):
    """End the training after some minutes."""

    def __init__(self, minutes: float) -> None:
        super().__init__()
        self.end = time.perf_counter() + 60 * minutes

    def on_train_batch_end(self, batch: int, logs: object = None) -> None:
        """Stop if the time is over."""
        if time.perf_counter() > self.end:
            self.model.stop_training = True


def read(path: Path) -> np.ndarray:
    """Read an image as RGB, normalized by its own percentiles."""
    return normalize(np.asarray(Image.open(path).convert("RGB")), 1, 99.8, axis=(0, 1))


def read_split(folder: Path) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Read all images and label maps of a split."""
    paths = sorted((folder / "images").iterdir())
    maps = [np.asarray(Image.open(folder / "masks" / f"{path.stem}.png")) for path in paths]
    return [read(path) for path in paths], [fill_label_holes(labels) for labels in maps]


def augment(image: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Turn and flip an image at random, and change its brightness and noise."""
    turns, flip = np.random.randint(4), np.random.rand() < 0.5
    image, labels = np.rot90(image, turns), np.rot90(labels, turns)
    if flip:
        image, labels = image[::-1], labels[::-1]
    image = image * np.random.uniform(0.6, 2) + np.random.uniform(-0.2, 0.2)
    noise = 0.02 * np.random.uniform(0, 1) * np.random.normal(0, 1, image.shape)
    return (image + noise).astype(np.float32), labels


def train(data: Path, out: Path, minutes: float) -> StarDist2D:
    """Train, then tune the thresholds."""
    images, maps = read_split(data / "train")
    order = np.random.RandomState(42).permutation(len(images))
    count = max(1, round(HELD_OUT * len(images)))
    held, rest = order[:count], order[count:]
    side = min(256, *(16 * (min(labels.shape) // 16) for labels in maps))
    config = Config2D(n_rays=32, grid=(2, 2), n_channel_in=3, train_patch_size=(side, side))
    model = StarDist2D(config, name="run", basedir=str(out))
    model.prepare_for_training()
    model.callbacks.append(StopAfter(minutes))
    validation = [images[i] for i in held], [maps[i] for i in held]
    model.train(
        [images[i] for i in rest], [maps[i] for i in rest],
        validation_data=validation, augmenter=augment,
    )  # fmt: skip
    model.optimize_thresholds(*validation)
    return model


def write_instances(model: StarDist2D, images: Path, out: Path) -> None:
    """Write all instances as COCO results, with file names as image ids."""
    out.mkdir()
    rows = []
    for path in sorted(images.iterdir()):
        labels, details = model.predict_instances(read(path))
        for number, score in enumerate(details["prob"], start=1):
            rows.append(instance_row(path.name, 0, float(score), labels == number))
    (out / "results.json").write_text(json.dumps(rows))


def main(data: Path, out: Path, minutes: float) -> None:
    """Train, and write results."""
    begin = time.perf_counter()
    model = train(data, out, minutes)
    facts = {
        "minutes of training": round((time.perf_counter() - begin) / 60, 2),
        "version": stardist.__version__,
        "parameters": model.keras_model.count_params(),
    }
    write_instances(model, data / "val" / "images", out / "results")
    (out / "facts.json").write_text(json.dumps(facts))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), float(sys.argv[4]))
