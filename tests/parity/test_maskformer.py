"""MaskFormer: logits equal those of `transformers`, for reading and writing."""

import pytest
import torch
from parity.theirs import assert_same_logits, random_weights, resnet, swin

from unimask.checkpoints import read_huggingface, write_huggingface
from unimask.modeling.build import build_segmenter

transformers = pytest.importorskip("transformers")

BACKBONES = {
    "swin-window3": swin(3),
    "swin-window4": swin(4),
    "resnet-bottleneck": resnet("bottleneck"),
    "resnet-basic": resnet("basic"),
}
SIZES = [(75, 109), (96, 130), (64, 64), (33, 200)]


@pytest.fixture(scope="module", params=BACKBONES, ids=str)
def pair(request, tmp_path_factory):
    """Network of `transformers`, and the same network read from its folder."""
    torch.manual_seed(0)
    config = transformers.MaskFormerConfig(
        backbone_config=BACKBONES[request.param],
        fpn_feature_size=64,
        mask_feature_size=32,
        num_labels=5,
        decoder_config=transformers.DetrConfig(
            d_model=64 if request.param == "swin-window3" else 32,  # as wide as its last map
            decoder_layers=4,
            decoder_attention_heads=4,
            encoder_attention_heads=4,
            decoder_ffn_dim=40,
            num_queries=7,
        ),
    )
    theirs = transformers.MaskFormerForInstanceSegmentation(config).eval()
    random_weights(theirs)
    theirs.mask_embedder.layers[2].layers[0].weight.data.mul_(
        0.3
    )  # else masks of 50, rounded at 1e-5
    folder = tmp_path_factory.mktemp("theirs")
    theirs.save_pretrained(folder)
    checkpoint = read_huggingface(folder)
    ours = build_segmenter(checkpoint.description.config).eval()
    ours.load_state_dict(checkpoint.state)
    return theirs, checkpoint, ours


def run_theirs(theirs, pixel_values):
    """Return their logits, and the outputs of their heads for every layer's normalised output.

    Their own auxiliary logits lack the norm that the authors apply.
    """
    outputs = []
    hooks = [
        layer.register_forward_hook(lambda module, inputs, output: outputs.append(output))
        for layer in theirs.model.transformer_module.decoder.layers
    ]
    with torch.no_grad():
        last = theirs(pixel_values)
        features = last.pixel_decoder_last_hidden_state
        earlier = []
        for output in outputs[:-1]:
            queries = theirs.model.transformer_module.decoder.layernorm(output)
            masks = torch.einsum("bqc,bchw->bqhw", theirs.mask_embedder(queries), features)
            earlier.append((theirs.class_predictor(queries), masks))
    for hook in hooks:
        hook.remove()
    return last, earlier


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_logits_of_every_layer_equal_transformers_at_any_size(pair, size):
    theirs, _, ours = pair
    pixel_values = torch.randn(2, 3, *size, generator=torch.Generator().manual_seed(1))
    expected, earlier = run_theirs(theirs, pixel_values)
    with torch.no_grad():
        actual = ours(pixel_values, auxiliary=True)
    assert actual.class_logits.std() > 0.05 and actual.mask_logits.std() > 0.05
    assert_same_logits(actual.class_logits, expected.class_queries_logits)
    assert_same_logits(actual.mask_logits, expected.masks_queries_logits)
    assert len(actual.auxiliary) == 3
    for layer, (classes, masks) in zip(actual.auxiliary, earlier, strict=True):
        assert_same_logits(layer.class_logits, classes)
        assert_same_logits(layer.mask_logits, masks)


def test_batched_results_equal_single_image_results(pair):
    _, _, ours = pair
    images = torch.randn(3, 3, 75, 109, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        together = ours(images)
        for index in range(3):
            alone = ours(images[index : index + 1])
            assert_same_logits(together.mask_logits[index], alone.mask_logits[0])
            assert_same_logits(together.class_logits[index], alone.class_logits[0])


@pytest.mark.filterwarnings("ignore")
def test_saved_folders_load_in_transformers(pair, tmp_path):
    theirs, checkpoint, _ = pair
    write_huggingface(tmp_path, checkpoint)
    again = transformers.MaskFormerForInstanceSegmentation.from_pretrained(tmp_path).eval()
    pixel_values = torch.randn(1, 3, 75, 109, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        expected, actual = theirs(pixel_values), again(pixel_values)
    torch.testing.assert_close(actual.masks_queries_logits, expected.masks_queries_logits)
    torch.testing.assert_close(actual.class_queries_logits, expected.class_queries_logits)


def test_saved_folders_round_trip(pair, tmp_path):
    _, checkpoint, _ = pair
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
    assert again.description.postprocessing == checkpoint.description.postprocessing
    assert again.state.keys() == checkpoint.state.keys()
    for name, tensor in again.state.items():
        assert torch.equal(tensor, checkpoint.state[name])
