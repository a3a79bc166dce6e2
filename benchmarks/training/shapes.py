"""Rendered images for `beside_transformers.py`: objects, backgrounds, unlabelled things."""

from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float
from PIL import Image
from scipy.ndimage import gaussian_filter

from unimask.curation.writers.coco_panoptic import CocoPanopticWriter
from unimask.datasets import Sample
from unimask.labels import LabelSet

LABELS = LabelSet(
    ("disc", "square", "triangle", "ring", "stripes", "grain"),
    (True, True, True, True, False, False),
)
SIDE = 128
"""Side of every image in pixels."""

HUES = np.array([[210, 70, 60], [70, 160, 80], [70, 100, 210], [200, 170, 60]], np.float32)
"""Usual colour of each kind of object; two objects of a kind differ as much as two kinds do."""

UNKNOWN = 0.4
"""Fraction of the images with an unlabelled object of another class."""


def write_shapes(folder: Path, *, train: int = 400, val: int = 40) -> None:
    """Write the dataset in COCO's panoptic format, unless it exists.

    Args:
        folder: Folder of the dataset.
        train: Number of training images.
        val: Number of validation images.
    """
    if (folder / "done").is_file():
        return
    writer = CocoPanopticWriter(folder, LABELS)
    for split, count in (("train", train), ("val", val)):
        place = writer.image_folder(split)
        place.mkdir(parents=True, exist_ok=True)
        for number in range(count):
            sample = draw(np.random.default_rng((split == "val", number)))
            Image.fromarray(sample.image).save(place / f"{number:04d}.png")
            writer.add(split, sample, f"{number:04d}.png")
        writer.finish(split)
    (folder / "done").touch()


def draw(random: np.random.Generator) -> Sample:
    """Draw one image: two backgrounds, two to five objects, and at times a star without a label."""
    image, ids = grounds(random)
    labels = [LABELS.names.index("stripes"), LABELS.names.index("grain")]
    for _ in range(random.integers(2, 6)):
        kind = int(random.integers(len(HUES)))
        inside = outline(LABELS.names[kind], random)
        labels.append(kind)
        ids[inside] = len(labels)
        image[inside] = paint(HUES[kind], random)[inside]
    ignored = np.zeros(ids.shape, bool)
    if random.random() < UNKNOWN:
        ignored = outline("star", random)
        image[ignored] = paint(random.uniform(40, 220, 3), random)[ignored]
        ids[ignored] = 0
    image = gaussian_filter(image, (0.7, 0.7, 0)) + random.normal(0, 6, image.shape)
    return Sample(
        image=np.clip(image, 0, 255).astype(np.uint8),
        id_maps=ids[None],
        label_ids=np.array(labels),
        crowds=np.zeros(len(labels), bool),
        ignored=ignored if ignored.any() else None,
        path=Path("drawn"),
    )


def grounds(random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Draw stripes on one side of a line and grain on the other, of similar colours."""
    rows, columns = np.mgrid[:SIDE, :SIDE].astype(np.float32)
    angle, turn = random.uniform(0, 2 * np.pi, 2)
    place = random.uniform(-0.25, 0.25) * SIDE
    side = (rows - SIDE / 2) * np.sin(angle) + (columns - SIDE / 2) * np.cos(angle) > place
    wave = np.sin((rows * np.sin(turn) + columns * np.cos(turn)) * random.uniform(0.6, 0.9))
    noise = gaussian_filter(random.standard_normal((SIDE, SIDE)), 1.2) * 4
    light = np.where(side, 26 * wave, 22 * noise)[..., None]
    image = random.uniform(90, 170, 3) + random.uniform(-15, 15, 3) * side[..., None] + light
    return image.astype(np.float32), np.where(side, 1, 2).astype(np.int32)


def outline(kind: str, random: np.random.Generator) -> Bool[np.ndarray, "h w"]:
    """Return the pixels of an object at a random place, of random size and direction."""
    radius, angle = random.uniform(11, 24), random.uniform(0, 2 * np.pi)
    middle = random.uniform(8, SIDE - 8, 2)
    rows, columns = np.mgrid[:SIDE, :SIDE].astype(np.float32)
    rows, columns = rows - middle[0], columns - middle[1]
    down = (rows * np.cos(angle) - columns * np.sin(angle)) / radius
    right = (rows * np.sin(angle) + columns * np.cos(angle)) / radius
    distance, turn = np.hypot(down, right), np.arctan2(down, right)
    if kind == "disc":
        return distance < 0.95
    if kind == "ring":
        return (distance < 1) & (distance > 0.5)
    if kind == "square":
        return np.maximum(np.abs(down), np.abs(right)) < 0.85
    if kind == "triangle":
        return (down < 0.6) & (down > 1.8 * np.abs(right) - 1.2)
    return distance < 0.7 + 0.3 * np.cos(5 * turn)


def paint(hue: Float[np.ndarray, "3"], random: np.random.Generator) -> Float[np.ndarray, "h w 3"]:
    """Return a colour near that of the class, with random soft spots."""
    spots = gaussian_filter(random.standard_normal((SIDE, SIDE)), 3) * 60
    return (hue + random.normal(0, 35, 3) + spots[..., None]).astype(np.float32)
