"""How many pixels each pair of segments shares."""

import numpy as np
from jaxtyping import Int


def overlaps(
    first: Int[np.ndarray, "h w"], second: Int[np.ndarray, "h w"]
) -> tuple[Int[np.ndarray, " a"], Int[np.ndarray, " b"], Int[np.ndarray, "a b"]]:
    """Count the pixels of every pair of ids, in one pass.

    Returns:
        The ids of the first map, those of the second, and the table of counts.
    """
    one, other = first.ravel(), second.ravel()
    # Maps have long runs of equal ids, and there are far fewer runs to sort than pixels.
    changes = np.flatnonzero((one[1:] != one[:-1]) | (other[1:] != other[:-1])) + 1
    starts = np.concatenate([np.zeros(min(one.size, 1), np.int64), changes])
    lengths = np.diff(starts, append=one.size)
    first_ids, rows = np.unique(one[starts], return_inverse=True)
    second_ids, columns = np.unique(other[starts], return_inverse=True)
    pairs = rows * len(second_ids) + columns
    counts = np.bincount(pairs, lengths, minlength=len(first_ids) * len(second_ids))
    return first_ids, second_ids, counts.astype(np.int64).reshape(len(first_ids), len(second_ids))
