"""Compare how SAHI, StarDist and unimask join the objects of tiles, with one network.

    python -m benchmarks.tiling.peers OUT.json [--scenes 6]

Needs the packages `sahi` and `stardist`, best in an environment of their own. Each system divides
rendered scenes into tiles of one size and gets the same network's things in each (panoptic rule);
only what it does with them differs. SAHI uses its defaults; StarDist is `BlockND`, which its
`predict_instances_big` uses. StarDist refuses objects larger than the
overlap, so all are also compared with `--large-overlap`.
"""

import argparse
import json
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from sahi.models.base import DetectionModel  # pyright: ignore[reportMissingImports]
from sahi.predict import get_sliced_prediction  # pyright: ignore[reportMissingImports]
from sahi.prediction import ObjectPrediction  # pyright: ignore[reportMissingImports]
from sahi.utils.cv import (  # pyright: ignore[reportMissingImports]
    get_coco_segmentation_from_bool_mask,
)
from stardist.big import BlockND  # pyright: ignore[reportMissingImports]

from benchmarks.tiling.scenes import (
    FIRST_SEED,
    METRES,
    OVERLAP,
    SCALE,
    compare_things,
    load_model,
    truth_of,
)
from unimask.datasets.rendered_town import TOWN_LABELS, TownScene
from unimask.inference import Predictor
from unimask.results import Result, Segment

TILE = 512
"""Side of the tiles in pixels of the network's input."""

SIDE = -(-round(TILE / SCALE) // 16) * 16
"""Side of the tiles in pixels of the scenes."""

Segmentation = tuple[np.ndarray, dict[int, int]]


def segment_tile(model: Predictor, image: np.ndarray) -> Result:
    """Segment one tile."""
    return model.predict(image, "panoptic", tile=2 * TILE, scale=SCALE)


def paint(objects: list[tuple[float, int, np.ndarray]], size: tuple[int, int]) -> Segmentation:
    """Return a map of ids, in which higher scores are on top, and the label of each id."""
    ids = np.zeros(size, np.int32)
    ordered = sorted(objects, key=lambda item: item[0])
    for number, (_, _, mask) in enumerate(ordered, start=1):
        ids[mask] = number
    return ids, {number: item[1] for number, item in enumerate(ordered, start=1)}


def things_of(result: Result) -> list[Segment]:
    """Return the things of a result."""
    return [segment for segment in result.segments if segment.is_thing]


def paint_things(result: Result) -> Segmentation:
    """Return a map of ids of a result's things."""
    return paint([(s.score or 0, s.label_id, s.mask) for s in things_of(result)], result.size)


def with_unimask(model: Predictor, image: np.ndarray, overlap: float) -> Segmentation:
    """Segment with tiles of unimask."""
    return paint_things(model.predict(image, "panoptic", tile=TILE, overlap=overlap, scale=SCALE))


def in_one_pass(model: Predictor, image: np.ndarray, overlap: float) -> Segmentation:
    """Segment without tiles, whatever the overlap."""
    side = -(-round(max(image.shape[:2]) * SCALE) // 32) * 32
    return paint_things(model.predict(image, "panoptic", tile=side, scale=SCALE))


class SlicedModel(DetectionModel):
    """Network of unimask as SAHI calls it."""

    def check_dependencies(self, *_: Any, **__: Any) -> None:
        """Nothing else is necessary."""

    def set_model(self, model: Predictor, **_: Any) -> None:
        """Use a loaded model."""
        self.model = model
        self.category_mapping = dict(enumerate(TOWN_LABELS.names))

    def perform_inference(self, image: np.ndarray) -> None:
        """Segment a slice."""
        self._original_predictions = segment_tile(self.model, np.ascontiguousarray(image))

    def _create_object_prediction_list_from_original_predictions(
        self, shift_amount_list: Any = None, full_shape_list: Any = None
    ) -> None:
        shift, shape = shift_amount_list, full_shape_list
        self._object_prediction_list_per_image = [
            [
                ObjectPrediction(
                    segmentation=get_coco_segmentation_from_bool_mask(segment.mask),
                    category_id=segment.label_id,
                    category_name=segment.label,
                    score=segment.score,
                    shift_amount=shift[0] if isinstance(shift[0], list) else shift,
                    full_shape=shape[0] if isinstance(shape[0], list) else shape,
                )
                for segment in things_of(self._original_predictions)
                if get_coco_segmentation_from_bool_mask(segment.mask)
            ]
        ]


def with_sahi(model: Predictor, image: np.ndarray, overlap: float) -> Segmentation:
    """Segment with the slices of SAHI."""
    wrapped = SlicedModel(model=model, confidence_threshold=0.3)
    found = get_sliced_prediction(
        image, wrapped, SIDE, SIDE, overlap, overlap, perform_standard_pred=False, verbose=0
    )
    objects = [
        (one.score.value, one.category.id, np.asarray(one.mask.bool_mask, bool))
        for one in found.object_prediction_list
        if one.mask is not None
    ]
    return paint(objects, image.shape[:2])


def with_stardist(model: Predictor, image: np.ndarray, overlap: float) -> Segmentation:
    """Segment with the blocks of StarDist."""
    ids = np.zeros(image.shape[:2], np.int32)
    labels: dict[int, int] = {}
    share = round(SIDE * overlap / 16) * 16
    blocks = BlockND.cover(image.shape[:2], "YX", SIDE, share, 0, 16)
    for block in blocks:
        result = segment_tile(model, block.read(image, axes="YX"))
        found, by_id = paint_things(result)
        found = block.crop_context(found, axes="YX")
        retained = block.filter_objects(found, None, axes="YX")
        offset = max(labels, default=0)
        labels |= {offset + number: label for number, label in by_id.items()}
        block.write(ids, np.where(retained, retained + offset, 0), axes="YX")
    return ids, labels


SYSTEMS: dict[str, Callable[[Predictor, np.ndarray, float], Segmentation]] = {
    "unimask": with_unimask,
    "SAHI": with_sahi,
    "StarDist": with_stardist,
}


def main() -> None:
    """Compare, and write after each scene."""
    parser = argparse.ArgumentParser()
    parser.add_argument("out", type=Path)
    parser.add_argument("--scenes", type=int, default=6)
    parser.add_argument("--side", type=int, default=2048)
    parser.add_argument("--large-overlap", type=float, default=0.375)
    options = parser.parse_args()
    model = load_model()
    totals: dict[str, Counter[str]] = {}
    for seed in range(FIRST_SEED, FIRST_SEED + options.scenes):
        town = TownScene(seed, (options.side, options.side), METRES).render()
        truth = truth_of(town)
        for name, overlap in (
            *((name, OVERLAP) for name in SYSTEMS),
            ("one pass", 0.0),
            *((name, options.large_overlap) for name in SYSTEMS),
        ):
            total = totals.setdefault(f"{name}, overlap {overlap:.0%}", Counter())
            start = time.perf_counter()
            try:
                function = SYSTEMS.get(name, in_one_pass)
                found = function(model, town.image, overlap)
            except (AssertionError, RuntimeError) as error:
                total["scenes refused"] += 1
                print(name, seed, str(error)[:100], flush=True)
                continue
            total["seconds"] += round(time.perf_counter() - start, 1)  # type: ignore[assignment]
            total.update(compare_things(found, truth, OVERLAP * TILE / SCALE)._asdict())
            total["objects found"] += len(np.unique(found[0])) - 1
            total["true objects"] += len(np.unique(town.ids)) - 1
        print(seed, json.dumps(totals), flush=True)
        options.out.write_text(json.dumps(totals, indent=2) + "\n")


if __name__ == "__main__":
    main()
