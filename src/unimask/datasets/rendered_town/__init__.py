"""Aerial views of a town, rendered with exact ground truth: any size, any window, any time."""

from unimask.datasets.rendered_town.classes import TOWN_LABELS
from unimask.datasets.rendered_town.sample import build_sample
from unimask.datasets.rendered_town.scene import RenderedTown, TownScene
from unimask.datasets.rendered_town.window import Window

__all__ = ["TOWN_LABELS", "RenderedTown", "TownScene", "Window", "build_sample"]
