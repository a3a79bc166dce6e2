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
    first_ids, rows = np.unique(first, return_inverse=True)
    second_ids, columns = np.unique(second, return_inverse=True)
    pairs = rows.ravel() * len(second_ids) + columns.ravel()
    counts = np.bincount(pairs, minlength=len(first_ids) * len(second_ids))
    return first_ids, second_ids, counts.reshape(len(first_ids), len(second_ids))
