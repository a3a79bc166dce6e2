"""Compare MaskFormer, its baselines, and our reader of their files with the authors' own modules.

Needs their repositories (https://github.com/facebookresearch/MaskFormer, .../Mask2Former and
.../detectron2, whose DeepLab project makes R101c) and no installation; see `authors_network.py`.
Names, those of first releases as their modules convert them, and logits of every layer are
compared.

    python -m benchmarks.agreement.authors_maskformer MASKFORMER MASK2FORMER DETECTRON2
"""

import logging
import pickle
import sys
import tempfile
import warnings
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.agreement.authors_network import (
    SMALL_RESNET,
    SMALL_SWIN,
    compare_names,
    randomise,
    stub,
    stub_family,
    stub_packages,
    their_resnet,
)
from unimask.checkpoints import read_authors
from unimask.config import (
    FPNPixelDecoderConfig,
    MapEncoderConfig,
    PerPixelConfig,
    PerPixelPlusConfig,
    ResNetConfig,
    SegmenterConfig,
    StandardDecoderConfig,
    SwinConfig,
)
from unimask.modeling.build import build_segmenter
from unimask.presets import preset

SMALL = SegmenterConfig(
    backbone=SMALL_SWIN,
    pixel_decoder=FPNPixelDecoderConfig(dim=64, mask_dim=48),
    transformer_decoder=StandardDecoderConfig(dim=32, num_queries=17, num_layers=4, ffn_dim=96),
    num_classes=11,
)
SMALL_ENCODER = replace(
    SMALL.pixel_decoder, encoder=MapEncoderConfig(num_layers=2, num_heads=8, ffn_dim=80)
)
SMALL_DEEPLAB = ResNetConfig(
    stem="deeplab", stem_channels=32, channels=(64, 128, 256, 512), last_dilations=(1, 2, 4)
)

Decoder = StandardDecoderConfig | PerPixelPlusConfig


def their_deeplab(config: ResNetConfig) -> nn.Module:
    """Build detectron2's R50c or R101c as the configurations define it."""
    settings = SimpleNamespace(
        NORM="FrozenBN", STEM_TYPE=config.stem, STEM_OUT_CHANNELS=config.stem_channels,
        OUT_FEATURES=["res2", "res3", "res4", "res5"], DEPTH={6: 50, 23: 101}[config.depths[2]],
        NUM_GROUPS=1, WIDTH_PER_GROUP=config.channels[0] // 4, RES2_OUT_CHANNELS=config.channels[0],
        STRIDE_IN_1X1=False, RES4_DILATION=1, RES5_DILATION=1, DEFORM_ON_PER_STAGE=[False] * 4,
        DEFORM_MODULATED=False, DEFORM_NUM_GROUPS=1, RES5_MULTI_GRID=config.last_dilations,
    )  # fmt: skip
    model = SimpleNamespace(RESNETS=settings, BACKBONE=SimpleNamespace(FREEZE_AT=0))
    build = import_module("deeplab.resnet").build_resnet_deeplab_backbone
    return build(SimpleNamespace(MODEL=model), SimpleNamespace(channels=3))


def their_backbone(config: SegmenterConfig) -> tuple[nn.Module, tuple[int, ...]]:
    """Build the authors' backbone; return it and the channels of its maps."""
    backbone = config.backbone
    if isinstance(backbone, ResNetConfig):
        deeplab = backbone.stem == "deeplab"
        theirs = their_deeplab(backbone) if deeplab else their_resnet(backbone, "FrozenBN")
        return theirs, backbone.channels
    assert isinstance(backbone, SwinConfig)
    theirs = import_module("mask_former.modeling.backbone.swin").SwinTransformer(
        embed_dim=backbone.embed_dim, depths=backbone.depths, num_heads=backbone.num_heads,
        window_size=backbone.window_size, mlp_ratio=backbone.mlp_ratio,
    )  # fmt: skip
    return theirs, tuple(backbone.embed_dim * 2**stage for stage in range(4))


def their_pixel_decoder(config: FPNPixelDecoderConfig, shape: dict[str, Any]) -> nn.Module:
    """Build the authors' feature pyramid, with or without encoder."""
    module = import_module("mask_former.modeling.heads.pixel_decoder")
    sizes = {"conv_dim": config.dim, "mask_dim": config.mask_dim, "norm": "GN"}
    encoder = config.encoder
    if encoder is None:
        return module.BasePixelDecoder(shape, **sizes)
    return module.TransformerEncoderPixelDecoder(
        shape, transformer_dropout=encoder.dropout, transformer_nheads=encoder.num_heads,
        transformer_dim_feedforward=encoder.ffn_dim, transformer_enc_layers=encoder.num_layers,
        transformer_pre_norm=False, **sizes,
    )  # fmt: skip


def their_predictor(
    decoder: Decoder, config: SegmenterConfig, shape: dict[str, Any]
) -> dict[str, Any]:
    """Build the authors' transformer; return it, and which map it reads."""
    pixels, masks = config.pixel_decoder, isinstance(decoder, StandardDecoderConfig)
    queries = decoder.num_queries if isinstance(decoder, StandardDecoderConfig) else None
    assert isinstance(pixels, FPNPixelDecoderConfig)
    encoded = pixels.encoder is not None
    module = import_module("mask_former.modeling.transformer.transformer_predictor")
    predictor = module.TransformerPredictor(
        pixels.dim if encoded else shape["res5"].channels, masks,
        num_classes=config.num_classes, hidden_dim=decoder.dim,
        num_queries=queries or config.num_classes,
        nheads=decoder.num_heads, dropout=decoder.dropout, dim_feedforward=decoder.ffn_dim,
        enc_layers=0, dec_layers=decoder.num_layers, pre_norm=False, deep_supervision=True,
        mask_dim=pixels.mask_dim, enforce_input_project=False,
    )  # fmt: skip
    input_map = "transformer_encoder" if encoded else "res5"
    return {"transformer_predictor": predictor, "transformer_in_feature": input_map}


def their_network(config: SegmenterConfig) -> nn.Module:
    """Assemble the authors' parts as their `from_config` does."""
    spec = import_module("detectron2.layers.shape_spec").ShapeSpec
    network = nn.Module()
    network.backbone, channels = their_backbone(config)
    shape = {
        f"res{index + 2}": spec(channels=width, stride=4 * 2**index)
        for index, width in enumerate(channels)
    }
    pixels, decoder = config.pixel_decoder, config.transformer_decoder
    assert isinstance(pixels, FPNPixelDecoderConfig)
    folder = "mask_former.modeling.heads"
    per_pixel = import_module(f"{folder}.per_pixel_baseline")
    options = {
        "num_classes": config.num_classes,
        "pixel_decoder": their_pixel_decoder(pixels, shape),
    }
    if isinstance(decoder, PerPixelConfig):
        network.sem_seg_head = per_pixel.PerPixelBaselineHead(shape, **options)
    elif isinstance(decoder, PerPixelPlusConfig):
        network.sem_seg_head = per_pixel.PerPixelBaselinePlusHead(
            shape, **options, **their_predictor(decoder, config, shape), deep_supervision=True
        )
    elif isinstance(decoder, StandardDecoderConfig):
        head = import_module(f"{folder}.mask_former_head").MaskFormerHead
        network.sem_seg_head = head(shape, **options, **their_predictor(decoder, config, shape))
    return network.eval()


def their_predictions(head: nn.Module, features: object) -> list[tuple[Tensor | None, Tensor]]:
    """Return class and mask logits of every layer; log-probabilities for baselines."""
    found = head.layers(features)  # type: ignore[operator]
    if isinstance(found, dict):
        layers = [*found["aux_outputs"], found]
        return [(layer["pred_logits"], layer["pred_masks"]) for layer in layers]
    last, earlier = found if isinstance(found, tuple) else (found, [])
    scores = [*(layer["pred_masks"] for layer in earlier), last]
    return [(None, each.log_softmax(1)) for each in scores]


def write(path: Path, state: dict[str, Tensor]) -> None:
    """Pickle weights as the authors publish them."""
    model: dict[str, Any] = {key: value.numpy() for key, value in state.items()}
    path.write_bytes(pickle.dumps({"model": model, "__author__": "the authors"}))


def compare_first_releases(theirs: nn.Module, state: dict[str, Tensor], folder: Path) -> bool:
    """Return whether a file with names of version 1 loads the same weights here and there."""
    old = {
        key.replace("sem_seg_head.pixel_decoder.", "sem_seg_head."): value
        for key, value in theirs.state_dict().items()
    }
    write(folder / "old.pkl", old)
    found, _ = read_authors(folder / "old.pkl")
    theirs.load_state_dict(old)  # their conversion, which reports missing and unknown names
    return all(torch.equal(found.state[name], state[name]) for name in state)


def difference(theirs: nn.Module, config: SegmenterConfig) -> float:
    """Return the maximum difference of logits, relative to their maximum."""
    randomise(theirs)
    with tempfile.TemporaryDirectory() as name:
        write(Path(name) / "model_final.pkl", theirs.state_dict())
        checkpoint, _ = read_authors(Path(name) / "model_final.pkl")
        assert compare_first_releases(theirs, checkpoint.state, Path(name))
    assert checkpoint.description.config == replace(
        config, backbone=checkpoint.description.config.backbone
    )
    ours = build_segmenter(checkpoint.description.config).eval()
    ours.load_state_dict(checkpoint.state)
    pixel_values = torch.randn(2, 3, 160, 224, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        features = theirs.backbone(pixel_values)  # type: ignore[operator]
        expected = their_predictions(theirs.sem_seg_head, features)  # type: ignore[arg-type]
        found = ours(pixel_values, auxiliary=True)
    pairs: list[tuple[Tensor, Tensor]] = []
    for layer, (classes, masks) in zip([*found.auxiliary, found], expected, strict=True):
        pairs.append((layer.mask_logits, masks))
        if classes is not None:
            pairs.append((layer.class_logits, classes))
    return max(((a - b).abs().max() / b.abs().max()).item() for a, b in pairs)


def compare(name: str, config: SegmenterConfig, *, logits: bool) -> float:
    """Print how names, and logits of every layer, of one network agree."""
    theirs = their_network(config)
    worst = compare_names(name, theirs, config)
    if logits and not worst:
        worst = difference(theirs, config)
        agreement = "old names too; logits of all layers agree to"
        print(f"{name:30} {agreement} {worst:.1e}", flush=True)
    return worst


def main(maskformer: Path, mask2former: Path, detectron2: Path) -> None:
    """Compare small networks, and those that are published."""
    warnings.simplefilter("ignore")
    logging.disable()
    stub_packages(mask2former, detectron2)
    stub_family(maskformer, "mask_former")
    stub("deeplab", detectron2 / "projects/DeepLab/deeplab")
    plus = PerPixelPlusConfig(dim=32, num_layers=3, ffn_dim=96)
    small = {
        "small, Swin": SMALL,
        "small, bottlenecks": replace(SMALL, backbone=SMALL_RESNET),
        "small, DeepLab's stem": replace(SMALL, backbone=SMALL_DEEPLAB),
        "small, encoder": replace(SMALL, pixel_decoder=SMALL_ENCODER),
        "small, per pixel": replace(SMALL, transformer_decoder=PerPixelConfig()),
        "small, per pixel plus": replace(SMALL, transformer_decoder=plus),
        "small, plus, encoder": replace(
            SMALL, transformer_decoder=plus, pixel_decoder=SMALL_ENCODER
        ),
    }
    worst = [compare(name, config, logits=True) for name, config in small.items()]
    resnet50 = replace(preset("maskformer-resnet50", 150), pixel_decoder=FPNPixelDecoderConfig())
    published = {
        "maskformer-resnet50, FPN": resnet50,
        "maskformer-resnet101, FPN": replace(
            resnet50, backbone=preset("maskformer-resnet101", 150).backbone
        ),
        **{
            name: preset(name, 150)
            for name in (
                "maskformer-resnet50", "maskformer-resnet101", "maskformer-resnet101c",
                "maskformer-swin-tiny", "maskformer-swin-small", "maskformer-swin-base",
                "maskformer-swin-large", "per-pixel-resnet50", "per-pixel-plus-resnet50",
            )
        },
    }  # fmt: skip
    slow = ("maskformer-resnet101", "maskformer-swin-small", "maskformer-swin-base",
            "maskformer-swin-large", "maskformer-resnet101, FPN")  # fmt: skip
    worst += [compare(name, config, logits=name not in slow) for name, config in published.items()]
    print(f"greatest difference {max(worst):.1e}")
    sys.exit(max(worst) > 1e-4)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
