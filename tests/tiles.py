"""Photos of tiles of which some have a crack, as masks of classes."""

from pathlib import Path

import numpy as np
from PIL import Image


def write_tiles(folder: Path, cracked: int, images: int) -> Path:
    """Write a training split of 32 x 32 pixels; the first images have a crack."""
    random = np.random.default_rng(0)
    for name in ("images", "masks"):
        (folder / "train" / name).mkdir(parents=True)
    for index in range(images):
        photo = random.integers(0, 255, (32, 32, 3), dtype=np.uint8)
        mask = np.zeros((32, 32), np.uint8)
        mask[8:12] = index < cracked
        Image.fromarray(photo).save(folder / f"train/images/{index:02}.png")
        Image.fromarray(mask).save(folder / f"train/masks/{index:02}.png")
    (folder / "classes.txt").write_text("sound\ncrack\n")
    return folder
