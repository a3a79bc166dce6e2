"""Normalisation and pretrained weights of timm's models."""

from dataclasses import replace
from pathlib import Path

from torch import Tensor

from unimask.checkpoints.files.tensors import read_tensors
from unimask.config import PreprocessingConfig, TimmConfig
from unimask.errors import CheckpointError, SettingsError, one_line
from unimask.modeling.backbones.timm import import_timm

DOWNLOAD = Path("timm")
"""Value in place of a file that makes timm download the weights."""


def timm_normalisation(
    config: TimmConfig, preprocessing: PreprocessingConfig
) -> PreprocessingConfig:
    """Return the pre-processing with the mean and standard deviation of timm's weights.

    Raises:
        SettingsError: timm has no weights of this name.
    """
    try:
        pretrained = import_timm().get_pretrained_cfg(config.name)
    except RuntimeError as error:  # older releases return None
        reason = one_line(error, 200)
        raise SettingsError(f"timm has no weights {config.name!r}: {reason}") from error
    if pretrained is None:
        return preprocessing
    mean, std = (
        tuple(255 * value for value in values) for values in (pretrained.mean, pretrained.std)
    )
    return replace(preprocessing, mean=mean, std=std)


def read_timm(config: TimmConfig, source: Path) -> dict[str, Tensor]:
    """Read a model's weights for RGB images.

    Args:
        config: Configuration of the model.
        source: File of the whole model as timm publishes it (safetensors, or torch's), or
            `DOWNLOAD` for a download from the Hub.

    Returns:
        Weights of the feature extractor under our names; timm omits the classification head.

    Raises:
        CheckpointError: They cannot be read or downloaded, or belong to another model.
    """
    create = import_timm().create_model
    options: dict[str, object] = {"pretrained": True, "in_chans": 3}
    tensors = None if source == DOWNLOAD else read_tensors(source)
    try:
        if tensors is not None:
            options["pretrained_cfg_overlay"] = {"state_dict": dict(tensors)}
            # The whole model refuses missing or unknown tensors; its feature extractor alone would
            # not.
            create(config.name, **options)
            options["pretrained_cfg_overlay"] = {"state_dict": dict(tensors)}
        features = create(config.name, features_only=True, **options)
    except Exception as error:  # networks, hubs and the models' own filters raise anything
        reason = one_line(error, 200)
        what = "cannot be fetched" if tensors is None else f"are not what {source} holds"
        raise CheckpointError(f"weights of timm's {config.name} {what}: {reason}") from error
    return {f"backbone.model.{name}": value for name, value in features.state_dict().items()}
