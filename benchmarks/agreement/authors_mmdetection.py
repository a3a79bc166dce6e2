"""Compare our reader of mmdetection's files with mmdetection itself: names, logits, test settings.

Needs mmdet with mmcv-lite and mmengine (release 3), or with mmcv 1.7.2 (release 2), beside unimask;
compiled operators are stubbed, and deformable attention takes their fallback in PyTorch. Each
network of theirs gets random weights, is saved with all entries of a training checkpoint, and is
loaded here.

    python -m benchmarks.agreement.authors_mmdetection
"""

import sys
import tempfile
import types
import warnings
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

import unimask
from benchmarks.agreement.authors_network import randomise
from unimask.checkpoints import Checkpoint, read_authors
from unimask.label_sets import known_labels

SIZE = (160, 224)
UNUSED = ("relative_position_index", "num_batches_tracked")

SMALL_SWIN = dict(embed_dims=24, depths=[2, 1, 3, 2], num_heads=[2, 3, 4, 6], window_size=5)
SMALL = {
    "mask2former, Swin, windows of 5": ("mask2former", "swin-t", SMALL_SWIN, [24, 48, 96, 192]),
    "mask2former, ResNet-18": ("mask2former", "r50", dict(depth=18), [64, 128, 256, 512]),
    "maskformer, Swin, windows of 5": ("maskformer", "swin-l", SMALL_SWIN, [24, 48, 96, 192]),
    "maskformer, ResNet-18": ("maskformer", "r50", dict(depth=18), [64, 128, 256, 512]),
}
"""Family, published configuration to change, changes to its backbone, and its maps' channels."""

MEASURED = ("mask2former_r50", "mask2former_swin-t", "maskformer_r50")
"""Prefixes of the names of published networks whose logits are compared too."""


def stub_modules() -> None:
    """Stub mmcv's compiled operators, and release 2's downloader of weights."""
    for name in ("mmcv._ext",) if is_release_3() else ("mmcv._ext", "torchvision"):
        stub = types.ModuleType(name)
        stub.__getattr__ = lambda name: None  # type: ignore[method-assign]
        sys.modules[name] = stub


def is_release_3() -> bool:
    """Return whether the installed mmdet uses mmengine."""
    return find_spec("mmengine") is not None


def read_config(path: Path) -> Any:
    """Read a configuration of mmdetection."""
    config = import_module("mmengine" if is_release_3() else "mmcv").Config.fromfile(str(path))
    config.model.backbone.init_cfg = None  # no download
    return config


def build(config: Any) -> nn.Module:
    """Build a network of mmdetection."""
    models = import_module("mmdet.models")
    if not is_release_3():
        return models.build_detector(config.model).eval()
    scope = import_module("mmengine.registry").DefaultScope
    scope.get_instance("comparison", scope_name="mmdet")
    return import_module("mmdet.registry").MODELS.build(config.model).eval()


def save(network: nn.Module, config: Any, path: Path) -> None:
    """Save a network as mmdetection's training does, with its records."""
    classes = tuple(f"class {i}" for i in range(network.num_classes))  # type: ignore[arg-type]
    content: dict[str, Any] = {"state_dict": network.state_dict()}
    optimizer = torch.optim.AdamW(network.parameters())
    content["optimizer"] = optimizer.state_dict()
    if is_release_3():
        hub = import_module("mmengine.logging").MessageHub.get_instance(path.stem)
        hub.update_scalar("train/loss", 1.5)
        hub.update_info("iter", 3)
        content["message_hub"] = hub.state_dict()
        dataset_meta = {"classes": classes, "thing_classes": classes[:2], "palette": [(1, 2, 3)]}
        content["meta"] = {"cfg": config.pretty_text, "dataset_meta": dataset_meta, "iter": 3}
    else:
        content["meta"] = {"config": config.pretty_text, "CLASSES": classes, "iter": 3}
    torch.save(content, path)


def their_logits(network: Any, pixel_values: Tensor) -> list[tuple[Tensor, Tensor]]:
    """Return class and mask logits of every layer that predicts."""
    metas = {"batch_input_shape": SIZE, "img_shape": SIZE, "ori_shape": SIZE}
    features = network.backbone(pixel_values)
    if is_release_3():
        sample = import_module("mmdet.structures").DetDataSample()
        sample.set_metainfo(metas)
        classes, masks = network.panoptic_head(features, [sample])
    else:
        classes, masks = network.panoptic_head(features, [{**metas, "img_shape": (*SIZE, 3)}])
    return list(zip(classes, masks, strict=True))


def compare_logits(theirs: nn.Module, path: Path) -> float:
    """Return the maximum difference of logits, relative to their maximum."""
    ours = unimask.load(path, device="cpu").network
    pixel_values = torch.randn(1, 3, *SIZE, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        expected = their_logits(theirs, pixel_values)
        found = ours(pixel_values, auxiliary=True)
    worst = 0.0
    for layer, (classes, masks) in zip([*found.auxiliary, found], expected, strict=True):
        for a, b in ((layer.class_logits, classes), (layer.mask_logits, masks)):
            worst = max(worst, ((a - b).abs().max() / b.abs().max()).item())
    return worst


def compare(name: str, config: Any, *, logits: bool) -> float:
    """Print how one network agrees; reading refuses names and shapes that differ."""
    theirs = build(config)
    randomise(theirs)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"{name.replace(' ', '')}_20220326_224553-3ec9e0ae.pth"
        save(theirs, config, path)
        checkpoint, _ = read_authors(path)
        needed = sum(key.split(".")[-1] not in UNUSED for key in theirs.state_dict())
        assert needed == len(checkpoint.state), (needed, len(checkpoint.state))
        verdict = compare_settings(config, checkpoint)
        print(f"{name:66} {needed:4} names and shapes agree; {verdict}", flush=True)
        if not logits:
            return 0.0
        worst = compare_logits(theirs, path)
    print(f"{name:66}      logits of all layers agree to {worst:.1e}", flush=True)
    return worst


def compare_settings(config: Any, checkpoint: Checkpoint) -> str:
    """Check that images and thresholds of a configuration equal ours.

    Raises:
        AssertionError: They differ.
    """
    given, rules = checkpoint.description.preprocessing, checkpoint.description.postprocessing
    if is_release_3():
        source, divisor = config.model.data_preprocessor, "pad_size_divisor"
        assert source.bgr_to_rgb and source[divisor] == given.size_divisor
        resize = next(t for t in config.test_dataloader.dataset.pipeline if t.type == "Resize")
        longest, shortest = resize.scale
    else:
        outer = next(t for t in config.data.test.pipeline if t.type == "MultiScaleFlipAug")
        (longest, shortest) = outer.img_scale
        source = next(t for t in outer.transforms if t.type == "Normalize")
        padding = next((t for t in outer.transforms if t.type == "Pad"), {"size_divisor": 1})
        assert source.to_rgb and padding["size_divisor"] == given.size_divisor
    assert (longest, shortest) == (given.longest_edge, given.shortest_edge)
    assert (tuple(source.mean), tuple(source.std)) == (given.mean, given.std)
    test = config.model.test_cfg
    assert test.get("object_mask_thr", 0.8) == rules.object_threshold
    assert test.iou_thr == rules.overlap_threshold and test.max_per_image == rules.top_k
    assert (rules.uncertain_pixels == "void") == test.filter_low_score
    return "test settings agree"


def compare_classes() -> None:
    """Compare the order of the published classes with our label set."""
    dataset = import_module("mmdet.datasets").CocoPanopticDataset
    metadata = dataset.METAINFO if is_release_3() else vars(dataset)
    word = str.lower if is_release_3() else str.upper
    labels = known_labels("coco_panoptic")
    assert labels.names == tuple(name.strip() for name in metadata[word("classes")])
    things = tuple(metadata[word("thing_classes")])
    assert tuple(n for n, t in zip(labels.names, labels.is_thing, strict=True) if t) == things
    print("the 133 classes of COCO and their order agree")


def main() -> None:
    """Compare small networks, and all that are published."""
    warnings.simplefilter("ignore")
    stub_modules()
    mmdet: Any = import_module("mmdet")
    print(f"mmdet {mmdet.__version__}")
    folder = Path(mmdet.__file__).parent / ".mim/configs"
    published = sorted(folder.glob("mask*former/*.py"))
    worst = []
    for name, (family, base, backbone, channels) in SMALL.items():
        config = read_config(
            next(p for p in published if p.stem.startswith(f"{family}_{base}") and "coco" in p.stem)
        )
        config.model.backbone.update(backbone)
        config.model.panoptic_head.in_channels = channels
        worst.append(compare(name, config, logits=True))
    for path in published:
        worst.append(compare(path.stem, read_config(path), logits=path.stem.startswith(MEASURED)))
    compare_classes()
    print(f"greatest difference {max(worst):.1e}")
    sys.exit(max(worst) > 1e-4)


if __name__ == "__main__":
    main()
