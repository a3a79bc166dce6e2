"""DETR for panoptic segmentation: classes, masks and boxes, and folders of `transformers`."""

from dataclasses import replace

import pytest
import torch
from parity.theirs import assert_same_logits, load_ours, random_weights, resnet

from unimask.checkpoints import read_huggingface, write_huggingface
from unimask.config import (
    DetrPixelDecoderConfig,
    MapEncoderConfig,
    ResNetConfig,
    SegmenterConfig,
    StandardDecoderConfig,
)

transformers = pytest.importorskip("transformers")

SIZES = {
    "d_model": 64, "encoder_layers": 2, "decoder_layers": 2, "encoder_ffn_dim": 48,
    "decoder_ffn_dim": 40, "num_queries": 5, "num_labels": 3,
}  # fmt: skip

CONFIG = SegmenterConfig(
    backbone=ResNetConfig(stem_channels=8, channels=(16, 24, 32, 40), depths=(1, 2, 1, 2)),
    pixel_decoder=DetrPixelDecoderConfig(
        dim=64, encoder=MapEncoderConfig(num_layers=2, ffn_dim=48)
    ),
    transformer_decoder=StandardDecoderConfig(dim=64, num_queries=5, num_layers=2, ffn_dim=40),
    num_classes=3,
)

TIMM = {
    "timm": (False, ResNetConfig(depths=(2, 2, 2, 2))),
    "timm-dc5": (
        True,
        ResNetConfig(depths=(2, 2, 2, 2), last_stride=1, last_dilations=(1, 2, 2)),
    ),
}


def build_theirs(variant: str) -> tuple[torch.nn.Module, SegmenterConfig]:
    """Build a network of `transformers` with random weights, and return its configuration here."""
    if variant == "resnet":
        backbone, config = {"backbone_config": resnet("bottleneck")}, CONFIG
    else:
        pytest.importorskip("timm")
        dilation, ours = TIMM[variant]
        backbone = {"backbone": "resnet26", "dilation": dilation}
        config = replace(CONFIG, backbone=ours)
    theirs = transformers.DetrForSegmentation(transformers.DetrConfig(**SIZES, **backbone)).eval()
    random_weights(theirs)
    return theirs, config


@pytest.fixture(scope="module", params=["resnet", *TIMM])
def pair(request, tmp_path_factory):
    """Network of `transformers`, its saved folder, and the expected configuration."""
    theirs, config = build_theirs(request.param)
    folder = tmp_path_factory.mktemp("theirs")
    theirs.save_pretrained(folder)
    return theirs, folder, config


def random_images(height: int, width: int) -> torch.Tensor:
    return torch.randn(2, 3, height, width, generator=torch.Generator().manual_seed(1))


@torch.no_grad()
def predict_boxes(ours: torch.nn.Module, images: torch.Tensor) -> torch.Tensor:
    """Predict boxes from the queries that the head receives."""
    head, received = ours.transformer_decoder.head, []
    handle = head.register_forward_pre_hook(lambda _, inputs: received.append(inputs[0]))
    ours(images)
    handle.remove()
    return head.boxes(received[-1]).boxes


@pytest.mark.parametrize("size", [(96, 64), (75, 101)], ids=str)
@torch.no_grad()
def test_transformers_folders_predict_the_same_here(pair, size):
    theirs, folder, config = pair
    assert read_huggingface(folder).description.config == config
    ours, images = load_ours(folder), random_images(*size)
    expected, found = theirs(images), ours(images)
    assert found.mask_logits.std() > 0.05
    assert_same_logits(found.mask_logits, expected.pred_masks)
    assert_same_logits(found.class_logits, expected.logits)
    torch.testing.assert_close(
        predict_boxes(ours, images), expected.pred_boxes, atol=1e-4, rtol=1e-4
    )


@torch.no_grad()
def test_every_weight_matters(pair):
    _, folder, _ = pair
    checkpoint, images = read_huggingface(folder), random_images(64, 64)
    ours = load_ours(folder)
    before, boxes = ours(images), predict_boxes(ours, images)
    # Queries start at zero: attention among them yields the values' bias, whatever its weights.
    # Norms with one channel per group remove the biases before them.
    without_effect = {
        "transformer_decoder.layers.0.self_attn.in_proj_weight",
        "transformer_decoder.head.convs.3.bias",
        "transformer_decoder.head.convs.4.bias",
    }
    for name, tensor in checkpoint.state.items():
        if name.startswith("backbone.") or name in without_effect:
            continue
        changed = tensor + torch.randn(tensor.shape, generator=torch.Generator().manual_seed(2))
        ours.load_state_dict({**checkpoint.state, name: changed})
        after = ours(images)
        difference = max(
            (after.mask_logits - before.mask_logits).abs().max(),
            (after.class_logits - before.class_logits).abs().max(),
            (predict_boxes(ours, images) - boxes).abs().max(),
        )
        assert difference > 1e-6, (
            name
        )  # queries start at zero, so that their positions matter little


@pytest.mark.filterwarnings("ignore")
def test_saved_folders_load_in_transformers(tmp_path):
    theirs, config = build_theirs("resnet")
    theirs.save_pretrained(tmp_path / "theirs")
    checkpoint = read_huggingface(tmp_path / "theirs")
    write_huggingface(tmp_path / "ours", checkpoint)
    again, report = type(theirs).from_pretrained(tmp_path / "ours", output_loading_info=True)
    assert not {name for names in report.values() for name in names}
    images = random_images(64, 96)
    with torch.no_grad():
        expected, found = theirs(images), again.eval()(images)
    torch.testing.assert_close(found.pred_masks, expected.pred_masks)
    torch.testing.assert_close(found.logits, expected.logits)
    torch.testing.assert_close(found.pred_boxes, expected.pred_boxes)
    assert read_huggingface(tmp_path / "ours").description.config == config


def test_saved_dilated_networks_load_again(tmp_path):
    dilated = replace(CONFIG.backbone, last_stride=1, last_dilations=(1, 2))
    config = replace(CONFIG, backbone=dilated)
    folder = tmp_path / "theirs"
    build_theirs("resnet")[0].save_pretrained(folder)
    checkpoint = read_huggingface(folder)
    checkpoint = replace(checkpoint, description=replace(checkpoint.description, config=config))
    write_huggingface(tmp_path / "ours", checkpoint)
    again = read_huggingface(tmp_path / "ours")
    assert again.description.config == config
    assert all(torch.equal(again.state[name], value) for name, value in checkpoint.state.items())
