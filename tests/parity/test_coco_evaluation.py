"""`evaluate` against pycocotools, from the same ground truth and result files."""

import contextlib
import io
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from unimask import evaluate
from unimask.curation import convert
from unimask.datasets import open_dataset
from unimask.formats.run_length import RunLength

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation")  # of pycocotools
pytest.importorskip("pycocotools")

SIZE, IMAGES, CLASSES = (30, 40), 4, 3
STATS = ("AP", "AP50", "AP75", "APs", "APm", "APl", "AR1", "AR10", "AR100", "ARs", "ARm", "ARl")


def polygon(random: np.random.Generator) -> list[float]:
    """Draw a box with a cut corner; some are too thin to have a pixel."""
    x, y = random.uniform(0, (30, 20))
    width, height = random.choice([0.1, 3, 8, 20], 2) * random.uniform(0.8, 1.2, 2)
    right, bottom = min(x + width, SIZE[1]), min(y + height, SIZE[0])
    return [round(float(v), 2) for v in (x, y, right, y, right, bottom, (x + right) / 2, bottom)]


def write_dataset(folder, seed: int):
    """Write COCO ground truth, whose areas differ from pixel counts, and similar results."""
    from pycocotools import mask as coco

    random = np.random.default_rng(seed)
    whole = RunLength.from_mask(np.ones(SIZE, bool)).to_coco()
    objects = []
    actual = [{"image_id": 1, "category_id": 1, "segmentation": whole, "score": 0.5}]
    for image in range(1, IMAGES + 1):
        for _ in range(random.integers(0, 6)):
            outline = polygon(random)
            rle = RunLength.from_coco(coco.frPyObjects([outline], *SIZE)[0])
            crowd = random.random() < 0.2
            objects.append(
                {
                    "id": len(objects) + 1,
                    "image_id": image,
                    "category_id": int(random.integers(1, CLASSES + 1)),
                    "segmentation": rle.to_coco() if crowd else [outline],
                    "area": float(rle.area * random.choice([0, 0.5, 1, 4, 40, 200])),
                    "bbox": [0, 0, 5, 5],
                    "iscrowd": int(crowd),
                    "ignore": int(random.random() < 0.2),  # pycocotools ignores it
                }
            )
            for _ in range(random.integers(0, 3)):
                moved = np.roll(rle.to_mask(), random.integers(-1, 2, 2), (0, 1))
                mask = RunLength.from_mask(moved)
                if mask.area:
                    actual.append(
                        {
                            "image_id": image,
                            "category_id": objects[-1]["category_id"],
                            "segmentation": mask.to_coco(),
                            "score": float(random.integers(0, 8) / 7),
                        }
                    )
    ground_truth = {
        "images": [
            {"id": i, "file_name": f"{i}.png", "height": SIZE[0], "width": SIZE[1]}
            for i in range(1, IMAGES + 1)
        ],
        "annotations": objects,
        "categories": [{"id": i, "name": f"class {i}"} for i in range(1, CLASSES + 1)],
    }
    (folder / "images").mkdir(parents=True)
    for image in ground_truth["images"]:
        Image.fromarray(np.zeros((*SIZE, 3), np.uint8)).save(folder / "images" / image["file_name"])
    (folder / "instances.json").write_text(json.dumps(ground_truth))
    (folder.parent / "results.json").write_text(json.dumps(actual))
    return folder, folder.parent / "results.json"


def their_stats(folder, results) -> list[float | None]:
    """Return pycocotools' twelve scores in percent, None instead of -1."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    with contextlib.redirect_stdout(io.StringIO()):
        ground_truth = COCO(folder / "instances.json")
        run = COCOeval(ground_truth, ground_truth.loadRes(str(results)), "segm")
        run.evaluate()
        run.accumulate()
        run.summarize()
    return [None if value < 0 else 100 * value for value in run.stats.tolist()]


def assert_equal_scores(ours: dict, theirs: list[float | None]) -> None:
    for name, value in zip(STATS, theirs, strict=True):
        assert ours[name] == (None if value is None else pytest.approx(value, abs=1e-9)), name


@settings(max_examples=8)
@given(seed=st.integers(0, 10_000))
def test_annotated_areas_determine_size_classes(tmp_path_factory, seed):
    folder, results = write_dataset(tmp_path_factory.mktemp("coco") / "data", seed)
    assert_equal_scores(
        evaluate(folder, results=results, split=None)["metrics"], their_stats(folder, results)
    )


def test_files_without_areas_have_those_of_their_masks(tmp_path):
    folder, results = write_dataset(tmp_path / "data", 3)
    ground_truth = folder / "instances.json"
    content = json.loads(ground_truth.read_text())
    for entry in content["annotations"]:
        del entry["area"]
    ground_truth.write_text(json.dumps(content))
    bare = evaluate(folder, results=results, split=None)["metrics"]
    dataset = open_dataset(folder)
    for image in range(IMAGES):
        sample = dataset[image]
        assert sample.areas is None
        entries = [entry for entry in content["annotations"] if entry["image_id"] == image + 1]
        for number, entry in enumerate(entries, start=1):
            entry["area"] = int(sample.mask(number).sum())
    ground_truth.write_text(json.dumps(content))
    assert_equal_scores(bare, their_stats(folder, results))


def test_areas_are_kept_when_a_dataset_is_converted(tmp_path):
    folder, _ = write_dataset(tmp_path / "data", 1)
    convert(folder, tmp_path / "out", to="coco")
    first, second = open_dataset(folder), open_dataset(tmp_path / "out")
    assert any(sample.areas is not None for sample in second)
    for one, other in zip(first, second, strict=True):
        if one.areas is None:
            assert other.areas is None
            continue
        areas = [area for i, area in enumerate(one.areas) if one.mask(i + 1).any()]
        np.testing.assert_array_equal(areas, other.areas)
