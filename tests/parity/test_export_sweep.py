"""Every preset with every value changed: `transformers` runs an equal network, or refuses it.

A folder of type Mask2Former, OneFormer, MaskFormer or EoMT must give the same logits there; all
others have the type unimask, and round-trip unchanged.
"""

import json
from dataclasses import fields, is_dataclass, replace

import pytest
import torch
from parity.test_backbones import without_natten
from parity.test_oneformer_dinat import labels_of
from parity.theirs import random_weights

from unimask.checkpoints import Checkpoint, ModelDescription, read_huggingface, write_huggingface
from unimask.checkpoints.huggingface.compatibility import transformers_incompatibility
from unimask.checkpoints.skeleton import build_skeleton
from unimask.config import (
    DetrPixelDecoderConfig,
    EfficientNetLiteConfig,
    MapEncoderConfig,
    PostprocessingConfig,
    PreprocessingConfig,
    TaskQueriesConfig,
    TextConfig,
)
from unimask.presets import PRESETS
from unimask.text.task_sentences import task_tokens

transformers = pytest.importorskip("transformers")
pytest.importorskip("transformers.models.dinat.modeling_dinat")

TINY = {
    "dim": 32, "mask_dim": 32, "num_layers": 1, "num_heads": 4, "ffn_dim": 16, "num_queries": 6,
    "num_groups": 4, "vocabulary": 99, "context": 2, "length": 77, "num_classes": 3,
    "embed_dim": 8, "depths": (1, 1, 2, 1), "window_size": 3, "kernel_size": 3,
    "dilations": ((1,), (2,), (1, 3), (1,)), "channels": (8, 16, 16, 32), "dims": (8, 12, 24, 16),
    "stem_channels": 8, "depth": 1, "image_size": 64,
}  # fmt: skip
"""Small sizes that do not change the structure of a network."""

REPLACEMENTS = {
    "dim": 64, "mask_dim": 48, "num_layers": 2, "num_heads": 2, "num_points": 2, "ffn_dim": 24,
    "num_queries": 9, "num_groups": 8, "vocabulary": 120, "context": 3, "length": 50,
    "num_classes": 1, "embed_dim": 16, "depths": (1, 2, 1, 2), "window_size": 4, "kernel_size": 5,
    "dilations": ((1, 2), (1,), (2,), (1,)), "channels": (16, 24, 32, 48),
    "dims": (12, 16, 20, 24), "stem_channels": 12, "max_proposals": 20, "in_channels": 4,
    "mlp_ratio": 2.5, "drop_path": 0.07, "dropout": 0.37, "layer_scale": 0.5, "task_length": 50,
    "projector_layers": 3, "proposals": 0.3, "last_dilations": (2,), "depth": 2, "image_size": 96,
    "patch_size": 8, "num_registers": 2, "rotary_base": 50.0, "rotary_rescale": 1.5,
    "norm_eps": 1e-3, "mask_probs": (1.0,), "last_stride": 1,
}  # fmt: skip
"""Replacement values; booleans are inverted."""

ALTERNATIVES = {
    "block": ("basic", "bottleneck"), "stem": ("basic", "deeplab"),
    "norm": ("frozen_batch", "group"), "ffn": ("gelu", "swiglu"),
    "positions": ("learned", "rotary"),
}  # fmt: skip
"""Fields with two allowed values."""

OPTIONAL_PARTS = {
    "task_queries": TaskQueriesConfig(num_layers=1),
    "text": TextConfig(dim=32, num_layers=1, vocabulary=99, context=2),
    "encoder": MapEncoderConfig(num_layers=1, num_heads=4, ffn_dim=16),
}
"""Optional parts."""


IMAGE_OPTIONS = {"local_positions", "proposals", "task_queries"}
"""Options of masked decoders that networks of clips do not have."""

HEADS = (1, 2, 2, 4)

SEVEN = {"channels": ((8,) * 6 + (16,), (16,) * 6 + (24,)), "depths": ((1,) * 7, (1, 2) + (1,) * 5)}
"""Small sizes of networks of seven stages, and their replacements."""


def shrink(part):
    """Return a small part of the same structure."""
    config = {
        field.name: shrink(value) if is_dataclass(value) else TINY.get(field.name, value)
        for field in fields(part)
        if (value := getattr(part, field.name)) is not None
    }
    if isinstance(part, EfficientNetLiteConfig):
        config |= {name: sizes[0] for name, sizes in SEVEN.items()}
    if isinstance(getattr(part, "num_heads", None), tuple):
        config["num_heads"] = HEADS
    return replace(part, **config)


def replacement_value(name, value):
    """Return another valid value than `value`."""
    if name == "num_heads" and isinstance(value, tuple):
        return HEADS[::-1]
    if name in SEVEN and len(value) == 7:
        return SEVEN[name][1]
    if name in ALTERNATIVES:
        return next(one for one in ALTERNATIVES[name] if one != value)
    return not value if isinstance(value, bool) else REPLACEMENTS[name]


def excludes_clips(decoder, name):
    """Return whether a changed option would combine clips with an option for images."""
    if name == "clips":
        return any(getattr(decoder, option) for option in IMAGE_OPTIONS)
    return getattr(decoder, "clips", False) and not getattr(decoder, name)


def changed(part, path=""):
    """Yield the part with each of its values changed in turn, and the path of the value."""
    for field in fields(part):
        value, name, key = getattr(part, field.name), field.name, f"{path}{field.name}"
        if name == "kind" or (name == "text" and part.task_queries is None):
            continue
        if name in IMAGE_OPTIONS | {"clips"} and excludes_clips(part, name):
            continue
        if is_dataclass(value):
            for inner, new in changed(value, f"{key}."):
                yield inner, replace(part, **{name: new})
            if name in OPTIONAL_PARTS and not isinstance(part, DetrPixelDecoderConfig):
                yield key, replace(part, **{name: None})
        else:
            new = OPTIONAL_PARTS[name] if value is None else replacement_value(name, value)
            yield key, replace(part, **{name: new})


def fit_detr(config):
    """Return the network; of DETRs, one width and 8 or more heads in all parts.

    Its head normalises as many channels as width and heads in 8 groups.
    """
    pixels, queries = config.pixel_decoder, config.transformer_decoder
    if not isinstance(pixels, DetrPixelDecoderConfig):
        return config
    dim, encoder = max(pixels.dim, queries.dim), pixels.encoder
    return replace(
        config,
        pixel_decoder=replace(
            pixels, dim=dim, encoder=replace(encoder, num_heads=fit_heads(encoder))
        ),
        transformer_decoder=replace(queries, dim=dim, num_heads=fit_heads(queries)),
    )


def fit_heads(part):
    """Return 8 heads of a tiny network, and 16 of one with another number."""
    return {TINY["num_heads"]: 8, REPLACEMENTS["num_heads"]: 16}[part.num_heads]


def structure(config):
    """Return the types of a network's parts."""
    parts = config.backbone, config.pixel_decoder, config.transformer_decoder
    return *(type(part).__name__ for part in parts), config.task_queries is not None


def variants(*, every: bool):
    """Return small networks of all presets, and variants with one changed value each.

    A value is changed in one preset of those with the same types of surrounding parts, or in
    `every` preset.
    """
    actual, covered = {}, set()
    for name, make in PRESETS.items():
        tiny = shrink(make(3))
        actual.setdefault(fit_detr(tiny), name)
        for path, config in changed(tiny):
            kinds = structure(tiny)
            context = kinds if path.startswith("backbone") else kinds[1:]
            if every or (path, context) not in covered:
                actual.setdefault(fit_detr(config), f"{name} {path}")
            covered.add((path, context))
    return actual


def random_checkpoint(config):
    """Return a network with random weights; task ids are large, so their weights are small."""
    network = build_skeleton(config).eval()
    random_weights(network)
    if network.task_encoder is not None:
        network.task_encoder.linear1.weight.data.mul_(1e-3)
    description = ModelDescription(
        config=config,
        labels=labels_of(config.num_classes),
        tasks=("semantic",),
        preprocessing=PreprocessingConfig().with_channels(config.backbone.in_channels),
        postprocessing=PostprocessingConfig(),
    )
    return network, Checkpoint(description, network.state_dict())


MODELS = {
    "mask2former": transformers.Mask2FormerForUniversalSegmentation,
    "oneformer": transformers.OneFormerForUniversalSegmentation,
    "maskformer": transformers.MaskFormerForInstanceSegmentation,
    "eomt": transformers.EomtForUniversalSegmentation,
    "eomt_dinov3": transformers.EomtDinov3ForUniversalSegmentation,
    "detr": transformers.DetrForSegmentation,
}
LOGITS = ("class_queries_logits", "masks_queries_logits")
CHECKED, EVERY = variants(every=False), variants(every=True)


def check_folder(config, folder):
    """Check that a written folder matches its model type, in float64 to exclude rounding.

    Some steps of `transformers` stay in float32, so logits may differ in their fourth digit.
    """
    network, checkpoint = random_checkpoint(config)
    write_huggingface(folder, checkpoint)
    again = read_huggingface(folder)
    assert again.description.config == config
    assert all(torch.equal(again.state[name], value) for name, value in checkpoint.state.items())
    family = json.loads((folder / "config.json").read_text())["model_type"]
    if family == "unimask":
        assert transformers_incompatibility(config)
        return
    assert transformers_incompatibility(config) is None
    side = getattr(config.backbone, "image_size", None)
    images = torch.randn(
        2,
        config.backbone.in_channels,
        *((side, side) if side else (64, 96)),
        generator=torch.Generator().manual_seed(1),
        dtype=torch.float64,
    )
    task = config.task_queries
    requested = ["instance"] * 2 if task else None
    tokens = (
        [torch.tensor([task_tokens("instance", task.task_length)] * 2).double()] if task else []
    )
    with without_natten(), torch.no_grad():
        theirs = MODELS[family].from_pretrained(folder).double().eval()
        expected, actual = theirs(images, *tokens), network.double()(images, requested)
    names = ("logits", "pred_masks") if family == "detr" else LOGITS
    for one, replacement_value in (
        (actual.class_logits, getattr(expected, names[0])),
        (actual.mask_logits, getattr(expected, names[1])),
    ):
        assert one.std() > 0.01
        torch.testing.assert_close(one, replacement_value.to(one.dtype), atol=1e-3, rtol=1e-3)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("config", CHECKED, ids=CHECKED.values())
def test_exports_run_in_transformers_or_are_marked_as_unimask(config, tmp_path):
    check_folder(config, tmp_path)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("config", EVERY, ids=EVERY.values())
def test_every_changed_value_of_every_preset_exports_correctly(config, tmp_path):
    check_folder(config, tmp_path)


THEIRS = {
    "mask2former-resnet50", "mask2former-swin-large", "mask2former-swin-nano", "oneformer-resnet50",
    "oneformer-swin-large", "oneformer-convnext-xlarge", "oneformer-dinat-large",
    "maskformer-swin-base", "eomt-dinov2-small", "eomt-dinov2-giant", "eomt-dinov3-large",
    "detr-resnet50", "detr-resnet101",
}  # fmt: skip


@pytest.mark.parametrize("name", PRESETS)
def test_supported_networks_are_written_in_the_transformers_schema(name):
    why = transformers_incompatibility(PRESETS[name](3))
    if name in THEIRS:
        assert why is None
    if name.endswith("lite0"):
        assert why is not None and "efficientnet_lite" in why
    if name in ("mask2former-nano", "oneformer-nano", "unimask-nano"):
        assert why == "backbone.norm is 'group', and 'frozen_batch' there"
    if name == "maskformer-resnet101c":
        assert why == "backbone.stem is 'deeplab', and 'basic' there"
