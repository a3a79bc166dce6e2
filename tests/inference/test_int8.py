"""Networks in int8 predict as those in float32, except for pixels close to a tie."""

import copy
import pickle

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from conftest import TINY_DETR, TINY_MASKFORMER, TINY_RESNET, TINY_SWIN, tiny_checkpoint

import unimask
from unimask.checkpoints import write_huggingface
from unimask.datasets.rendered_nuclei import render_nuclei
from unimask.errors import SettingsError
from unimask.kernels.int8 import computes_in_int8, find_int8_obstacle

needs_vnni = pytest.mark.skipif(
    find_int8_obstacle(torch.device("cpu")) is not None,
    reason="needs a processor with AVX-512 VNNI",
)
NETWORKS = {
    "resnet": TINY_RESNET,
    "swin": TINY_SWIN,
    "maskformer": TINY_MASKFORMER,
    "detr": TINY_DETR,
}


@needs_vnni
@pytest.mark.parametrize("config", NETWORKS.values(), ids=NETWORKS)
def test_masks_agree_for_small_random_models(config, tmp_path):
    write_huggingface(tmp_path, tiny_checkpoint(config))
    torch.manual_seed(0)
    pixel_values = F.interpolate(torch.randn(1, 3, 12, 16), scale_factor=8)
    with torch.no_grad():
        exact, rounded = (
            unimask.load(tmp_path, device="cpu", dtype=dtype).network(pixel_values)
            for dtype in ("float32", "int8")
        )
    assert not torch.equal(exact.mask_logits, rounded.mask_logits)  # int8 was computed
    assert ((exact.mask_logits > 0) == (rounded.mask_logits > 0)).float().mean() >= 0.95
    assert (exact.mask_logits - rounded.mask_logits).std() <= 0.2 * exact.mask_logits.std()


@needs_vnni
def test_nuclei_labels_pixels_alike():
    image = render_nuclei(seed=0, size=(192, 256), count=12).image
    model = unimask.load("nuclei", device="cpu", dtype="int8")
    exact, rounded = (
        m.predict(image, "semantic").segmentation for m in (unimask.load("nuclei"), model)
    )
    assert "int8 on cpu" in repr(model)
    assert (exact == rounded).mean() >= 0.99
    same = model.predict(image, "semantic").segmentation
    np.testing.assert_array_equal(rounded, same)


@needs_vnni
def test_copies_compute_in_int8_and_saved_weights_are_those_of_float32(tmp_path):
    write_huggingface(tmp_path / "a", tiny_checkpoint(TINY_SWIN))
    model = unimask.load(tmp_path / "a", device="cpu", dtype="int8")
    pixel_values = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        expected = model.network(pixel_values).mask_logits
        for other in (copy.deepcopy(model.network), pickle.loads(pickle.dumps(model.network))):
            assert computes_in_int8(other)
            assert torch.equal(other(pixel_values).mask_logits, expected)
    model.save(tmp_path / "b")
    exact = unimask.load(tmp_path / "a", device="cpu").network.state_dict()
    saved = unimask.load(tmp_path / "b", device="cpu").network.state_dict()
    assert all(torch.equal(exact[name], saved[name]) for name in exact)


@needs_vnni
def test_training_and_compilation_are_refused(tmp_path):
    write_huggingface(tmp_path, tiny_checkpoint(TINY_SWIN))
    with pytest.raises(SettingsError, match="cannot be compiled"):
        unimask.load(tmp_path, device="cpu", dtype="int8", compile=True)
    model = unimask.load(tmp_path, device="cpu", dtype="int8")
    with torch.enable_grad(), pytest.raises(SettingsError, match="no gradients"):
        model.network(torch.randn(1, 3, 64, 64))


def test_processors_without_vnni_are_refused(monkeypatch):
    monkeypatch.setattr(torch.cpu, "_is_vnni_supported", lambda: False, raising=False)
    with pytest.raises(SettingsError, match=r"no AVX-512 VNNI.*float32"):
        unimask.load("nuclei", device="cpu", dtype="int8")
