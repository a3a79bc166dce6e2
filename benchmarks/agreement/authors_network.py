"""Compare our reader of the authors' files with the authors' own modules: names and logits.

Needs their repositories (https://github.com/facebookresearch/Mask2Former and .../detectron2), and
neither an installation nor a compiler: their modules are imported one by one, what they only need
for registration and initialisation is stubbed, and deformable attention takes their own fallback.
Each network gets random weights there, is pickled as they publish it, and is loaded here.

    python -m benchmarks.agreement.authors_network MASK2FORMER DETECTRON2
"""

import pickle
import sys
import tempfile
import types
import warnings
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

import unimask
from unimask.checkpoints import read_authors
from unimask.checkpoints.authors.read import select_rules
from unimask.checkpoints.keymap import to_theirs
from unimask.checkpoints.skeleton import build_skeleton
from unimask.config import (
    BackboneConfig,
    DeformablePixelDecoderConfig,
    MaskedDecoderConfig,
    ResNetConfig,
    SegmenterConfig,
    SwinConfig,
)
from unimask.presets import mask2former_nano, preset

UNUSED = ("relative_position_index", "num_batches_tracked")
"""Keys of the authors' files beside the weights."""

SMALL = mask2former_nano(11)
SMALL_RESNET = ResNetConfig(stem_channels=32, channels=(64, 128, 192, 256), depths=(1, 2, 3, 1))
SMALL_SWIN = SwinConfig(embed_dim=24, depths=(2, 1, 3, 2), num_heads=(2, 3, 4, 6), window_size=5)


def stub(name: str, folder: Path | None = None, **content: Any) -> None:
    """Replace a module that would import too much; with a folder, a package."""
    module = types.ModuleType(name)
    module.__dict__.update(content)
    if folder is not None:
        module.__path__ = [str(folder)]
    sys.modules[name] = module
    parent, _, child = name.rpartition(".")
    if parent in sys.modules:
        setattr(sys.modules[parent], child, module)


class Registry:
    """Stub of detectron2's registries."""

    def __init__(self, *_: object) -> None:
        pass

    def register(self) -> Callable[[type], type]:
        """Return a class unchanged."""
        return lambda kind: kind


class DropPath(nn.Identity):
    """Stub of timm's module, which is the identity in evaluation."""


def stub_packages(mask2former: Path, detectron2: Path) -> None:
    """Stub what the authors' files import only for training."""

    def nothing(*_: object, **__: object) -> None:
        pass

    stub("fvcore", Path())
    stub("fvcore.nn", Path())
    stub("fvcore.nn.weight_init", c2_xavier_fill=nothing, c2_msra_fill=nothing)
    stub("fvcore.nn.distributed", differentiable_all_reduce=None)
    stub("timm", Path())
    stub("timm.models", Path())
    pair = lambda x: (x, x)  # noqa: E731
    stub("timm.models.layers", DropPath=DropPath, to_2tuple=pair, trunc_normal_=nothing)
    stub("MultiScaleDeformableAttention")
    stub("detectron2", detectron2 / "detectron2")
    stub("detectron2.utils", Path())
    stub("detectron2.utils.comm")
    stub("detectron2.utils.env", TORCH_VERSION=(2, 0))
    stub("detectron2.utils.registry", Registry=Registry)
    stub("detectron2.config", configurable=lambda function: function)
    stub("detectron2.layers", detectron2 / "detectron2/layers")
    for name in ("wrappers", "shape_spec", "batch_norm", "blocks"):
        part = import_module(f"detectron2.layers.{name}")
        sys.modules["detectron2.layers"].__dict__.update(vars(part))
    layers = sys.modules["detectron2.layers"]
    layers.DeformConv = layers.ModulatedDeformConv = None  # type: ignore[attr-defined]
    heads = {"BACKBONE_REGISTRY": Registry(), "SEM_SEG_HEADS_REGISTRY": Registry()}
    stub("detectron2.modeling", Path(), ShapeSpec=layers.ShapeSpec, Backbone=nn.Module, **heads)
    stub("detectron2.modeling.backbone", detectron2 / "detectron2/modeling/backbone")
    stub("detectron2.modeling.backbone.build", BACKBONE_REGISTRY=Registry())
    stub_family(mask2former, "mask2former")
    stub_family(mask2former, "mask2former_video")


def stub_family(repository: Path, package: str) -> None:
    """Make a family's own modules importable one by one."""
    for name in ("", "modeling", "modeling.backbone", "modeling.pixel_decoder",
                 "modeling.transformer_decoder", "modeling.meta_arch",
                 "modeling.heads", "modeling.transformer"):  # fmt: skip
        stub(f"{package}.{name}".rstrip("."), repository / package / name.replace(".", "/"))


def their_resnet(config: ResNetConfig, norm: str) -> nn.Module:
    """Build detectron2's ResNet, with the stride where Mask2Former's configurations put it."""
    resnet = import_module("detectron2.modeling.backbone.resnet")
    deep = config.block == "bottleneck"
    width, stages = config.stem_channels, []
    for index, (channels, depth) in enumerate(zip(config.channels, config.depths, strict=True)):
        extra = {"bottleneck_channels": channels // 4, "stride_in_1x1": False} if deep else {}
        stages.append(
            resnet.ResNet.make_stage(
                resnet.BottleneckBlock if deep else resnet.BasicBlock,
                depth,
                stride_per_block=[1 if index == 0 else 2] + [1] * (depth - 1),
                in_channels=width, out_channels=channels, norm=norm, **extra,
            )
        )  # fmt: skip
        width = channels
    stem = resnet.BasicStem(3, config.stem_channels, norm)
    return resnet.ResNet(stem, stages, out_features=["res2", "res3", "res4", "res5"])


def their_backbone(config: BackboneConfig, norm: str) -> tuple[nn.Module, tuple[int, ...]]:
    """Build the authors' backbone; return it and the channels of its maps."""
    if isinstance(config, ResNetConfig):
        return their_resnet(config, norm), config.channels
    if not isinstance(config, SwinConfig):
        raise TypeError(f"Mask2Former's authors have no {config.kind}")
    swin = import_module("mask2former.modeling.backbone.swin").SwinTransformer(
        embed_dim=config.embed_dim, depths=config.depths, num_heads=config.num_heads,
        window_size=config.window_size, mlp_ratio=config.mlp_ratio,
    )  # fmt: skip
    return swin, tuple(config.embed_dim * 2**stage for stage in range(4))


def their_decoder(config: SegmenterConfig) -> Callable[..., nn.Module]:
    """Return the class of the authors' transformer decoder, for images or for clips."""
    if config.clips:
        video = import_module(
            "mask2former_video.modeling.transformer_decoder.video_mask2former_transformer_decoder"
        )
        return partial(video.VideoMultiScaleMaskedTransformerDecoder, num_frames=2)
    images = import_module(
        "mask2former.modeling.transformer_decoder.mask2former_transformer_decoder"
    )
    return images.MultiScaleMaskedTransformerDecoder


def their_network(config: SegmenterConfig, norm: str) -> nn.Module:
    """Assemble the authors' parts as their `from_config` does."""
    folder = "mask2former.modeling"
    pixel = import_module(f"{folder}.pixel_decoder.msdeformattn")
    head = import_module(f"{folder}.meta_arch.mask_former_head")
    spec = import_module("detectron2.layers.shape_spec").ShapeSpec
    network = nn.Module()
    network.backbone, channels = their_backbone(config.backbone, norm)
    shape = {
        f"res{index + 2}": spec(channels=width, stride=4 * 2**index)
        for index, width in enumerate(channels)
    }
    pixels, queries = config.pixel_decoder, config.transformer_decoder
    assert isinstance(pixels, DeformablePixelDecoderConfig)
    assert isinstance(queries, MaskedDecoderConfig)
    pixel_decoder = pixel.MSDeformAttnPixelDecoder(
        shape, transformer_dropout=0.0, transformer_nheads=pixels.num_heads,
        transformer_dim_feedforward=pixels.ffn_dim, transformer_enc_layers=pixels.num_layers,
        conv_dim=pixels.dim, mask_dim=pixels.mask_dim, norm="GN",
        transformer_in_features=["res3", "res4", "res5"], common_stride=4,
    )  # fmt: skip
    predictor = their_decoder(config)(
        pixels.dim, True, num_classes=config.num_classes, hidden_dim=queries.dim,
        num_queries=queries.num_queries, nheads=queries.num_heads,
        dim_feedforward=queries.ffn_dim, dec_layers=queries.num_layers, pre_norm=False,
        mask_dim=pixels.mask_dim, enforce_input_project=False,
    )  # fmt: skip
    network.sem_seg_head = head.MaskFormerHead(
        shape, num_classes=config.num_classes, pixel_decoder=pixel_decoder,
        transformer_predictor=predictor, transformer_in_feature="multi_scale_pixel_decoder",
    )  # fmt: skip
    return network.eval()


def randomise(network: nn.Module) -> None:
    """Randomise all weights: zeros and ones at initialisation would hide mistakes."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, value in network.state_dict().items():
            if not value.is_floating_point():
                continue
            noise = torch.randn(value.shape, generator=generator)
            if "running_var" in name:
                value.copy_(noise.abs() + 0.5)
            elif value.ndim > 1 and "embed" not in name.split(".")[-2]:
                value.copy_(noise / value[0].numel() ** 0.5)
            elif "norm" in name and name.endswith("weight"):
                value.copy_(1 + 0.3 * noise)
            else:
                value.copy_(0.5 * noise)


def compare(name: str, config: SegmenterConfig, norm: str, *, logits: bool) -> float:
    """Print how names, and logits of every layer, of one network agree."""
    theirs = their_network(config, norm)
    worst = compare_names(name, theirs, config)
    if logits and not worst:
        worst = difference(theirs, config)
        print(f"{name:30} logits of all layers agree to {worst:.1e}", flush=True)
    return worst


def compare_names(name: str, theirs: nn.Module, config: SegmenterConfig) -> float:
    """Print whether names and shapes agree; return 0 if they do, else 1."""
    state = theirs.state_dict()
    expected = to_theirs(build_skeleton(config).state_dict(), select_rules(config))
    needed = {key for key in state if key.split(".")[-1] not in UNUSED}
    wrong = {
        key
        for key in needed | expected.keys()
        if key not in needed or key not in expected or expected[key].shape != state[key].shape
    }
    verdict = f"differ: {sorted(wrong)}" if wrong else "agree"
    print(f"{name:30} {len(expected):4} names and shapes {verdict}", flush=True)
    return 1.0 if wrong else 0.0


def difference(theirs: nn.Module, config: SegmenterConfig) -> float:
    """Return the maximum difference of logits, relative to their maximum."""
    randomise(theirs)
    model: dict[str, Any] = {key: value.numpy() for key, value in theirs.state_dict().items()}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model_final.pkl"
        path.write_bytes(pickle.dumps({"model": model, "__author__": "the authors"}))
        checkpoint, _ = read_authors(path)
        assert checkpoint.description.config.transformer_decoder == config.transformer_decoder
        ours = unimask.load(path, device="cpu").network
    pixel_values = torch.randn(1, 3, 160, 224, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        expected = theirs.sem_seg_head(theirs.backbone(pixel_values))  # type: ignore[operator]
        found = ours(pixel_values, auxiliary=True)
    pairs: list[tuple[Tensor, Tensor]] = []
    last = {key: expected[key] for key in ("pred_logits", "pred_masks")}
    for layer, other in zip(
        [*found.auxiliary, found], [*expected["aux_outputs"], last], strict=True
    ):
        pairs.append((layer.class_logits, other["pred_logits"]))
        pairs.append((layer.mask_logits, other["pred_masks"]))
    return max(((a - b).abs().max() / b.abs().max()).item() for a, b in pairs)


def main(mask2former: Path, detectron2: Path) -> None:
    """Compare small networks of odd sizes, and those that are published."""
    warnings.simplefilter("ignore")
    stub_packages(mask2former, detectron2)
    basic = replace(SMALL.backbone, norm="frozen_batch")
    small = {
        "small, basic blocks, FrozenBN": (basic, "FrozenBN"),
        "small, bottlenecks, FrozenBN": (SMALL_RESNET, "FrozenBN"),
        "small, bottlenecks, SyncBN": (SMALL_RESNET, "SyncBN"),
        "small, Swin, windows of 5": (SMALL_SWIN, ""),
    }
    worst = [
        compare(name, replace(SMALL, backbone=backbone), norm, logits=True)
        for name, (backbone, norm) in small.items()
    ]
    for name in ("resnet50", "resnet101", "swin-tiny", "swin-small", "swin-base", "swin-large"):
        config = preset(f"mask2former-{name}", 133)
        fast = name in ("resnet50", "swin-tiny")
        worst.append(compare(f"published {name}", config, "FrozenBN", logits=fast))
    print(f"greatest difference {max(worst):.1e}")
    sys.exit(max(worst) > 1e-4)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
