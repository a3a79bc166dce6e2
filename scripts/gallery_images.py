"""Write the images of the gallery: render its inputs, and run the commands that it shows.

    python scripts/gallery_images.py [NAME...]

Without names, all images are written.
"""

import os
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import av
import nibabel
import numpy as np
from jaxtyping import Int, UInt8
from PIL import Image
from scipy.ndimage import gaussian_filter

from unimask.datasets.rendered_nuclei import render_nuclei
from unimask.datasets.rendered_town import TownScene, Window
from unimask.formats.atomic import atomic_path
from unimask.visualization.palette import object_colour

ROOT = Path(__file__).parents[1]
IMAGES = ROOT / "docs" / "images"
TOWN, RIVER = 7_000_011, 7_000_013
"""Seeds of scenes of no dataset that the recipe writes for training."""

MAX_WIDTH = 960
"""Largest width of an image in pixels."""

MAX_BYTES = 150_000
"""Largest size of a file; images are compressed accordingly."""

NUM_FRAMES, RATE = 24, 8
FRAME_HEIGHT, FRAME_WIDTH = 384, 560
SHOWN_FRAMES = (3, 9, 15, 21)
SLICES = (3, 6, 9)
GAP = 6


class Figure(NamedTuple):
    """Image of the gallery.

    Attributes:
        name: Name of its file.
        command: Command whose output it shows.
        draw: Function that reads this output from the folder in which the command ran.
    """

    name: str
    command: str
    draw: Callable[[Path], Image.Image]


def main() -> None:
    """Render the inputs, run each command, and write its image."""
    with TemporaryDirectory() as temporary:
        folder = Path(temporary)
        render_images(folder)
        render_frames(folder / "frames")
        render_stack(folder / "stack.nii.gz")
        names = sys.argv[1:] or [figure.name for figure in FIGURES]
        for figure in (each for each in FIGURES if each.name in names):
            run(figure.command, folder)
            write(figure.draw(folder), figure.name)


def render_images(folder: Path) -> None:
    """Render a town, a river, a large scene, and nuclei."""
    town = TownScene(seed=TOWN, size=(512, 720)).render().image
    river = TownScene(seed=RIVER, size=(512, 720), scale=0.28).render().image
    large = TownScene(seed=TOWN, scale=0.25).render(Window(900, 300, 1536, 2304)).image
    cells = render_nuclei(seed=8, size=(432, 640), count=140).image
    images = {"town": town, "river": river, "large": large, "cells": cells}
    for name, image in images.items():
        Image.fromarray(image).save(folder / f"{name}.png")


def render_frames(folder: Path) -> None:
    """Render the frames of a moving camera above the traffic of a town."""
    folder.mkdir()
    scene = TownScene(seed=2, scale=0.2)
    for index in range(NUM_FRAMES):
        window = Window(3 * index, 40 + 4 * index, FRAME_HEIGHT, FRAME_WIDTH)
        image = scene.render(window, time=index / RATE).image
        Image.fromarray(image).save(folder / f"{index:04}.png")


def render_stack(path: Path) -> None:
    """Write a fluorescence stack of ellipsoids, blurred and with noise, as NIfTI."""
    random = np.random.default_rng(5)
    shape = (256, 256, 12)
    grid = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), axis=-1)
    light = np.zeros(shape)
    for _ in range(130):
        centre = random.uniform((8, 8, 1), (248, 248, 11))
        radii = random.uniform((9, 9, 3), (14, 14, 5))
        nucleus = (((grid - centre) / radii) ** 2).sum(axis=-1) < 1
        if not light[nucleus].any():
            light[nucleus] = random.uniform(0.5, 1)
    stack = random.poisson(400 * gaussian_filter(light, (1, 1, 0.5)) + 20)
    affine = np.diag([0.0005, 0.0005, 0.001, 1])  # mm
    nibabel.save(nibabel.Nifti1Image(stack.astype(np.int16), affine), path)


def run(command: str, folder: Path) -> None:
    """Run a command of unimask in a folder."""
    words = shlex.split(command)
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src")}
    subprocess.run(
        [sys.executable, "-m", words[0], *words[1:]], cwd=folder, env=environment, check=True
    )


def overlay(path: str) -> Callable[[Path], Image.Image]:
    """Return a function that opens an image below the folder."""
    return lambda folder: Image.open(folder / path).convert("RGB")


def draw_confidence(folder: Path) -> Image.Image:
    """Draw the image beside the confidence of its pixels, dark where it is low."""
    confidence = np.asarray(Image.open(folder / "confidence" / "town_confidence.png"))
    grey = np.repeat((confidence >> 8).astype(np.uint8)[..., None], 3, axis=-1)
    image = np.asarray(Image.open(folder / "town.png"))
    return Image.fromarray(arrange([[image[:, :480], grey[:, :480]]]))


def draw_tracks(folder: Path) -> Image.Image:
    """Draw four frames of the annotated video, without the legend."""
    with av.open(folder / "tracks" / "frames_tracks.mp4") as video:
        frames = [frame.to_ndarray(format="rgb24") for frame in video.decode(video=0)]
    width = frames[0].shape[0] * FRAME_WIDTH // FRAME_HEIGHT
    first, second, third, fourth = (frames[index][:, :width] for index in SHOWN_FRAMES)
    return Image.fromarray(arrange([[first, second], [third, fourth]]))


def draw_volume(folder: Path) -> Image.Image:
    """Draw slices of the stack, and below them their objects in colours."""
    stack = nibabel.load(folder / "stack.nii.gz").get_fdata()
    objects = np.asarray(nibabel.load(folder / "volume" / "stack_objects.nii.gz").dataobj)
    grey = np.repeat(np.clip(stack / 2, 0, 255).astype(np.uint8)[..., None], 3, axis=-1)
    tinted = tint(grey, objects.astype(np.int64))
    return Image.fromarray(
        arrange([[each[:, :, index] for index in SLICES] for each in (grey, tinted)])
    )


def tint(
    grey: UInt8[np.ndarray, "... 3"], ids: Int[np.ndarray, "..."]
) -> UInt8[np.ndarray, "... 3"]:
    """Return an image in which each object has a colour of its own."""
    colours = [object_colour(number, 0) for number in range(1, int(ids.max()) + 1)]
    table = np.array([(0, 0, 0), *colours], np.float64)
    share = np.where(ids > 0, 0.6, 0.0)[..., None]
    return (grey * (1 - share) + table[ids] * share).astype(np.uint8)


def arrange(rows: list[list[UInt8[np.ndarray, "h w 3"]]]) -> UInt8[np.ndarray, "y x 3"]:
    """Arrange images of one size in rows, with gaps."""
    lines = []
    for row in rows:
        gap = np.full((row[0].shape[0], GAP, 3), 255, np.uint8)
        lines.append(np.hstack([part for image in row for part in (gap, image)][1:]))
    gap = np.full((GAP, lines[0].shape[1], 3), 255, np.uint8)
    return np.vstack([part for line in lines for part in (gap, line)][1:])


def write(image: Image.Image, name: str) -> None:
    """Write an image as JPEG, with the highest quality that its size limit allows."""
    if image.width > MAX_WIDTH:
        size = (MAX_WIDTH, round(image.height * MAX_WIDTH / image.width))
        image = image.resize(size, Image.Resampling.LANCZOS)
    with atomic_path(IMAGES / name) as path:
        for quality in range(90, 40, -5):
            image.save(path, "JPEG", quality=quality, optimize=True)
            if path.stat().st_size <= MAX_BYTES:
                break


FIGURES = (
    Figure(
        "gallery_panoptic.jpg",
        "unimask predict town.png --model rendered-town --task panoptic --out panoptic",
        overlay("panoptic/town_overlay.png"),
    ),
    Figure(
        "gallery_instance.jpg",
        "unimask predict town.png --model rendered-town --task instance --out instance",
        overlay("instance/town_overlay.png"),
    ),
    Figure(
        "gallery_semantic.jpg",
        "unimask predict river.png --model rendered-town --task semantic --out semantic",
        overlay("semantic/river_overlay.png"),
    ),
    Figure(
        "gallery_confidence.jpg",
        "unimask predict town.png --model rendered-town --task semantic --confidence "
        "--out confidence",
        draw_confidence,
    ),
    Figure(
        "gallery_tiles.jpg",
        "unimask predict large.png --model rendered-town --tile 640 --overlap 0.4 --out tiles",
        overlay("tiles/large_overlay.png"),
    ),
    Figure(
        "gallery_tracks.jpg",
        f"unimask track frames --rate {RATE} --model rendered-town --task instance "
        "--formats video --out tracks",
        draw_tracks,
    ),
    Figure(
        "gallery_nuclei.jpg",
        "unimask predict cells.png --model nuclei --task instance --out nuclei",
        overlay("nuclei/cells_overlay.png"),
    ),
    Figure(
        "gallery_volume.jpg",
        "unimask volume stack.nii.gz --model nuclei --task instance --out volume",
        draw_volume,
    ),
)
"""Images in the order of the page."""

if __name__ == "__main__":
    main()
