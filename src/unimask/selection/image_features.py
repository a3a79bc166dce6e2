"""Features of whole images: statistics of the backbone's feature maps."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from unimask.modeling.segmenter import Segmenter


@contextmanager
def record_image_features(network: Segmenter) -> Iterator[list[Float[np.ndarray, " f"]]]:
    """Yield a list to which each forward pass of a network appends the features of its images.

    An image's features are the mean and the standard deviation of each channel of all feature maps
    of the backbone, float16.
    """
    rows: list[Float[np.ndarray, " f"]] = []

    def append(module: torch.nn.Module, inputs: object, maps: Sequence[Tensor]) -> None:
        moments = [m for each in maps for m in (each.mean((2, 3)), each.std((2, 3)))]
        rows.extend(torch.cat(moments, dim=1).half().cpu().numpy())

    handle = network.backbone.register_forward_hook(append)
    try:
        yield rows
    finally:
        handle.remove()


def standardise(features: Float[np.ndarray, "n f"]) -> Float[np.ndarray, "n f"]:
    """Scale each feature to mean 0 and variance 1, such that a typical squared distance is 2."""
    features = features.astype(np.float32)
    spread = features.std(axis=0)
    varying = features[:, spread > 0]
    if not varying.size:
        return np.zeros((len(features), 1))
    scaled = (varying - varying.mean(axis=0)) / spread[spread > 0]
    return scaled / np.sqrt(varying.shape[1])
