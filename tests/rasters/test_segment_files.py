"""Files of objects and rows of labels, and visible parts of overlapping objects."""

import numpy as np
import pytest

from unimask.errors import OutputError
from unimask.rasters.objects_file import ObjectsFile, encode_objects
from unimask.rasters.segment_files import Thing, ThingPainter
from unimask.rasters.strips_file import StripBuffer, encode_strip, read_strips, regroup_rows
from unimask.rasters.unfinished import OBJECTS, UnfinishedRun
from unimask.rasters.visible import visible_objects
from unimask.tiling.compose import paste_objects
from unimask.tiling.masks import PlacedMask
from unimask.tiling.seams import JoinedObject

SIZE = (120, 90)


@pytest.fixture
def joined():
    """Overlapping ellipses of random scores, some of which are equal."""
    rng = np.random.default_rng(1)
    y, x = np.mgrid[: SIZE[0], : SIZE[1]]
    objects = []
    for order in range(40):
        row, column = rng.integers(5, SIZE[0] - 5), rng.integers(5, SIZE[1] - 5)
        height, width = rng.integers(3, 16, 2)
        mask = ((y - row) / height) ** 2 + ((x - column) / width) ** 2 < 1
        score = rng.integers(1, 15) / 16
        objects.append(JoinedObject(order % 3, score, PlacedMask.crop(mask, 0, 0), False, order))
    return objects


@pytest.fixture
def stored(joined, tmp_path):
    path = tmp_path / "objects.bin"
    path.write_bytes(encode_objects(joined[:17]) + encode_objects(joined[17:]))
    file = ObjectsFile(path)
    yield file
    file.close()


def test_objects_are_read_in_the_order_of_their_scores(joined, stored):
    expected = sorted(joined, key=lambda item: (-item.score, item.order))
    for one, other in zip(stored.objects, expected, strict=True):
        assert (one.label_id, one.score, one.window) == (
            other.label_id,
            other.score,
            other.mask.window,
        )
        assert stored.read_mask(one).rle == other.mask.rle


@pytest.mark.parametrize("part", [4096, 7])
@pytest.mark.parametrize("bucket", [512, 20])
def test_visible_objects_are_those_of_a_map_of_the_whole_image(
    joined, stored, monkeypatch, bucket, part
):
    monkeypatch.setattr("unimask.rasters.visible.BUCKET", bucket)
    monkeypatch.setattr("unimask.rasters.visible.PART", part)
    monkeypatch.setattr("unimask.tiling.masks.LARGE_BOX", 100)
    ids = np.zeros(SIZE[::-1], np.int32)
    ranked = sorted(joined, key=lambda item: (-item.score, item.order))
    expected = paste_objects(ids, ranked, 0.6)
    visible = list(visible_objects(stored, 0.6))
    assert [item.score for item, _ in visible] == [item.score for item in expected]
    assert 5 < len(visible) < 40
    for number, (_, mask) in enumerate(visible, start=1):
        np.testing.assert_array_equal(mask.to_image(SIZE).to_mask(), number == ids.T)
    painter = ThingPainter(
        stored, [Thing(n, item) for n, (item, _) in enumerate(visible, start=1)], SIZE[1]
    )
    strips = [painter.paint(row, min(50, SIZE[0] - row)) for row in range(0, SIZE[0], 50)]
    np.testing.assert_array_equal(np.concatenate(strips), ids.T)


def test_strips_are_regrouped(tmp_path):
    labels = np.random.default_rng(0).integers(-1, 5, (23, 7)).astype(np.int16)
    buffer = StripBuffer(7, -1)
    with (tmp_path / "strips.bin").open("wb") as stream:
        for row, bottom in ((0, 9), (9, 10), (10, 23)):
            buffer.start(row, bottom)
            buffer.write((row, 2, bottom - row, 5), labels[row:bottom, 2:])
            stream.write(encode_strip(buffer.labels))
    strips = list(regroup_rows(read_strips(tmp_path / "strips.bin", 7), 8))
    assert [len(strip) for strip in strips] == [8, 8, 7]
    whole = np.concatenate(strips)
    np.testing.assert_array_equal(whole[:, 2:], labels[:, 2:])
    assert (whole[:, :2] == -1).all()


def test_rows_after_the_last_saved_state_are_forgotten(tmp_path):
    settings = {"tile": 512, "task": "instance"}
    run = UnfinishedRun(tmp_path / "run", settings)
    with run.lock():
        assert run.load() == ({}, {})
        run.append(OBJECTS, b"first")
        run.save({"rows": 1}, {"a": np.arange(3.0), "empty": np.zeros((0, 4))})
        run.append(OBJECTS, b"second")
    run = UnfinishedRun(tmp_path / "run", settings)
    with run.lock():
        state, arrays = run.load()
        assert state["rows"] == 1 and arrays["a"].tolist() == [0, 1, 2]
        assert run.objects.read_bytes() == b"first"
    with pytest.raises(OutputError, match="holds an unfinished run with tile 512, not 1024"):
        UnfinishedRun(tmp_path / "run", {**settings, "tile": 1024})
    (tmp_path / "run" / "state.safetensors").write_bytes(b"damaged")
    run = UnfinishedRun(tmp_path / "run", settings)
    with run.lock(), pytest.raises(OutputError, match="is damaged: remove it"):
        run.load()
