"""Small pictures with outlined objects, written as each labelling tool writes them."""

import json
from pathlib import Path

import numpy as np
from PIL import Image

SIZE = (48, 64)
"""Height and width."""

NAMES = ("cat", "cap")
SQUARE = [(10.0, 8.0), (40.5, 8.0), (40.5, 38.3), (10.0, 38.3)]
INSIDE = [(15.2, 12.0), (30.0, 14.7), (22.9, 30.1)]
CORNER = [(50.0, 30.0), (66.0, 30.0), (66.0, 49.5), (50.0, 49.5)]  # a little outside
PICTURES = {
    "a.png": [("cat", [SQUARE]), ("cap", [INSIDE])],  # one in the other
    "b.png": [("cap", [INSIDE, CORNER])],  # one object in two parts
    "empty.png": [],
    "c.png": [("cat", [SQUARE]), ("cat", [CORNER])],
    "d.png": [("cap", [INSIDE])],
}


def draw(folder: Path, name: str, size: tuple[int, int] = SIZE) -> None:
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(len(name)).integers(0, 256, (*size, 3), np.uint8)
    Image.fromarray(noise).save(folder / name)


def flat(polygon) -> list[float]:
    return [float(value) for point in polygon for value in point]


def coco_content(pictures=PICTURES, names=NAMES) -> dict:
    """COCO's JSON, in COCO's order of lists; ids have gaps."""
    ids = {name: 7 + 10 * number for number, name in enumerate(names)}
    annotations = []
    for number, objects in enumerate(pictures.values()):
        for label, polygons in objects:
            annotations.append(
                {
                    "id": 100 + len(annotations),
                    "image_id": 5 * number,
                    "category_id": ids[label],
                    "segmentation": [flat(polygon) for polygon in polygons],
                    "iscrowd": 0,
                    "bbox": [0, 0, 10, 10],
                }
            )
    images = [
        {"id": 5 * number, "file_name": name, "height": SIZE[0], "width": SIZE[1]}
        for number, name in enumerate(pictures)
    ]
    categories = [{"id": ids[name], "name": name, "supercategory": "thing"} for name in names]
    return {"info": {}, "images": images, "annotations": annotations, "categories": categories}


def write_json(path: Path, content: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))
    return path


def write_coco(folder: Path) -> Path:
    """As COCO has it: annotations/instances_SPLIT2017.json beside SPLIT2017/."""
    for split in ("train2017", "val2017"):
        for name in PICTURES:
            draw(folder / split, name)
        write_json(folder / "annotations" / f"instances_{split}.json", coco_content())
    return folder


def write_single_coco(folder: Path) -> Path:
    """One JSON; its pictures lie in sub-folders."""
    content = coco_content()
    for image in content["images"]:
        image["file_name"] = f"part/{image['file_name']}"
        draw(folder / "images", image["file_name"])
    write_json(folder / "instances.json", content)
    return folder


def write_roboflow(folder: Path) -> Path:
    """As Roboflow exports COCO: a JSON among the pictures of each split, and a group first."""
    content = coco_content()
    group = {"id": 0, "name": "pets", "supercategory": "none"}
    classes = [{**category, "supercategory": "pets"} for category in content["categories"]]
    content["categories"] = [group, *classes]
    for split in ("train", "valid", "test"):
        for name in PICTURES:
            draw(folder / split, name)
        write_json(folder / split / "_annotations.coco.json", content)
    return folder


WRITERS = {
    "COCO instances": write_coco,
    "a single COCO JSON": write_single_coco,
    "Roboflow's COCO": write_roboflow,
}
