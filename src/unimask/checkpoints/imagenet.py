"""Backbones trained on ImageNet, to start training a segmenter from."""

from pathlib import Path

from torch import Tensor

from unimask.checkpoints import imagenet_names as names
from unimask.checkpoints.keymap import to_ours
from unimask.checkpoints.tensor_files import read_tensors
from unimask.checkpoints.timm_weights import read_timm
from unimask.config import BackboneConfig, SwinConfig, TimmConfig
from unimask.errors import CheckpointError


def read_backbone(
    path: Path, config: BackboneConfig, untrained: dict[str, Tensor]
) -> dict[str, Tensor]:
    """Read a backbone's weights from detectron2's, torchvision's, Swin's or timm's files.

    Class heads are left out; all else must fit.

    Args:
        path: A pickle, a file of torch, or safetensors; "timm" lets timm fetch those of its model.
        config: The backbone that is wanted.
        untrained: The network's own tensors, for names and shapes.

    Returns:
        Tensors under our names. Norms of output maps, which ImageNet's Swin lacks, are not among
        them.

    Raises:
        CheckpointError: The file cannot be read, or is of another backbone.
    """
    if isinstance(config, TimmConfig):
        return read_timm(config, path)
    tensors = read_tensors(path)
    wanted = {name: value for name, value in untrained.items() if name.startswith("backbone.")}
    if isinstance(config, SwinConfig):
        rules, ignored = names.SWIN, names.SWIN_IGNORED
        wanted = {n: value for n, value in wanted.items() if not n.startswith(names.SWIN_ADDED)}
    elif "conv1.weight" in tensors:
        rules, ignored = names.TORCHVISION, names.TORCHVISION_IGNORED
    else:
        rules, ignored = names.DETECTRON2, names.DETECTRON2_IGNORED
    try:
        return to_ours(tensors, wanted, rules, ignored=ignored)
    except CheckpointError as error:
        told = f"{path} is not the {config.kind} that is trained here"
        raise CheckpointError(f"{told}: {error}") from error
