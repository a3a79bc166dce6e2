"""Cache of decoded cases, bounded by memory."""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from threading import Lock
from typing import Any

import numpy as np
from jaxtyping import Integer, UInt8

from unimask.errors import DataError, UnimaskError

MAX_BYTES = 2 << 30
"""Memory of the cached cases of a dataset in bytes, per process."""


@dataclass(frozen=True, eq=False)
class DecodedCase:
    """Slices of a case, as they are displayed.

    Attributes:
        images: Grey values of the slices of each image.
        labels: Label ids of the slices.
    """

    images: UInt8[np.ndarray, "m n h w"]
    labels: Integer[np.ndarray, "n h w"]

    @property
    def num_bytes(self) -> int:
        """Memory in bytes."""
        return self.images.nbytes + self.labels.nbytes


class CaseCache:
    """Least recently used cache of decoded cases.

    Errors are cached too, so that a damaged file is read once and not for each slice.

    Args:
        decode: Function that reads and decodes the case of an index.
        max_bytes: Memory of the cached cases in bytes; the last case is cached at any size.
    """

    def __init__(self, decode: Callable[[int], DecodedCase], max_bytes: int = MAX_BYTES) -> None:
        self.decode, self.max_bytes = decode, max_bytes
        self.clear()

    def clear(self) -> None:
        """Remove all cases."""
        self.cases: OrderedDict[int, DecodedCase] = OrderedDict()
        self.errors: dict[int, str] = {}
        self.lock = Lock()

    def get(self, index: int) -> DecodedCase:
        """Return a case, read if necessary; only one thread reads at a time.

        Raises:
            DataError: It cannot be read.
        """
        with self.lock:
            if index in self.errors:
                raise DataError(self.errors[index])
            if index not in self.cases:
                try:
                    self.cases[index] = self.decode(index)
                except UnimaskError as error:
                    self.errors[index] = str(error)
                    raise
            self.cases.move_to_end(index)
            self.trim()
            return self.cases[index]

    def trim(self) -> None:
        """Remove the cases that were not used for longest until the others fit."""
        total = sum(case.num_bytes for case in self.cases.values())
        while total > self.max_bytes and len(self.cases) > 1:
            total -= self.cases.popitem(last=False)[1].num_bytes

    def __getstate__(self) -> dict[str, Any]:
        """Return the state without cases and without the lock, for worker processes."""
        return {"decode": self.decode, "max_bytes": self.max_bytes}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Restore an empty cache."""
        self.decode, self.max_bytes = state["decode"], state["max_bytes"]
        self.clear()
