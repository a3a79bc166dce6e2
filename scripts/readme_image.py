"""Write the README's image: a rendered scene, and what `rendered-town` predicts for each task.

python scripts/readme_image.py
"""

from pathlib import Path

import numpy as np
from PIL import Image

import unimask
from unimask.datasets.rendered_town import TownScene, Window
from unimask.formats.atomic import atomic_path

OUT = Path(__file__).parents[1] / "docs" / "images" / "tasks.jpg"
SCENE = TownScene(seed=7_000_011)
"""Of no dataset that the recipe writes for training."""

WINDOW = Window(row=0, column=0, height=512, width=512)
GAP = 8


def main() -> None:
    """Render, predict, and write the image and three overlays as two rows."""
    image = SCENE.render(WINDOW).image
    model = unimask.load("rendered-town", device="cpu")
    tasks = ("semantic", "instance", "panoptic")
    overlays = [np.asarray(model.predict(image, task=task).plot(legend=False)) for task in tasks]
    tiles = [image, *overlays]
    gap = np.full((WINDOW.height, GAP, 3), 255, np.uint8)
    rows = [np.hstack([left, gap, right]) for left, right in (tiles[:2], tiles[2:])]
    between = np.full((GAP, rows[0].shape[1], 3), 255, np.uint8)
    with atomic_path(OUT) as path:
        Image.fromarray(np.vstack([rows[0], between, rows[1]])).save(path, quality=85)


if __name__ == "__main__":
    main()
