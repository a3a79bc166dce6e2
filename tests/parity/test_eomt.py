"""EoMT on DINOv2 and DINOv3: logits, and folders from and for `transformers`."""

import json
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from parity.theirs import assert_same_logits, load_ours, random_weights
from safetensors.torch import load_file, save_file

from unimask.checkpoints import read_huggingface, write_huggingface
from unimask.config import JointDecoderConfig, NoPixelDecoderConfig, SegmenterConfig, ViTConfig
from unimask.errors import CheckpointError
from unimask.modeling.build import build_segmenter

transformers = pytest.importorskip("transformers")

SHARED = {
    "hidden_size": 32, "num_hidden_layers": 4, "num_attention_heads": 4, "image_size": 64,
    "num_blocks": 2, "num_queries": 5, "num_register_tokens": 3, "num_labels": 3,
}  # fmt: skip
VARIANTS = {
    "dinov2": {"mlp_ratio": 2},
    "dinov2-swiglu": {"mlp_ratio": 2, "use_swiglu_ffn": True},
    "dinov2-small-patches": {"patch_size": 8, "num_upscale_blocks": 1},
    "dinov3": {"intermediate_size": 48},
    "dinov3-gated": {"intermediate_size": 48, "use_gated_mlp": True, "key_bias": True},
}
EXPECTED = {
    "dinov2": {"ffn_dim": 64},
    "dinov2-swiglu": {"ffn_dim": 48, "ffn": "swiglu"},
    "dinov2-small-patches": {"ffn_dim": 128, "patch_size": 8},
    "dinov3": {"ffn_dim": 48, "positions": "rotary", "key_bias": False, "rotary_rescale": 2.0},
    "dinov3-gated": {
        "ffn_dim": 48, "positions": "rotary", "ffn": "geglu", "rotary_rescale": 2.0,
    },
}  # fmt: skip


def build_theirs(variant: str, *, masked: bool, **changes: object) -> torch.nn.Module:
    """Build a network of `transformers` with random weights in every part."""
    kind = "EomtDinov3" if variant.startswith("dinov3") else "Eomt"
    config = getattr(transformers, f"{kind}Config")(**SHARED | VARIANTS[variant] | changes)
    theirs = getattr(transformers, f"{kind}ForUniversalSegmentation")(config).eval()
    random_weights(theirs)
    theirs.attn_mask_probs.fill_(float(masked))
    return theirs


@pytest.fixture(scope="module", params=[(v, m) for v in VARIANTS for m in (False, True)], ids=str)
def pair(request, tmp_path_factory):
    """Network of `transformers`, its saved folder, and the expected backbone."""
    variant, masked = request.param
    theirs = build_theirs(variant, masked=masked)
    folder = tmp_path_factory.mktemp("theirs")
    theirs.save_pretrained(folder)
    backbone = ViTConfig(
        dim=32, depth=2, num_heads=4, num_registers=3, image_size=64, **EXPECTED[variant]
    )
    probs = (1.0, 1.0) if masked else ()
    config = SegmenterConfig(
        backbone=backbone,
        pixel_decoder=NoPixelDecoderConfig(),
        transformer_decoder=JointDecoderConfig(num_queries=5, num_layers=2, mask_probs=probs),
        num_classes=3,
    )
    return theirs, folder, config


def random_images(count: int = 2, side: int = 64) -> torch.Tensor:
    return torch.randn(count, 3, side, side, generator=torch.Generator().manual_seed(1))


@torch.no_grad()
def assert_same_predictions(ours: torch.nn.Module, theirs: torch.nn.Module, side: int = 64):
    images = random_images(side=side)
    expected, found = theirs(images), ours(images)
    assert found.mask_logits.std() > 0.05
    assert_same_logits(found.mask_logits, expected.masks_queries_logits)
    assert_same_logits(found.class_logits, expected.class_queries_logits)


def test_transformers_folders_predict_the_same_here(pair):
    theirs, folder, config = pair
    assert read_huggingface(folder).description.config == config
    assert_same_predictions(load_ours(folder), theirs)


@torch.no_grad()
def test_every_weight_matters(pair):
    _, folder, _ = pair
    checkpoint, images = read_huggingface(folder), random_images()
    ours = load_ours(folder)
    before = ours(images)
    for name, tensor in checkpoint.state.items():
        changed = tensor + torch.randn(tensor.shape, generator=torch.Generator().manual_seed(2))
        ours.load_state_dict({**checkpoint.state, name: changed})
        after = ours(images)
        difference = (after.mask_logits - before.mask_logits).abs().max()
        difference = max(difference, (after.class_logits - before.class_logits).abs().max())
        assert difference > 1e-3, name


@pytest.mark.filterwarnings("ignore")
def test_saved_folders_load_in_transformers(pair, tmp_path):
    theirs, folder, config = pair
    checkpoint = read_huggingface(folder)
    write_huggingface(tmp_path, checkpoint)
    again, report = type(theirs).from_pretrained(tmp_path, output_loading_info=True)
    problems = {name for names in report.values() for name in names}
    assert problems <= {"criterion.empty_weight"}
    assert torch.equal(again.attn_mask_probs, theirs.attn_mask_probs)
    images = random_images()
    with torch.no_grad():
        expected, found = theirs(images), again.eval()(images)
    torch.testing.assert_close(found.masks_queries_logits, expected.masks_queries_logits)
    torch.testing.assert_close(found.class_queries_logits, expected.class_queries_logits)
    assert read_huggingface(tmp_path).description.config == config


def test_rotary_positions_fit_other_sizes(tmp_path):
    theirs = build_theirs("dinov3", masked=True)
    theirs.save_pretrained(tmp_path)
    larger = build_theirs("dinov3", masked=True, image_size=96)
    larger.load_state_dict(theirs.state_dict())
    assert_same_predictions(load_ours(tmp_path), larger, side=96)


def test_learned_positions_are_resized_for_other_sizes(tmp_path):
    theirs = build_theirs("dinov2", masked=True)
    theirs.save_pretrained(tmp_path)
    state, name = theirs.state_dict(), "embeddings.position_embeddings.weight"
    maps = state[name].T.reshape(1, 32, 4, 4)  # as timm's `resample_abs_pos_embed`
    resized = F.interpolate(maps, size=(6, 6), mode="bicubic", antialias=True)
    larger = build_theirs("dinov2", masked=True, image_size=96)
    larger.load_state_dict({**state, name: resized.flatten(2)[0].T})
    assert_same_predictions(load_ours(tmp_path), larger, side=96)


def test_names_of_gated_layers_in_earlier_releases_are_read(tmp_path):
    theirs = build_theirs("dinov2-swiglu", masked=False)
    theirs.save_pretrained(tmp_path)
    state = load_file(tmp_path / "model.safetensors")
    for kind in ("weight", "bias"):
        for layer in range(4):
            mlp = f"layers.{layer}.mlp"
            halves = [state.pop(f"{mlp}.{part}_proj.{kind}") for part in ("gate", "up")]
            state[f"{mlp}.weights_in.{kind}"] = torch.cat(halves)
            state[f"{mlp}.weights_out.{kind}"] = state.pop(f"{mlp}.down_proj.{kind}")
    save_file(state, tmp_path / "model.safetensors")
    assert_same_predictions(load_ours(tmp_path), theirs)


@pytest.mark.parametrize(("probs", "masked"), [((-1.0, 0.0), ()), ((0.0, 1.0), (0.0, 1.0))])
def test_probabilities_up_to_zero_mean_no_masks(tmp_path, probs, masked):
    theirs = build_theirs("dinov3", masked=False)
    theirs.attn_mask_probs.copy_(torch.tensor(probs))
    theirs.save_pretrained(tmp_path)
    decoder = read_huggingface(tmp_path).description.config.transformer_decoder
    assert decoder.mask_probs == masked
    assert_same_predictions(load_ours(tmp_path), theirs)


def test_unfinished_annealing_is_refused(tmp_path):
    theirs = build_theirs("dinov2", masked=False)
    theirs.attn_mask_probs.copy_(torch.tensor((0.0, 0.5)))
    theirs.save_pretrained(tmp_path)
    with pytest.raises(CheckpointError, match=r"attn_mask_probs is 0, 0\.5"):
        read_huggingface(tmp_path)


@pytest.mark.parametrize(
    ("variant", "changes"),
    [
        ("dinov2", {"hidden_act": "relu"}),
        ("dinov2", {"num_upscale_blocks": 1}),
        ("dinov3", {"mlp_bias": False}),
        ("dinov3", {"pos_embed_jitter": 1.1}),
    ],
    ids=str,
)
def test_options_that_ours_lack_are_named(tmp_path, variant, changes):
    build_theirs(variant, masked=False).save_pretrained(tmp_path)
    path = tmp_path / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    with pytest.raises(CheckpointError, match=next(iter(changes))) as caught:
        read_huggingface(tmp_path)
    assert "\n" not in str(caught.value)


def test_networks_that_transformers_lacks_are_saved_under_our_own_schema(tmp_path):
    build_theirs("dinov2", masked=True).save_pretrained(tmp_path / "theirs")
    checkpoint = read_huggingface(tmp_path / "theirs")
    config = checkpoint.description.config
    own = replace(config, backbone=replace(config.backbone, positions="rotary", ffn="swiglu"))
    state = build_segmenter(own).state_dict()
    description = replace(checkpoint.description, config=own)
    write_huggingface(tmp_path / "ours", replace(checkpoint, description=description, state=state))
    again = read_huggingface(tmp_path / "ours")
    assert again.description.config == own
    assert json.loads((tmp_path / "ours/config.json").read_text())["model_type"] == "unimask"
    assert all(torch.equal(again.state[name], tensor) for name, tensor in state.items())
