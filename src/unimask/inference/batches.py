"""Batches of preprocessed images: prefetched in threads, grouped by size."""

from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass

import torch

from unimask.errors import ImageError
from unimask.inference.augmentation import PendingViews
from unimask.inference.thread_map import thread_map
from unimask.inference.tiles import PendingTiles
from unimask.outputs import SegmenterOutput
from unimask.processing.images import ImageArray, Source, count_pixels
from unimask.processing.preprocess import Preprocessed


@dataclass(frozen=True, eq=False)
class Pending:
    """Preprocessed image that waits for the network."""

    source: Source
    image: ImageArray
    preprocessed: Preprocessed
    milliseconds: float


Prepared = Pending | PendingTiles | PendingViews
"""Image that was read, as it will be segmented."""


def prefetched(
    images: Iterable[Source],
    prepare: Callable[[Source], Prepared],
    max_pending: int,
) -> Generator[Prepared | ImageError]:
    """Prepare images, in threads unless they come from an iterator; yield errors in their place."""
    if isinstance(images, Iterator):
        for source in images:
            try:
                yield prepare(source)
            except ImageError as error:
                yield error
        return
    with closing(thread_map(images, prepare, max_pending, count_pixels)) as futures:
        for _, future in futures:
            try:
                yield future.result()
            except ImageError as error:
                yield error
            del future  # else its image stays in memory while the next one is read


def equal_sizes(
    pending: Iterable[Prepared | ImageError], batch_size: int
) -> Iterator[list[Pending] | PendingTiles | PendingViews | ImageError]:
    """Group consecutive images of equal padded size, at most `batch_size` per group.

    Errors, and images to be segmented in tiles or from several views, are yielded alone.
    """
    batch: list[Pending] = []
    for item in pending:
        if batch and not (isinstance(item, Pending) and share_size(item, batch[0])):
            yield batch
            batch = []
        if not isinstance(item, Pending):
            yield item
            del item
            continue
        batch.append(item)
        del item  # else it stays in memory while the next image is read
        if len(batch) == batch_size:
            yield batch
            batch = []
    if batch:
        yield batch


def share_size(first: Pending, second: Pending) -> bool:
    """Return whether two images have the same padded size, so that they can share a batch."""
    return first.preprocessed.padded_size == second.preprocessed.padded_size


def synchronise(output: SegmenterOutput) -> None:
    """Wait for the GPU, so that the time of each stage is measured separately."""
    if output.class_logits.is_cuda:
        torch.cuda.synchronize()
