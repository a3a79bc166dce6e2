"""Draw trees as seen from above: crowns of several lobes, and their shadows."""

import numpy as np

from unimask.datasets.rendered_town.canvas import Canvas, Slices, textured
from unimask.datasets.rendered_town.classes import TREE_LABEL
from unimask.datasets.rendered_town.layout import Tree
from unimask.datasets.rendered_town.window import Patch

SHADOW_SHARE = 0.9
"""Share of the sunlight that a crown blocks."""


def tree_height(tree: Tree) -> float:
    """Return the height of the middle of a crown in metres."""
    return 0.6 + 1.0 * tree.radius


def tree_box(canvas: Canvas, tree: Tree, shift: tuple[float, float] = (0, 0)) -> Slices | None:
    """Return the slices of the box around a shifted crown; None if it is outside."""
    x, y, radius = tree.x + shift[0], tree.y + shift[1], tree.radius
    return canvas.box(x - radius, y - radius, x + radius, y + radius)


def cast_tree_shadow(canvas: Canvas, tree: Tree) -> None:
    """Block the sunlight on the ground behind a tree."""
    height = tree_height(tree)
    shift = (height * canvas.style.shadow[0], height * canvas.style.shadow[1])
    slices = tree_box(canvas, tree, shift)
    if slices is None:
        return
    x, y = canvas.offsets(slices, (tree.x + shift[0], tree.y + shift[1]))
    radius = np.float32(tree.radius) * (0.92 + 0.10 * canvas.clumps[slices])
    canvas.darken(Patch(*slices, x * x + y * y < radius * radius), SHADOW_SHARE)


def draw_tree(canvas: Canvas, tree: Tree) -> None:
    """Draw a crown and its ground truth, over everything below."""
    slices = tree_box(canvas, tree)
    if slices is None:
        return
    x, y = canvas.offsets(slices, (tree.x, tree.y))
    lobe_x, lobe_y, radius = tree.lobes.T[:, :, None, None]
    x, y = x - lobe_x, y - lobe_y
    squares = radius * radius - x * x - y * y
    height = np.sqrt(np.maximum(squares, 0))
    highest = height.argmax(axis=0)[None]
    patch = Patch(*slices, (squares > 0).any(axis=0))
    if not patch.mask.any():
        return
    sun_x, sun_y, sun_z = canvas.style.sun
    facing = (x * sun_x + y * sun_y + height * sun_z) / radius
    light = np.take_along_axis(facing, highest, axis=0)[0]
    top = np.take_along_axis(height, highest, axis=0)[0] / np.float32(tree.radius)
    light = 0.52 + 0.50 * np.clip(light, 0, 1) + 0.22 * top
    light *= 1 + 0.16 * canvas.grain[slices] + 0.10 * canvas.clumps[slices]
    tones = canvas.style.season.trees
    tone = tones[tree.colour % len(tones)]
    brightness = np.float32(tree.brightness)
    canvas.paint(patch, textured(tone, light * brightness), TREE_LABEL)
