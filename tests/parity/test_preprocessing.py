"""Hub preprocessing equals that of `transformers` to the pixel."""

import json

import numpy as np
import pytest
import torch
from transformers.models.mask2former.image_processing_pil_mask2former import (
    Mask2FormerImageProcessorPil,
)

from unimask.checkpoints.huggingface.preprocessor import read_literal_preprocessing
from unimask.config import PreprocessingConfig
from unimask.processing.preprocess import preprocess

SQUARE = {"height": 384, "width": 384}


@pytest.mark.parametrize("shape", [(480, 640), (31, 400), (384, 384), (900, 120)])
@pytest.mark.parametrize(
    "settings",
    [
        {"size": SQUARE},
        {"size": {"height": 100, "width": 70}},
        {"size": SQUARE, "size_divisor": 100},
    ],
)
def test_squashed_images_equal_transformers(shape, settings):
    image = np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)
    processor = Mask2FormerImageProcessorPil(**settings)
    theirs = processor(image, return_tensors="pt")["pixel_values"][0]
    written = json.loads(processor.to_json_string())
    config = read_literal_preprocessing(
        {"model_type": "mask2former"}, written, PreprocessingConfig()
    )
    ours = preprocess(image, config)
    assert ours.input_size == ours.padded_size == tuple(theirs.shape[1:])
    torch.testing.assert_close(ours.pixel_values, theirs, atol=1e-5, rtol=0)
