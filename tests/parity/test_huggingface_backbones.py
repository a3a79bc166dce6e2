"""Mask2Former on ConvNeXt and DiNAT: folders from and for `transformers`."""

import json

import pytest
import torch
from parity.theirs import assert_same_logits
from torch import nn

from unimask.checkpoints import read_huggingface, write_huggingface
from unimask.config import ConvNeXtConfig, DiNATConfig
from unimask.errors import CheckpointError
from unimask.kernels.neighborhood_attention import neighborhood_attention_reference
from unimask.modeling.build import build_segmenter

transformers = pytest.importorskip("transformers")
modeling_dinat = pytest.importorskip("transformers.models.dinat.modeling_dinat")

STAGES = ["stage1", "stage2", "stage3", "stage4"]
DILATIONS = [[1], [2], [1, 3], [1]]


def convnext(scale: float) -> "transformers.ConvNextConfig":
    return transformers.ConvNextConfig(
        hidden_sizes=[8, 12, 24, 16], depths=[1, 1, 2, 1], layer_scale_init_value=scale,
        drop_path_rate=0.1, out_features=STAGES,
    )  # fmt: skip


def dinat(scale: float) -> "transformers.DinatConfig":
    return transformers.DinatConfig(
        embed_dim=8, depths=[1, 1, 2, 1], num_heads=[1, 2, 2, 4], kernel_size=3, mlp_ratio=2.0,
        dilations=DILATIONS, drop_path_rate=0.1, layer_scale_init_value=scale, out_features=STAGES,
    )  # fmt: skip


BACKBONES = {
    "convnext": (
        convnext(1e-6),
        ConvNeXtConfig(dims=(8, 12, 24, 16), depths=(1, 1, 2, 1), drop_path=0.1),
    ),
    "convnext-unscaled": (
        convnext(0.0),
        ConvNeXtConfig(
            dims=(8, 12, 24, 16), depths=(1, 1, 2, 1), drop_path=0.1, layer_scale=0.0
        ),
    ),
    "dinat": (
        dinat(0.0),
        DiNATConfig(
            embed_dim=8, num_heads=(1, 2, 2, 4), kernel_size=3,
            dilations=((1,), (2,), (1, 3), (1,)), mlp_ratio=2.0, drop_path=0.1,
        ),
    ),
    "dinat-scaled": (
        dinat(1e-5),
        DiNATConfig(
            embed_dim=8, num_heads=(1, 2, 2, 4), kernel_size=3,
            dilations=((1,), (2,), (1, 3), (1,)), mlp_ratio=2.0, drop_path=0.1, layer_scale=1e-5,
        ),
    ),
}  # fmt: skip


def attend(self, hidden_states, output_attentions=False):
    """Compute their attention; theirs needs a version of NATTEN that no longer installs."""
    query, key, value = (
        project(hidden_states).unflatten(-1, (self.num_attention_heads, -1))
        for project in (self.query, self.key, self.value)
    )
    mixed = neighborhood_attention_reference(query, key, value, self.rpb, dilation=self.dilation)
    return (mixed.flatten(3),)


@pytest.fixture(scope="module", autouse=True)
def without_natten():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(modeling_dinat, "requires_backends", lambda *_: None)
        patch.setattr(modeling_dinat.NeighborhoodAttention, "forward", attend)
        yield


def random_weights(model: nn.Module) -> None:
    """Randomise the weights of the backbone, and keep the others at initialisation."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, tensor in model.model.pixel_level_module.encoder.named_parameters():
            noise = torch.randn(tensor.shape, generator=generator)
            if tensor.ndim > 1 and "rpb" not in name:
                noise = noise / tensor[0].numel() ** 0.5
            tensor.copy_(1 + 0.3 * noise if "norm" in name and name.endswith("weight") else noise)


@pytest.fixture(scope="module", params=BACKBONES)
def pair(request, tmp_path_factory, without_natten):
    """Network of `transformers`, its saved folder, and the expected backbone configuration."""
    torch.manual_seed(0)
    backbone, expected = BACKBONES[request.param]
    config = transformers.Mask2FormerConfig(
        backbone_config=backbone, hidden_dim=32, feature_size=32, mask_feature_size=32,
        encoder_layers=1, decoder_layers=2, num_attention_heads=4, dim_feedforward=32,
        encoder_feedforward_dim=32, num_queries=5, num_labels=3,
    )  # fmt: skip
    theirs = transformers.Mask2FormerForUniversalSegmentation(config).eval()
    random_weights(theirs)
    folder = tmp_path_factory.mktemp("theirs")
    theirs.save_pretrained(folder)
    return theirs, folder, expected


def test_transformers_folders_predict_the_same_here(pair):
    theirs, folder, expected = pair
    checkpoint = read_huggingface(folder)
    assert checkpoint.description.config.backbone == expected
    ours = build_segmenter(checkpoint.description.config).eval()
    ours.load_state_dict(checkpoint.state)
    images = torch.randn(2, 3, 64, 96, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        reference, actual = theirs(images), ours(images)
    assert actual.mask_logits.std() > 0.05
    assert_same_logits(actual.mask_logits, reference.masks_queries_logits)
    assert_same_logits(actual.class_logits, reference.class_queries_logits)


@pytest.mark.filterwarnings("ignore")
def test_saved_folders_load_in_transformers(pair, tmp_path):
    theirs, folder, _ = pair
    checkpoint = read_huggingface(folder)
    write_huggingface(tmp_path, checkpoint)
    again, report = transformers.Mask2FormerForUniversalSegmentation.from_pretrained(
        tmp_path, output_loading_info=True
    )
    backbone = {n for names in report.values() for n in names if "pixel_level_module.encoder" in n}
    assert not backbone
    images = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        expected, found = theirs(images), again.eval()(images)
    torch.testing.assert_close(found.masks_queries_logits, expected.masks_queries_logits)
    assert read_huggingface(tmp_path).description.config == checkpoint.description.config


def changed(folder, tmp_path, change) -> None:
    """Copy a folder with a changed backbone configuration."""
    write_huggingface(tmp_path, read_huggingface(folder))
    config = json.loads((tmp_path / "config.json").read_text())
    change(config["backbone_config"])
    (tmp_path / "config.json").write_text(json.dumps(config))


@pytest.mark.parametrize(("option", "value"), [("patch_size", 8), ("hidden_act", "relu")])
def test_unsupported_options_are_refused(pair, tmp_path, option, value):
    changed(pair[1], tmp_path, lambda backbone: backbone.update({option: value}))
    with pytest.raises(CheckpointError, match=f"{option} of the [a-z]+ is {value!r}"):
        read_huggingface(tmp_path)


def test_absolute_positions_of_a_swin_are_refused(tmp_path):
    config = transformers.Mask2FormerConfig(
        backbone_config=transformers.SwinConfig(
            embed_dim=8, depths=[1, 1, 1, 1], num_heads=[1, 1, 1, 1], window_size=3,
            use_absolute_embeddings=True, image_size=32, out_features=STAGES,
        ),
        hidden_dim=32, feature_size=32, mask_feature_size=32, encoder_layers=1, decoder_layers=2,
        num_attention_heads=4, num_queries=5, num_labels=3,
    )  # fmt: skip
    transformers.Mask2FormerForUniversalSegmentation(config).save_pretrained(tmp_path)
    with pytest.raises(CheckpointError, match="use_absolute_embeddings of the swin is True"):
        read_huggingface(tmp_path)


@pytest.mark.parametrize("pair", ["dinat"], indirect=True)
def test_missing_dilations_are_an_error(pair, tmp_path):
    """They cannot be inferred from weights, and wrong ones would predict nonsense."""
    changed(pair[1], tmp_path, lambda backbone: backbone.pop("dilations"))
    with pytest.raises(CheckpointError, match="lacks 'dilations'"):
        read_huggingface(tmp_path)
