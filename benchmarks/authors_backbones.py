"""Hold our reading of ImageNet backbones against the programs that write such files.

Needs Mask2Former (its script that converts torchvision's ResNets for detectron2) and
https://github.com/microsoft/Swin-Transformer, of which one file is imported; what it takes from
timm is stubbed.

    python benchmarks/authors_backbones.py MASK2FORMER SWIN
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
from unittest import mock

import torch
from torch import Tensor, nn

from unimask.checkpoints import imagenet_names as names
from unimask.checkpoints import read_backbone
from unimask.checkpoints.keymap import to_theirs
from unimask.config import ResNetConfig, SwinConfig
from unimask.modeling.build import build_backbone

DEPTHS = {18: (2, 2, 2, 2), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3)}


def random_state(network: nn.Module) -> dict[str, Tensor]:
    """Give random tensors of a backbone under the names that it has in a segmenter."""
    state = network.state_dict()
    return {f"backbone.{name}": torch.randn(value.shape) for name, value in state.items()}


def compare_resnet(depth: int, script: Path, folder: Path) -> bool:
    """Write torchvision's names, let their script convert them, and read both files."""
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
    told = "the same" if same else "DIFFER"
    print(f"ResNet-{depth}: {len(state)} tensors of torchvision's file and detectron2's: {told}")
    return same


def their_swin(folder: Path) -> types.ModuleType:
    """Import the Swin authors' one file."""

    def plain(*_: object, **__: object) -> None:
        pass

    pair = lambda x: (x, x)  # noqa: E731
    layers = types.ModuleType("timm.models.layers")
    layers.__dict__.update(DropPath=lambda _: nn.Identity(), to_2tuple=pair, trunc_normal_=plain)
    stubs = {"timm": types.ModuleType("timm"), "timm.models": types.ModuleType("timm.models")}
    with mock.patch.dict(sys.modules, {**stubs, "timm.models.layers": layers}):
        spec = importlib.util.spec_from_file_location(
            "their_swin", folder / "models/swin_transformer.py"
        )
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        with contextlib.redirect_stdout(io.StringIO()):
            spec.loader.exec_module(module)
    return module


def compare_swin(config: SwinConfig, module: types.ModuleType, folder: Path) -> float:
    """Write the authors' network as they do, read it, and compare the last map."""
    side = 64 * config.window_size  # theirs takes one size, and shifts no window that is alone
    theirs = module.SwinTransformer(
        img_size=side, embed_dim=config.embed_dim, depths=config.depths,
        num_heads=config.num_heads, window_size=config.window_size,
    ).eval()  # fmt: skip
    with torch.no_grad():
        for name, value in theirs.named_parameters():
            value.copy_(
                torch.randn(value.shape) * (0.5 if "norm" in name or "bias" in name else 0.1)
            )
    torch.save({"model": theirs.state_dict()}, folder / "swin.pth")
    ours = build_backbone(config).eval()
    state = {f"backbone.{name}": value for name, value in ours.state_dict().items()}
    found = read_backbone(folder / "swin.pth", config, state)
    kept = {name.removeprefix("backbone."): value for name, value in found.items()}
    ours.load_state_dict(ours.state_dict() | kept)
    ours.get_submodule("norm3").load_state_dict(theirs.norm.state_dict())
    picture = torch.randn(1, 3, side, side).double()
    ours, theirs = ours.double(), theirs.double()
    with torch.no_grad():
        expected = theirs.forward_features(picture).flatten()  # the mean over the map
        last = ours(picture)[-1].mean((2, 3)).flatten()
    worst = ((last - expected).abs().max() / expected.abs().max()).item()
    print(
        f"Swin, width {config.embed_dim}: {len(found)} tensors, mean of the last map to {worst:.1e}"
    )
    return worst


def main(mask2former: Path, swin: Path) -> None:
    """Compare ResNets and Swins."""
    torch.manual_seed(0)
    warnings.simplefilter("ignore")
    script = mask2former / "tools/convert-torchvision-to-d2.py"
    with tempfile.TemporaryDirectory() as name:
        same = [compare_resnet(depth, script, Path(name)) for depth in DEPTHS]
        module = their_swin(swin)
        small = SwinConfig(embed_dim=24, depths=(2, 1, 3, 2), num_heads=(2, 3, 4, 6), window_size=4)
        worst = max(compare_swin(config, module, Path(name)) for config in (small, SwinConfig()))
    sys.exit(not all(same) or worst > 1e-9)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
