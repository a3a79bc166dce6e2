"""Mask2Former: logits equal those of `transformers`, for reading and writing."""

from dataclasses import replace

import pytest
import torch
from conftest import TINY_RESNET, TINY_SWIN, tiny_checkpoint, with_description
from parity.theirs import assert_same_logits, random_weights, resnet, swin

from unimask.checkpoints import read_huggingface, write_huggingface
from unimask.modeling.build import build_segmenter

transformers = pytest.importorskip("transformers")

BACKBONES = {
    "swin-window3": swin(3),
    "swin-window4": swin(4),
    "resnet-bottleneck": resnet("bottleneck"),
    "resnet-basic": resnet("basic"),
    "enforced projections": swin(3),
}
TINY_FROZEN = replace(TINY_RESNET, backbone=replace(TINY_RESNET.backbone, norm="frozen_batch"))
SIZES = [(75, 109), (96, 130), (64, 64), (33, 200)]


@pytest.fixture(scope="module", params=BACKBONES, ids=str)
def pair(request, tmp_path_factory):
    """Network of `transformers`, and the same network read from its folder."""
    torch.manual_seed(0)
    config = transformers.Mask2FormerConfig(
        backbone_config=BACKBONES[request.param],
        hidden_dim=32,
        feature_size=32,
        mask_feature_size=32,
        encoder_layers=2,
        decoder_layers=6,
        num_attention_heads=4,
        dim_feedforward=40,
        encoder_feedforward_dim=48,
        num_queries=7,
        num_labels=5,
        output_auxiliary_logits=True,
        enforce_input_projection=request.param == "enforced projections",
    )
    theirs = transformers.Mask2FormerForUniversalSegmentation(config).eval()
    random_weights(theirs)
    folder = tmp_path_factory.mktemp("theirs")
    theirs.save_pretrained(folder)
    return theirs, read_huggingface(folder)


def ours_of(checkpoint) -> torch.nn.Module:
    network = build_segmenter(checkpoint.description.config).eval()
    network.load_state_dict(checkpoint.state)
    return network


def compare(theirs, ours, pixel_values) -> None:
    with torch.no_grad():
        expected = theirs(pixel_values, output_auxiliary_logits=True)
        actual = ours(pixel_values, auxiliary=True)
    assert actual.class_logits.std() > 0.05 and actual.mask_logits.std() > 0.05
    assert_same_logits(actual.class_logits, expected.class_queries_logits)
    assert_same_logits(actual.mask_logits, expected.masks_queries_logits)
    assert len(actual.auxiliary) == len(expected.auxiliary_logits)
    for layer, other in zip(actual.auxiliary, expected.auxiliary_logits, strict=True):
        assert_same_logits(layer.class_logits, other["class_queries_logits"])
        assert_same_logits(layer.mask_logits, other["masks_queries_logits"])


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_logits_equal_transformers_at_any_size(pair, size):
    theirs, checkpoint = pair
    torch.manual_seed(1)
    compare(theirs, ours_of(checkpoint), torch.randn(2, 3, *size))


def test_batched_results_equal_single_image_results(pair):
    _, checkpoint = pair
    network = ours_of(checkpoint)
    images = torch.randn(3, 3, 75, 109)
    with torch.no_grad():
        together = network(images)
        for index in range(3):
            alone = network(images[index : index + 1])
            torch.testing.assert_close(
                together.mask_logits[index], alone.mask_logits[0], atol=1e-3, rtol=1e-4
            )
            torch.testing.assert_close(
                together.class_logits[index], alone.class_logits[0], atol=1e-3, rtol=1e-4
            )


def test_auxiliary_outputs_do_not_change_the_last_prediction(pair):
    _, checkpoint = pair
    network = ours_of(checkpoint)
    images = torch.randn(1, 3, 64, 96)
    with torch.no_grad():
        bare, with_auxiliary = network(images), network(images, auxiliary=True)
    assert bare.auxiliary == () and len(with_auxiliary.auxiliary) == 5
    torch.testing.assert_close(bare.mask_logits, with_auxiliary.mask_logits)


@pytest.mark.filterwarnings("ignore")
def test_saved_folders_load_in_transformers(pair, tmp_path):
    theirs, checkpoint = pair
    write_huggingface(tmp_path, checkpoint)
    again = transformers.Mask2FormerForUniversalSegmentation.from_pretrained(tmp_path).eval()
    pixel_values = torch.randn(1, 3, 75, 109)
    with torch.no_grad():
        expected, actual = theirs(pixel_values), again(pixel_values)
    torch.testing.assert_close(actual.masks_queries_logits, expected.masks_queries_logits)
    torch.testing.assert_close(actual.class_queries_logits, expected.class_queries_logits)


def test_saved_folders_round_trip(pair, tmp_path):
    _, checkpoint = pair
    write_huggingface(tmp_path, checkpoint)
    again = read_huggingface(tmp_path)
    assert (
        again.description.config == checkpoint.description.config
        and again.description.labels == checkpoint.description.labels
    )
    assert (
        again.description.preprocessing == checkpoint.description.preprocessing
        and again.description.tasks == checkpoint.description.tasks
    )
    assert again.state.keys() == checkpoint.state.keys()
    for name, tensor in again.state.items():
        torch.testing.assert_close(tensor, checkpoint.state[name], rtol=0, atol=0)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("config", [TINY_SWIN, TINY_FROZEN], ids=["swin", "resnet"])
def test_networks_of_other_channels_load_in_transformers(config, tmp_path):
    backbone = replace(config.backbone, in_channels=4)
    checkpoint = tiny_checkpoint(replace(config, backbone=backbone))
    rules = checkpoint.description.preprocessing.with_channels(4)
    write_huggingface(tmp_path, with_description(checkpoint, preprocessing=rules))
    theirs = transformers.Mask2FormerForUniversalSegmentation.from_pretrained(tmp_path).eval()
    compare(theirs, ours_of(checkpoint), torch.randn(1, 4, 75, 109))
