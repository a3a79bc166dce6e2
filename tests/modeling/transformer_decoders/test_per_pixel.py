"""Per-pixel classification in terms of queries: post-processing returns the plain arg-max."""

from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from conftest import TINY_MASKFORMER, TINY_PER_PIXEL_PLUS

from unimask.modeling.build import build_segmenter
from unimask.modeling.layers.masks import MaskFeatures
from unimask.modeling.pixel_decoders import PixelDecoderOutput
from unimask.modeling.transformer_decoders import PerPixelHead
from unimask.processing import postprocess

CLASSES = 5


def predicted(scale: float, dtype=torch.float32):
    torch.manual_seed(0)
    head = PerPixelHead(mask_dim=6, num_classes=CLASSES).to(dtype)
    features = scale * torch.randn(2, 6, 12, 16, dtype=dtype)
    pixels = PixelDecoderOutput(MaskFeatures(features), (), features)
    return head(pixels, auxiliary=True), head.classify(features)


@pytest.mark.parametrize("scale", [0.1, 1.0, 20.0])
def test_the_map_is_the_best_class_of_the_resized_scores(scale):
    """This holds even for scores whose sigmoids are all 1 in float32."""
    output, scores = predicted(scale)
    sizes = {"padded_size": (48, 64), "input_size": (47, 61), "original_size": (90, 113)}
    result = postprocess(
        output.class_logits[1].detach(),
        output.mask_logits[1].detach(),
        task="semantic",
        labels=[str(k) for k in range(CLASSES)],
        is_thing=[False] * CLASSES,
        **sizes,
    )
    assert scale < 20 or (scores.topk(2, dim=1).values > 20).all(1).any()
    full = F.interpolate(scores[1:], (48, 64), mode="bilinear", align_corners=False)
    full = F.interpolate(full[:, :, :47, :61], (90, 113), mode="bilinear", align_corners=False)[0]
    best = full.topk(2, dim=0).values
    clear = ((best[0] - best[1]) > 1e-4 * scale).detach().numpy()
    assert clear.mean() > 0.99
    assert (result.segmentation == full.argmax(0).numpy())[clear].all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_queries_predict_their_class_with_certainty(dtype):
    output, _ = predicted(1.0, dtype)
    assert output.class_logits.dtype == output.mask_logits.dtype == dtype
    probs = output.class_logits.float().softmax(-1)
    assert torch.equal(probs, torch.eye(CLASSES, CLASSES + 1).expand(2, -1, -1))
    assert output.auxiliary == ()


def test_masks_are_pixelwise_class_probabilities():
    output, scores = predicted(1.0)
    torch.testing.assert_close(output.mask_logits.exp(), scores.softmax(1))
    np.testing.assert_allclose(output.mask_logits.exp().sum(1).detach(), 1, rtol=1e-5)


def test_queries_that_score_pixels_are_those_of_the_usual_decoder():
    """Masks are log-probabilities over the queries, in every layer."""
    torch.manual_seed(0)
    plus = build_segmenter(TINY_PER_PIXEL_PLUS).eval()
    decoder = replace(TINY_MASKFORMER.transformer_decoder, num_queries=2)
    usual = build_segmenter(replace(TINY_MASKFORMER, transformer_decoder=decoder)).eval()
    missing, extra = usual.load_state_dict(plus.state_dict(), strict=False)
    assert not extra and all("class_embed" in name for name in missing)
    images = torch.randn(2, 3, 64, 96)
    with torch.no_grad():
        actual, expected = (net(images, auxiliary=True) for net in (plus, usual))
    assert len(actual.auxiliary) == 2 and expected.mask_logits.std() > 0.01
    for ours, theirs in zip(
        (*actual.auxiliary, actual), (*expected.auxiliary, expected), strict=True
    ):
        torch.testing.assert_close(ours.mask_logits, theirs.mask_logits.log_softmax(1))
        assert torch.equal(ours.class_logits.softmax(-1), torch.eye(2, 3).expand(2, -1, -1))
