"""Rows of COCO result files; needs only NumPy and pycocotools, which every environment has."""

from typing import Any

import numpy as np
from pycocotools import mask as run_length


def instance_row(image: str, label: int, score: float, mask: np.ndarray) -> dict[str, Any]:
    """Return an instance as a row of COCO's results.

    Args:
        image: File name of the image.
        label: Class index, from 0.
        score: Score, 0 to 1.
        mask: Pixels of the instance, (height, width) of any dtype; non-zero is inside.
    """
    rle = run_length.encode(np.asfortranarray((mask != 0).astype(np.uint8)))
    counts = rle["counts"].decode()  # pyright: ignore
    segmentation = {"size": rle["size"], "counts": counts}
    return {"image_id": image, "category_id": label, "score": score, "segmentation": segmentation}


def paint(rows: list[dict[str, Any]], size: tuple[int, int]) -> np.ndarray:
    """Return a map of ids from 1, int32 of `size`, with higher scores in front."""
    ids = np.zeros(size, np.int32)
    for number, row in enumerate(sorted(rows, key=lambda row: row["score"]), start=1):
        ids[run_length.decode(row["segmentation"]) != 0] = number
    return ids
