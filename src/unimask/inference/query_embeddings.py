"""Embeddings of the queries of a prediction, read where the network computes them."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from jaxtyping import Float
from torch import Tensor, nn

from unimask.results import Result


class QueryEmbeddings:
    """Normalised output of the last decoder layer, from which classes and masks are predicted.

    Attributes:
        last: Embeddings of the latest prediction of this thread; None for networks without
            queries, and for exported ones.
    """

    def __init__(self) -> None:
        self.last: Float[Tensor, "b q c"] | None = None

    def select(self, result: Result) -> list[Float[np.ndarray, " c"] | None] | None:
        """Return the embedding of each segment of the first image's result, None if unknown."""
        if self.last is None:
            return None
        embeddings = self.last[0].float().cpu().numpy()
        return [embeddings[s.queries[0]] if s.queries else None for s in result.segments]


@contextmanager
def capture_query_embeddings(network: nn.Module) -> Iterator[QueryEmbeddings]:
    """Capture the query embeddings of predictions within the block.

    The prediction head normalises the queries before each use, last those of the last layer: a
    hook there sees them without a change of the network. Predictions of other threads are ignored.
    """
    captured, thread = QueryEmbeddings(), threading.get_ident()
    head = getattr(getattr(network, "transformer_decoder", None), "head", None)
    norm = getattr(head, "norm", None)
    if not isinstance(norm, nn.Module):
        yield captured
        return

    def store(_module: nn.Module, _inputs: object, output: Tensor) -> None:
        if threading.get_ident() == thread and output.ndim == 3:
            captured.last = output

    handle = norm.register_forward_hook(store)
    try:
        yield captured
    finally:
        handle.remove()
