"""Untrained networks: labels and rules, and images of any number of channels."""

from dataclasses import replace

import numpy as np
import pytest
from conftest import TINY_SWIN
from PIL import Image

import unimask
from unimask.errors import ImageError, SettingsError
from unimask.inference.untrained import describe_untrained
from unimask.label_sets import known_labels
from unimask.labels import LabelSet
from unimask.presets import PRESETS


@pytest.fixture(scope="module")
def five_channels():
    return unimask.build("mask2former-nano", labels=("cell", "soil"), channels=5, device="cpu")


def image(channels):
    return np.random.default_rng(0).integers(0, 256, (40, 60, channels)).astype(np.uint8)


def test_a_network_reads_the_requested_number_of_channels(five_channels, tmp_path):
    assert five_channels.channels == 5 and len(five_channels.description.preprocessing.mean) == 5
    np.save(tmp_path / "a.npy", image(5))
    results = five_channels.predict([image(5), tmp_path / "a.npy"], "semantic")
    assert [result.size for result in results] == [(40, 60)] * 2
    assert np.array_equal(results[0].segmentation, results[1].segmentation)


def test_every_channel_counts(five_channels):
    tensor = five_channels.prepare(image(5)[:20, :30], None, 10**6).preprocessed.pixel_values[
        :, :64, :64
    ]
    before = five_channels.network(tensor[None]).mask_logits
    for index in range(5):
        changed = tensor.clone()
        changed[index] += 3
        assert not np.allclose(
            before.detach(), five_channels.network(changed[None]).mask_logits.detach()
        )


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_images_of_other_channels_are_refused(five_channels, channels):
    with pytest.raises(ImageError, match=f"has {channels} channels?, but the model reads 5 chan"):
        five_channels.predict(image(channels))


def test_results_are_drawn_on_the_first_three_channels(five_channels, tmp_path):
    result = five_channels.predict(image(5), "semantic")
    assert result.image.shape == (40, 60, 3)
    paths = result.save(tmp_path)
    with Image.open(paths["overlay"]) as overlay:
        assert overlay.mode == "RGB"


def test_a_saved_network_keeps_its_channels(five_channels, tmp_path):
    five_channels.save(tmp_path)
    again = unimask.load(tmp_path, device="cpu")
    assert again.channels == 5
    one, other = (model.predict(image(5), "semantic") for model in (five_channels, again))
    assert np.array_equal(one.segmentation, other.segmentation)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"channels": 0}, "channels is 0: pass 1 or more"),
        (
            {"backbone": "resnet5"},
            "backbone 'resnet5': pass timm:NAME, .* one of resnet18, resnet34",
        ),
        ({"pixel_decoder": "bifpn"}, "pixel decoder 'bifpn': pass one of deformable, fpn"),
        ({"backbone": "timm:"}, "backbone 'timm:': pass timm:NAME"),
    ],
)
def test_unbuildable_networks_are_refused(options, message):
    with pytest.raises(SettingsError, match=message):
        unimask.build("mask2former-nano", labels=("cell",), **options)


def test_network_parts_can_be_replaced(tmp_path):
    predictor = unimask.build(
        "mask2former-nano", labels=("cell",), backbone="convnext-tiny", pixel_decoder="fapn",
        device="cpu",
    )  # fmt: skip
    config = predictor.description.config
    assert (config.backbone.kind, config.backbone.depths) == ("convnext", (3, 3, 9, 3))
    assert (config.pixel_decoder.kind, config.pixel_decoder.dim) == ("fapn", 128)
    assert predictor.name == "untrained mask2former-nano on convnext-tiny with fapn"
    predictor.save(tmp_path)
    assert unimask.load(tmp_path, device="cpu").description.config == config


@pytest.mark.parametrize("channels", [3, 4])
def test_efficientnets_normalise_images_as_tensorflow_does(channels):
    predictor = unimask.build(
        "mask2former-nano", labels=("cell",), backbone="efficientnet-lite0", channels=channels,
        device="cpu",
    )  # fmt: skip
    preprocessing = predictor.description.preprocessing
    assert preprocessing.mean == (127.0,) * channels and preprocessing.std == (128.0,) * channels


def test_image_queries_require_their_pixel_decoder():
    with pytest.raises(SettingsError, match="measures in pixels needs its own pixel decoder"):
        unimask.build("unimask-nano", labels=("cell",), pixel_decoder="fpn")


@pytest.fixture
def small_swin(monkeypatch):
    monkeypatch.setitem(
        PRESETS, "mask2former-swin-tiny", lambda classes: replace(TINY_SWIN, num_classes=classes)
    )


def test_configurations_include_labels_and_rules(small_swin):
    predictor = unimask.build("mask2former-swin-tiny-cityscapes-instance", device="cpu")
    assert predictor.description.labels == known_labels("cityscapes_instance")
    assert predictor.tasks == ("instance",)
    assert predictor.description.preprocessing.shortest_edge == 1024
    assert predictor.network.transformer_decoder.head.class_embed.out_features == 9


def test_other_labels_keep_the_rules(small_swin):
    predictor = unimask.build(
        "mask2former-swin-tiny-ade20k-semantic", labels=("road", "sky"), device="cpu"
    )
    assert predictor.labels == ("road", "sky") and predictor.tasks == ("semantic",)
    assert predictor.description.postprocessing.resize == "scores"
    assert predictor.network.transformer_decoder.head.class_embed.out_features == 3


def test_bare_architectures_have_no_labels():
    with pytest.raises(SettingsError, match="mask2former-swin-tiny has no classes of its own"):
        unimask.build("mask2former-swin-tiny")
    with pytest.raises(SettingsError, match="is_thing goes with labels"):
        unimask.build("mask2former-swin-tiny-coco-instance", is_thing=(True,))


def test_unknown_names_are_answered_with_similar_ones():
    with pytest.raises(SettingsError, match="did you mean mask2former-swin-tiny") as caught:
        describe_untrained("mask2former-swin-tinny", LabelSet(("a",), (True,)))
    assert "unimask models" in str(caught.value)
    with pytest.raises(SettingsError, match="unknown preset 'x': presets are mask2former"):
        describe_untrained("x")


def test_configurations_of_other_channels_have_matching_means(small_swin):
    predictor = unimask.build("mask2former-swin-tiny-cityscapes-semantic", channels=4, device="cpu")
    preprocessing = predictor.description.preprocessing
    assert predictor.channels == len(preprocessing.mean) == 4
    assert preprocessing.shortest_edge == 1024
