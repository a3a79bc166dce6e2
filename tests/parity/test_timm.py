"""Real models of timm, where it can be imported: maps, weights, and folders."""

from dataclasses import replace
from importlib.util import find_spec

import pytest
import torch
from conftest import TINY_RESNET, tiny_checkpoint
from safetensors.torch import save_file

import unimask
from unimask.checkpoints import read_backbone, read_huggingface, write_huggingface
from unimask.checkpoints.skeleton import build_skeleton
from unimask.config import TimmConfig
from unimask.errors import CheckpointError, SettingsError
from unimask.modeling.backbones.timm import import_timm
from unimask.modeling.build import build_backbone, build_segmenter

pytestmark = [
    pytest.mark.extra,
    pytest.mark.skipif(find_spec("timm") is None, reason="needs the extra timm"),
]


@pytest.fixture(scope="module")
def timm():
    return import_timm()


# Small ones: maps from stride 2 on, from stride 4 on, channels last, several branches, batch norms.
MODELS = ("resnet18", "convnextv2_atto", "mambaout_femto", "hrnet_w18_small", "repvit_m0_9",
          "twins_pcpvt_small")  # fmt: skip


@pytest.mark.parametrize("name", MODELS)
def test_maps_equal_the_reference(name, timm):
    torch.manual_seed(0)
    backbone = build_backbone(TimmConfig(name=name)).eval()
    theirs = timm.create_model(name, features_only=True).eval()
    theirs.load_state_dict(backbone.model.state_dict())
    pixel_values = torch.randn(1, 3, 64, 96)
    with torch.no_grad():
        expected = dict(zip(theirs.feature_info.reduction(), theirs(pixel_values), strict=True))
        for stride, actual in zip((4, 8, 16, 32), backbone(pixel_values), strict=True):
            if getattr(theirs, "output_fmt", "NCHW") == "NHWC":
                expected[stride] = expected[stride].permute(0, 3, 1, 2)
            torch.testing.assert_close(actual, expected[stride])
            assert actual.shape[2:] == (64 // stride, 96 // stride)


@pytest.mark.parametrize("size", [(75, 109), (33, 40), (1, 1)], ids=str)
@pytest.mark.parametrize("name", MODELS)
def test_any_size_gives_the_declared_maps_and_gradients_for_all_parameters(name, size):
    backbone = build_backbone(TimmConfig(name=name, in_channels=2)).eval()
    maps = backbone(torch.randn(1, 2, *size))
    assert [tuple(feature.shape[1:]) for feature in maps] == [
        (channels, -(-size[0] // stride), -(-size[1] // stride))
        for channels, stride in zip(backbone.channels, backbone.strides, strict=True)
    ]
    sum(feature.square().sum() for feature in maps).backward()
    assert not [n for n, p in backbone.named_parameters() if p.grad is None]


@pytest.mark.parametrize("name", MODELS[:3])
def test_saved_folders_predict_the_same(name, tmp_path):
    config = replace(TINY_RESNET, backbone=TimmConfig(name=name))
    checkpoint = tiny_checkpoint(config)
    write_huggingface(tmp_path, checkpoint)
    again = read_huggingface(tmp_path)
    assert again.description.config == config and again.state.keys() == checkpoint.state.keys()
    networks = [build_segmenter(config).eval(), build_skeleton(config).eval()]
    for network, state in zip(networks, (checkpoint.state, again.state), strict=True):
        network.load_state_dict(state)
    one, other = (network(torch.ones(1, 3, 64, 64)) for network in networks)
    assert torch.equal(one.mask_logits, other.mask_logits)


@pytest.mark.parametrize("name", ["resnet18", "convnextv2_atto"])
def test_timm_files_give_timm_features(name, tmp_path, timm):
    torch.manual_seed(1)
    whole = timm.create_model(name)
    save_file(whole.state_dict(), tmp_path / "model.safetensors")
    config = replace(TINY_RESNET, backbone=TimmConfig(name=name))
    network = build_segmenter(config).eval()
    state = network.state_dict()
    state |= read_backbone(tmp_path / "model.safetensors", config.backbone, state)
    network.load_state_dict(state)
    pixel_values = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        expected = whole.eval().forward_intermediates(pixel_values, intermediates_only=True)
        torch.testing.assert_close(network.backbone(pixel_values)[-1], expected[-1])
    other = replace(config.backbone, name="resnet26")
    with pytest.raises(CheckpointError, match="weights of timm's resnet26 are not what") as failed:
        read_backbone(tmp_path / "model.safetensors", other, state)
    assert "\n" not in str(failed.value)


def test_presets_take_the_backbone_and_its_normalisation(timm):
    predictor = unimask.build(
        "maskformer-swin-tiny", labels=("a", "b"), backbone="timm:mobilevit_s", device="cpu"
    )
    pretrained_cfg = timm.get_pretrained_cfg("mobilevit_s")
    assert predictor.description.preprocessing.mean == tuple(
        255 * value for value in pretrained_cfg.mean
    )
    assert predictor.description.preprocessing.std == tuple(
        255 * value for value in pretrained_cfg.std
    )
    assert "timm:mobilevit_s" in predictor.name


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("vit_tiny_patch16_224", "has strides 16, 16, 16; 4, 8, 16 and 32 are needed"),
        ("swin_tiny_patch4_window7_224", "for images of any size: Input height"),
        ("resnet19", "Unknown model"),
        ("resnet18.nobody", "Invalid pretrained tag"),
    ],
)
def test_unsuitable_models_are_refused(name, message):
    with pytest.raises(SettingsError, match=message):
        unimask.build("mask2former-nano", labels=("a",), backbone=f"timm:{name}", device="cpu")
