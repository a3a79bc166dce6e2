"""Count of the pixels that pairs of segments share."""

import numpy as np
from jaxtyping import Int


def count_overlaps(
    first: Int[np.ndarray, "h w"], second: Int[np.ndarray, "h w"]
) -> tuple[Int[np.ndarray, " a"], Int[np.ndarray, " b"], Int[np.ndarray, "a b"]]:
    """Count the pixels of every pair of ids, in one pass.

    Returns:
        Ids of the first map, ids of the second map, and the table of counts.
    """
    one, other = first.ravel(), second.ravel()
    # Sorting runs of equal ids is faster than sorting pixels, because there are far fewer runs.
    changes = np.flatnonzero((one[1:] != one[:-1]) | (other[1:] != other[:-1])) + 1
    starts = np.concatenate([np.zeros(min(one.size, 1), np.int64), changes])
    lengths = np.diff(starts, append=one.size)
    first_ids, rows = np.unique(one[starts], return_inverse=True)
    second_ids, columns = np.unique(other[starts], return_inverse=True)
    pairs = rows * len(second_ids) + columns
    counts = np.bincount(pairs, lengths, minlength=len(first_ids) * len(second_ids))
    return first_ids, second_ids, counts.astype(np.int64).reshape(len(first_ids), len(second_ids))
