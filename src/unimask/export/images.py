"""Images on which exported files are compared with their networks."""

from collections.abc import Sequence

import numpy as np

from unimask.datasets.rendered_nuclei import render_nuclei
from unimask.processing.images import ImageArray
from unimask.runtimes.metadata import ExportedDescription

NUCLEI_SIZE = (256, 320)
"""Size of the rendered image; preprocessing resizes it."""


def rendered_image(description: ExportedDescription) -> ImageArray:
    """Return a fluorescence image of nuclei, coloured differently in each channel."""
    channels = description.input.channels
    image = render_nuclei(seed=0, size=NUCLEI_SIZE, count=25).image
    grey = image if image.ndim == 2 else image[..., 0]
    strengths = np.linspace(1.0, 0.6, channels) if channels > 1 else np.ones(1)
    return np.clip(grey[..., None] * strengths, 0, 255).astype(np.uint8)


def spread(images: Sequence[ImageArray], most: int) -> list[ImageArray]:
    """Return at most `most` images, evenly spaced over all."""
    indices = np.linspace(0, len(images) - 1, min(most, len(images))).round().astype(int)
    return [images[index] for index in indices]
