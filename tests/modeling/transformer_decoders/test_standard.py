"""MaskFormer's decoder; `tests/parity/test_maskformer.py` compares its values."""

import pytest
import torch
from conftest import TINY_MASKFORMER

from unimask.modeling.build import build_segmenter


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return build_segmenter(TINY_MASKFORMER).eval()


def test_auxiliary_outputs_do_not_change_the_last_prediction(network):
    images = torch.randn(1, 3, 64, 96)
    with torch.no_grad():
        bare, with_auxiliary = network(images), network(images, auxiliary=True)
    assert bare.auxiliary == () and len(with_auxiliary.auxiliary) == 2
    assert torch.equal(bare.mask_logits, with_auxiliary.mask_logits)


def test_queries_differ_by_their_positions_alone(network):
    decoder = network.transformer_decoder
    with torch.no_grad():
        original = decoder.query_positions.weight.clone()
        decoder.query_positions.weight[3] = original[5]
        output = network(torch.randn(1, 3, 64, 96))
        decoder.query_positions.weight.copy_(original)
    torch.testing.assert_close(output.class_logits[:, 3], output.class_logits[:, 5])
    assert not torch.allclose(output.class_logits[:, 3], output.class_logits[:, 4], atol=1e-3)


def test_dropout_is_for_training(network):
    images = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        assert torch.equal(network(images).class_logits, network(images).class_logits)
        network.train()
        first, second = (network(images, auxiliary=False).class_logits for _ in range(2))
        network.eval()
    assert not torch.allclose(first, second)
