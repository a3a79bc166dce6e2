"""Write the figures of the page about queries, masks and masked attention.

python scripts/understand_images.py
"""

from pathlib import Path

import matplotlib
import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from matplotlib import pyplot as plt
from torch import Tensor

import unimask
from unimask.datasets.rendered_town import TownScene, Window
from unimask.formats.atomic import atomic_path
from unimask.outputs import SegmenterOutput

IMAGES = Path(__file__).parents[1] / "docs" / "images"
SCENE = TownScene(seed=7_000_011)
"""Of no dataset that the recipe writes for training; also the scene of the README."""

WINDOW = Window(row=0, column=0, height=512, width=512)
NUM_SHOWN = 5
"""Number of queries in each figure."""

SHOWN_CLASS = "road"
"""Class of the query whose attention is drawn."""

OPACITY = 0.65


def main() -> None:
    """Predict once with the outputs of all layers, and draw both figures."""
    matplotlib.use("agg")
    image = SCENE.render(WINDOW).image
    model = unimask.load("rendered-town", device="cpu")
    pixel_values = model.preprocess(image).pixel_values[None]
    with torch.inference_mode():
        output = model.network(pixel_values, auxiliary=True)
    chosen = choose_queries(output)
    draw_queries(image, output, chosen, model.labels)
    draw_layers(image, output, surest_query(output, model.labels.index(SHOWN_CLASS)))


def choose_queries(output: SegmenterOutput) -> list[int]:
    """Return the surest query of each class, those of the surest classes first."""
    scores, labels = output.class_logits[0].softmax(-1)[:, :-1].max(-1)
    best: dict[int, int] = {}
    for query in scores.argsort(descending=True).tolist():
        best.setdefault(int(labels[query]), query)
    by_score = sorted(best.values(), key=lambda query: -float(scores[query]))
    return by_score[:NUM_SHOWN]


def surest_query(output: SegmenterOutput, label_id: int) -> int:
    """Return the query with the highest probability of a class."""
    return int(output.class_logits[0].softmax(-1)[:, label_id].argmax())


def draw_queries(
    image: UInt8[np.ndarray, "h w 3"],
    output: SegmenterOutput,
    queries: list[int],
    names: tuple[str, ...],
) -> None:
    """Draw the image and the mask probabilities of some queries, with class and score."""
    figure, axes = plt.subplots(2, 3, figsize=(9, 6.4), layout="constrained")
    show(axes.flat[0], image, "image")
    probabilities = output.class_logits[0].softmax(-1)[:, :-1]
    for axis, query in zip(axes.flat[1:], queries, strict=False):
        score, label = probabilities[query].max(-1)
        title = f"query {query}: {names[int(label)]} {float(score):.2f}"
        show(axis, tint(image, output.mask_logits[0, query].sigmoid()), title)
    save(figure, "understand_queries.jpg")


def draw_layers(image: UInt8[np.ndarray, "h w 3"], output: SegmenterOutput, query: int) -> None:
    """Draw where one query attends in each layer: the cells inside of its previous mask."""
    figure, axes = plt.subplots(2, 3, figsize=(9, 6.4), layout="constrained")
    show(axes.flat[0], image, "image")
    for number, (axis, layer) in enumerate(zip(axes.flat[1:], output.auxiliary, strict=False), 1):
        show(
            axis,
            tint(image, (layer.mask_logits[0, query] > 0).float()),
            f"attended by layer {number}",
        )
    final = (output.mask_logits[0, query] > 0).float()
    show(axes.flat[-1], tint(image, final), "final mask")
    save(figure, "understand_layers.jpg")


def tint(
    image: UInt8[np.ndarray, "h w 3"], share: Float[Tensor, "y x"]
) -> UInt8[np.ndarray, "h w 3"]:
    """Return the image in grey, with orange in proportion to a map from 0 to 1."""
    size = image.shape[:2]
    resized = F.interpolate(share[None, None], size, mode="bilinear")[0, 0].numpy()[..., None]
    grey = np.repeat(image.mean(-1, keepdims=True), 3, -1)
    colour = np.array([255.0, 120.0, 0.0])
    return (grey * (1 - OPACITY * resized) + colour * OPACITY * resized).astype(np.uint8)


def show(axis: plt.Axes, image: UInt8[np.ndarray, "h w 3"], title: str) -> None:
    """Show an image with a title and without axes."""
    axis.imshow(image)
    axis.set_title(title, fontsize=10)
    axis.axis("off")


def save(figure: plt.Figure, name: str) -> None:
    """Write a figure as JPEG."""
    with atomic_path(IMAGES / name) as path:
        figure.savefig(path, dpi=100, format="jpg", pil_kwargs={"quality": 85})


if __name__ == "__main__":
    main()
