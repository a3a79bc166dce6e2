"""mmdetection's files: names, order of merged patches, and other entries of its checkpoints."""

import sys
import types
from dataclasses import replace

import pytest
import torch
from conftest import TINY_ENCODER, TINY_MASKFORMER, TINY_RESNET, TINY_SWIN, tiny_checkpoint
from torch import nn

import unimask
from unimask.checkpoints import read_authors
from unimask.checkpoints.keymap import to_theirs
from unimask.checkpoints.mmdetection.names import mask2former_rules, maskformer_rules
from unimask.checkpoints.mmdetection.read import PATCH_MERGING_NAMES, reorder_merged_patches
from unimask.config import FPNPixelDecoderConfig, MaskedDecoderConfig
from unimask.errors import CheckpointError
from unimask.inference.load import LoadWarning
from unimask.label_sets import known_labels

BATCH_NORM = replace(TINY_RESNET.backbone, norm="frozen_batch")
NETWORKS = {
    "mask2former swin": TINY_SWIN,
    "mask2former resnet": replace(TINY_RESNET, backbone=BATCH_NORM),
    "maskformer swin": replace(TINY_MASKFORMER, backbone=TINY_SWIN.backbone),
    "maskformer resnet, encoder": replace(TINY_ENCODER, backbone=BATCH_NORM),
}


def interleave_merged_patches(name, value):
    """Interleave the channels of merged patches: the inverse of `reorder_merged_patches`."""
    if not PATCH_MERGING_NAMES.fullmatch(name):
        return value
    *rows, merged = value.shape
    channels = value.reshape(*rows, 4, merged // 4)[..., [0, 2, 1, 3], :]
    return channels.transpose(-1, -2).reshape(*rows, merged)


def theirs(config, *, named=True, seed=0):
    """Return a small random network under the names of mmdetection's release 3, or 2."""
    state = tiny_checkpoint(config, seed).state
    state = {name: interleave_merged_patches(name, value) for name, value in state.items()}
    if isinstance(config.transformer_decoder, MaskedDecoderConfig):
        rules = mask2former_rules(has_named_modules=named)
    else:
        assert isinstance(config.pixel_decoder, FPNPixelDecoderConfig)
        rules = maskformer_rules(
            has_named_modules=named, encoder=config.pixel_decoder.encoder is not None
        )
    return to_theirs(state, rules)


def eight_heads(config):
    """Set 8 heads, as published; files of MaskFormer do not contain the number."""
    if isinstance(config.transformer_decoder, MaskedDecoderConfig):
        return config
    pixels = config.pixel_decoder
    if pixels.encoder is not None:
        pixels = replace(pixels, encoder=replace(pixels.encoder, num_heads=8))
    queries = replace(config.transformer_decoder, num_heads=8)
    return replace(config, pixel_decoder=pixels, transformer_decoder=queries)


@pytest.mark.parametrize("named", [True, False], ids=["release 3", "release 2"])
@pytest.mark.parametrize("name", NETWORKS)
def test_the_same_network_is_read_from_both_releases(tmp_path, name, named):
    config = eight_heads(NETWORKS[name])
    torch.save({"state_dict": theirs(config, named=named), "meta": {}}, tmp_path / "epoch_1.pth")
    checkpoint, message = read_authors(tmp_path / "epoch_1.pth")
    expected = tiny_checkpoint(config)
    assert checkpoint.state.keys() == expected.state.keys()
    assert all(torch.equal(checkpoint.state[n], v) for n, v in expected.state.items())
    queries = checkpoint.description.config.transformer_decoder
    assert (queries.num_heads, queries.num_layers, queries.num_queries, queries.ffn_dim) == (
        config.transformer_decoder.num_heads, 3, 12, 32
    )  # fmt: skip
    assert "names no classes" in message


def test_names_equal_those_of_mmdetection():
    """Compare some names of each part with those of mmdet 3.3.0 and 2.28.2."""
    head = "panoptic_head"
    both = {
        "backbone.stages.0.blocks.0.attn.w_msa.relative_position_bias_table",
        "backbone.stages.2.blocks.1.ffn.layers.0.0.weight",
        "backbone.stages.0.downsample.reduction.weight",
        f"{head}.pixel_decoder.input_convs.2.gn.bias",
        f"{head}.pixel_decoder.level_encoding.weight",
        f"{head}.pixel_decoder.lateral_convs.0.conv.weight",
        f"{head}.transformer_decoder.layers.2.norms.2.weight",
        f"{head}.mask_embed.4.bias",
    }
    layer = f"{head}.transformer_decoder.layers.0"
    assert {*both, f"{layer}.cross_attn.attn.in_proj_weight"} <= theirs(TINY_SWIN).keys()
    older = theirs(TINY_SWIN, named=False).keys()
    assert {*both, f"{layer}.attentions.1.attn.out_proj.bias"} <= older
    pixels = f"{head}.pixel_decoder"
    assert {
        "backbone.layer1.0.conv1.weight",
        "backbone.layer2.0.downsample.1.running_mean",
        f"{pixels}.encoder.layers.1.self_attn.attn.in_proj_weight",
        f"{pixels}.encoder_out_proj.gn.weight",
        f"{pixels}.lateral_convs.2.conv.weight",
    } <= theirs(NETWORKS["maskformer resnet, encoder"]).keys()


def test_pyramid_steps_are_numbered_in_reverse():
    state = theirs(NETWORKS["maskformer swin"])
    widths = [
        state[f"panoptic_head.pixel_decoder.lateral_convs.{i}.conv.weight"].shape[1]
        for i in range(3)
    ]
    assert widths == [8, 16, 32]  # fine to coarse


def test_merged_patches_are_those_of_an_unfolded_map():
    """Merging by `nn.Unfold` equals the authors' four slices with reordered weights."""
    torch.manual_seed(0)
    image, weight = torch.randn(1, 5, 6, 8), torch.randn(7, 20)
    unfolded = nn.Unfold(2, stride=2)(image).transpose(1, 2)
    parts = [image[..., row::2, column::2] for column in (0, 1) for row in (0, 1)]
    sliced = torch.cat(parts, dim=1).flatten(2).transpose(1, 2)
    reordered = reorder_merged_patches("backbone.layers.0.downsample.reduction.weight", weight)
    torch.testing.assert_close(sliced @ reordered.T, unfolded @ weight.T)
    scale = torch.randn(20)
    reordered = reorder_merged_patches("backbone.layers.0.downsample.norm.bias", scale)
    torch.testing.assert_close((sliced @ torch.diag(reordered)).sum(-1), unfolded @ scale)
    assert reorder_merged_patches("backbone.layers.0.blocks.0.norm1.bias", scale) is scale


class HistoryBuffer:
    """Stub of mmengine's class, which its checkpoints contain for each curve."""

    def __init__(self):
        self.max_length = 10
        self.values = torch.ones(3).double().numpy()
        self._statistics_methods = {"mean": HistoryBuffer.mean}

    def mean(self):
        """Function that is pickled by name."""


@pytest.fixture
def mmengine(monkeypatch):
    """Pickle `HistoryBuffer` under mmengine's name; reading must not import it."""
    name = "mmengine.logging.history_buffer"
    module = types.ModuleType(name)
    module.HistoryBuffer = HistoryBuffer
    for part in ("mmengine", "mmengine.logging", name):
        monkeypatch.setitem(sys.modules, part, module)
    monkeypatch.setattr(HistoryBuffer, "__module__", name)
    monkeypatch.setattr(HistoryBuffer.mean, "__module__", name)
    return monkeypatch


@pytest.mark.parametrize("zipped", [True, False])
def test_training_state_is_ignored(tmp_path, mmengine, zipped):
    path = tmp_path / "epoch_3.pth"
    content = {
        "state_dict": theirs(TINY_SWIN),
        "message_hub": {
            "log_scalars": {"train/loss": HistoryBuffer()},
            "runtime_info": {"iter": 3},
        },
        "optimizer": {"state": {0: {"exp_avg": torch.ones(2)}}, "param_groups": [{"lr": 1e-4}]},
        "meta": {"dataset_meta": {"classes": ("cell", "ground"), "thing_classes": ["cell"]}},
    }
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    mmengine.undo()
    predictor = unimask.load(path, device="cpu")  # no warning: the file names its classes
    assert predictor.labels == ("cell", "ground") and predictor.is_thing == (True, False)


def test_published_files_follow_their_configurations(tmp_path):
    names = known_labels("coco_panoptic").names
    config = replace(NETWORKS["maskformer swin"], num_classes=133)
    config = eight_heads(config)
    state = {**theirs(replace(config, num_classes=2))}
    for part in ("weight", "bias"):
        key = f"panoptic_head.cls_embed.{part}"
        state[key] = torch.zeros(134, *state[key].shape[1:])
    path = tmp_path / "maskformer_swin-l-p4-w12_64xb1-ms-300e_coco_20220326_221612-c63ab967.pth"
    padded_names = [f" {name}" for name in names]
    torch.save({"state_dict": state, "meta": {"CLASSES": padded_names}}, path)
    checkpoint, assumed = read_authors(path)
    assert assumed is None and checkpoint.description.labels == known_labels("coco_panoptic")
    assert (
        checkpoint.description.preprocessing.size_divisor == 1
    )  # DetDataPreprocessor(pad_size_divisor=1)
    assert checkpoint.description.preprocessing.longest_edge == 1333
    assert (
        checkpoint.description.postprocessing.uncertain_pixels == "winner"
    )  # filter_low_score=False
    assert checkpoint.description.tasks == ("panoptic", "instance", "semantic")


def test_published_file_names_determine_classes(tmp_path):
    state = theirs(TINY_SWIN)
    for part in ("weight", "bias"):
        key = f"panoptic_head.cls_embed.{part}"
        state[key] = torch.zeros(134, *state[key].shape[1:])
    path = tmp_path / "mask2former_swin-t-p4-w7-224_8xb2-lsj-50e_coco-panoptic_2022-3ec9e0ae.pth"
    torch.save({"state_dict": state}, path)
    predictor = unimask.load(path, device="cpu")
    assert predictor.labels == known_labels("coco_panoptic").names
    assert predictor.description.preprocessing.size_divisor == 32


def test_heads_of_a_maskformer_are_those_of_its_configuration(tmp_path):
    config = NETWORKS["maskformer swin"]
    path = tmp_path / "epoch_1.pth"
    text = "model = dict(backbone=dict(num_heads=[1, 2]), panoptic_head=dict(num_heads=4, x=4))"
    torch.save({"state_dict": theirs(config), "meta": {"cfg": text}}, path)
    checkpoint, _ = read_authors(path)
    assert checkpoint.description.config.transformer_decoder.num_heads == 4


MISMATCHES = {
    "strides in 1x1": lambda s, m: m.update(config="dict(type='ResNet', style='caffe')"),
    "number of attention heads": lambda s, m: m.update(
        cfg="panoptic_head=dict(num_heads=4, other=dict(num_heads=8))"
    ),
    "missing: panoptic_head.cls_embed": lambda s, m: s.pop("panoptic_head.cls_embed.weight"),
    "for video": lambda s, m: s.update({"track_head.x.weight": torch.ones(1)}),
    "a file of mmsegmentation": lambda s, m: s.update({"decode_head.x.weight": torch.ones(1)}),
    "unknown: neck": lambda s, m: s.update({"neck.x.weight": torch.ones(1)}),
    "backbone is unknown": lambda s, m: s.update({"backbone.absolute_pos_embed": torch.ones(1)}),
    "of another shape": lambda s, m: s.update({"backbone.norm3.weight": torch.ones(1)}),
}


@pytest.mark.parametrize("message", MISMATCHES)
def test_mismatches_are_one_line_errors(tmp_path, message):
    state, meta = theirs(eight_heads(NETWORKS["maskformer swin"])), {}
    MISMATCHES[message](state, meta)
    torch.save({"state_dict": state, "meta": meta}, tmp_path / "epoch_1.pth")
    with pytest.raises(CheckpointError, match=rf"epoch_1\.pth.*{message}") as failed:
        unimask.load(tmp_path / "epoch_1.pth")
    assert "\n" not in str(failed.value)


INVALID_CLASS_LISTS = [3, "names", ["a", 3], ("a",), {"a": 1}, ["a" * 300, "b"]]


@pytest.mark.parametrize("classes", INVALID_CLASS_LISTS)
def test_invalid_class_lists_are_ignored(tmp_path, classes):
    torch.save(
        {"state_dict": theirs(TINY_SWIN), "meta": {"CLASSES": classes}}, tmp_path / "epoch_1.pth"
    )
    with pytest.warns(LoadWarning, match="names no classes"):
        unimask.load(tmp_path / "epoch_1.pth", device="cpu")
