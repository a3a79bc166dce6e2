"""Quantisation of OpenVINO graphs to int8 by NNCF, calibrated on images."""

import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from typing import TYPE_CHECKING

import numpy as np
import torch

from unimask.export.images import spread
from unimask.processing.images import ImageArray
from unimask.processing.preprocess import preprocess_unnormalised
from unimask.runtimes.metadata import ExportedDescription
from unimask.runtimes.network import Arrays

if TYPE_CHECKING:
    from openvino import Model  # pyright: ignore[reportMissingImports]

MAX_CALIBRATION_IMAGES = 128
"""Largest number of images that are used; more do not change the ranges noticeably."""


def quantise(
    model: "Model", description: ExportedDescription, images: Sequence[ImageArray]
) -> "Model":
    """Quantise weights and activations to int8, with ranges measured on images.

    Args:
        model: Graph in float32.
        description: Inputs of the graph.
        images: Images of the kind that the model will see.
    """
    with quiet_nncf():
        import nncf  # pyright: ignore[reportMissingImports]

        nncf.set_log_level(logging.ERROR)
        samples = list(enumerate(spread(images, MAX_CALIBRATION_IMAGES)))
        dataset = nncf.Dataset(samples, lambda item: graph_inputs(item[0], item[1], description))
        return nncf.quantize(
            model,
            dataset,
            model_type=nncf.ModelType.TRANSFORMER,
            subset_size=len(samples),
        )


def graph_inputs(index: int, image: ImageArray, description: ExportedDescription) -> Arrays:
    """Return the inputs of a graph for one image; the tasks take turns."""
    dtype = getattr(torch, description.input.dtype)
    pixel_values = preprocess_unnormalised(image, description.preprocessing, dtype).pixel_values
    batch = description.input.batch or 1
    inputs = {"pixel_values": np.stack([pixel_values.contiguous().numpy()] * batch)}
    if description.takes_task:
        inputs["task"] = np.full(batch, index % len(description.tasks), np.int64)
    return inputs


@contextmanager
def quiet_nncf() -> Iterator[None]:
    """Silence NNCF's progress bars, and its reports of use to a server at import."""
    before = os.environ.get("NNCF_CI")
    os.environ["NNCF_CI"] = "1"
    try:
        with open(os.devnull, "w") as sink, redirect_stdout(sink):
            yield
    finally:
        if before is None:
            del os.environ["NNCF_CI"]
        else:
            os.environ["NNCF_CI"] = before
