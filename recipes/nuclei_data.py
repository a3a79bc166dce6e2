"""Collect the training images of `nuclei` in one folder.

    python -m recipes.nuclei_data BOWL TNBC OUT

BOWL contains `train/` and `val/`, each with `images/` and `masks/` (instance ids): BBBC038, stage
1 of the 2018 Data Science Bowl, CC0. TNBC contains `images/` and `labels_instance/`: stained tissue
by P. Naylor et al., CC BY 4.0, whose file names begin with the number of the patient.

OUT gets `nuclei/`, with `train/` and `val/` in the layout of BOWL, and `tissue/val/` with the
patients that are held out. Only one training image in six shows stained tissue, so these are listed
several times.
"""

import os
import shutil
import sys
from pathlib import Path

import numpy as np
from PIL import Image

HELD_OUT = ("07", "08")
"""Patients of TNBC that are not used for training."""

BOWL_REPEATS, TNBC_REPEATS = 2, 4
"""Number of times that an image of stained tissue is listed; those of TNBC are larger."""

MIN_COLOUR = 8
"""Smallest mean difference between the channels, in grey values, of an image of stained tissue."""


def is_stained(path: Path) -> bool:
    """Return whether the channels of an image differ."""
    pixels = np.asarray(Image.open(path).convert("RGB")).astype(np.int16)
    return float((pixels.max(2) - pixels.min(2)).mean()) > MIN_COLOUR


def add(image: Path, mask: Path, folder: Path, repeats: int = 1) -> None:
    """Link an image and its instance ids into a split."""
    for number in range(repeats):
        name = f"{image.stem}{f'-copy{number}' if number else ''}.png"
        for source, kind in ((image, "images"), (mask, "masks")):
            (folder / kind).mkdir(parents=True, exist_ok=True)
            os.symlink(source.resolve(), folder / kind / name)


def main(bowl: Path, tnbc: Path, out: Path) -> None:
    """Write the folder; a complete one is left as it is."""
    if out.exists():
        return
    partial = out.with_name(f".partial-{out.name}")
    shutil.rmtree(partial, ignore_errors=True)
    for split in ("train", "val"):
        for image in sorted((bowl / split / "images").iterdir()):
            repeats = BOWL_REPEATS if split == "train" and is_stained(image) else 1
            add(image, bowl / split / "masks" / image.name, partial / "nuclei" / split, repeats)
    for image in sorted((tnbc / "images").iterdir()):
        mask = tnbc / "labels_instance" / f"{image.stem}_label.png"
        if image.stem.startswith(HELD_OUT):
            add(image, mask, partial / "tissue" / "val")
        else:
            add(image, mask, partial / "nuclei" / "train", TNBC_REPEATS)
    partial.rename(out)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:4]))
