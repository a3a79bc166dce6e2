"""Compare our reader of ImageNet backbones with the programs that write such files.

Needs Mask2Former (its script that converts torchvision's ResNets for detectron2), and
https://github.com/microsoft/Swin-Transformer, https://github.com/facebookresearch/ConvNeXt and
https://github.com/SHI-Labs/Neighborhood-Attention-Transformer, of each of which one file is
imported; what they take from timm is stubbed, and neighbourhood attention is ours, which
`natten.py` compares with NATTEN's.

    python -m benchmarks.agreement.authors_backbones MASK2FORMER SWIN CONVNEXT NAT
"""

import contextlib
import importlib.util
import io
import runpy
import sys
import tempfile
import types
import warnings
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from torch import Tensor, nn

from unimask.checkpoints import read_backbone
from unimask.checkpoints.imagenet import names
from unimask.checkpoints.keymap import to_theirs
from unimask.config import (
    BackboneConfig,
    ConvNeXtConfig,
    DiNATConfig,
    ResNetConfig,
    SwinConfig,
)
from unimask.modeling.backbones.dinat import NeighborhoodAttention
from unimask.modeling.build import build_backbone
from unimask.presets import BACKBONES

DEPTHS = {18: (2, 2, 2, 2), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3)}


def random_state(network: nn.Module) -> dict[str, Tensor]:
    """Return random tensors of a backbone under their names in a segmenter."""
    state = network.state_dict()
    return {f"backbone.{name}": torch.randn(value.shape) for name, value in state.items()}


def compare_resnet(depth: int, script: Path, folder: Path) -> bool:
    """Write torchvision's names, convert them with the authors' script, and compare both files."""
    deep = depth >= 50
    config = ResNetConfig(
        block="bottleneck" if deep else "basic",
        channels=(256, 512, 1024, 2048) if deep else (64, 128, 256, 512),
        depths=DEPTHS[depth],
    )
    state = random_state(build_backbone(config))
    before, after = folder / "resnet.pth", folder / "resnet.pkl"
    head = {"fc.weight": torch.ones(1000, config.channels[-1]), "fc.bias": torch.ones(1000)}
    torch.save(to_theirs(state, names.TORCHVISION) | head, before)
    arguments = [str(script), str(before), str(after)]
    with mock.patch.object(sys, "argv", arguments), contextlib.redirect_stdout(io.StringIO()):
        runpy.run_path(str(script), run_name="__main__")
    found = [read_backbone(path, config, state) for path in (before, after)]
    same = all(torch.equal(tensors[name], state[name]) for tensors in found for name in state)
    verdict = "the same" if same else "DIFFER"
    print(f"ResNet-{depth}: {len(state)} tensors of torchvision's file and detectron2's: {verdict}")
    return same


def neighborhood_attention(
    dim: int, *, kernel_size: int, dilation: int | None, num_heads: int, bias: bool, **_: object
) -> nn.Module:
    """Build our module in place of NATTEN's, whose weights have the same names."""
    assert bias
    return NeighborhoodAttention(
        dim, num_heads=num_heads, kernel_size=kernel_size, dilation=dilation or 1
    )


def their_module(path: Path) -> types.ModuleType:
    """Import one file of the authors' repository on its own."""

    def plain(*_: object, **__: object) -> None:
        pass

    pair = lambda x: (x, x)  # noqa: E731
    layers = types.ModuleType("timm.models.layers")
    layers.__dict__.update(DropPath=lambda _: nn.Identity(), to_2tuple=pair, trunc_normal_=plain)
    registry, natten = types.ModuleType("timm.models.registry"), types.ModuleType("natten")
    registry.__dict__["register_model"] = lambda make: make
    natten.__dict__["NeighborhoodAttention2D"] = neighborhood_attention
    stubs = {name: types.ModuleType(name) for name in ("timm", "timm.models")}
    stubs |= {module.__name__: module for module in (layers, registry, natten)}
    with mock.patch.dict(sys.modules, stubs):
        spec = importlib.util.spec_from_file_location("theirs", path)
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        with contextlib.redirect_stdout(io.StringIO()):
            spec.loader.exec_module(module)
    return module


def compare_swin(config: SwinConfig, module: types.ModuleType, folder: Path) -> float:
    """Compare a Swin; the authors' takes one image size and does not shift a single window."""
    side = 64 * config.window_size
    theirs = module.SwinTransformer(
        img_size=side, embed_dim=config.embed_dim, depths=config.depths,
        num_heads=config.num_heads, window_size=config.window_size,
    )  # fmt: skip
    return compare(f"Swin, width {config.embed_dim}", config, theirs, folder, side)


def compare_convnext(config: ConvNeXtConfig, module: types.ModuleType, folder: Path) -> float:
    """Compare a ConvNeXt, which normalises the mean of its last map, not the map."""
    theirs = module.ConvNeXt(dims=config.dims, depths=config.depths)
    theirs.forward_features = types.MethodType(last_map, theirs)
    return compare(f"ConvNeXt, width {config.dims[0]}", config, theirs, folder, 96)


def last_map(network: Any, image: Tensor) -> Tensor:
    """Compute the mean of the normalised last map of the authors' ConvNeXt."""
    for downsample, stage in zip(network.downsample_layers, network.stages, strict=True):
        image = stage(downsample(image))
    return network.norm(image.permute(0, 2, 3, 1)).mean((1, 2))


def compare_dinat(config: DiNATConfig, module: types.ModuleType, folder: Path) -> float:
    """Compare a DiNAT; the authors' layer scales are two tensors in each block."""
    theirs = module.NAT(
        embed_dim=config.embed_dim, depths=config.depths, num_heads=config.num_heads,
        mlp_ratio=config.mlp_ratio, drop_path_rate=0.0, kernel_size=config.kernel_size,
        dilations=config.dilations, layer_scale=config.layer_scale or None,
    )  # fmt: skip
    title = f"DiNAT, width {config.embed_dim}{', scaled' if config.layer_scale else ''}"
    return compare(title, config, theirs, folder, 192)


def compare(title: str, config: BackboneConfig, theirs: Any, folder: Path, side: int) -> float:
    """Write the authors' network in their format, read it, and compare the last map."""
    theirs.eval()
    with torch.no_grad():
        for name, value in theirs.named_parameters():
            value.copy_(
                torch.randn(value.shape) * (0.5 if "norm" in name or "bias" in name else 0.1)
            )
    torch.save({"model": theirs.state_dict()}, folder / "theirs.pth")
    ours = build_backbone(config).eval()
    state = {f"backbone.{name}": value for name, value in ours.state_dict().items()}
    found = read_backbone(folder / "theirs.pth", config, state)
    backbone_state = {name.removeprefix("backbone."): value for name, value in found.items()}
    ours.load_state_dict(ours.state_dict() | backbone_state)
    ours.get_submodule("norm3").load_state_dict(theirs.norm.state_dict())
    image = torch.randn(1, 3, side, side).double()
    ours, theirs = ours.double(), theirs.double()
    with torch.no_grad():
        expected = theirs.forward_features(image).flatten()  # the mean over the map
        last = ours(image)[-1].mean((2, 3)).flatten()
    worst = ((last - expected).abs().max() / expected.abs().max()).item()
    print(f"{title}: {len(found)} tensors, mean of the last map to {worst:.1e}")
    return worst


def main(mask2former: Path, swin: Path, convnext: Path, nat: Path) -> None:
    """Compare every kind of backbone."""
    torch.manual_seed(0)
    warnings.simplefilter("ignore")
    script = mask2former / "tools/convert-torchvision-to-d2.py"
    with tempfile.TemporaryDirectory() as name:
        same = [compare_resnet(depth, script, Path(name)) for depth in DEPTHS]
        small = SwinConfig(embed_dim=24, depths=(2, 1, 3, 2), num_heads=(2, 3, 4, 6), window_size=4)
        swins, convnexts, dinats = (
            their_module(folder / path)
            for folder, path in (
                (swin, "models/swin_transformer.py"),
                (convnext, "models/convnext.py"),
                (nat, "classification/nat.py"),
            )
        )
        worst = [compare_swin(config, swins, Path(name)) for config in (small, SwinConfig())]
        worst += [
            compare_convnext(BACKBONES[f"convnext-{size}"], convnexts, Path(name))  # type: ignore[arg-type]
            for size in ("tiny", "base")
        ]
        worst += [
            compare_dinat(BACKBONES[f"dinat-{size}"], dinats, Path(name))  # type: ignore[arg-type]
            for size in ("tiny", "base")
        ]
    sys.exit(not all(same) or max(worst) > 1e-9)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
