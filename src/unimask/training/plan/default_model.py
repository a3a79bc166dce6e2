"""Model that is trained if none is given."""

from dataclasses import replace

from unimask.checkpoints import find_packaged_weights
from unimask.errors import MissingExtraError
from unimask.presets import BACKBONES
from unimask.training.plan.facts import ModelChosen
from unimask.training.request import Request

PRETRAINED, UNTRAINED = "mask2former-lite0", "mask2former-nano"
"""Presets with a backbone pretrained on ImageNet, and without one."""

PRETRAINED_ONEFORMER, UNTRAINED_ONEFORMER = "oneformer-lite0", "oneformer-nano"
"""The same for training on all tasks."""


def with_model(request: Request) -> tuple[Request, ModelChosen | None]:
    """Return the request with a model, and the choice if it named none.

    The chosen preset has a pretrained backbone if the package of its weights is installed.
    """
    if request.model is not None:
        return request, None
    installed = has_imagenet_weights()
    if request.task == "all":
        model = PRETRAINED_ONEFORMER if installed else UNTRAINED_ONEFORMER
    else:
        model = PRETRAINED if installed else UNTRAINED
    return replace(request, model=model), ModelChosen(model=model, is_pretrained=installed)


def has_imagenet_weights() -> bool:
    """Return whether the package with the weights of the chosen presets' backbone is installed."""
    try:
        find_packaged_weights(BACKBONES["efficientnet-lite0"])
    except MissingExtraError:
        return False
    return True
