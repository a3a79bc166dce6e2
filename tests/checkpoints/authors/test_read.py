"""The authors' files: the network of any size is inferred from names and shapes alone."""

import pickle
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from conftest import TINY_ONEFORMER, TINY_PROPOSALS, TINY_RESNET, TINY_SWIN, tiny_checkpoint
from safetensors.torch import save_file

import unimask
from unimask.checkpoints import read_authors
from unimask.checkpoints.authors.read import select_rules
from unimask.checkpoints.keymap import to_theirs
from unimask.checkpoints.mask2former_shapes import infer_segmenter
from unimask.checkpoints.maskformer_shapes import infer_maskformer, is_maskformer
from unimask.checkpoints.skeleton import build_skeleton
from unimask.config import ConvNeXtConfig, DiNATConfig, ResNetConfig, SwinConfig, TaskQueriesConfig
from unimask.errors import CheckpointError
from unimask.inference.load import LoadWarning
from unimask.modeling.build import build_segmenter
from unimask.presets import DINAT_DILATIONS, PRESETS, preset

DECODER = TINY_SWIN.transformer_decoder
WIDE = replace(
    TINY_SWIN,
    backbone=SwinConfig(embed_dim=6, depths=(2, 1, 3, 1), num_heads=(3, 1, 2, 6), window_size=4,
                        mlp_ratio=2.5),
    pixel_decoder=replace(TINY_SWIN.pixel_decoder, dim=64, mask_dim=24, num_layers=3, ffn_dim=20),
    transformer_decoder=replace(DECODER, num_queries=7, num_layers=5, ffn_dim=48),
    num_classes=11,
)  # fmt: skip
BATCH_NORM = replace(TINY_RESNET, backbone=replace(TINY_RESNET.backbone, norm="frozen_batch"))
BOTTLENECK = replace(
    TINY_RESNET,
    backbone=ResNetConfig(stem_channels=4, channels=(16, 24, 32, 40), depths=(2, 1, 3, 1)),
    num_classes=5,
)
ONEFORMER_DECODER = TINY_ONEFORMER.transformer_decoder
ONEFORMER = replace(
    TINY_ONEFORMER,
    backbone=TINY_SWIN.backbone,
    pixel_decoder=replace(TINY_ONEFORMER.pixel_decoder, dropout=0.1),
    transformer_decoder=replace(ONEFORMER_DECODER, task_queries=TaskQueriesConfig(num_layers=2)),
)
CONFIGS = {
    "basic, group norm": TINY_RESNET,
    "basic": BATCH_NORM,
    "bottleneck": BOTTLENECK,
    "swin": TINY_SWIN,
    "swin, other numbers": WIDE,
    "convnext": replace(
        TINY_SWIN,
        backbone=ConvNeXtConfig(dims=(4, 6, 8, 10), depths=(1, 2, 1, 1), layer_scale=1.0),
    ),
    "enforced projections": replace(
        TINY_SWIN, transformer_decoder=replace(DECODER, enforce_input_proj=True)
    ),
    "oneformer": ONEFORMER,
    "oneformer, enforced projections": replace(
        ONEFORMER,
        transformer_decoder=replace(ONEFORMER.transformer_decoder, enforce_input_proj=True),
    ),
    "oneformer without texts": replace(ONEFORMER, text=None),
}


def random_state(config, seed=0):
    """Return random weights, none of which is zero or one, since those would hide mistakes."""
    torch.manual_seed(seed)
    state = build_segmenter(config).state_dict()
    return {
        name: torch.rand_like(value) + 0.5 if "running_var" in name else
        0.3 * torch.randn_like(value) if value.ndim > 1 else torch.randn_like(value)
        for name, value in state.items()
    }  # fmt: skip


def theirs(config, seed=0):
    """Return a network under the authors' names, with the other entries of their files."""
    state = to_theirs(random_state(config, seed), select_rules(config))
    extra = {"criterion.empty_weight": torch.ones(config.num_classes + 1)}
    if isinstance(config.backbone, SwinConfig):
        name = "backbone.layers.0.blocks.0.attn.relative_position_index"
        extra[name] = torch.zeros(4, 4, dtype=torch.int64)
    else:
        extra["backbone.stem.conv1.norm.num_batches_tracked"] = torch.tensor(9)
    return {**state, **extra}


def write_pickle(path, state):
    model = {name: value.numpy() for name, value in state.items()}
    path.write_bytes(pickle.dumps({"model": model, "__author__": "somebody"}))


def write_torch(path, state):
    torch.save({"model": state, "iteration": 3, "optimizer": {"state": {}}}, path)


WRITERS = {"model.pkl": write_pickle, "model.pth": write_torch, "model.safetensors": None}


@pytest.mark.filterwarnings("ignore::unimask.inference.load.LoadWarning")
@pytest.mark.parametrize("name", WRITERS)
@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_authors_files_round_trip(tmp_path, config, name):
    write = WRITERS[name] or (lambda path, state: save_file(state, path))
    write(tmp_path / name, theirs(config))
    predictor = unimask.load(tmp_path / name, device="cpu")
    backbone = config.backbone
    if isinstance(backbone, SwinConfig):
        backbone = replace(backbone, drop_path=SwinConfig().drop_path)
    assert predictor.description.config == replace(config, backbone=backbone, text=None)
    network = build_segmenter(config).eval()
    network.load_state_dict(random_state(config))
    pixel_values = torch.randn(1, 3, 64, 96)
    with torch.no_grad():
        expected, actual = (net(pixel_values, "instance") for net in (network, predictor.network))
    assert expected.mask_logits.std() > 0.1
    # Weights keep the memory layout of the file, so sums round in another order.
    torch.testing.assert_close(actual.mask_logits, expected.mask_logits, atol=1e-4, rtol=1e-5)
    torch.testing.assert_close(actual.class_logits, expected.class_logits, atol=1e-4, rtol=1e-5)


# FaPN's authors published a score, but neither code nor weights.
# EoMT and DETR: test_eomt_files.py and test_detr_files.py
OWN = ("nano", "lite", "fapn", "eomt", "detr")
PUBLISHED = [name for name in PRESETS if not any(part in name for part in OWN)]


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_architectures_are_inferred_from_shapes(name):
    config = preset(name, 133)
    state = to_theirs(build_skeleton(config).state_dict(), select_rules(config))
    read = infer_maskformer if is_maskformer(state) else infer_segmenter
    assert read(state, Path("model_coco.pkl")) == config


DINAT = replace(
    TINY_SWIN,
    backbone=DiNATConfig(
        embed_dim=8, num_heads=(1, 1, 2, 2), kernel_size=11,
        dilations=DINAT_DILATIONS, mlp_ratio=2.0, drop_path=0.3,
    ),
)  # fmt: skip


def test_dilations_are_inferred_from_the_file_name_or_refused(tmp_path):
    state = random_state(DINAT)
    named = to_theirs(state, select_rules(DINAT))
    write_pickle(tmp_path / "150_16_dinat_l_oneformer_coco_100ep.pth", named)
    found, _ = read_authors(tmp_path / "150_16_dinat_l_oneformer_coco_100ep.pth")
    assert found.description.config == DINAT
    large = infer_segmenter(named, Path("1280x1280_250_16_dinat_l_oneformer_ade20k_160k.pth"))
    assert large.backbone.dilations[0] == (1, 28, 1)
    for name in ("model.pth", "dinat_cityscapes.pth"):  # Cityscapes' has neighbourhoods of 7
        with pytest.raises(CheckpointError, match="1280x1280, cityscapes"):
            infer_segmenter(named, Path(name))


def test_names_of_first_releases_are_read(tmp_path):
    state = theirs(TINY_SWIN)
    old = {
        name.replace("sem_seg_head.pixel_decoder.", "sem_seg_head.").replace(
            "query_feat", "static_query"
        ): value
        for name, value in state.items()
    }
    assert old.keys() != state.keys() and "sem_seg_head.predictor.static_query.weight" in old
    write_pickle(tmp_path / "new.pkl", state)
    write_pickle(tmp_path / "old.pkl", old)
    new, old = (read_authors(tmp_path / name)[0].state for name in ("new.pkl", "old.pkl"))
    assert new.keys() == old.keys()
    assert all(torch.equal(new[name], old[name]) for name in new)


def test_labels_tasks_and_rules_follow_from_file_and_classes(tmp_path):
    config = replace(TINY_SWIN, num_classes=150)
    folder = tmp_path / "ade20k" / "semantic"
    folder.mkdir(parents=True)
    write_pickle(folder / "model.pkl", theirs(config))
    predictor = unimask.load(folder / "model.pkl", device="cpu")  # no warning
    assert predictor.labels[6] == "road, route" and sum(predictor.is_thing) == 100
    assert predictor.tasks == ("semantic",)
    assert predictor.description.postprocessing.resize == "scores"
    assert predictor.description.preprocessing.shortest_edge == 512


def test_assumptions_are_reported(tmp_path):
    write_pickle(tmp_path / "model.pkl", theirs(TINY_SWIN))
    with pytest.warns(LoadWarning, match=r"model\.pkl names no classes"):
        predictor = unimask.load(tmp_path / "model.pkl", device="cpu")
    assert predictor.labels == ("class 0", "class 1") and predictor.is_thing == (True, True)
    assert predictor.tasks == ("panoptic", "instance", "semantic")


def test_a_loaded_file_can_be_saved_and_loaded_again(tmp_path):
    config = replace(TINY_SWIN, num_classes=133)
    write_pickle(tmp_path / "model_final_94dc52.pkl", theirs(config))
    predictor = unimask.load(tmp_path / "model_final_94dc52.pkl", device="cpu")
    predictor.save(tmp_path / "folder")
    again = unimask.load(tmp_path / "folder", device="cpu")
    assert again.labels == predictor.labels and again.is_thing == predictor.is_thing
    weights = unimask.load(tmp_path / "folder" / "model.safetensors", device="cpu")
    assert weights.labels == predictor.labels


MISMATCHES = {
    "missing": lambda s: s.pop("sem_seg_head.predictor.decoder_norm.weight"),
    "unknown": lambda s: s.update({"sem_seg_head.predictor.extra.weight": torch.ones(1)}),
    "of another shape": lambda s: s.update({"backbone.norm3.weight": torch.ones(1)}),
    "missing: .*query_feat": lambda s: s.pop("sem_seg_head.predictor.query_feat.weight"),
    "fits no window": lambda s: s.update(
        {"backbone.layers.0.blocks.0.attn.relative_position_bias_table": torch.ones(24, 1)}
    ),
    "3 stages": lambda s: [s.pop(n) for n in list(s) if n.startswith("backbone.layers.3")],
    "no heads": lambda s: s.update(
        {
            "sem_seg_head.pixel_decoder.transformer.encoder.layers.0.self_attn."
            "attention_weights.weight": torch.ones(13, 32)
        }
    ),
    r"absolute position embeddings too \(APE\)": lambda s: s.update(
        {"backbone.absolute_pos_embed": torch.ones(1, 8, 56, 56)}
    ),
    "backbone is unknown": lambda s: s.pop("backbone.patch_embed.proj.weight"),
    "missing: sem_seg_head.predictor.class_input_proj": lambda s: s.update(
        {"task_mlp.layers.0.weight": torch.ones(32, 77)}
    ),
    "of another shape: .*query_embed": lambda s: s.update(
        {"sem_seg_head.predictor.query_embed.weight": torch.ones(())}
    ),
    "no MaskFormer.*no tensor is called": lambda s: [
        s.pop(n) for n in list(s) if n.startswith("sem_seg_head")
    ],
    "no MaskFormer.*has no mask_features": lambda s: s.pop(
        "sem_seg_head.pixel_decoder.mask_features.weight"
    ),
    "Hugging Face's": lambda s: s.update({"model.pixel_level_module.x": torch.ones(1)}),
}


@pytest.mark.parametrize("message", MISMATCHES)
def test_mismatches_are_one_line_errors(tmp_path, message):
    state = theirs(TINY_SWIN)
    MISMATCHES[message](state)
    write_pickle(tmp_path / "model.pkl", state)
    with pytest.raises(CheckpointError, match=rf"model\.pkl.*{message}") as failed:
        unimask.load(tmp_path / "model.pkl")
    assert "\n" not in str(failed.value)


@pytest.mark.parametrize(
    ("file", "last"),
    [
        ("model_final_34112b.pkl", "tennis_racket"),
        ("ytvis_2021/video_maskformer2_R50_bs16_8ep/model_final.pth", "zebra"),
    ],
)
def test_networks_of_clips_are_recognised_and_saved_with_their_clips(tmp_path, file, last):
    config = replace(TINY_SWIN, num_classes=40)
    (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
    write_pickle(tmp_path / file, theirs(config))
    predictor = unimask.load(tmp_path / file, device="cpu")  # no warning
    assert predictor.description.config.clips and predictor.tasks == ("instance",)
    assert len(predictor.labels) == 40 and predictor.labels[-1] == last
    predictor.save(tmp_path / "folder")
    again = unimask.load(tmp_path / "folder", device="cpu")
    assert again.description == predictor.description
    clip = torch.randn(1, 3, 3, 64, 96)
    with torch.no_grad():
        found, expected = (net(clip) for net in (again.network, predictor.network))
    torch.testing.assert_close(found.mask_logits, expected.mask_logits, atol=1e-4, rtol=1e-5)


def test_networks_of_clips_without_a_year_are_refused_in_one_line(tmp_path):
    write_pickle(tmp_path / "model.pkl", theirs(replace(TINY_SWIN, num_classes=40)))
    with pytest.raises(CheckpointError, match=r"model\.pkl has 40 classes") as failed:
        unimask.load(tmp_path / "model.pkl")
    assert "\n" not in str(failed.value)


def test_networks_of_unimask_have_no_authors_names():
    with pytest.raises(CheckpointError, match="no rule renames 'transformer_decoder"):
        to_theirs(tiny_checkpoint(TINY_PROPOSALS).state, select_rules(TINY_PROPOSALS))
