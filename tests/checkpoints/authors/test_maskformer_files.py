"""Files of MaskFormer's authors and their baselines: the network is inferred from tensors alone."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from checkpoints.authors.test_read import random_state, theirs, write_pickle
from conftest import TINY_DEEPLAB, TINY_DEFORMABLE_STANDARD, TINY_MASKFORMER, TINY_SWIN

import unimask
from unimask.checkpoints import read_authors
from unimask.checkpoints.authors.read import select_rules
from unimask.checkpoints.keymap import to_theirs
from unimask.config import MapEncoderConfig, PerPixelConfig, PerPixelPlusConfig, ResNetConfig
from unimask.errors import CheckpointError
from unimask.modeling.build import build_segmenter

DECODER = replace(TINY_MASKFORMER.transformer_decoder, num_heads=8)
MASKFORMER = replace(TINY_MASKFORMER, transformer_decoder=DECODER)
ENCODER = MapEncoderConfig(num_layers=2, num_heads=8, ffn_dim=20)
PYRAMID = replace(MASKFORMER.pixel_decoder, dim=48, mask_dim=20)
BOTTLENECKS = ResNetConfig(stem_channels=4, channels=(16, 24, 40, 64), depths=(2, 1, 3, 1))
CONFIGS = {
    "the tiny one": MASKFORMER,
    "other numbers": replace(
        MASKFORMER,
        backbone=BOTTLENECKS,
        pixel_decoder=PYRAMID,
        transformer_decoder=replace(DECODER, dim=40, num_queries=7, num_layers=2, ffn_dim=24),
        num_classes=11,
    ),
    "swin": replace(MASKFORMER, backbone=TINY_SWIN.backbone),
    "deeplab": replace(MASKFORMER, backbone=TINY_DEEPLAB.backbone),
    "an encoder as wide as the decoder": replace(
        MASKFORMER, pixel_decoder=replace(PYRAMID, dim=32, encoder=ENCODER)
    ),
    "an encoder of another width": replace(
        MASKFORMER, pixel_decoder=replace(PYRAMID, encoder=ENCODER)
    ),
    "per pixel": replace(MASKFORMER, transformer_decoder=PerPixelConfig()),
    "per pixel, with queries": replace(
        MASKFORMER, transformer_decoder=PerPixelPlusConfig(dim=32, num_layers=2, ffn_dim=16)
    ),
}
PIXELS, QUERIES = "sem_seg_head.pixel_decoder", "sem_seg_head.predictor"


@pytest.mark.filterwarnings("ignore::unimask.inference.load.LoadWarning")
@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_authors_files_round_trip(tmp_path, config):
    write_pickle(tmp_path / "model.pkl", theirs(config))
    predictor = unimask.load(tmp_path / "model.pkl", device="cpu")
    expected = config
    if config.backbone.kind == "swin":  # drop path is stored in no tensor
        expected = replace(config, backbone=replace(config.backbone, drop_path=0.3))
    assert predictor.description.config == expected
    network = build_segmenter(config).eval()
    network.load_state_dict(random_state(config))
    pixel_values = torch.randn(1, 3, 64, 96)
    with torch.no_grad():
        expected, actual = (net(pixel_values) for net in (network, predictor.network))
    # Weights read from files have other memory layouts, so products are summed in another order.
    for ours, reference in zip(actual[:2], expected[:2], strict=True):
        scale = float(reference.abs().max())
        torch.testing.assert_close(ours, reference, atol=1e-5 * scale, rtol=1e-5)


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_names_of_first_releases_are_read(tmp_path, config):
    """Version 1 of the authors' heads had no `pixel_decoder`, but the same `predictor`."""
    state = theirs(config)
    old = {name.replace(f"{PIXELS}.", "sem_seg_head."): value for name, value in state.items()}
    assert old.keys() != state.keys() and any(name.startswith(QUERIES) for name in old)
    write_pickle(tmp_path / "new.pkl", state)
    write_pickle(tmp_path / "old.pkl", old)
    new, old = (read_authors(tmp_path / name)[0] for name in ("new.pkl", "old.pkl"))
    assert new.description.config == old.description.config
    assert all(torch.equal(new.state[name], old.state[name]) for name in new.state)


def test_published_files_determine_labels_and_test_settings(tmp_path):
    config = replace(CONFIGS["an encoder as wide as the decoder"], num_classes=133)
    write_pickle(tmp_path / "model_final_6f60dc.pkl", theirs(config))
    description = unimask.load(tmp_path / "model_final_6f60dc.pkl", device="cpu").description
    assert description.labels.names[0] == "person" and sum(description.labels.is_thing) == 80
    assert description.tasks == ("panoptic", "instance", "semantic")
    assert description.preprocessing.size_divisor == 1
    rules = description.postprocessing
    assert (rules.uncertain_pixels, rules.resize, rules.object_threshold) == (
        "winner", "masks", 0.8,
    )  # fmt: skip


@pytest.mark.parametrize("name", ["per pixel", "per pixel, with queries"])
def test_baselines_support_only_semantic_segmentation(tmp_path, name):
    config = replace(CONFIGS[name], num_classes=150)
    file = tmp_path / f"model_final_{'833630' if 'queries' in name else '1043f3'}.pkl"
    write_pickle(file, theirs(config))
    predictor = unimask.load(file, device="cpu")
    assert predictor.tasks == ("semantic",) and predictor.labels[6] == "road, route"
    assert predictor.description.postprocessing.resize == "masks"  # the masks are scores there
    assert predictor.description.preprocessing.size_divisor == 4


@pytest.mark.parametrize(("size", "share"), [((63, 75), 1.0), ((254, 337), 0.98)])
def test_per_pixel_scores_are_resized_as_the_authors_do(size, share):
    """They upsample scores by four and crop; padding first changes only cells at the border."""
    config = replace(CONFIGS["per pixel"], backbone=BOTTLENECKS, num_classes=5)
    network = build_segmenter(config).eval()
    network.load_state_dict(random_state(config))
    image = torch.randn(1, 3, *size, generator=torch.Generator().manual_seed(1))
    image = F.avg_pool2d(image, 5, 1, 2, count_include_pad=False)
    filled = F.pad(image, (0, -size[1] % 4, 0, -size[0] % 4))
    with torch.no_grad():
        theirs, ours = network(image).mask_logits, network(filled).mask_logits
    assert ours.shape == theirs.shape and ours.std() > 0.1
    theirs, ours = (
        F.interpolate(scores, scale_factor=4, mode="bilinear")[..., : size[0], : size[1]].argmax(1)
        for scores in (theirs, ours)
    )
    assert (theirs == ours).float().mean() >= share


def add_tensor(name, *size):
    return lambda state: state.update({name: torch.ones(*size)})


MISMATCHES = {
    "missing: .*layer_2.weight": lambda s: s.pop(f"{PIXELS}.layer_2.weight"),
    "missing: .*query_embed": lambda s: s.pop(f"{QUERIES}.query_embed.weight"),
    "unknown: .*extra": add_tensor(f"{QUERIES}.extra", 1),
    "of another shape: .*mask_features": add_tensor(f"{PIXELS}.mask_features.weight", 3),
    "of another shape: pixel_decoder.steps.0.lateral": add_tensor(
        f"{PIXELS}.adapter_3.weight", 3, 3, 1, 1
    ),
    "33 channels are not divisible by 8 heads": add_tensor(f"{QUERIES}.query_embed.weight", 12, 33),
    "PRE_NORM": add_tensor(f"{QUERIES}.transformer.encoder.norm.weight", 32),
    "PRE_NORM.": add_tensor(f"{PIXELS}.transformer.encoder.norm.weight", 32),
    "ENC_LAYERS": add_tensor(f"{QUERIES}.transformer.encoder.layers.0.linear1.weight", 4, 32),
    "TRANSFORMER_IN_FEATURE": add_tensor(f"{QUERIES}.input_proj.weight", 32, 40, 1, 1),
    "backbone is unknown": lambda s: [s.pop(n) for n in list(s) if n.startswith("backbone.")],
}


@pytest.mark.parametrize("message", MISMATCHES)
def test_mismatches_are_one_line_errors(tmp_path, message):
    state = theirs(CONFIGS["an encoder as wide as the decoder"])
    MISMATCHES[message](state)
    write_pickle(tmp_path / "model.pkl", state)
    with pytest.raises(CheckpointError, match=rf"model\.pkl.*{message}") as failed:
        unimask.load(tmp_path / "model.pkl")
    assert "\n" not in str(failed.value)


def test_other_networks_heads_are_refused(tmp_path):
    """DeepLab's head has the same name and also ends in such a convolution."""
    state = {name: v for name, v in theirs(MASKFORMER).items() if name.startswith("backbone.")}
    add_tensor(f"{QUERIES}.weight", 19, 256, 1, 1)(state)
    add_tensor("sem_seg_head.decoder.res2.project_conv.weight", 48, 64, 1, 1)(state)
    write_pickle(tmp_path / "deeplab.pkl", state)
    with pytest.raises(CheckpointError, match=r"deeplab\.pkl: it is no MaskFormer.*mask_features"):
        unimask.load(Path(tmp_path / "deeplab.pkl"))


def test_configurations_absent_from_the_authors_code_have_no_tensor_names():
    with pytest.raises(CheckpointError, match="no rule renames 'pixel_decoder"):
        to_theirs(random_state(TINY_DEFORMABLE_STANDARD), select_rules(TINY_DEFORMABLE_STANDARD))
