"""Write the README's image: part of a rendered field of nuclei, and the prediction of `nuclei`.

python scripts/readme_image.py
"""

from pathlib import Path

import numpy as np
from PIL import Image

import unimask
from unimask.datasets.rendered_nuclei import render_nuclei
from unimask.formats.atomic import atomic_path

OUT = Path(__file__).parents[1] / "docs" / "images" / "nuclei.png"
SEED, HEIGHT, WIDTH, GAP = 7, 300, 400, 8


def main() -> None:
    """Render, predict, and write image and overlay side by side."""
    image = render_nuclei(seed=SEED).image
    result = unimask.load("nuclei").predict(image, task="instance")
    overlay = np.asarray(result.plot(legend=False))
    gap = np.full((HEIGHT, GAP, 3), 255, np.uint8)
    both = np.hstack([image[:HEIGHT, :WIDTH], gap, overlay[:HEIGHT, :WIDTH]])
    with atomic_path(OUT) as path:
        Image.fromarray(both).save(path, optimize=True)


if __name__ == "__main__":
    main()
