"""Segmentation of a large image row of tiles by row of tiles, in bounded memory."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from unimask.inference.tiles import STAGES, TileModel, TileOptions, collect_tiles, timed
from unimask.processing.tiled.collect import COLLECTORS, StuffScore, TileCollector, TileRules
from unimask.rasters.objects_file import encode_objects
from unimask.rasters.scaled_image import ScaledImage
from unimask.rasters.strips_file import StripBuffer, encode_strip
from unimask.rasters.unfinished import OBJECTS, STRIPS, UnfinishedRun
from unimask.results import Candidate
from unimask.tiling.saved_state import (
    blender_arrays,
    joiner_arrays,
    restore_blender,
    restore_joiner,
)

SECONDS_PER_SAVE = 10.0
"""Smallest number of seconds between two saved states."""

RowProgress = Callable[[int, int], None]
"""Function called with the number of tiles that are done, and their total."""


@dataclass(frozen=True)
class RowsResult:
    """What is known of an image after its last row of tiles, beside the files.

    Attributes:
        stuff_scores: Panoptic: score of each stuff class.
        candidates: Highest scores that were considered, if nothing was found.
        speed: Milliseconds per stage.
    """

    stuff_scores: dict[int, float]
    candidates: tuple[Candidate, ...]
    speed: dict[str, float]


class TileRows:
    """Rows of tiles of an image, whose finished parts are appended to the files of a run.

    Args:
        model: The model.
        source: The image.
        options: How to divide the image.
        threshold: See `Predictor.predict`.
        run: Folder of the run.
    """

    def __init__(
        self,
        model: TileModel,
        source: ScaledImage,
        options: TileOptions,
        threshold: float | None,
        run: UnfinishedRun,
    ) -> None:
        self.model, self.source, self.run = model, source, run
        self.grid, scale = model.divide(source.size, options)
        rules = TileRules(self.grid, model.labels, model.postprocessing, threshold, scale)
        kind = COLLECTORS[model.task]
        self.buffer = StripBuffer(source.size[1], kind.VOID)
        self.collector: TileCollector = kind(rules, self.buffer.write)
        self.speed = dict.fromkeys(STAGES, 0.0)
        self.last_save = time.monotonic()

    @torch.inference_mode()
    def segment(self, batch_size: int, progress: RowProgress) -> RowsResult:
        """Segment the rows that are left, and return what is known of all.

        Args:
            batch_size: Largest number of tiles per forward pass.
            progress: Function called with the number of tiles that are done, and their total.
        """
        starts = (*self.grid.rows.starts, self.grid.rows.length)
        columns = len(self.grid.columns.starts)
        num_rows = len(starts) - 1
        first = self.restore()
        progress(first * columns, len(self.grid))
        for i in range(first, num_rows):
            self.buffer.start(starts[i], starts[i + 1])
            tiles = [self.grid.tile(i, j) for j in range(columns)]
            for start in range(0, columns, batch_size):
                part = tiles[start : start + batch_size]
                collect_tiles(self.model, self.source, self.collector, part, batch_size, self.speed)
                progress(i * columns + start + len(part), len(self.grid))
            with timed(self.speed, "postprocess"):
                self.append_row(starts[i + 1])
                if i + 1 == num_rows or time.monotonic() > self.last_save + SECONDS_PER_SAVE:
                    self.save(i + 1)
        stuff = {label: score / area for label, (score, area) in self.stuff.items()}
        return RowsResult(stuff, self.collector.best_candidates(), self.speed)

    @property
    def stuff(self) -> dict[int, StuffScore]:
        """Scores of stuff so far, empty for other tasks than panoptic."""
        return getattr(self.collector, "stuff", {})

    def append_row(self, bottom: int) -> None:
        """Append to the files what no tile from the row `bottom` of pixels on can change."""
        self.run.append(OBJECTS, encode_objects(self.collector.joiner.close(bottom)))
        if self.collector.blender is not None:
            self.run.append(STRIPS, encode_strip(self.buffer.labels))

    def save(self, num_rows: int) -> None:
        """Save the state after a number of rows of tiles."""
        arrays = joiner_arrays(self.collector.joiner)
        if self.collector.blender is not None:
            arrays |= blender_arrays(self.collector.blender)
        state = {
            "rows": num_rows,
            "speed": self.speed,
            "candidates": [list(candidate) for candidate in self.collector.candidates],
            "stuff": {str(label): list(score) for label, score in self.stuff.items()},
        }
        self.run.save(state, arrays)
        self.last_save = time.monotonic()

    def restore(self) -> int:
        """Continue from the saved state, if any; return the number of rows that are done."""
        state, arrays = self.run.load()
        if not state:
            return 0
        self.restore_values(state)
        restore_joiner(self.collector.joiner, arrays)
        if self.collector.blender is not None:
            restore_blender(self.collector.blender, arrays)
        return int(state["rows"])

    def restore_values(self, state: dict[str, Any]) -> None:
        """Restore everything except arrays."""
        self.speed.update(state["speed"])
        self.collector.candidates = [Candidate(*item) for item in state["candidates"]]
        self.stuff.update(
            {int(label): StuffScore(*values) for label, values in state["stuff"].items()}
        )
