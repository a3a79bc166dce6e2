"""Write the image of the page about rendered scenes: a scene and its ground truth.

python scripts/town_image.py
"""

from pathlib import Path

import numpy as np
from PIL import Image

from unimask.datasets.ground_truth import ground_truth_result
from unimask.datasets.rendered_town import TOWN_LABELS, TownScene, Window, build_sample
from unimask.formats.atomic import atomic_path

OUT = Path(__file__).parents[1] / "docs" / "images" / "rendered_town.jpg"
SCENE = TownScene(seed=10, scale=0.24)
WINDOW = Window(row=0, column=30, height=400, width=520)
GAP = 8


def main() -> None:
    """Render, and write the image and its ground truth side by side."""
    rendered = SCENE.render(WINDOW)
    sample = build_sample(rendered, OUT)
    overlay = ground_truth_result(sample, TOWN_LABELS, "panoptic").plot(legend=False)
    gap = np.full((WINDOW.height, GAP, 3), 255, np.uint8)
    both = np.hstack([rendered.image, gap, np.asarray(overlay)])
    with atomic_path(OUT) as path:
        Image.fromarray(both).save(path, quality=90)


if __name__ == "__main__":
    main()
