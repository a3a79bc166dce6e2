"""`unimask evaluate` of result files, and the layout of its tables."""

import json

import pytest
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
