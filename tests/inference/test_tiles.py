"""Prediction in tiles: a network that knows the truth, small random networks, and bad options."""

from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from conftest import TINY_RESNET, draw_discs, tiny_checkpoint
from torch import nn

import unimask
from unimask.checkpoints import write_huggingface
from unimask.config import PostprocessingConfig, PreprocessingConfig
from unimask.datasets.rendered_town import TOWN_LABELS, TownScene
from unimask.errors import SettingsError
from unimask.inference.predictor import Predictor
from unimask.metrics import PanopticQuality
from unimask.outputs import SegmenterOutput
from unimask.processing.tiled.collect import TilingWarning

TASKS = ("panoptic", "instance", "semantic")
SIZE, TILE, OVERLAP = (300, 410), 160, 48


class Oracle(nn.Module):
    """Network whose images encode the truth: the number of a segment and its class + 1.

    Args:
        stride: Pixels per mask logit.
    """

    def __init__(self, stride: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(()))
        self.stride = stride

    def forward(self, pixel_values, task=None):
        codes = pixel_values.long()
        numbers, labels = codes[:, 0] + 256 * codes[:, 1], codes[:, 2] - 1
        names = numbers.unique()
        names = names[names > 0]
        masks = numbers[:, None] == names[:, None, None]
        kinds = (masks * labels[:, None].clamp(min=0)).flatten(2).amax(2)
        kinds = kinds.where(masks.flatten(2).any(2), len(TOWN_LABELS))
        class_logits = 12 * F.one_hot(kinds, len(TOWN_LABELS) + 1).float()
        logits = F.avg_pool2d(16 * masks.float() - 8, self.stride) if len(names) else masks.float()
        return SegmenterOutput(class_logits, logits)


def oracle(stride: int) -> Predictor:
    description = replace(
        tiny_checkpoint().description,
        labels=TOWN_LABELS,
        preprocessing=PreprocessingConfig(
            shortest_edge=min(SIZE), longest_edge=max(SIZE), mean=(0, 0, 0), std=(1, 1, 1)
        ),
        postprocessing=PostprocessingConfig(),
    )
    return Predictor(Oracle(stride), description, "oracle")  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def town():
    """Image that encodes a rendered scene, its map of segments, and the class of each."""
    scene = TownScene(seed=5, size=SIZE).render()
    keys = np.where(scene.ids > 0, scene.ids, -1 - scene.label_ids.astype(np.int32))
    _, first, numbers = np.unique(keys, return_index=True, return_inverse=True)
    numbers = numbers.reshape(SIZE) + 1
    labels = scene.label_ids.ravel()[first]
    image = np.stack([numbers % 256, numbers // 256, scene.label_ids + 1], axis=2)
    return image.astype(np.uint8), numbers, dict(enumerate(labels.tolist(), start=1))


def quality(first, second) -> float:
    pq = PanopticQuality(TOWN_LABELS)
    maps = [(r.segmentation, {s.id: s.label_id for s in r.segments}) for r in (first, second)]
    pq.update(*maps[0], *maps[1])
    value = pq.compute()["PQ"]
    assert value is not None
    return value


@pytest.mark.filterwarnings("ignore::unimask.processing.tiled.collect.TilingWarning")
def test_panoptic_tiles_of_an_oracle_equal_the_truth(town):
    image, numbers, labels = town
    result = oracle(1).predict(image, "panoptic", tile=TILE, overlap=OVERLAP / TILE)
    assert sorted(result.label_ids) == sorted(labels.values())
    found = {}
    for segment in result.segments:
        (number,) = np.unique(numbers[segment.mask])
        assert labels[number] == segment.label_id
        found[number] = segment.area
    areas = {number: int((numbers == number).sum()) for number in labels}
    assert found == areas
    assert all(segment.score > 0.99 for segment in result.segments)


@pytest.mark.filterwarnings("ignore::unimask.processing.tiled.collect.TilingWarning")
def test_panoptic_tiles_of_coarse_masks_equal_one_pass(town):
    image, _, _ = town
    model = oracle(4)
    tiled = model.predict(image, "panoptic", tile=TILE, overlap=OVERLAP / TILE, batch_size=3)
    whole = model.predict(image, "panoptic", tile=None)
    assert quality(tiled, whole) >= 97
    assert len(tiled) == len(whole)
    assert set(tiled.speed) == {"preprocess", "network", "postprocess"}


@pytest.mark.filterwarnings("ignore::unimask.processing.tiled.collect.TilingWarning")
def test_instances_and_classes_of_an_oracle_equal_the_truth(town):
    image, numbers, labels = town
    model = oracle(1)
    objects = model.predict(image, "instance", tile=TILE, overlap=OVERLAP / TILE)
    areas = [int((numbers == n).sum()) for n, label in labels.items() if label < 2]
    assert sorted(s.area for s in objects.segments) == sorted(areas)
    classes = model.predict(image, "semantic", tile=TILE, threshold=0.5)
    np.testing.assert_array_equal(classes.segmentation, image[..., 2].astype(np.int32) - 1)


def test_objects_larger_than_the_overlap_are_reported(town):
    with pytest.warns(TilingWarning, match=r"objects are larger than the overlap .*\(32 pixels\)"):
        oracle(1).predict(town[0], "instance", tile=64)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    write_huggingface(folder, tiny_checkpoint(TINY_RESNET, seed=4))
    return unimask.load(folder, device="cpu")


@pytest.mark.filterwarnings("ignore::unimask.processing.tiled.collect.TilingWarning")
@pytest.mark.parametrize("task", TASKS)
def test_one_tile_equals_one_pass_at_the_same_size(tiny, task):
    image = draw_discs(3, (96, 96), count=4)[0]
    options = {"threshold": 0.05 if task == "instance" else None}
    whole = tiny.predict(image, task, tile=None, **options)
    tiled = tiny.predict(image, task, tile=96, **options)
    assert len(whole)
    ours, theirs = (
        sorted((s.label_id, s.score or 0, s.area) for s in result.segments)
        for result in (tiled, whole)
    )
    np.testing.assert_allclose(ours, theirs, atol=1e-5)


@pytest.mark.filterwarnings("ignore::unimask.processing.tiled.collect.TilingWarning")
def test_scaled_tiles_and_lists(tiny, tmp_path):
    images = [draw_discs(seed, size, count=4)[0] for seed, size in enumerate([(70, 150), (40, 30)])]
    for scale in (0.5, 1.5):
        results = tiny.predict(images, tile=64, scale=scale, batch_size=4)
        assert [result.size for result in results] == [(70, 150), (40, 30)]
    assert results[0].image.shape == (70, 150, 3)
    np.save(tmp_path / "a.npy", images[0])
    (result,) = tiny.stream([tmp_path / "a.npy"], tile=64)
    assert result.path == tmp_path / "a.npy"
    with pytest.raises(SettingsError, match="in tiles"):
        _ = result.confidence


@pytest.mark.filterwarnings("ignore::unimask.processing.tiled.collect.TilingWarning")
def test_auto_divides_only_arrays_above_the_limit(tiny, monkeypatch):
    calls = []
    run_tiles = type(tiny).run_tiles
    monkeypatch.setattr(
        type(tiny), "run_tiles", lambda *args: calls.append(args) or run_tiles(*args)
    )
    image = draw_discs(1, (60, 70), count=3)[0]
    tiny.predict(image, max_pixels=60 * 70)
    assert not calls
    assert tiny.predict(image, max_pixels=60 * 70 - 1).size == (60, 70) and len(calls) == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tile": 32}, "tile is 32: pass a side from 64 to 8192 pixels, 'auto' or None"),
        ({"tile": "large"}, "tile is 'large'"),
        ({"tile": True}, "tile is True"),
        ({"tile": 128, "overlap": 0.6}, "overlap is 0.6: pass a number from 0 to 0.5"),
        ({"tile": 128, "scale": 0}, "scale is 0: pass a number from 0.015625 to 64"),
        ({"tile": 128, "scale": float("nan")}, "scale is nan"),
        ({"tile": None, "scale": 2.0}, "scale applies to tiles only"),
    ],
)
def test_bad_options_get_one_line(tiny, options, message):
    with pytest.raises(SettingsError, match=message):
        tiny.predict(np.zeros((64, 64, 3), np.uint8), **options)


def test_the_command_divides_images(tiny_model, command, check_error, tmp_path):
    from PIL import Image

    Image.fromarray(draw_discs(1, (100, 140), count=6)[0]).save(tmp_path / "a.png")
    arguments = ("predict", tmp_path / "a.png", "--model", tiny_model, "--out", tmp_path / "out")
    code, out, _ = command(*arguments, "--tile", "64", "--overlap", "0.5", "--device", "cpu")
    assert code == 0 and "100x140" in out
    assert (tmp_path / "out" / "a_ids.png").exists()
    code, _, err = command(*arguments, "--tile", "big")
    check_error(code, err, "--tile big", "1024")
    code, _, err = command(*arguments, "--tile", "64", "--confidence")
    check_error(code, err, "--confidence", "--tile")
