"""Selection of unlabelled images by a model."""

import json
import shutil

import numpy as np
import pytest
from conftest import draw_discs, tiny_checkpoint
from PIL import Image

import unimask
from unimask.checkpoints import write_huggingface
from unimask.errors import ImageError, SettingsError
from unimask.selection.contact_sheet import draw_contact_sheet


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Six images of discs, of which two are copies, and two of noise."""
    folder = tmp_path_factory.mktemp("photos")
    (folder / "inner").mkdir()
    for seed in range(6):
        place = folder / "inner" if seed > 3 else folder
        Image.fromarray(draw_discs(max(seed, 1))[0]).save(place / f"{seed}.png")
    for seed in (6, 7):
        noise = np.random.default_rng(seed).integers(0, 256, (96, 128, 3), dtype=np.uint8)
        Image.fromarray(noise).save(folder / f"{seed}.png")
    return folder


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    write_huggingface(folder, tiny_checkpoint())
    return unimask.load(folder)


@pytest.mark.parametrize("task", ["panoptic", "instance", "semantic"])
def test_copies_are_selected_last_and_noise_beside_discs(photos, model, task):
    calls = []
    selection = unimask.select(
        photos, model, 8, task=task, progress=lambda done, total: calls.append((done, total))
    )
    names = [image.path.name for image in selection.images]
    assert sorted(names) == [f"{n}.png" for n in range(8)] and calls[-1] == (8, 8)
    assert names[-1] in ("0.png", "1.png")  # the second copy is worth nothing
    for image in selection.images:
        assert 0 <= image.disagreement <= 1
        assert image.uncertainty is None or 0 <= image.uncertainty <= 1
    again = unimask.select(photos, model, 3, task=task)
    assert again.images == selection.images[:3] and again.num_candidates == 8


def test_labelled_images_and_their_copies_are_left_out(discs, model, tmp_path):
    shutil.copytree(discs / "train" / "images", tmp_path / "pool")
    Image.fromarray(draw_discs(77)[0]).save(tmp_path / "pool" / "new.png")
    selection = unimask.select(tmp_path / "pool", model, 5, labelled=discs)
    assert [image.path.name for image in selection.images] == ["new.png"]
    (tmp_path / "pool" / "new.png").unlink()
    with pytest.raises(ImageError, match="all images have labels in"):
        unimask.select(tmp_path / "pool", model, 5, labelled=discs)


def test_unreadable_images_are_reported_and_others_selected(photos, model, tmp_path):
    shutil.copytree(photos, tmp_path / "all")
    (tmp_path / "all" / "bad.png").write_bytes(b"no image")
    selection = unimask.select(tmp_path / "all", model, 2)
    assert len(selection.images) == 2 and selection.num_candidates == 8
    assert len(selection.failures) == 1 and "bad.png" in selection.failures[0]
    with pytest.raises(ImageError, match=r"bad\.png"):
        unimask.select([tmp_path / "all" / "bad.png"], model, 2)
    with pytest.raises(SettingsError, match="count"):
        unimask.select(photos, model, 0)
    json.dumps(selection.to_dict(), allow_nan=False)


def test_the_contact_sheet_shows_every_selected_image(photos, model):
    selection = unimask.select(photos, model, 6)
    sheet = draw_contact_sheet(selection, model)
    assert sheet.width > 1600 and sheet.height > 600
    assert len(np.unique(np.asarray(sheet).reshape(-1, 3), axis=0)) > 1000
