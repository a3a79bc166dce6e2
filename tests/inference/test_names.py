"""Loading names of architectures fails with a message that names published weights."""

import pytest

import unimask
from unimask.bundled import bundled_names
from unimask.errors import CheckpointError
from unimask.inference.names import BUNDLED_WEIGHTS
from unimask.presets import PRESETS
from unimask.published.model_configs import MODEL_CONFIGS
from unimask.published.zoo import published_models

MODELS = {model.name: model for model in published_models()}


@pytest.mark.parametrize("name", [*PRESETS, *MODEL_CONFIGS])
def test_loading_is_refused_and_published_weights_are_named(name):
    with pytest.raises(CheckpointError, match="an architecture without weights") as caught:
        unimask.load(name)
    message = str(caught.value)
    names = (
        {name}
        if name in MODEL_CONFIGS
        else {known for known, found in MODEL_CONFIGS.items() if found.preset == name}
    )
    models = [MODELS[known] for known in names if known in MODELS]
    addresses = {model.hub or model.file for model in models}
    assert ("none of this one" in message) == (not models and name not in BUNDLED_WEIGHTS)
    assert not models or any(place in message for place in addresses)
    if name in MODELS:
        assert (MODELS[name].hub or MODELS[name].file) in message


@pytest.mark.parametrize(("preset", "name"), BUNDLED_WEIGHTS.items())
def test_the_bundled_model_is_named(preset, name):
    assert name in bundled_names()
    with pytest.raises(CheckpointError, match=rf"load weights of it: {name}$"):
        unimask.load(preset)
