"""`unimask evaluate` of result files, and the layout of its tables."""

import json

import numpy as np
import pytest
from conftest import draw_discs
from PIL import Image

from unimask.datasets import open_dataset
from unimask.formats.run_length import encode_id_map


def perfect_results(discs) -> list[dict]:
    """Return the ground truth as COCO results."""
    dataset = open_dataset(discs, "val")
    return [
        {
            "image_id": sample.path.name,
            "category_id": 0,
            "segmentation": rle.to_coco(),
            "score": 1.0,
        }
        for sample in (dataset[index] for index in range(len(dataset)))
        for number, rle in encode_id_map(sample.id_maps[0]).items()
        if sample.label_ids[number - 1] == 0
    ]


def test_coco_results_print_cocos_table(command, discs, tmp_path):
    file, target = tmp_path / "results.json", tmp_path / "scores.json"
    file.write_text(json.dumps(perfect_results(discs)))
    code, printed, _ = command("evaluate", discs, "--results", file, "--json", target)
    assert code == 0 and "instance on 2 images" in printed
    rows = [line.split() for line in printed.splitlines() if line.strip()]
    assert ["AP75", "0.75", "all", "100", "100.00"] in rows
    assert ["AR10", "0.50:0.95", "all", "10", "100.00"] in rows
    assert ["APl", "0.50:0.95", "large", "100", "-"] in rows
    assert json.loads(target.read_text())["metrics"]["AP"] == pytest.approx(100)


def test_more_detections_than_a_hundred(command, discs, tmp_path):
    file = tmp_path / "results.json"
    file.write_text(json.dumps(perfect_results(discs)))
    code, printed, _ = command("evaluate", discs, "--results", file, "--max-detections", "1000")
    assert code == 0 and "AR1000" in printed


def test_notes_are_printed(command, discs, tmp_path):
    image = sorted((discs / "val" / "masks").iterdir())[0]
    Image.open(image).save(tmp_path / image.name)
    code, printed, _ = command("evaluate", discs, "--results", tmp_path, "--task", "instance")
    assert code == 0 and "1 of 2 images have no result" in printed


def test_failures_are_one_line_errors(command, check_error, discs, tiny_model, tmp_path):
    code, _, err = command("evaluate", discs)
    check_error(code, err, "pass a model or results")
    code, _, err = command("evaluate", discs, "-m", tiny_model, "--results", tmp_path)
    check_error(code, err, "one of them")
    file = tmp_path / "results.json"
    entry = '{"image_id": "else", "category_id": 0, "segmentation": {}, "score": 1}'
    file.write_text(f"[{entry}]")
    code, _, err = command("evaluate", discs, "--results", file)
    check_error(code, err, "results.json", "no result for any of the 2 images")


def test_cityscapes_ap_has_its_own_table(command, discs, tmp_path):
    file = tmp_path / "results.json"
    file.write_text(json.dumps(perfect_results(discs)))
    code, printed, _ = command("evaluate", discs, "--results", file, "--ap", "cityscapes")
    rows = [line.split() for line in printed.splitlines() if line.strip()]
    assert code == 0 and ["AP50", ">", "0.50", ">=", "100", "px", "all", "100.00"] in rows
    assert "AP and AP50 are those of Cityscapes' own evaluation, not COCO's" in printed


@pytest.fixture
def clip(tmp_path):
    """Two videos of discs that move to the right, as YouTube-VIS."""
    data = tmp_path / "clips"
    videos, tracks = [], []
    for video in (1, 2):
        image, ids = draw_discs(video, count=3)
        names = [f"clip{video}/{frame}.png" for frame in range(3)]
        videos.append({"id": video, "file_names": names, "height": 96, "width": 128})
        (data / "JPEGImages" / f"clip{video}").mkdir(parents=True)
        masks: dict[int, list] = {}
        for frame, name in enumerate(names):
            moved = [np.roll(pixels, 2 * frame, axis=1) for pixels in (image, ids)]
            Image.fromarray(moved[0]).save(data / "JPEGImages" / name)
            for id, rle in encode_id_map(moved[1].astype(int)).items():
                masks.setdefault(id, []).append(rle.to_coco())
        for id, rles in masks.items():
            fields = {"id": 10 * video + id, "video_id": video, "category_id": 1}
            tracks.append(fields | {"segmentations": rles})
    content = {"videos": videos, "annotations": tracks}
    content["categories"] = [{"id": 1, "name": "nucleus"}]
    (data / "instances.json").write_text(json.dumps(content))
    return data


@pytest.mark.parametrize(
    ("task", "name"), [("instance", "AP75"), ("panoptic", "VPQ_stuff"), ("semantic", "VPQ4")]
)
def test_tracks_of_a_model(command, tiny_model, clip, tmp_path, task, name):
    target = tmp_path / "scores.json"
    options = ("--split", "all", "--model", tiny_model, "--task", task, "--json", target)
    code, printed, errors = command("evaluate", clip, "--tracks", *options)
    assert code == 0, errors
    assert f"{task} on tracks in 6 frames of 2 videos of clips/all" in printed and name in printed
    report = json.loads(target.read_text())
    assert name in report["metrics"] and "nucleus" in report["per_class"]


def test_tracks_in_a_file(command, check_error, clip, tmp_path):
    entries = json.loads((clip / "instances.json").read_text())["annotations"]
    file = tmp_path / "tracks.json"
    file.write_text(json.dumps(entries))
    options = ("--tracks", "--results", file, "--split", "all")
    code, printed, errors = command("evaluate", clip, *options)
    assert code == 0, errors
    rows = [line.split() for line in printed.splitlines() if line.strip()]
    assert ["AP75", "0.75", "all", "100", "100.00"] in rows
    page = ("--page", tmp_path / "page.html")
    code, _, errors = command("evaluate", clip, *options, *page)
    check_error(code, errors, "--page applies to images")
    code, _, errors = command("evaluate", clip, *options[:-2])
    check_error(code, errors, "too few videos to set whole ones aside")


def test_tracks_need_identities(command, check_error, discs, tiny_model):
    code, _, errors = command("evaluate", discs, "--tracks", "--model", tiny_model)
    check_error(code, errors, "no ids of objects through videos")
