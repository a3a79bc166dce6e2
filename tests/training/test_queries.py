"""Another number of queries: new ones beside the old, which stay what they were."""

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
from unimask.checkpoints import write_huggingface
from unimask.curation import convert
from unimask.datasets import open_dataset
from unimask.errors import SettingsError
from unimask.modeling.build import build_segmenter
from unimask.training.queries import TABLES, raise_queries, told_crowding, with_queries
from unimask.training.start import starting_point

CONFIGS = {"mask2former": TINY_RESNET, "swin": TINY_SWIN, "maskformer": TINY_MASKFORMER}


@pytest.mark.parametrize("name", CONFIGS)
def test_old_queries_keep_their_weights_and_new_ones_are_drawn(name):
    before = tiny_checkpoint(CONFIGS[name])
    after, told = raise_queries("tiny", before, 20)
    assert told == ", 8 of its 20 queries are new"
    assert after.description.config == with_queries("tiny", before.description.config, 20)
    assert after.state.keys() == before.state.keys()
    for key, tensor in before.state.items():
        assert torch.equal(after.state[key][:12] if key in TABLES else after.state[key], tensor)
    network = build_segmenter(after.description.config).eval()
    network.load_state_dict(after.state)
    assert network(torch.randn(1, 3, 64, 64)).class_logits.shape[1] == 20
    new = [after.state[key][12:] for key in TABLES if key in after.state]
    assert new and all(0.7 < rows.std() < 1.3 for rows in new)


def test_a_query_that_has_not_met_the_others_predicts_what_it_did():
    before = tiny_checkpoint()
    after, _ = raise_queries("tiny", before, 20)
    pixel_values, bare = torch.randn(1, 3, 64, 64), []
    for checkpoint in (before, after):
        network = build_segmenter(checkpoint.description.config).eval()
        network.load_state_dict(checkpoint.state)
        bare.append(network(pixel_values, auxiliary=True).auxiliary[0])
    torch.testing.assert_close(bare[1].class_logits[:, :12], bare[0].class_logits)
    torch.testing.assert_close(bare[1].mask_logits[:, :12], bare[0].mask_logits)


def test_top_k_grows_with_the_queries():
    checkpoint = tiny_checkpoint(top_k=15)
    assert raise_queries("tiny", checkpoint, 14)[0].description.postprocessing.top_k == 15
    assert raise_queries("tiny", checkpoint, 20)[0].description.postprocessing.top_k == 20


def test_oneformers_queries_keep_their_texts_and_the_token_stays_last():
    before = tiny_checkpoint(TINY_ONEFORMER)
    after, _ = raise_queries("tiny", before, 15)
    old, new = (c.state["transformer_decoder.queries.positions"] for c in (before, after))
    context = TINY_ONEFORMER.text.context
    assert torch.equal(new[: 12 - context], old[: 12 - context])
    assert torch.equal(new[-context:], old[-context:])
    with pytest.raises(SettingsError, match=f"tiny needs {context + 1} or more"):
        with_queries("tiny", TINY_ONEFORMER, context)


def test_queries_of_the_image_are_just_a_number():
    before = tiny_checkpoint(TINY_PROPOSALS)
    for count in (30, 500):  # 4 are learned, and up to 100 were taken from the image
        after, told = raise_queries("tiny", before, count)
        assert told == f", with up to {count} queries instead of 104"
        assert after.state is before.state
        assert after.description.config.transformer_decoder.max_proposals == count - 4
        network = build_segmenter(after.description.config).eval()
        network.load_state_dict(after.state)
        expected = 4 + min(count - 4, round(0.2 * (64**2 + 32**2 + 16**2)))
        assert network(torch.zeros(1, 3, 512, 512)).class_logits.shape[1] == expected
    with pytest.raises(SettingsError, match="num_queries is 4: tiny needs 5 or more"):
        raise_queries("tiny", before, 4)


def test_what_cannot_be_is_refused_in_one_line():
    with pytest.raises(SettingsError, match="num_queries is 11, but tiny was trained with 12"):
        raise_queries("tiny", tiny_checkpoint(), 11)
    with pytest.raises(SettingsError, match="classifies pixels, one by one: leave num_queries out"):
        with_queries("baseline", TINY_PER_PIXEL, 10)
    with pytest.raises(SettingsError, match="needs 1 or more"):
        with_queries("tiny", TINY_RESNET, 0)


def test_equal_channels_leave_the_checkpoint_unchanged():
    checkpoint = tiny_checkpoint()
    for count in (None, 12):
        same, told = raise_queries("tiny", checkpoint, count)
        assert same is checkpoint and told == ""


def test_a_preset_starts_with_any_number(monkeypatch):
    monkeypatch.setitem(
        unimask.presets.PRESETS, "tiny", lambda classes: replace(TINY_RESNET, num_classes=classes)
    )
    settings = replace(SETTINGS, num_queries=5)
    checkpoint, *_ = starting_point("tiny", NUCLEI, ("panoptic",), settings)
    assert checkpoint.description.config.transformer_decoder.num_queries == 5
    assert checkpoint.state[TABLES[0]].shape[0] == 5
    assert checkpoint.description.postprocessing.top_k == 5


def test_half_precision_weights_get_rows_of_their_kind(tmp_path):
    checkpoint = tiny_checkpoint()
    state = {name: tensor.half() for name, tensor in checkpoint.state.items()}
    after, _ = raise_queries("tiny", replace(checkpoint, state=state), 13)
    assert after.state[TABLES[0]].dtype == torch.float16
    write_huggingface(tmp_path, after)
    assert unimask.load(tmp_path, device="cpu").description.config == after.description.config


def test_more_objects_than_queries_are_told_before_a_run(tmp_path):
    """Lists of objects are counted whole, maps by a look at some; crowds and stuff never."""
    crowded = write_discs(tmp_path / "crowded", {"train": 90}, objects=3)
    image, ids = draw_discs(0, count=20)
    Image.fromarray(image).save(crowded / "train" / "images" / "0.png")
    Image.fromarray(ids).save(crowded / "train" / "masks" / "0.png")
    most = len(np.unique(ids)) - 1
    told = told_crowding(open_dataset(crowded), 12, ("panoptic",))
    assert told.startswith("\nwarning: 1 of 30 training images that were looked at hold more")
    assert f"queries (12), 0.png {most}: " in told and f"--queries {most} " in told
    assert told_crowding(open_dataset(crowded), most, ("instance",)) == ""
    assert told_crowding(open_dataset(crowded), 12, ("semantic",)) == ""
    for format, name in (("coco", "0.png"), ("coco-panoptic", "0.png")):
        convert(crowded, tmp_path / format, to=format, split="train")
        listed = open_dataset(tmp_path / format, "train")
        told = told_crowding(listed, 12, ("instance", "panoptic"))
        assert told.startswith(f"\nwarning: 1 of {len(listed)} training images hold more")
        assert f"{name} {most}: " in told
        counts = [
            int((np.array(listed.labels.is_thing)[sample.label_ids] & ~sample.crowds).sum())
            for sample in map(listed.__getitem__, range(3))
        ]
        assert listed.count_things()[:3].tolist() == counts
