"""Prediction in tiles: a network that knows the truth, small random networks, and bad options."""

import numpy as np
import pytest
from conftest import TINY_DETR, TINY_RESNET, draw_discs, tiny_checkpoint
from tile_oracle import encoded_town, oracle

import unimask
from unimask.checkpoints import write_huggingface
from unimask.datasets.rendered_town import TOWN_LABELS
from unimask.errors import SettingsError
from unimask.metrics import PanopticQuality
from unimask.processing.tiled.collect import TilingWarning

TASKS = ("panoptic", "instance", "semantic")
SIZE, TILE, OVERLAP = (300, 410), 160, 48


@pytest.fixture(scope="module")
def town():
    return encoded_town(SIZE)


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


@pytest.fixture(scope="module", params=[TINY_RESNET, TINY_DETR], ids=["mask2former", "detr"])
def tiny(tmp_path_factory, request):
    folder = tmp_path_factory.mktemp("model")
    write_huggingface(folder, tiny_checkpoint(request.param, seed=4))
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
