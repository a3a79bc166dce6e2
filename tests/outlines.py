"""Small images with outlined objects, written as each labelling tool writes them."""

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
IMAGES = {
    "a.png": [("cat", [SQUARE]), ("cap", [INSIDE])],  # one inside the other
    "b.png": [("cap", [INSIDE, CORNER])],  # one object in two parts
    "empty.png": [],
    "c.png": [("cat", [SQUARE]), ("cat", [CORNER])],
    "d.png": [("cap", [INSIDE])],
}


def draw(folder: Path, name: str, size: tuple[int, int] = SIZE) -> None:
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(len(name)).integers(0, 256, (*size, 3), np.uint8)
    Image.fromarray(noise).save(folder / name)


def flatten(polygon) -> list[float]:
    return [float(value) for point in polygon for value in point]


def coco_content(objects_by_image=IMAGES, names=NAMES) -> dict:
    """Return a COCO JSON with COCO's order of lists; ids have gaps."""
    ids = {name: 7 + 10 * number for number, name in enumerate(names)}
    annotations = []
    for number, objects in enumerate(objects_by_image.values()):
        for label, polygons in objects:
            annotations.append(
                {
                    "id": 100 + len(annotations),
                    "image_id": 5 * number,
                    "category_id": ids[label],
                    "segmentation": [flatten(polygon) for polygon in polygons],
                    "iscrowd": 0,
                    "bbox": [0, 0, 10, 10],
                }
            )
    images = [
        {"id": 5 * number, "file_name": name, "height": SIZE[0], "width": SIZE[1]}
        for number, name in enumerate(objects_by_image)
    ]
    categories = [{"id": ids[name], "name": name, "supercategory": "thing"} for name in names]
    return {"info": {}, "images": images, "annotations": annotations, "categories": categories}


def write_json(path: Path, content: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))
    return path


def write_labels(folder, content):
    """Write a COCO JSON among its images."""
    for image in content["images"]:
        draw(folder, image["file_name"])
    write_json(folder / "labels.json", content)
    return folder


def write_annotation(segmentation, **changes):
    """Return the COCO JSON of one image with one object."""
    content = coco_content({"a.png": [("cat", [SQUARE])]})
    content["annotations"][0] |= {"segmentation": segmentation} | changes
    return content


def outline(polygon):
    """Draw a polygon as pycocotools does."""
    from pycocotools import mask as coco

    from unimask.formats.run_length import RunLength

    (drawn,) = coco.frPyObjects([flatten(polygon)], *SIZE)
    return RunLength.from_coco(drawn).to_mask()


def write_coco(folder: Path) -> Path:
    """Write COCO's own layout: annotations/instances_SPLIT2017.json beside SPLIT2017/."""
    for split in ("train2017", "val2017"):
        for name in IMAGES:
            draw(folder / split, name)
        write_json(folder / "annotations" / f"instances_{split}.json", coco_content())
    return folder


def write_single_coco(folder: Path) -> Path:
    """Write one JSON whose images are in subfolders."""
    content = coco_content()
    for image in content["images"]:
        image["file_name"] = f"part/{image['file_name']}"
        draw(folder / "images", image["file_name"])
    write_json(folder / "instances.json", content)
    return folder


def write_roboflow(folder: Path) -> Path:
    """Write Roboflow's COCO export: a JSON beside the images of a split, a group category first."""
    content = coco_content()
    group = {"id": 0, "name": "pets", "supercategory": "none"}
    classes = [{**category, "supercategory": "pets"} for category in content["categories"]]
    content["categories"] = [group, *classes]
    for split in ("train", "valid", "test"):
        for name in IMAGES:
            draw(folder / split, name)
        write_json(folder / split / "_annotations.coco.json", content)
    return folder


def yolo_lines(objects) -> str:
    """Return lines of class number and relative coordinates; parts of an object are joined."""
    lines = []
    for label, polygons in objects:
        points = [(x / SIZE[1], y / SIZE[0]) for polygon in polygons for x, y in polygon]
        lines.append(" ".join([str(NAMES.index(label)), *(f"{v:.6f}" for v in flatten(points))]))
    return "\n".join(lines)


def write_yolo_split(images: Path, labels: Path) -> None:
    labels.mkdir(parents=True)
    for name, objects in IMAGES.items():
        draw(images, name)
        if objects:  # YOLO writes no file for an empty image
            (labels / name).with_suffix(".txt").write_text(yolo_lines(objects))


def write_yolo(folder: Path) -> Path:
    """Write the layout of Ultralytics: data.yaml, images/SPLIT and labels/SPLIT."""
    for split in ("train", "val"):
        write_yolo_split(folder / "images" / split, folder / "labels" / split)
    (folder / "data.yaml").write_text(
        "path: ../datasets/pets\ntrain: images/train\nval: images/val\nnames:\n  0: cat\n  1: cap\n"
    )
    return folder


def write_yolo_of_roboflow(folder: Path) -> Path:
    """Write Roboflow's YOLO export, whose paths are valid only where it was created."""
    for split in ("train", "valid"):
        write_yolo_split(folder / split / "images", folder / split / "labels")
    (folder / "data.yaml").write_text(
        "train: ../train/images\nval: ../valid/images\nnc: 2\nnames: ['cat', 'cap']\n"
    )
    return folder


def write_plain_yolo(folder: Path) -> Path:
    """Write YOLO labels without YAML; classes.txt names the classes."""
    write_yolo_split(folder / "images", folder / "labels")
    (folder / "classes.txt").write_text("cat\ncap\n")
    return folder


def labelme_content(name, objects) -> dict:
    shapes = [
        {
            "label": label,
            "points": [list(point) for point in polygon],
            "group_id": number if len(polygons) > 1 else None,
            "shape_type": "polygon",
            "flags": {},
        }
        for number, (label, polygons) in enumerate(objects)
        for polygon in polygons
    ]
    size = {"imageHeight": SIZE[0], "imageWidth": SIZE[1]}
    return {"version": "5.4.1", "flags": {}, "shapes": shapes, "imagePath": name, **size}


def write_labelme(folder: Path) -> Path:
    """Write a JSON beside each image."""
    for split in ("train", "val"):
        for name, objects in IMAGES.items():
            draw(folder / split, name)
            file = (folder / split / name).with_suffix(".json")
            write_json(file, labelme_content(name, objects))
    return folder


def cvat_text(objects_by_image=IMAGES, shapes: str = "") -> str:
    """Return CVAT's XML; `shapes` are further shapes of the first image."""
    labels = "".join(
        f"<label><name>{name}</name><color>#{place}080ff</color><type>any</type></label>"
        for place, name in enumerate(NAMES, start=1)
    )
    images = []
    for number, (name, objects) in enumerate(objects_by_image.items()):
        drawn = "" if number else shapes
        for group, (label, polygons) in enumerate(objects, start=1):
            for polygon in polygons:
                points = ";".join(f"{x:.2f},{y:.2f}" for x, y in polygon)
                joined = f'group_id="{group}" ' if len(polygons) > 1 else ""
                drawn += f'<polygon label="{label}" points="{points}" {joined}z_order="0"/>'
        size = f'width="{SIZE[1]}" height="{SIZE[0]}"'
        images.append(f'<image id="{number}" name="{name}" {size}>{drawn}</image>')
    meta = f"<meta><job><labels>{labels}</labels></job></meta>"
    body = f"<version>1.1</version>{meta}{''.join(images)}"
    return f'<?xml version="1.0" encoding="utf-8"?>\n<annotations>{body}</annotations>'


def write_cvat(folder: Path) -> Path:
    """Write CVAT's export of a task for images."""
    for name in IMAGES:
        draw(folder / "images", name)
    (folder / "annotations.xml").write_text(cvat_text())
    return folder


WRITERS = {
    "COCO instances": write_coco,
    "a single COCO JSON": write_single_coco,
    "Roboflow's COCO": write_roboflow,
    "YOLO": write_yolo,
    "Roboflow's YOLO": write_yolo_of_roboflow,
    "YOLO without YAML": write_plain_yolo,
    "LabelMe": write_labelme,
    "CVAT": write_cvat,
}
