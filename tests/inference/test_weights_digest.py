"""Digest of weights: any changed value, name, dtype or file of an exported graph changes it."""

from pathlib import Path

import conftest
import pytest
import torch

from unimask.inference.weights_digest import weights_digest
from unimask.modeling.build import build_segmenter
from unimask.runtimes.metadata import weights_path
from unimask.runtimes.network import RuntimeNetwork
from unimask.runtimes.signature import OWN_NAMES


def network(seed=0):
    torch.manual_seed(seed)
    return build_segmenter(conftest.TINY_RESNET)


def test_equal_weights_have_equal_digests():
    assert weights_digest(network()) == weights_digest(network())
    assert weights_digest(network()) != weights_digest(network(seed=1))
    assert weights_digest(network()) != weights_digest(network().double())


def test_one_changed_value_changes_the_digest():
    ours, before = network(), weights_digest(network())
    with torch.no_grad():
        next(ours.parameters()).view(-1)[0] += 1
    assert weights_digest(ours) != before


class Exported(RuntimeNetwork):
    def __init__(self, path: Path):
        super().__init__(None, path, OWN_NAMES)  # type: ignore[arg-type]

    def run(self, inputs):
        raise NotImplementedError


@pytest.mark.parametrize("name", ["model.onnx", "model.xml"])
def test_every_file_of_an_exported_graph_counts(name, tmp_path):
    path = tmp_path / name
    found = []
    for content in (b"graph", b"other graph"):
        path.write_bytes(content)
        for weights in (b"weights", b"other weights"):
            weights_path(path).write_bytes(weights)
            found.append(weights_digest(Exported(path)))
            assert weights_digest(Exported(path)) == found[-1]
    assert len(set(found)) == 4
