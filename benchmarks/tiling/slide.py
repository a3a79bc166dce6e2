"""Compare tiles of two sizes on a slide.

    python -m benchmarks.tiling.slide SLIDE.svs OUT [--tiles 512 1024] [--mpp 0.25]

OUT gets the results, and `seams.png`: the outlines with the smaller tiles over a part of the slide.
Nuclei of the one result are matched with those of the other. Objects that borders of tiles cut
would have straight sides in the same rows and columns.
"""

import argparse
import json
import time
from collections import Counter
from itertools import pairwise
from pathlib import Path

import numpy as np
import rasterio  # pyright: ignore[reportMissingImports]
from PIL import Image

import unimask
from unimask.metrics.overlaps import count_overlaps


def segment(slide: Path, out: Path, tile: int, mpp: float) -> tuple[np.ndarray, float]:
    """Segment a slide, unless it is done; return the map of ids and the seconds."""
    ids = out / f"{slide.stem}_ids.tif"
    start = time.perf_counter()
    if not ids.exists():
        model = unimask.load("nuclei", device="cpu")
        model.predict_slide(slide, out, "instance", mpp=mpp, tile=tile)
    seconds = time.perf_counter() - start
    with rasterio.open(ids) as file:
        return file.read(1).astype(np.int64), seconds


def matched_share(ids: np.ndarray, reference: np.ndarray) -> tuple[int, int]:
    """Return the number of reference objects with an IoU above 0.5, and the number of all."""
    rows, columns, shared = count_overlaps(ids, reference)
    union = shared.sum(1)[:, None] + shared.sum(0) - shared
    objects = np.outer(rows > 0, columns > 0)
    hits = np.greater(np.where(objects, shared / union, 0), 0.5)
    return int(hits.any(0).sum()), int((columns > 0).sum())


def straight_sides(ids: np.ndarray, least: int) -> Counter[tuple[int, int]]:
    """Count straight sides of objects of at least so many pixels, by axis and row or column."""
    found: Counter[tuple[int, int]] = Counter()
    for axis, array in enumerate((ids, ids.T)):
        for line, (above, below) in enumerate(pairwise(array), start=1):
            cut = np.where((above != below) & (above > 0), above, 0)
            counts = np.unique(cut[cut > 0], return_counts=True)[1]
            if sides := int(np.greater_equal(counts, least).sum()):
                found[axis, line] = sides
    return found


def draw_outlines(slide: Path, ids: np.ndarray, box: tuple[int, int, int, int]) -> Image.Image:
    """Draw outlines over a part (left, top, right, bottom) of the slide's finest level."""
    import openslide  # pyright: ignore[reportMissingImports]

    left, top, right, bottom = box
    with openslide.OpenSlide(slide) as file:
        region = file.read_region((left, top), 0, (right - left, bottom - top)).convert("RGB")
    pixels = np.array(region)
    part = ids[top:bottom, left:right]
    edge = np.zeros(part.shape, bool)
    edge[:-1] |= part[:-1] != part[1:]
    edge[:, :-1] |= part[:, :-1] != part[:, 1:]
    pixels[edge] = (255, 230, 0)
    return Image.fromarray(pixels).resize((2 * (right - left), 2 * (bottom - top)))


def main() -> None:
    """Segment, compare and draw."""
    parser = argparse.ArgumentParser()
    parser.add_argument("slide", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--tiles", type=int, nargs=2, default=[512, 1024])
    parser.add_argument("--mpp", type=float, default=0.25)
    options = parser.parse_args()
    maps, seconds = {}, {}
    for tile in options.tiles:
        maps[tile], seconds[tile] = segment(
            options.slide, options.out / str(tile), tile, options.mpp
        )
    small, large = (maps[tile] for tile in options.tiles)
    straight = {tile: straight_sides(maps[tile], 12) for tile in maps}
    report = {
        "slide": options.slide.name,
        "micrometres per pixel": options.mpp,
        "objects": {str(tile): int(len(np.unique(maps[tile])) - 1) for tile in maps},
        "matched of the larger tiles' objects": matched_share(small, large),
        "matched of the smaller tiles' objects": matched_share(large, small),
        "straight sides of 12 pixels": {
            str(tile): {"all": sides.total(), "most in a row or column": max(sides.values())}
            for tile, sides in straight.items()
        },
        "seconds": {str(tile): round(seconds[tile], 1) for tile in seconds},
    }
    print(json.dumps(report, indent=2))
    (options.out / "slide.json").write_text(json.dumps(report, indent=2) + "\n")
    draw_outlines(options.slide, small, (1000, 1500, 1600, 2100)).save(options.out / "seams.png")


if __name__ == "__main__":
    main()
