"""Model that is trained if none is given."""

from dataclasses import replace

from unimask.checkpoints import find_packaged_weights
from unimask.datasets import Dataset
from unimask.datasets.interface import dataset_info
from unimask.errors import MissingExtraError
from unimask.presets import BACKBONES
from unimask.training.plan.facts import ModelChosen
from unimask.training.plan.queries import count_objects
from unimask.training.request import Request

PRETRAINED, UNTRAINED = "mask2former-lite0", "mask2former-nano"
"""Presets with a backbone pretrained on ImageNet, and without one."""

PRETRAINED_CROWDED, UNTRAINED_CROWDED = "unimask-lite0", "unimask-nano"
"""The same for images of many objects: their queries are selected from the image."""

PRETRAINED_ONEFORMER, UNTRAINED_ONEFORMER = "oneformer-lite0", "oneformer-nano"
"""The same for training on all tasks."""

MANY_OBJECTS = 20
"""Mean number of objects per image from which the network selects its queries from the image.

Few steps teach learned queries to find a few objects of known kinds and places, but not many equal
ones (docs/LOG.md).
"""


def with_model(request: Request, dataset: Dataset) -> tuple[Request, ModelChosen | None]:
    """Return the request with a model, and the choice if it named none.

    The chosen preset has a pretrained backbone if the package of its weights is installed.

    Args:
        request: Arguments of `train`.
        dataset: Training images.
    """
    if request.model is not None:
        return request, None
    installed = has_imagenet_weights()
    objects = None
    pair = (PRETRAINED, UNTRAINED)
    if request.task == "all":
        pair = (PRETRAINED_ONEFORMER, UNTRAINED_ONEFORMER)
    elif may_be_crowded(request, dataset):
        mean = float(count_objects(dataset)[1].mean())
        if mean >= MANY_OBJECTS:
            pair, objects = (PRETRAINED_CROWDED, UNTRAINED_CROWDED), mean
    model = pair[0] if installed else pair[1]
    chosen = ModelChosen(model=model, is_pretrained=installed, objects=objects)
    return replace(request, model=model), chosen


def may_be_crowded(request: Request, dataset: Dataset) -> bool:
    """Return whether objects are trained in single images, so that their number matters."""
    is_semantic = request.task == "semantic" or set(dataset_info(dataset).tasks) == {"semantic"}
    clips = request.requested_settings().clips
    return bool(dataset.labels.things) and not is_semantic and not clips


def has_imagenet_weights() -> bool:
    """Return whether the package with the weights of the chosen presets' backbone is installed."""
    try:
        find_packaged_weights(BACKBONES["efficientnet-lite0"])
    except MissingExtraError:
        return False
    return True
