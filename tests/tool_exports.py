"""Small images with outlined objects, written as the exporters of further labelling tools do."""

import csv
import json
from pathlib import Path

from outlines import IMAGES, draw, write_json


def via_polygon(points):
    x, y = zip(*points, strict=True)
    return {"name": "polygon", "all_points_x": list(x), "all_points_y": list(y)}


def via_region(shape, **attributes):
    return {"shape_attributes": shape, "region_attributes": attributes}


def via_entry(name, regions):
    return {"filename": name, "size": 1234, "regions": regions, "file_attributes": {}}


def via_annotations(images=IMAGES, attribute="kind"):
    """Return VIA 2's annotations of the images; each part of an object is a region."""
    return {
        f"{name}1234": via_entry(
            name,
            [
                via_region(via_polygon(part), **{attribute: label})
                for label, parts in objects
                for part in parts
            ],
        )
        for name, objects in images.items()
    }


def via_project(content, **attributes):
    kinds = {
        name: {"type": kind, "options": options} for name, (kind, options) in attributes.items()
    }
    return {
        "_via_settings": {"project": {"name": "pets"}},
        "_via_img_metadata": content,
        "_via_attributes": {"region": kinds, "file": {}},
        "_via_data_format_version": "2.0.10",
    }


def write_via(folder: Path) -> Path:
    """As VIA 2 saves a project, beside its images."""
    for name in IMAGES:
        draw(folder, name)
    write_json(folder / "via_project.json", via_project(via_annotations()))
    return folder


def write_via_csv(folder: Path) -> Path:
    """As VIA 2 exports annotations as CSV: a row for each region, or one without a shape."""
    columns = (
        "filename", "file_size", "file_attributes", "region_count", "region_id",
        "region_shape_attributes", "region_attributes",
    )  # fmt: skip
    for name in IMAGES:
        draw(folder, name)
    with (folder / "via_export_csv.csv").open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(columns)
        for image in via_annotations().values():
            count = len(image["regions"])
            rows = image["regions"] or [{"shape_attributes": {}, "region_attributes": {}}]
            for number, item in enumerate(rows):
                texts = [json.dumps(item[key]) for key in ("shape_attributes", "region_attributes")]
                writer.writerow([image["filename"], 1234, "{}", count, number, *texts])
    return folder


SEEDS = {"via": ((write_via, write_via_csv), "*.[jc]s*")}
"""Writers of each format, and the files that are changed to fuzz its reader."""
