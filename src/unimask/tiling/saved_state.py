"""Objects and scores that wait for later tiles, as arrays, so that a run can continue."""

from collections.abc import Mapping

import numpy as np
import torch

from unimask.formats.run_length import RunLength
from unimask.tiling.blending import ClassBlender, PendingCell
from unimask.tiling.masks import PlacedMask
from unimask.tiling.seams import Member, ObjectJoiner, TileObject
from unimask.tiling.windows import TileWindow

Arrays = dict[str, np.ndarray]
"""Arrays by name, of types that files of tensors hold."""


def joiner_arrays(joiner: ObjectJoiner) -> Arrays:
    """Return the objects of a joiner that later tiles may join."""
    members = joiner.members
    counts = [member.item.mask.rle.counts.astype(np.int64) for member in members.values()]
    rows = [
        (
            index,
            joiner.root(index),
            member.item.label_id,
            member.tile.i,
            member.tile.j,
            int(member.is_cut),
            len(runs),
            *member.item.mask.window,
        )
        for (index, member), runs in zip(members.items(), counts, strict=True)
    ]
    boxes = [(root, *box) for root, box in joiner.boxes.items()]
    tiles = [(*key, numbers.start, numbers.stop) for key, numbers in joiner.by_tile.items()]
    return {
        "members": np.array(rows, np.int64).reshape(-1, 11),
        "scores": np.array([member.item.score for member in members.values()], np.float64),
        "counts": np.concatenate([*counts, np.zeros(0, np.int64)]),
        "boxes": np.array(boxes, np.int64).reshape(-1, 5),
        "tiles": np.array(tiles, np.int64).reshape(-1, 4),
        "count": np.array([joiner.count], np.int64),
    }


def restore_joiner(joiner: ObjectJoiner, arrays: Mapping[str, np.ndarray]) -> None:
    """Add the objects that `joiner_arrays` returned to a new joiner."""
    joiner.count = int(arrays["count"][0])
    start = 0
    for row, score in zip(arrays["members"].tolist(), arrays["scores"].tolist(), strict=True):
        index, root, label_id, i, j, is_cut, num_counts, *window = row
        counts = arrays["counts"][start : start + num_counts].astype(np.uint32)
        start += num_counts
        box = TileWindow(*window)
        mask = PlacedMask(box, RunLength((box.height, box.width), counts))
        item = TileObject(label_id, score, mask)
        joiner.members[index] = Member(item, joiner.grid.tile(i, j), bool(is_cut))
        joiner.parents[index] = root
    for root, *window in arrays["boxes"].tolist():
        joiner.boxes[root] = TileWindow(*window)
    for i, j, first, stop in arrays["tiles"].tolist():
        joiner.by_tile[i, j] = range(first, stop)


def blender_arrays(blender: ClassBlender) -> Arrays:
    """Return the scores of a blender that later tiles will add to."""
    arrays: Arrays = {}
    for (y, x), cell in blender.pending.items():
        classes = sorted(cell.scores)
        key = f"cell.{y}.{x}.{cell.remaining}"
        arrays[f"{key}.classes"] = np.array(classes, np.int64)
        if classes:
            scores = torch.stack([cell.scores[name] for name in classes])
            arrays[f"{key}.scores"] = scores.numpy()
    return arrays


def restore_blender(blender: ClassBlender, arrays: Mapping[str, np.ndarray]) -> None:
    """Add the scores that `blender_arrays` returned to a new blender."""
    for name, classes in arrays.items():
        if name.startswith("cell.") and name.endswith(".classes"):
            key = name.removesuffix(".classes")
            y, x, remaining = map(int, key.split(".")[1:])
            scores = {
                label: torch.from_numpy(arrays[f"{key}.scores"][index].copy())
                for index, label in enumerate(classes.tolist())
            }
            blender.pending[y, x] = PendingCell(remaining, scores)
