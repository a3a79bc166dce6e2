"""Files of a run: round trips, and one-line errors for damaged ones."""

import json
import math
import re
import shutil
from dataclasses import asdict, replace
from unittest import mock

import numpy as np
import pytest
import torch
from conftest import TINY_RESNET, tiny_checkpoint, write_discs
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from torch import nn, optim

from unimask.config import CriterionConfig, PreprocessingConfig
from unimask.curation.convert import convert
from unimask.datasets import open_dataset
from unimask.errors import TrainingError
from unimask.inference.untrained import describe_untrained
from unimask.labels import LabelSet
from unimask.presets import PRESETS
from unimask.training import run_folder
from unimask.training.fingerprint import describe_change, take_fingerprint
from unimask.training.progress import BOX_LOSSES, LOSSES, Progress
from unimask.training.run_folder import COLUMNS, RunFolder
from unimask.training.run_record import RunRecord
from unimask.training.saved_state import SavedState
from unimask.training.settings import TrainingSettings

SETTINGS = TrainingSettings(
    steps=7, seed=2**40, criterion=CriterionConfig(), preprocessing=PreprocessingConfig()
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=6,
)


def test_settings_round_trip(tmp_path):
    folder = RunFolder(tmp_path)
    folder.write_settings(SETTINGS, {"model": TINY_RESNET.backbone.kind})
    assert folder.read_settings() == SETTINGS


def test_settings_of_earlier_releases_keep_their_meaning(tmp_path):
    settings = asdict(SETTINGS)
    del settings["on_bad_image"]
    content = {"settings": settings | {"on_bad_picture": "skip"}}
    (tmp_path / "settings.json").write_text(json.dumps(content))
    assert RunFolder(tmp_path).read_settings().on_bad_image == "skip"


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damaged_settings_raise_only_unimask_errors(tmp_path, data):
    folder = RunFolder(tmp_path)
    content = {"settings": json.loads(json.dumps(asdict(SETTINGS)))}
    part = data.draw(st.sampled_from(["", "settings", "augmentation", "criterion"]))
    inner = content if not part else content["settings"]
    inner = inner if part in ("", "settings") else inner[part]
    inner[data.draw(st.sampled_from(sorted(inner)))] = data.draw(JSON)
    (tmp_path / "settings.json").write_text(json.dumps(content))
    try:
        assert isinstance(folder.read_settings(), TrainingSettings)
    except TrainingError as error:
        assert "settings.json" in str(error) and "\n" not in str(error)


@pytest.mark.parametrize("text", ["", "[]", "{}", "[" * 10**5, '{"settings": 3}', "\0"])
def test_invalid_settings_are_named(tmp_path, text):
    (tmp_path / "settings.json").write_text(text)
    with pytest.raises(TrainingError, match=r"settings\.json is damaged"):
        RunFolder(tmp_path).read_settings()


ROW = dict.fromkeys(COLUMNS, "") | {
    "step": 1, "epoch": 0.5, "learning_rate": 1e-4, "loss": 2.0, "score": 0.0, "metric": "PQ",
}  # fmt: skip
HEADER, LINE = ",".join(COLUMNS), ",".join(str(ROW[name]) for name in COLUMNS)


@pytest.mark.parametrize(
    "content",
    [
        b"step\nmany\n",
        b"epoch\n1\n",
        b"step,loss\n,1\n",
        f"x{HEADER}\n{LINE}\n".encode(),  # a column of another name
        f"{HEADER},more\n{LINE},1\n".encode(),
        f"{HEADER},loss\n{LINE},1\n".encode(),
        f"{HEADER}\n{LINE},1,2\n".encode(),
        f"{HEADER}\n1,2\n".encode(),
        f"{HEADER}\n{LINE.replace('2.0', 'two')}\n".encode(),
        f"{HEADER}\n{LINE.replace('1', 'one', 1)}\n".encode(),
        f"{HEADER}\n{LINE}\0\n".encode(),
        f'{HEADER}\n"{LINE}\n'.encode(),
        f"{HEADER};\n".replace(",", ";").encode(),
        b"\xff\xfe\0\x01\n",
        b"\0" * 100 + b"\n",
        f"{HEADER}\n{'9' * 200_000}{LINE}\n".encode(),
    ],
)
def test_damaged_metrics_are_named_and_kept(tmp_path, content):
    (tmp_path / "metrics.csv").write_bytes(content)
    with pytest.raises(TrainingError, match=r"metrics\.csv is damaged .* move it away") as failed:
        RunFolder(tmp_path).remove_rows_after(3)
    assert "\n" not in str(failed.value)
    assert (tmp_path / "metrics.csv").read_bytes() == content


def test_huge_metrics_are_not_read(tmp_path, monkeypatch):
    monkeypatch.setattr(run_folder, "LARGEST_METRICS", 10)
    (tmp_path / "metrics.csv").write_text(f"{HEADER}\n")
    with pytest.raises(TrainingError, match="it has more than"):
        RunFolder(tmp_path).rows()


def test_lines_with_fewer_columns_are_of_earlier_releases(tmp_path):
    (tmp_path / "metrics.csv").write_text("step,epoch,learning_rate,loss\n1,0.5,0.1,2\n9,1,0,0\n")
    RunFolder(tmp_path).remove_rows_after(3)
    (row,) = RunFolder(tmp_path).rows()
    assert row["loss"] == "2" and row["score"] == ""


def state(network: nn.Module, optimizer: optim.Optimizer) -> dict:
    weights = network.state_dict()
    return {
        "progress": {
            "step": 3, "best": 1.5, "unreadable_images": 1, "unreadable_reasons": ["a.png"],
            "loss_sums": dict.fromkeys(LOSSES, 1.0), "interval_steps": 1, "interval_seconds": 0.5,
        },
        "network": weights,
        "optimizer": optimizer.state_dict(),
        "average": {"updates": 3, "state": weights},
    }  # fmt: skip


@pytest.fixture(scope="module")
def trained():
    network = nn.Linear(2, 3)
    optimizer = optim.AdamW(network.parameters())
    network(torch.ones(1, 2)).sum().backward()
    optimizer.step()
    return network, optimizer


def test_training_state_round_trip(tmp_path, trained):
    folder, (network, optimizer) = RunFolder(tmp_path), trained
    folder.save_state(state(*trained))
    saved = folder.read_state()
    saved.check_shapes(network.state_dict())
    saved.restore_optimizer(optimizer)
    assert saved.progress == Progress(**state(*trained)["progress"])


def test_training_states_of_earlier_releases_load(tmp_path, trained):
    content = state(*trained)
    del content["progress"]
    content |= {
        "step": 3, "best": 1.5, "bad_steps": 2, "bad_in_a_row": 1, "worse": 4, "taken": 1,
        "unreadable": {"times": 1, "told": ["a.png"]}, "had_enough": False, "unjudged": True,
        "sums": dict.fromkeys(LOSSES, 1.0), "spent": 0.5,
    }  # fmt: skip
    torch.save(content, tmp_path / "state.pt")
    assert RunFolder(tmp_path).read_state().progress == Progress(
        step=3, best=1.5, skipped_steps=2, skipped_in_a_row=1, bad_validations=4,
        interval_steps=1, interval_seconds=0.5, loss_sums=dict.fromkeys(LOSSES, 1.0),
        unreadable_images=1, unreadable_reasons=["a.png"], validation_pending=True,
    )  # fmt: skip


def test_states_of_networks_with_boxes_hold_their_losses():
    sums = dict.fromkeys(LOSSES | BOX_LOSSES, 1.0)
    assert Progress(loss_sums=sums, interval_steps=1).loss_sums == sums
    del sums["giou"]
    with pytest.raises(ValueError, match="not those of the losses"):
        Progress(loss_sums=sums, interval_steps=1)


DAMAGED_STATES = [
    None, 3, [], {}, "x", {"progress": None}, {"network": {}}, {"network": {"weight": 3}},
    *(
        {"progress": progress}
        for progress in (
            {"step": -1}, {"step": "3"}, {"step": 10**30}, {"step": 2.5}, {"step": True},
            {"best": None}, {"best": math.nan}, {"bad_validations": [1]},
            {"validation_pending": 1}, {"unreadable_images": {}}, {"unreadable_reasons": "a"},
            {"loss_sums": {"loss": "x"}}, {"loss_sums": {"loss": 1.0}}, {"interval_steps": 1},
        )
    ),
    {"network": []},
    {"network": {"weight": torch.ones(3, 3), "bias": torch.ones(3)}}, {"average": None},
    {"average": {"updates": 3, "state": {"weight": torch.ones(1)}}}, {"optimizer": {}},
    {"optimizer": {"state": {}, "param_groups": []}},
    {"optimizer": {"state": {}, "param_groups": [{"params": [0, 1, 2]}]}},
    {"optimizer": {"state": {7: {"exp_avg": torch.ones(1)}}, "param_groups": [{"params": [0, 1]}]}},
    {"optimizer": {"state": {0: {"exp_avg": torch.ones(9)}}, "param_groups": [{"params": [0, 1]}]}},
]  # fmt: skip


@pytest.mark.parametrize("wrong", DAMAGED_STATES, ids=lambda value: str(value)[:40])
def test_states_of_wrong_types_or_shapes_are_refused(tmp_path, trained, wrong):
    network, optimizer = trained
    content = state(*trained) | wrong if isinstance(wrong, dict) and wrong else wrong
    torch.save(content, tmp_path / "state.pt")
    with pytest.raises((TrainingError, ValueError)) as failed:
        found = RunFolder(tmp_path).read_state()
        found.check_shapes(network.state_dict())
        found.restore_optimizer(optimizer)
    assert "\n" not in str(failed.value)


@pytest.mark.parametrize("name", sorted(SavedState.__struct_fields__))
def test_states_without_one_of_their_parts_are_damaged(tmp_path, trained, name):
    content = state(*trained)
    del content[name]
    torch.save(content, tmp_path / "state.pt")
    with pytest.raises(TrainingError, match=rf"state\.pt is damaged .*{name}"):
        RunFolder(tmp_path).read_state()


def test_damaged_files_are_described_in_words_not_by_bare_keys(tmp_path, trained, monkeypatch):
    (tmp_path / "settings.json").write_text("{}")
    with pytest.raises(TrainingError, match=r"is damaged \('settings' is missing\): start anew"):
        RunFolder(tmp_path).read_record()
    torch.save(state(*trained), tmp_path / "state.pt")
    monkeypatch.setattr(torch, "load", mock.Mock(side_effect=KeyError(174812789)))
    with pytest.raises(TrainingError, match=r"\(entry 174812789, to which it refers, is missing\)"):
        RunFolder(tmp_path).read_state()


@pytest.mark.parametrize("name", [*PRESETS, "mask2former-swin-tiny-coco-instance"])
def test_every_network_round_trips_through_a_record(name):
    labels = LabelSet(("a", "[/b]\ud800"), (True, False), ((0, 0, 255), None), (0, 90))
    network = describe_untrained(name, labels)
    record = RunRecord(model=name, names=("a", "b"), processes=2, network=network, pretrained=True)
    again = RunRecord.from_json(json.loads(json.dumps(record.to_json())))
    assert again == record and again.network.labels.category_ids == (0, 90)


def test_a_record_of_an_earlier_release_stores_pretrained_in_the_network():
    record = RunRecord(model="tiny", network=tiny_checkpoint().description, pretrained=True)
    content = json.loads(json.dumps(record.to_json()))
    content["network"]["pretrained"] = content.pop("pretrained")
    assert RunRecord.from_json(content) == record


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damaged_records_raise_only_unimask_errors(tmp_path, data):
    record = RunRecord(model="tiny", task="all", data="x", network=tiny_checkpoint().description)
    content = json.loads(json.dumps(record.to_json() | {"settings": asdict(SETTINGS)}))
    inner = content
    while True:
        key = data.draw(st.sampled_from(sorted(inner)))
        if not (isinstance(inner[key], dict) and inner[key] and data.draw(st.booleans())):
            break
        inner = inner[key]
    inner[key] = data.draw(JSON)
    (tmp_path / "settings.json").write_text(json.dumps(content))
    try:
        RunFolder(tmp_path).read_record()
    except TrainingError as error:
        assert "settings.json is damaged" in str(error) and "\n" not in str(error)


def test_fingerprint_round_trip_and_damage(tmp_path, discs):
    folder = RunFolder(tmp_path)
    assert folder.read_fingerprint() is None
    parts = [open_dataset(discs, split) for split in ("train", "val")]
    fingerprint = take_fingerprint(*parts, discs)
    folder.write_fingerprint(fingerprint)
    assert folder.read_fingerprint() == fingerprint and len(fingerprint.train.files) == 6
    assert "train/images/0.png" in fingerprint.train.files
    for text in ("", "[]", "{}", '{"train": 3}', "\0"):
        (tmp_path / "dataset.json").write_text(text)
        with pytest.raises(TrainingError, match=r"dataset\.json is damaged"):
            folder.read_fingerprint()


def test_edited_images_and_masks_are_named_and_copies_are_the_same(tmp_path):
    """Otherwise a run would resume with other pixels under the same names."""
    data = write_discs(tmp_path / "data", {"train": 3, "val": 1})

    def fingerprint(folder):
        return take_fingerprint(*(open_dataset(folder, n) for n in ("train", "val")), folder)

    before = fingerprint(data)
    shutil.copytree(data, tmp_path / "copy", copy_function=shutil.copyfile)
    assert fingerprint(tmp_path / "copy") == before
    for kind in ("images", "masks"):
        file = data / "train" / kind / "1.png"
        pixels = np.asarray(Image.open(file)).copy()
        pixels[0, 0] += 1
        Image.fromarray(pixels).save(file)
        message = describe_change(before, fingerprint(data))
        assert message == (
            "train has 1 images of other content, or with other labels: train/images/1.png"
        )
        before = fingerprint(data)
    earlier = replace(before, train=replace(before.train, contents=None))
    assert describe_change(earlier, before) == ""


@pytest.mark.parametrize("format", ["coco", "coco-panoptic", "yolo"])
def test_edited_objects_are_named_and_copies_are_the_same(format, tmp_path, discs):
    """Otherwise a run would resume with other outlines, classes or segment ids."""
    data = tmp_path / "data"
    convert(discs, data, to=format)

    def fingerprint(folder):
        return take_fingerprint(*(open_dataset(folder, n) for n in ("train", "val")), folder)

    before = fingerprint(data)
    shutil.copytree(data, tmp_path / "copy", copy_function=shutil.copyfile)
    assert fingerprint(tmp_path / "copy") == before
    edit_object_of_first_image(data, format)
    text = describe_change(before, fingerprint(data))
    assert re.fullmatch(
        r"train has 1 images of other content, or with other labels: \S+0\.png", text
    )
    earlier = replace(before, train=replace(before.train, labels=None))
    assert describe_change(earlier, fingerprint(data)) == ""


def edit_object_of_first_image(data, format):
    """Replace an outline, or remove pixels of a segment, as in a labelling tool."""
    if format == "coco":
        path = next(data.rglob("*train*.json"))
        content = json.loads(path.read_text())
        first = min(content["images"], key=lambda image: image["file_name"])["id"]
        item = next(item for item in content["annotations"] if item["image_id"] == first)
        item["segmentation"] = [[1, 1, 9, 1, 9, 9]]
        path.write_text(json.dumps(content))
    elif format == "coco-panoptic":
        path = min(path for path in data.rglob("*.png") if "panoptic" in str(path.parent))
        pixels = np.asarray(Image.open(path)).copy()
        pixels[:3, :3] = 0
        Image.fromarray(pixels).save(path)
    else:
        path = min(data.rglob("train/*.txt"))
        path.write_text(re.sub(r"0\.\d+", "0.25", path.read_text(), count=1))


def test_damaged_states_are_named(tmp_path):
    (tmp_path / "state.pt").write_bytes(b"PK\x03\x04 and no more")
    with pytest.raises(TrainingError, match=r"state\.pt is damaged") as failed:
        RunFolder(tmp_path).read_state()
    assert "\n" not in str(failed.value)
