"""bfloat16 and float32 predict the same, except for pixels close to a tie."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from conftest import TINY_MASKFORMER, TINY_RESNET, TINY_SWIN, tiny_checkpoint

import unimask
from unimask.checkpoints import write_huggingface
from unimask.datasets.rendered_nuclei import render_nuclei

# Networks with image queries may number them differently, such as `nuclei`.
NETWORKS = {
    "resnet": TINY_RESNET,
    "swin": TINY_SWIN,
    "maskformer": TINY_MASKFORMER,
}


def agreement(source, image: np.ndarray) -> float:
    """Return the share of pixels with the same class in both types, in percent."""
    maps = [
        unimask.load(source, device="cpu", dtype=dtype).predict(image, "semantic").segmentation
        for dtype in ("float32", "bfloat16")
    ]
    return 100 * float((maps[0] == maps[1]).mean())


@pytest.mark.parametrize("seed", [0, 1])
def test_nuclei_labels_pixels_alike(seed):
    assert agreement("nuclei", render_nuclei(seed=seed, size=(192, 256), count=12).image) >= 99.5


def test_nuclei_counts_alike():
    field = render_nuclei(seed=3, size=(192, 256), count=12)
    found = [
        unimask.load("nuclei", device="cpu", dtype=dtype).predict(field.image, "instance")
        for dtype in ("float32", "bfloat16")
    ]
    counts = [len(result.segments) for result in found]
    assert abs(counts[0] - counts[1]) <= 1 and counts[0] >= 6
    covered = [result.segmentation > 0 for result in found]
    assert (covered[0] == covered[1]).mean() >= 0.995


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("config", NETWORKS.values(), ids=NETWORKS)
def test_half_precision_masks_agree_for_small_random_models(config, seed, tmp_path):
    write_huggingface(tmp_path, tiny_checkpoint(config, seed=seed))
    torch.manual_seed(seed)
    pixel_values = F.interpolate(torch.randn(1, 3, 12, 16), scale_factor=8)
    exact, half = (
        unimask.load(tmp_path, device="cpu", dtype=dtype).network(pixel_values.to(kind))
        for dtype, kind in (("float32", torch.float32), ("bfloat16", torch.bfloat16))
    )
    masks, rounded = exact.mask_logits, half.mask_logits.float()
    inside = masks > 0
    assert 0.2 < inside.float().mean() < 0.9  # the test is not trivial
    assert (inside == (rounded > 0)).float().mean() >= 0.97
    assert (masks - rounded).std() <= 0.15 * masks.std()
    probs = exact.class_logits.softmax(-1) - half.class_logits.float().softmax(-1)
    assert probs.abs().mean() <= 0.03
