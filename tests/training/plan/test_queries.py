"""Changing the number of queries: new ones are added, old ones keep their weights."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest import (
    NUCLEI,
    TINY_MASKFORMER,
    TINY_ONEFORMER,
    TINY_PER_PIXEL,
    TINY_PROPOSALS,
    TINY_RESNET,
    TINY_SWIN,
    draw_discs,
    tiny_checkpoint,
    write_discs,
)
from PIL import Image
from training.test_train import SETTINGS

import unimask
from unimask.curation import convert
from unimask.datasets import open_dataset
from unimask.errors import SettingsError
from unimask.modeling.build import build_segmenter
from unimask.training import TrainingSettings
from unimask.training.plan.facts import Crowding, QueriesAdded, QueryLimitChanged
from unimask.training.plan.network import choose_network
from unimask.training.plan.queries import add_queries, find_crowding, with_queries
from unimask.training.plan.weights import QUERY_TABLES, build_network
from unimask.training.plan.words import sentence

CONFIGS = {"mask2former": TINY_RESNET, "swin": TINY_SWIN, "maskformer": TINY_MASKFORMER}


def with_more(trained, count):
    """Return the architecture, weights and changes of a trained network with `count` queries."""
    settings = TrainingSettings(num_queries=count, tokenizer="bytes")
    tasks = ("semantic",) if trained.description.config.task_queries else ("panoptic",)
    initial = choose_network("tiny", trained, NUCLEI, tasks, settings, 64)
    return initial, build_network(initial, 0)


@pytest.mark.parametrize("name", CONFIGS)
def test_old_queries_keep_their_weights_and_new_ones_are_drawn(name):
    before = tiny_checkpoint(CONFIGS[name])
    initial, network = with_more(before, 20)
    assert initial.facts[1:] == (QueriesAdded(added=8, total=20),)
    assert initial.description.config == with_queries("tiny", before.description.config, 20)
    after = network.state_dict()
    assert after.keys() == before.state.keys()
    for key, tensor in before.state.items():
        assert torch.equal(after[key][:12] if key in QUERY_TABLES else after[key], tensor)
    assert network.eval()(torch.randn(1, 3, 64, 64)).class_logits.shape[1] == 20
    new = [after[key][12:] for key in QUERY_TABLES if key in after]
    assert new and all(0.7 < rows.std() < 1.3 for rows in new)


def test_bare_queries_predict_the_same_beside_new_ones():
    before, pixel_values, bare = tiny_checkpoint(), torch.randn(1, 3, 64, 64), []
    old = build_segmenter(before.description.config)
    old.load_state_dict(before.state)
    for network in (old, with_more(before, 20)[1]):
        bare.append(network.eval()(pixel_values, auxiliary=True).auxiliary[0])
    torch.testing.assert_close(bare[1].class_logits[:, :12], bare[0].class_logits)
    torch.testing.assert_close(bare[1].mask_logits[:, :12], bare[0].mask_logits)


def test_top_k_grows_with_the_queries():
    checkpoint = tiny_checkpoint(top_k=15)
    for count, top_k in ((14, 15), (20, 20)):
        assert with_more(checkpoint, count)[0].description.postprocessing.top_k == top_k


def test_oneformers_queries_keep_their_texts_and_the_token_stays_last():
    before = tiny_checkpoint(TINY_ONEFORMER)
    _, network = with_more(before, 15)
    name = "transformer_decoder.queries.positions"
    old, new = before.state[name], network.state_dict()[name]
    context = TINY_ONEFORMER.text.context
    assert torch.equal(new[: 12 - context], old[: 12 - context])
    assert torch.equal(new[-context:], old[-context:])
    with pytest.raises(SettingsError, match=f"tiny needs {context + 1} or more"):
        with_queries("tiny", TINY_ONEFORMER, context)


def test_image_queries_are_configured_by_count_alone():
    before = tiny_checkpoint(TINY_PROPOSALS)
    for count in (30, 500):  # 4 learned queries, and up to 100 image queries
        initial, network = with_more(before, count)
        assert initial.facts[1:] == (QueryLimitChanged(old=104, new=count),)
        assert all(torch.equal(network.state_dict()[n], t) for n, t in before.state.items())
        assert initial.description.config.transformer_decoder.max_proposals == count - 4
        expected = 4 + min(count - 4, round(0.2 * (64**2 + 32**2 + 16**2)))
        assert network.eval()(torch.zeros(1, 3, 512, 512)).class_logits.shape[1] == expected
    with pytest.raises(SettingsError, match="num_queries is 4: tiny needs 5 or more"):
        with_more(before, 4)


def test_impossible_query_counts_are_one_line_errors():
    with pytest.raises(SettingsError, match="num_queries is 11, but tiny was trained with 12"):
        add_queries("tiny", TINY_RESNET, 11)
    with pytest.raises(SettingsError, match="classifies pixels, one by one: leave num_queries out"):
        with_queries("baseline", TINY_PER_PIXEL, 10)
    with pytest.raises(SettingsError, match="needs 1 or more"):
        with_queries("tiny", TINY_RESNET, 0)


def test_nothing_changes_where_nothing_is_requested():
    for count in (None, 12):
        assert add_queries("tiny", TINY_RESNET, count) == (TINY_RESNET, None)


def test_a_preset_starts_with_any_number(monkeypatch):
    monkeypatch.setitem(
        unimask.presets.PRESETS, "tiny", lambda classes: replace(TINY_RESNET, num_classes=classes)
    )
    settings = replace(SETTINGS, num_queries=5)
    initial = choose_network("tiny", None, NUCLEI, ("panoptic",), settings, 64)
    assert initial.description.config.transformer_decoder.num_queries == 5
    assert build_network(initial, 0).state_dict()[QUERY_TABLES[0]].shape[0] == 5
    assert initial.description.postprocessing.top_k == 5


def test_half_precision_weights_get_more_queries():
    trained = tiny_checkpoint()
    half = replace(trained, state={name: t.half() for name, t in trained.state.items()})
    _, network = with_more(half, 13)
    rows = network.state_dict()[QUERY_TABLES[0]]
    assert rows.dtype == torch.float32 and len(rows) == 13
    assert torch.equal(rows[:12], half.state[QUERY_TABLES[0]].float())


def test_more_objects_than_queries_are_reported_before_training(tmp_path):
    """All annotations but only some maps are counted, without crowds and stuff."""
    crowded = write_discs(tmp_path / "crowded", {"train": 90}, objects=3)
    image, ids = draw_discs(0, count=20)
    Image.fromarray(image).save(crowded / "train" / "images" / "0.png")
    Image.fromarray(ids).save(crowded / "train" / "masks" / "0.png")
    most = len(np.unique(ids)) - 1
    crowding = find_crowding(open_dataset(crowded), 12, ("panoptic",))
    assert crowding == Crowding(
        crowded=1, counted=30, images=90, queries=12, fullest="0.png", most_objects=most
    )
    words = sentence(crowding)
    assert words.startswith("warning: 1 of 30 training images that were counted have more objects")
    assert f"queries (12), 0.png has {most}: " in words and f"--queries {most} " in words
    assert find_crowding(open_dataset(crowded), most, ("instance",)) is None
    assert find_crowding(open_dataset(crowded), 12, ("semantic",)) is None
    for format, name in (("coco", "0.png"), ("coco-panoptic", "0.png")):
        convert(crowded, tmp_path / format, to=format, split="train")
        listed = open_dataset(tmp_path / format, "train")
        found = find_crowding(listed, 12, ("instance", "panoptic"))
        assert (found.crowded, found.counted, found.images) == (1, len(listed), len(listed))
        assert (found.fullest, found.most_objects) == (name, most)
        counts = [
            int((np.array(listed.labels.is_thing)[sample.label_ids] & ~sample.crowds).sum())
            for sample in map(listed.__getitem__, range(3))
        ]
        assert listed.count_things()[:3].tolist() == counts
