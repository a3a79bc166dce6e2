"""Files of EoMT's authors, written by renaming the tensors of `transformers`."""

import re
from pathlib import Path

import pytest
import torch
from parity.theirs import assert_same_logits, random_weights

from unimask.checkpoints.authors.eomt import infer_eomt
from unimask.checkpoints.authors.eomt_dinov3 import infer_eomt_dinov3
from unimask.checkpoints.authors.read import read_authors
from unimask.checkpoints.huggingface.eomt import write_buffers
from unimask.checkpoints.huggingface.eomt_names import eomt_rules
from unimask.checkpoints.keymap import to_theirs
from unimask.checkpoints.skeleton import build_skeleton
from unimask.errors import CheckpointError
from unimask.modeling.build import build_segmenter
from unimask.presets import PRESETS, preset

transformers = pytest.importorskip("transformers")

PATTERNS = (
    (r"embeddings\.cls_token", "encoder.backbone.cls_token"),
    (r"embeddings\.register_tokens", "encoder.backbone.reg_token"),
    (r"embeddings\.position_embeddings\.weight", "encoder.backbone.pos_embed"),
    (r"embeddings\.patch_embeddings\.projection\.", "encoder.backbone.patch_embed.proj."),
    (r"layers\.(\d+)\.attention\.out_proj\.", r"encoder.backbone.blocks.\1.attn.proj."),
    (r"layers\.(\d+)\.layer_scale(\d)\.lambda1", r"encoder.backbone.blocks.\1.ls\2.gamma"),
    (r"layers\.(\d+)\.", r"encoder.backbone.blocks.\1."),
    (r"layernorm\.", "encoder.backbone.norm."),
    (r"query\.", "q."),
    (r"class_predictor\.", "class_head."),
    (r"mask_head\.fc1\.", "mask_head.0."),
    (r"mask_head\.fc2\.", "mask_head.2."),
    (r"mask_head\.fc3\.", "mask_head.4."),
    (r"upscale_block\.block\.(\d)\.layernorm2d\.", r"upscale.\1.norm."),
    (r"upscale_block\.block\.", "upscale."),
)
FUSED = (
    ("attention.{}_proj", "qkv", "attn.qkv"),
    ("mlp.{}_proj", ("gate", "up"), "mlp.fc1"),
)
"""Tensors of `transformers` that are one in the authors' files."""


def to_authors(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Rename and fuse the tensors of a network on DINOv2."""
    state, renamed = dict(state), {}
    for form, parts, fused in FUSED:
        for name in [n for n in state if form.format(parts[0]) in n]:
            first = form.format(parts[0])
            tensors = [state.pop(name.replace(first, form.format(part))) for part in parts]
            state[name.replace(first, fused)] = torch.cat(tensors)
    for name, tensor in state.items():
        new_name = name.replace("down_proj", "fc2")
        for pattern, replacement in PATTERNS:
            new_name, count = re.subn(f"^{pattern}", replacement, new_name)
            if count:
                break
        prefix = "" if name.startswith("criterion") else "network."
        renamed[prefix + new_name] = tensor[None] if new_name.endswith("pos_embed") else tensor
    mean = torch.zeros(1, 3, 1, 1)
    return renamed | {"network.encoder.pixel_mean": mean, "network.encoder.pixel_std": mean + 1}


def build_theirs(**changes: object) -> torch.nn.Module:
    config = transformers.EomtConfig(
        hidden_size=128, num_hidden_layers=4, num_attention_heads=2, mlp_ratio=2, image_size=64,
        num_blocks=2, num_queries=5, num_labels=19, **changes,
    )  # fmt: skip
    theirs = transformers.EomtForUniversalSegmentation(config).eval()
    random_weights(theirs)
    theirs.attn_mask_probs.zero_()
    return theirs


@torch.no_grad()
@pytest.mark.parametrize("gated", [False, True])
@pytest.mark.parametrize("nested", [False, True])
def test_authors_files_predict_the_same_here(tmp_path, gated, nested):
    theirs, path = build_theirs(use_swiglu_ffn=gated), tmp_path / "pytorch_model.bin"
    state = to_authors(theirs.state_dict())
    torch.save({"state_dict": state} if nested else state, path)
    checkpoint, _ = read_authors(path)
    ours = build_segmenter(checkpoint.description.config).eval()
    ours.load_state_dict(checkpoint.state)
    images = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    expected, found = theirs(images), ours(images)
    assert_same_logits(found.mask_logits, expected.masks_queries_logits)
    assert_same_logits(found.class_logits, expected.class_queries_logits)


@pytest.mark.parametrize("name", [name for name in PRESETS if name.startswith("eomt-dinov2")])
def test_published_architectures_are_inferred_from_shapes(name):
    config = preset(name, 133)
    state = to_theirs(build_skeleton(config).state_dict(), eomt_rules(config))
    assert infer_eomt(to_authors(state | write_buffers(config))) == config


def test_labels_and_sizes_follow_the_folder(tmp_path):
    folder = tmp_path / "cityscapes_semantic_eomt_large_1024"
    folder.mkdir()
    torch.save(to_authors(build_theirs().state_dict()), folder / "pytorch_model.bin")
    checkpoint, assumed = read_authors(folder / "pytorch_model.bin")
    description = checkpoint.description
    assert assumed is None and description.tasks == ("semantic",)
    assert description.labels.names[:2] == ("road", "sidewalk")
    assert description.preprocessing.fixed_size == (64, 64)


@pytest.mark.parametrize(
    "name", ["network.q.weight", "network.encoder.backbone.blocks.1.ls1.gamma"]
)
def test_missing_tensors_are_named(tmp_path, name):
    state = to_authors(build_theirs().state_dict())
    del state[name]
    torch.save(state, tmp_path / "model.bin")
    with pytest.raises(CheckpointError) as caught:
        read_authors(tmp_path / "model.bin")
    assert "\n" not in str(caught.value)


def build_dinov3(**changes: object) -> tuple[torch.nn.Module, torch.nn.Module]:
    """Build a DINOv3 and an EoMT on DINOv3, both with random weights."""
    values = {
        "hidden_size": 128, "num_hidden_layers": 4, "num_attention_heads": 2,
        "intermediate_size": 160, "num_register_tokens": 4, "layer_norm_eps": 1e-5,
        "patch_size": 16,
    }  # fmt: skip
    base = transformers.DINOv3ViTModel(transformers.DINOv3ViTConfig(**values)).eval()
    config = transformers.EomtDinov3Config(
        **values, image_size=512, num_blocks=2, num_queries=5, num_labels=150
    )
    theirs = transformers.EomtDinov3ForUniversalSegmentation(config).eval()
    random_weights(base)
    random_weights(theirs)
    theirs.attn_mask_probs.zero_()
    return base, theirs


def differences(base: torch.nn.Module, theirs: torch.nn.Module) -> dict[str, torch.Tensor]:
    """Subtract a DINOv3 from an EoMT, under the authors' names."""
    own = {
        re.sub(r"^(model\.)?layer\.", "layers.", name).replace("norm.", "layernorm.", 1)
        if name.startswith("norm.")
        else re.sub(r"^(model\.)?layer\.", "layers.", name): tensor
        for name, tensor in base.state_dict().items()
    }
    result = {}
    for name, tensor in theirs.state_dict().items():
        if name.startswith("criterion"):
            result[name] = tensor
        elif name in own:
            inner = re.sub(r"^embeddings\.", "patch_embed.", name)
            inner = re.sub(r"^layers\.", "blocks.", inner).replace("layernorm.", "norm.")
            result[f"network.encoder.backbone.{inner}"] = tensor - own[name]
        else:
            result |= to_authors({name: tensor})
    return result | {"network.attn_mask_probs": torch.full((2,), -1.0)}


@torch.no_grad()
def test_differences_are_added_to_the_dinov3_beside_them(tmp_path):
    folder = tmp_path / "ade_semantic_eomt_large_512_dinov3"
    folder.mkdir()
    base, theirs = build_dinov3()
    torch.save(differences(base, theirs), folder / "pytorch_model.bin")
    with pytest.raises(CheckpointError, match=r"put model\.safetensors of facebook/dinov3"):
        read_authors(folder / "pytorch_model.bin")
    base.save_pretrained(folder)
    checkpoint, assumed = read_authors(folder / "pytorch_model.bin")
    assert assumed is None and checkpoint.description.tasks == ("semantic",)
    assert checkpoint.description.preprocessing.fixed_size == (512, 512)
    ours = build_segmenter(checkpoint.description.config).eval()
    ours.load_state_dict(checkpoint.state)
    images = torch.randn(1, 3, 512, 512, generator=torch.Generator().manual_seed(1))
    expected, found = theirs(images), ours(images)
    assert_same_logits(found.mask_logits, expected.masks_queries_logits)
    assert_same_logits(found.class_logits, expected.class_queries_logits)


@pytest.mark.parametrize("name", [name for name in PRESETS if name.startswith("eomt-dinov3")])
def test_published_architectures_on_dinov3_are_inferred_from_shapes(name):
    config = preset(name, 133)
    state = to_theirs(build_skeleton(config).state_dict(), eomt_rules(config))
    path = Path("/coco_panoptic_eomt_640_dinov3/pytorch_model.bin")
    assert infer_eomt_dinov3(state | write_buffers(config), path) == config


def test_another_dinov3_is_refused(tmp_path):
    base, theirs = build_dinov3()
    torch.save(differences(base, theirs), tmp_path / "pytorch_model.bin")
    config = transformers.DINOv3ViTConfig(
        hidden_size=64, num_hidden_layers=4, num_attention_heads=2, intermediate_size=160
    )
    transformers.DINOv3ViTModel(config).save_pretrained(tmp_path)
    with pytest.raises(CheckpointError, match="another network"):
        read_authors(tmp_path / "pytorch_model.bin")


@torch.no_grad()
def test_folders_of_the_hub_without_class_names_get_those_of_their_dataset(tmp_path):
    from unimask.checkpoints import read_huggingface

    folder = tmp_path / "models--tue-mps--cityscapes_semantic_eomt_large_1024" / "snapshots" / "ab"
    build_theirs().save_pretrained(folder)
    labels = read_huggingface(folder).description.labels
    assert labels.names[0] == "road" and labels.colours and not labels.is_thing[0]
    build_theirs().save_pretrained(tmp_path / "own")
    assert read_huggingface(tmp_path / "own").description.labels.names[0] == "LABEL_0"
