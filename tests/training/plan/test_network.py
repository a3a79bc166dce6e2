"""The initial network: matching trained weights are loaded, others are initialised."""

import math
from dataclasses import replace

import pytest
import torch
from conftest import (
    NUCLEI,
    TINY_ONEFORMER,
    TINY_PER_PIXEL_PLUS,
    TINY_RESNET,
    tiny_checkpoint,
    with_description,
)

import unimask
from unimask.errors import SettingsError
from unimask.inference.load import read_source
from unimask.inference.names import is_untrained
from unimask.labels import TASKS, LabelSet
from unimask.modeling.build import build_segmenter
from unimask.training import TrainingSettings
from unimask.training.plan.facts import ChannelsChanged, HeadReplaced, QueriesAdded
from unimask.training.plan.network import CLASS_HEADS, choose_network
from unimask.training.plan.weights import build_network
from unimask.training.plan.words import describe

CELLS = LabelSet(("cell", "ground", "rim"), (True, False, False))


def start(model, labels, tasks, settings=None, trained=None):
    """Return description, state dict and words of the network that a run starts from."""
    settings = settings or TrainingSettings(tokenizer="bytes")
    if trained is None and not is_untrained(model):
        trained = read_source(model)
    initial = choose_network(model, trained, labels, tasks, settings, settings.augmentation.crop)
    network = build_network(initial, settings.seed)
    return initial, network.state_dict(), describe(initial.facts)


@pytest.fixture(autouse=True)
def tiny_preset(monkeypatch):
    monkeypatch.setitem(
        unimask.presets.PRESETS, "tiny", lambda classes: replace(TINY_RESNET, num_classes=classes)
    )


def test_preset_weights_are_determined_by_the_seed():
    settings = TrainingSettings(seed=5)
    _, state, words = start("tiny", NUCLEI, ("panoptic",), settings)
    torch.manual_seed(5)
    expected = build_segmenter(TINY_RESNET).state_dict()
    assert all(torch.equal(state[name], tensor) for name, tensor in expected.items())
    assert words == "tiny: untrained"


def test_equal_classes_keep_all_weights_and_use_the_category_ids_of_the_data():
    trained = tiny_checkpoint()
    labels = replace(NUCLEI, category_ids=(7, 17))
    initial, state, words = start("t", labels, ("panoptic",), trained=trained)
    assert all(torch.equal(state[name], tensor) for name, tensor in trained.state.items())
    assert words == "t: trained weights" and not initial.has_new_head
    assert initial.description.labels.category_ids == (7, 17)


def test_other_classes_have_a_new_head_that_the_seed_draws():
    trained, settings = tiny_checkpoint(), TrainingSettings(seed=3)
    initial, state, words = start("t", CELLS, ("semantic",), settings, trained)
    torch.manual_seed(3)
    new = build_segmenter(replace(TINY_RESNET, num_classes=3)).state_dict()
    for name, tensor in state.items():
        expected = new if name.startswith(CLASS_HEADS) else trained.state
        assert torch.equal(tensor, expected[name]), name
    assert initial.facts[1] == HeadReplaced(
        old_classes=2, new_classes=3, first_class_loss=math.log(4)
    )
    assert "new class head for 3 classes instead of 2 (expected first class loss: 1.4)" in words
    assert initial.description.tasks == ("semantic",)


def test_head_queries_and_channels_change_in_one_network():
    trained = tiny_checkpoint()
    settings = TrainingSettings(num_queries=20, channels=5)
    initial, state, words = start("t", CELLS, ("panoptic",), settings, trained)
    assert initial.facts[-2:] == (QueriesAdded(added=8, total=20), ChannelsChanged(channels=5))
    assert "8 of 20 queries are new" in words and "first layer adapted to 5 channels" in words
    table = "transformer_decoder.queries.features"
    assert torch.equal(state[table][:12], trained.state[table]) and len(state[table]) == 20
    first = "backbone.stem.conv1.weight"
    assert torch.equal(state[first][:, :3], trained.state[first]) and not state[first][:, 3:].any()
    network = build_segmenter(initial.description.config).eval()
    network.load_state_dict(state)
    assert network(torch.randn(1, 5, 64, 64)).class_logits.shape == (1, 20, 4)


def test_trained_text_weights_are_kept_only_for_the_same_tokenizer():
    text = replace(TINY_ONEFORMER.text, vocabulary=259)
    trained = tiny_checkpoint(replace(TINY_ONEFORMER, text=text))
    _, state, words = start("t", NUCLEI, TASKS, trained=trained)
    assert all(torch.equal(state[name], tensor) for name, tensor in trained.state.items())
    assert "text branch" not in words
    other = with_description(
        trained, config=replace(TINY_ONEFORMER, text=replace(text, vocabulary=300))
    )
    _, state, words = start("t", NUCLEI, TASKS, trained=other)
    assert "new text branch, with the tokenizer bytes" in words
    others = [n for n in state if not n.startswith("text_mapper.")]
    assert all(torch.equal(state[name], trained.state[name]) for name in others)


@pytest.mark.parametrize(
    ("config", "tasks", "words"),
    [
        (TINY_PER_PIXEL_PLUS, ("panoptic",), "t cannot learn panoptic, only semantic"),
        (TINY_RESNET, TASKS, "t has no task input: train it for panoptic"),
    ],
)
def test_tasks_a_network_cannot_train_are_refused(config, tasks, words):
    with pytest.raises(SettingsError, match=words):
        start("t", NUCLEI, tasks, trained=tiny_checkpoint(config))
