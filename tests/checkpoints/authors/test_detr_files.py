"""Files of DETR's authors, written by renaming the tensors of `transformers`."""

import re

import pytest
import torch
from parity.theirs import assert_same_logits, random_weights
from safetensors.torch import load_file

from unimask.checkpoints import read_huggingface
from unimask.checkpoints.authors.read import read_authors
from unimask.label_sets import known_labels
from unimask.modeling.build import build_segmenter

transformers = pytest.importorskip("transformers")
pytest.importorskip("timm")

PATTERNS = (
    (r"^detr\.model\.backbone\.conv_encoder\.model\.", "detr.backbone.0.body."),
    (r"^detr\.model\.input_projection\.", "detr.input_proj."),
    (r"^detr\.model\.query_position_embeddings\.", "detr.query_embed."),
    (r"^detr\.model\.decoder\.layernorm\.", "detr.transformer.decoder.norm."),
    (r"^detr\.model\.(en|de)coder\.", r"detr.transformer.\1coder."),
    (r"\.self_attn_layer_norm\.", ".norm1."),
    (r"\.encoder_attn_layer_norm\.", ".norm2."),
    (r"(encoder\.layers\.\d+)\.final_layer_norm\.", r"\1.norm2."),
    (r"(decoder\.layers\.\d+)\.final_layer_norm\.", r"\1.norm3."),
    (r"\.encoder_attn\.", ".multihead_attn."),
    (r"\.fc(\d)\.", r".linear\1."),
    (r"^detr\.class_labels_classifier\.", "detr.class_embed."),
    (r"^detr\.bbox_predictor\.", "detr.bbox_embed."),
)


def to_authors(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Rename the tensors, and fuse those of queries, keys and values."""
    state = dict(state)
    for name in [name for name in state if ".q_proj." in name]:
        parts = [state.pop(name.replace(".q_proj.", f".{part}_proj.")) for part in "qkv"]
        state[name.replace(".q_proj.", ".in_proj_")] = torch.cat(parts)
    renamed = {}
    for name, tensor in state.items():
        for pattern, replacement in PATTERNS:
            name = re.sub(pattern, replacement, name)
        renamed[name] = tensor
    return renamed


def assert_rules_of_the_authors(description):
    """Padding would be attended to, and 0.85 is the threshold of the released code."""
    assert description.preprocessing.size_divisor == 1
    assert description.postprocessing.uncertain_pixels == "logits"
    assert description.postprocessing.object_threshold == 0.85


@pytest.mark.parametrize("dilation", [False, True])
@pytest.mark.filterwarnings("ignore")
@torch.no_grad()
def test_files_of_the_authors_predict_the_same_here(tmp_path, dilation):
    config = transformers.DetrConfig(
        backbone="resnet26", dilation=dilation, d_model=64, encoder_layers=2, decoder_layers=1,
        encoder_ffn_dim=48, decoder_ffn_dim=40, num_queries=5, num_labels=3 if dilation else 250,
    )  # fmt: skip
    theirs = transformers.DetrForSegmentation(config).eval()
    random_weights(theirs)
    theirs.save_pretrained(tmp_path / "folder")
    state = to_authors(load_file(tmp_path / "folder" / "model.safetensors"))
    path = tmp_path / ("detr-r26-dc5.pth" if dilation else "detr-r50-panoptic-00ce5173.pth")
    torch.save({"model": state}, path)
    checkpoint, assumed = read_authors(path)
    if dilation:
        assert assumed is not None and "class 0" in assumed
    else:
        assert assumed is None and checkpoint.description.labels == known_labels("coco_detr")
    network = build_segmenter(checkpoint.description.config).eval()
    network.load_state_dict(checkpoint.state)
    assert_rules_of_the_authors(checkpoint.description)
    assert_rules_of_the_authors(read_huggingface(tmp_path / "folder").description)
    images = torch.randn(2, 3, 75, 101, generator=torch.Generator().manual_seed(1))
    expected, found = theirs(images), network(images)
    assert_same_logits(found.mask_logits, expected.pred_masks)
    assert_same_logits(found.class_logits, expected.logits)
