"""Small images with outlined objects, written as the exporters of further labelling tools do."""

import base64
import csv
import io
import json
import zlib
from itertools import pairwise
from pathlib import Path

import numpy as np
from outlines import IMAGES, INSIDE, NAMES, SIZE, SQUARE, draw, flatten, write_json
from PIL import Image


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
    """Write a project as saved by VIA 2, beside its images."""
    for name in IMAGES:
        draw(folder, name)
    write_json(folder / "via_project.json", via_project(via_annotations()))
    return folder


def write_via_csv(folder: Path) -> Path:
    """Write VIA 2's CSV export: a row for each region, or one without a shape."""
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


def studio_region(kind, label, **value):
    """Return a result of Label Studio; without a label, the shape is a result of its own."""
    labels = {} if label is None else {kind: [label]}
    return {
        "type": kind,
        "from_name": "label",
        "to_name": "image",
        "original_width": SIZE[1],
        "original_height": SIZE[0],
        "image_rotation": 0,
        "value": {**value, **labels},
    }


def percent(polygon):
    return [[100 * x / SIZE[1], 100 * y / SIZE[0]] for x, y in polygon]


def studio_polygon(label, polygon):
    return studio_region("polygonlabels", label, points=percent(polygon), closed=True)


def studio_task(name, results, **annotation):
    prefixed = f"/data/upload/1/0a1b2c3d-{name}"
    return {
        "id": len(name),
        "annotations": [{"id": 5, "was_cancelled": False, "result": results, **annotation}],
        "predictions": [{"result": [studio_polygon("dog", [(1, 1), (9, 1), (9, 9)])]}],
        "data": {"image": prefixed, "comment": "a note"},
        "project": 1,
    }


def pack_brush(mask):
    """Pack a mask as Label Studio's own editor does: runs, and blocks of single values."""
    values = np.repeat(np.uint8(mask).ravel() * 255, 4)
    edges = sorted({*range(0, len(values), 2**16), *(np.flatnonzero(np.diff(values)) + 1).tolist()})
    edges.append(len(values))
    lengths = (3, 4, 8, 16)
    bits = f"{len(values):032b}{7:05b}" + "".join(f"{length - 1:04b}" for length in lengths)
    for start, end in pairwise(edges):
        choice = next(n for n, length in enumerate(lengths) if end - start <= 2**length)
        count = f"{end - start - 1:0{lengths[choice]}b}"
        bits += f"1{choice:02b}{count}{int(values[start]):08b}"
    bits += "0" * (-len(bits) % 8)
    return [int(bits[place : place + 8], 2) for place in range(0, len(bits), 8)]


def write_label_studio(folder: Path) -> Path:
    """As Label Studio exports JSON; the images have the names that they had before the upload."""
    tasks = []
    for name, objects in IMAGES.items():
        draw(folder / "images", name)
        results = [studio_polygon(label, part) for label, parts in objects for part in parts]
        tasks.append(studio_task(name, results))
    mask = np.zeros(SIZE, bool)
    mask[5:20, 9:30] = True
    tasks[2]["annotations"][0]["result"] = [
        studio_region("brushlabels", "cat", format="rle", rle=pack_brush(mask))
    ]
    write_json(folder / "project-1-at-2024-01-01.json", tasks)
    return folder


def write_label_studio_min(folder: Path) -> Path:
    """As Label Studio exports JSON-MIN: an item for each annotation, without types."""
    items = []
    for number, (name, objects) in enumerate(IMAGES.items()):
        draw(folder, name)
        regions = [
            {**region["value"], "original_width": SIZE[1], "original_height": SIZE[0]}
            for label, parts in objects
            for region in (studio_polygon(label, part) for part in parts)
        ]
        record = {"image": f"/data/local-files/?d=pets/{name}", "id": number, "label": regions}
        items.append({**record, "annotator": 1, "annotation_id": number + 9, "lead_time": 3.5})
    write_json(folder / "export-min.json", items)
    return folder


def sly_polygon(label, exterior, *interior):
    points = {"exterior": [list(point) for point in exterior], "interior": [*map(list, interior)]}
    return {"classTitle": label, "geometryType": "polygon", "points": points, "tags": []}


def sly_bitmap(label, mask, origin=(0, 0), *, packed=True):
    """Write a mask as the SDK does: a PNG of two colours, of which the first is transparent."""
    image = Image.fromarray(np.uint8(mask))
    image.putpalette([0, 0, 0, 255, 255, 255])
    stream = io.BytesIO()
    image.save(stream, format="PNG", transparency=0)
    data = zlib.compress(stream.getvalue()) if packed else stream.getvalue()
    bitmap = {"data": base64.b64encode(data).decode(), "origin": list(origin)}
    return {"classTitle": label, "geometryType": "bitmap", "bitmap": bitmap}


def sly_annotation(*objects):
    size = {"height": SIZE[0], "width": SIZE[1]}
    return {"description": "", "tags": [], "size": size, "objects": list(objects)}


def sly_meta(**shapes):
    classes = [
        {"title": title, "shape": shape, "color": f"#{number:02x}80ff", "geometry_config": {}}
        for number, (title, shape) in enumerate(shapes.items(), start=1)
    ]
    return {"classes": classes, "tags": [], "projectType": "images"}


def write_supervisely(folder: Path) -> Path:
    """As Supervisely exports a project with two datasets."""
    write_json(folder / "meta.json", sly_meta(cat="polygon", cap="any", eye="point"))
    for dataset in ("train", "val"):
        for name, objects in IMAGES.items():
            draw(folder / dataset / "img", name)
            shapes = [sly_polygon(label, part) for label, parts in objects for part in parts]
            if name == "d.png":
                shapes += [sly_bitmap("cat", np.eye(9), (3, 5)), sly_polygon("cap", SQUARE, INSIDE)]
            write_json(folder / dataset / "ann" / f"{name}.json", sly_annotation(*shapes))
    return folder


def run_lengths(polygons):
    """Return the union of polygons as COCO's compressed run lengths."""
    from pycocotools import mask

    drawn = mask.merge(mask.frPyObjects([flatten(polygon) for polygon in polygons], *SIZE))
    return {"size": list(SIZE), "counts": drawn["counts"].decode()}


def sam_content(name, objects):
    masks = [
        {"id": number, "segmentation": run_lengths(parts), "bbox": [0, 0, 1, 1], "area": 9,
         "predicted_iou": 0.9, "stability_score": 0.9, "crop_box": [0, 0, 1, 1],
         "point_coords": [[3, 4]]}
        for number, (_, parts) in enumerate(objects)
    ]  # fmt: skip
    image = {"image_id": 1, "file_name": name, "height": SIZE[0], "width": SIZE[1]}
    return {"image": image, "annotations": masks}


def write_segment_anything(folder: Path) -> Path:
    """As SA-1B is unpacked: a JSON beside each image."""
    for name, objects in IMAGES.items():
        draw(folder, name)
        write_json((folder / name).with_suffix(".json"), sam_content(name, objects))
    return folder


def youtube_vis_content(num_videos, num_frames=3):
    """Return videos of a cat that is hidden in the second frame, and a cap."""
    masks = {"cat": run_lengths([SQUARE]), "cap": run_lengths([INSIDE])}
    names = [f"{video:02x}a{video}f" for video in range(num_videos)]
    videos = [
        {"id": number + 1, "width": SIZE[1], "height": SIZE[0], "length": num_frames,
         "file_names": [f"{name}/{5 * frame:05d}.jpg" for frame in range(num_frames)]}
        for number, name in enumerate(names)
    ]  # fmt: skip
    tracks = [
        {"id": 2 * video["id"] + category, "video_id": video["id"], "category_id": category,
         "iscrowd": 0, "segmentations": [None if frame == hidden else masks[name]
                                         for frame in range(num_frames)],
         "bboxes": [None if frame == hidden else [1, 1, 9, 9] for frame in range(num_frames)],
         "areas": [None if frame == hidden else 81 for frame in range(num_frames)]}
        for video in videos
        for category, name, hidden in ((1, "cat", 1), (7, "cap", -1))
    ]  # fmt: skip
    categories = [{"id": 7, "name": "cap"}, {"id": 1, "name": "cat"}]
    return {"info": {}, "videos": videos, "categories": categories, "annotations": tracks}


def write_youtube_vis(folder: Path, splits=(("train", 5), ("valid", 2))) -> Path:
    """As YouTube-VIS is published: a JSON for each split, and a folder of frames for each video."""
    for split, num_videos in splits:
        content = youtube_vis_content(num_videos)
        write_json(folder / f"{split}.json", content)
        for video in content["videos"]:
            for name in video["file_names"]:
                draw(folder / split / "JPEGImages", name)
    return folder


def datumaro_annotation(kind, label_id, group=0, z_order=0, **shape):
    fields = {"id": 0, "type": kind, "attributes": {}, "group": group}
    return {**fields, "label_id": label_id, "z_order": z_order, **shape}


def datumaro_content(items):
    """Return a subset with items of annotations, by the names of their images."""
    labels = [{"name": name, "parent": "", "attributes": []} for name in NAMES]
    colours = [{"label_id": n, "r": n, "g": 128, "b": 255} for n in range(len(NAMES))]
    return {
        "infos": {},
        "categories": {
            "label": {"labels": labels, "label_groups": [], "attributes": []},
            "mask": {"colormap": colours},
        },
        "items": [
            {"id": name[:-4], "annotations": annotations, "attr": {"frame": 0},
             "image": {"path": name, "size": list(SIZE)}, "media": {"path": name}}
            for name, annotations in items.items()
        ],
    }  # fmt: skip


def write_datumaro(folder: Path) -> Path:
    """As Datumaro exports its own format with images."""
    for subset in ("train", "val"):
        items = {}
        for name, objects in IMAGES.items():
            draw(folder / "images" / subset, name)
            items[name] = [
                datumaro_annotation(
                    "polygon", NAMES.index(label), number * (len(parts) > 1), points=flatten(part)
                )
                for number, (label, parts) in enumerate(objects, start=1)
                for part in parts
            ]
        items["d.png"] += [
            datumaro_annotation("mask", 0, rle=run_lengths([SQUARE])),
            datumaro_annotation("bbox", 1, bbox=[40.0, 30.0, 9.0, 9.0]),
            {"id": 0, "type": "caption", "attributes": {}, "group": 0, "caption": "a cap"},
        ]
        write_json(folder / "annotations" / f"{subset}.json", datumaro_content(items))
    return folder


def darwin_polygon(name, *paths):
    points = [[{"x": x, "y": y} for x, y in path] for path in paths]
    box = {"x": 1.0, "y": 1.0, "w": 9.0, "h": 9.0}
    return {"id": "p", "name": name, "properties": [], "slot_names": ["0"],
            "polygon": {"paths": points}, "bounding_box": box}  # fmt: skip


def darwin_raster(**masks):
    """Return mask annotations, and the raster layer that holds their pixels."""
    numbers = np.zeros(SIZE, int)
    for number, mask in enumerate(masks.values(), start=1):
        numbers[mask] = number
    flat = numbers.ravel()
    edges = [0, *(np.flatnonzero(np.diff(flat)) + 1).tolist(), flat.size]
    runs = [n for start, end in pairwise(edges) for n in (int(flat[start]), end - start)]
    layer = {
        "dense_rle": runs,
        "mask_annotation_ids_mapping": {f"id-{name}": n for n, name in enumerate(masks, start=1)},
        "total_pixels": flat.size,
    }
    named = [{"id": f"id-{n}", "name": n, "mask": {}, "slot_names": ["0"]} for n in masks]
    return [*named, {"id": "layer", "name": "__raster_layer__", "raster_layer": layer}]


def darwin_content(name, annotations, path="/"):
    slot = {"type": "image", "slot_name": "0", "width": SIZE[1], "height": SIZE[0]}
    item = {"name": name, "path": path, "source_info": {}, "slots": [slot]}
    schema = "https://darwin-public.s3.eu-west-1.amazonaws.com/darwin_json/2.0/schema.json"
    return {"version": "2.0", "schema_ref": schema, "item": item, "annotations": annotations}


def write_darwin(folder: Path) -> Path:
    """As V7 exports Darwin JSON, with the images in a folder beside."""
    for name, objects in IMAGES.items():
        draw(folder / "images" / "pets", name)
        annotations = [darwin_polygon(label, *parts) for label, parts in objects]
        if name == "d.png":
            mask = np.zeros(SIZE, bool)
            mask[30:40, 40:60] = True
            annotations += darwin_raster(cat=mask)
        content = darwin_content(name, annotations, "/pets")
        write_json((folder / "annotations" / name).with_suffix(".json"), content)
    return folder


def metadata_rows(classes=("cat", "cap")):
    """Return rows of objects as lists of fields; outlines are polygons as in COCO."""
    return [
        {
            "file_name": name,
            "objects": {
                "bbox": [[1, 1, 9, 9] for _ in objects],
                "categories": [classes[NAMES.index(label)] for label, _ in objects],
                "segmentation": [[flatten(part) for part in parts] for _, parts in objects],
            },
            "caption": "pets",
        }
        for name, objects in IMAGES.items()
    ]


def write_json_lines(path: Path, rows) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return path


def write_metadata(folder: Path, classes=("cat", "cap")) -> Path:
    """As the documentation of Hugging Face's image folders has them."""
    for split in ("train", "validation"):
        for name in IMAGES:
            draw(folder / split, name)
        write_json_lines(folder / split / "metadata.jsonl", metadata_rows(classes))
    return folder


def write_metadata_of_masks(folder: Path, *, table=False) -> Path:
    """A column that names the mask of each image."""
    half = np.zeros(SIZE, np.uint8)
    half[:, 32:] = 1
    for number in range(6):
        draw(folder / "photos", f"{number}.png")
        (folder / "labels").mkdir(exist_ok=True)
        Image.fromarray(half).save(folder / "labels" / f"{number}_seg.png")
    names = [(f"photos/{n}.png", f"labels/{n}_seg.png") for n in range(6)]
    if table:
        lines = ["file_name,mask_file_name,caption", *(f'{a},{b},"a, b"' for a, b in names)]
        (folder / "metadata.csv").write_text("\n".join(lines))
    else:
        rows = [{"file_name": a, "mask_file_name": b} for a, b in names]
        write_json_lines(folder / "metadata.jsonl", rows)
    (folder / "classes.txt").write_text("sky\nroad\n")
    return folder


def geojson_ring(points):
    return [list(point) for point in [*points, points[0]]]


def geojson_feature(name, *parts, **properties):
    """As QuPath 0.4 and later write an annotation."""
    several = len(parts) > 1
    polygons = [[geojson_ring(part)] for part in parts]
    return {
        "type": "Feature",
        "id": "0b9cf0ee-3f8b-4d1c-9d5e-0d1f4f5c5f11",
        "geometry": {
            "type": "MultiPolygon" if several else "Polygon",
            "coordinates": polygons if several else polygons[0],
        },
        "properties": {
            "objectType": "annotation",
            "classification": {"name": name, "color": [200, 0, 10]},
            **properties,
        },
    }


def geojson_collection(*features, **others):
    return {"type": "FeatureCollection", "features": list(features), **others}


def write_geojson(folder: Path) -> Path:
    """As QuPath exports the annotations of each image, one of them with a hole."""
    for name, objects in IMAGES.items():
        draw(folder, name)
        features = [geojson_feature(label, *parts) for label, parts in objects]
        write_json((folder / name).with_suffix(".geojson"), geojson_collection(*features))
    return folder


def write_geojson_with_holes(folder: Path) -> Path:
    """As unimask writes an object with a hole, and names the image with its size."""
    draw(folder, "a.png")
    feature = geojson_feature("cat", IMAGES["a.png"][0][1][0], label="cat", label_id=0, score=0.5)
    feature["geometry"]["coordinates"].append(geojson_ring(IMAGES["a.png"][1][1][0][::-1]))
    image = {"file_name": "a.png", "height": SIZE[0], "width": SIZE[1]}
    write_json(folder / "a.geojson", geojson_collection(feature, image=image))
    return folder


SEEDS = {
    "geojson": ((write_geojson, write_geojson_with_holes), "*.geojson"),
    "via": ((write_via, write_via_csv), "*.[jc]s*"),
    "label-studio": ((write_label_studio, write_label_studio_min), "*.json"),
    "supervisely": ((write_supervisely,), "*.json"),
    "segment-anything": ((write_segment_anything,), "*.json"),
    "youtube-vis": ((write_youtube_vis,), "*.json"),
    "datumaro": ((write_datumaro,), "*.json"),
    "darwin": ((write_darwin,), "*.json"),
    "image-folders": ((write_metadata, write_metadata_of_masks), "*.[jc]s*"),
}
"""Writers of each format, and the files that are changed to fuzz its reader."""
