"""Cityscapes' AP from files to report, compared with the authors' evaluation."""

import json
import math

import numpy as np
import pytest
from map_layouts import save

from unimask import evaluate
from unimask.datasets import open_dataset
from unimask.errors import SettingsError
from unimask.evaluation import compare
from unimask.formats.run_length import RunLength
from unimask.label_sets import known_labels

LABELS = known_labels("cityscapes")
SIZE = (40, 60)
GROUND_TRUTH = [
    {  # value of the map: rows and columns, drawn on road
        26000: (0, 20, 0, 30),
        26001: (20, 40, 0, 20),
        26: (0, 10, 40, 60),  # a group
        26002: (30, 38, 40, 50),  # 80 pixels
        29000: (20, 30, 40, 60),  # a caravan: not evaluated, but no void
        0: (10, 20, 40, 60),
        24000: (30, 40, 20, 35),
    },
    {26000: (5, 25, 5, 35), 24000: (0, 5, 0, 20), 25: (30, 40, 0, 60), 4: (0, 4, 40, 60)},
]
PREDICTIONS = [
    [  # class, rows and columns, score
        ("car", (0, 20, 2, 30), 0.9),
        ("car", (0, 18, 0, 30), 0.8),  # duplicate
        ("car", (20, 40, 0, 25), 0.8),
        ("car", (2, 10, 42, 60), 0.7),  # inside the group
        ("car", (30, 38, 40, 51), 0.95),  # the small object
        ("car", (20, 30, 42, 60), 0.6),  # the caravan
        ("car", (8, 20, 45, 60), 0.99),  # void, and a part of the group
        ("person", (30, 40, 20, 30), 0.5),
        ("truck", (0, 20, 0, 30), 0.4),
    ],
    [
        ("car", (5, 25, 10, 35), 0.8),
        ("person", (0, 5, 4, 24), 0.5),
        ("person", (20, 30, 40, 60), 0.3),
        ("rider", (28, 40, 0, 50), 0.9),  # in a group, without a true rider
    ],
]


def box(edges) -> np.ndarray:
    mask = np.zeros(SIZE, bool)
    mask[edges[0] : edges[1], edges[2] : edges[3]] = True
    return mask


@pytest.fixture(scope="module")
def streets(tmp_path_factory):
    """Two images in the layout of Cityscapes, and COCO results for them."""
    folder, entries = tmp_path_factory.mktemp("streets"), []
    for index, (truth, predictions) in enumerate(zip(GROUND_TRUTH, PREDICTIONS, strict=True)):
        frame, ids = f"town_{index:06}_000019", np.full(SIZE, 7, np.uint16)
        for value, edges in truth.items():
            ids[box(edges)] = value
        image = folder / "leftImg8bit" / "val" / "town" / f"{frame}_leftImg8bit.png"
        save(image, np.zeros((*SIZE, 3), np.uint8))
        save(folder / "gtFine" / "val" / "town" / f"{frame}_gtFine_instanceIds.png", ids)
        entries += [
            {
                "image_id": image.name,
                "category_id": LABELS.names.index(name),
                "segmentation": RunLength.from_mask(box(edges)).to_coco(),
                "score": score,
            }
            for name, edges, score in predictions
        ]
    (folder / "found.json").write_text(json.dumps(entries))
    return folder


def test_the_report_equals_the_authors_evaluation(streets, tmp_path):
    """The expected numbers were computed by cityscapesscripts 2.3.0 from the same two images."""
    page = tmp_path / "page.html"
    report = evaluate(streets, results=streets / "found.json", page=page)
    scores, rows = report["metrics"], report["per_class"]
    assert [scores["AP"], scores["AP50"]] == pytest.approx([53.75, 95.83333333333333], abs=1e-9)
    assert rows["car"] == pytest.approx({"AP": 67.5, "AP50": 91.66666666666666}, abs=1e-9)
    assert rows["person"] == pytest.approx({"AP": 40.0, "AP50": 100.0}, abs=1e-9)
    assert rows["rider"] == rows["truck"] == {"AP": None, "AP50": None} and len(rows) == 8
    assert "Cityscapes' own evaluation" in report["notes"][-1]
    assert json.loads(json.dumps(report)) == report and "IoU 0.5" in page.read_text()


def test_either_ap_on_request(streets, discs, tmp_path):
    results = streets / "found.json"
    assert "AP75" in evaluate(streets, results=results, ap="coco")["metrics"]
    (tmp_path / "nothing.json").write_text("[]")
    report = evaluate(discs, results=tmp_path / "nothing.json", ap="cityscapes")
    assert report["metrics"]["AP"] == 0 and "AP75" not in report["metrics"]
    for settings, reason in (
        ({"ap": "voc"}, "choose one of coco, cityscapes"),
        ({"boundaries": True}, "does not support --boundaries: omit it, or use --ap coco"),
        ({"max_detections": 300}, "does not support --max-detections"),
    ):
        with pytest.raises(SettingsError, match=reason):
            evaluate(streets, results=results, **settings)


def test_objects_of_other_classes_are_ignored_but_not_void(streets):
    sample = open_dataset(streets, "val")[0]
    assert (sample.foreign == box((20, 30, 40, 60))).all()
    assert (sample.ignored == box((10, 30, 40, 60))).all()
    assert open_dataset(streets, "val")[1].foreign is None


def test_results_are_compared_by_metric(streets):
    comparison = compare(streets / "found.json", streets / "found.json", streets, resamples=4)
    assert (
        comparison.scores["AP"].first == pytest.approx(53.75)
        and comparison.scores["AP"].change == 0
    )
    assert not math.isnan(comparison.scores["AP50"].low) and "AP75" not in comparison.scores
