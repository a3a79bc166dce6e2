"""Small datasets of label maps, each in the layout of a published dataset."""

import json
from pathlib import Path

import numpy as np
from PIL import Image

AERIAL = {
    "Water": "#E2A929",
    "Land (unpaved area)": "#8429F6",
    "Road": "#6EC1E4",
    "Unlabeled": "#9B9B9B",
}
STREETS = ["sky", "building", "pole", "road", "void"]


def draw_photo(seed: int, size: tuple[int, int] = (48, 64)) -> np.ndarray:
    """Draw noise, in which hardly any two neighbours are equal."""
    return np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)


def draw_blocks(seed: int, classes: int, size: tuple[int, int] = (48, 64)) -> np.ndarray:
    """Draw a map of blocks, with every class in several places."""
    random = np.random.default_rng(seed)
    cells = np.arange(24) % classes
    random.shuffle(cells)
    blocks = np.kron(cells.reshape(4, 6), np.ones((size[0] // 4, size[1] // 6 + 1), int))
    return blocks[:, : size[1]].astype(np.uint8)


def save(path: Path, pixels: np.ndarray) -> Path:
    """Write an image, and the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return path


def paint(labels: np.ndarray, colours) -> np.ndarray:
    """Colour each class (#rrggbb)."""
    table = np.array([tuple(bytes.fromhex(colour[1:])) for colour in colours], np.uint8)
    return table[labels]


def aerial_tiles(folder: Path) -> Path:
    """Write colour masks in nested tiles, whose numbers repeat, with a JSON of hex colours."""
    for tile in range(1, 4):
        for part in range(1, 3):
            seed, name = 10 * tile + part, f"image_part_{part:03}"
            labels = draw_blocks(seed, len(AERIAL))
            save(folder / f"Tile {tile}" / "images" / f"{name}.jpg", draw_photo(seed))
            save(folder / f"Tile {tile}" / "masks" / f"{name}.png", paint(labels, AERIAL.values()))
    classes = [
        {"title": name, "shape": "polygon", "color": colour} for name, colour in AERIAL.items()
    ]
    (folder / "classes.json").write_text(json.dumps({"title": "aerial", "classes": classes}))
    return folder


def segnet_streets(folder: Path) -> Path:
    """Write index maps in folders like "trainannot", the last class of which is void."""
    for split, count in (("train", 4), ("val", 2), ("test", 1)):
        for index in range(count):
            name = f"0001TP_{split}{index:03}.png"
            save(folder / split / name, draw_photo(index))
            save(folder / f"{split}annot" / name, draw_blocks(index, len(STREETS)))
    (folder / "classes.txt").write_text("\n".join(STREETS) + "\n")
    return folder


def camvid_streets(folder: Path) -> Path:
    """Write colour masks whose names end on _L, with a CSV of names and colours."""
    colours = ["#808080", "#800000", "#C0C080", "#804080", "#000000"]
    for split, count in (("train", 4), ("val", 2)):
        for index in range(count):
            name = f"0016E5_{index:05}"
            save(folder / split / f"{name}.png", draw_photo(index))
            labels = paint(draw_blocks(index, len(STREETS)), colours)
            save(folder / f"{split}_labels" / f"{name}_L.png", labels)
    rows = [
        f"{n},{','.join(map(str, bytes.fromhex(c[1:])))}"
        for n, c in zip(STREETS, colours, strict=True)
    ]
    (folder / "class_dict.csv").write_text("\n".join(["name,r,g,b", *rows]) + "\n")
    return folder


def segnet_camvid(folder: Path) -> Path:
    """Write CamVid as SegNet's authors publish it: no table, void is 11, lists of their paths."""
    folder = folder / "CamVid"
    for split, frames in (
        ("train", "0001TP_0066{}"),
        ("val", "0016E5_{}"),
        ("test", "Seq05VD_f{}"),
    ):
        lines = []
        for index in range(2):
            name = f"{frames.format(30 * index + 10)}.png"
            labels = draw_blocks(index, 12)
            save(folder / split / name, draw_photo(index))
            save(folder / f"{split}annot" / name, labels)
            lines.append(f"/SegNet/CamVid/{split}/{name} /SegNet/CamVid/{split}annot/{name}")
        (folder / f"{split}.txt").write_text("\n".join(lines) + "\n")
    return folder


def dubai_tiles(folder: Path) -> Path:
    """Write colour masks, with unpainted pixels, beside a table of other colours."""
    colours = ["#3c1098", "#8429f6", "#6ec1e4", "#fedd3a", "#e2a929", "#9b9b9b", "#000000"]
    table_colours = ["#d0021b", "#f5a623", "#de597f", "#417505", "#50e3c2", "#9b9b9b"]
    names = ["Building", "Land (unpaved area)", "Road", "Vegetation", "Water", "Unlabeled"]
    for tile in range(1, 4):
        for part in range(1, 3):
            seed, name = 10 * tile + part, f"image_part_{part:03}"
            save(folder / f"Tile {tile}" / "images" / f"{name}.jpg", draw_photo(seed))
            labels = paint(draw_blocks(seed, len(colours)), colours)
            save(folder / f"Tile {tile}" / "masks" / f"{name}.png", labels)
    rows = [{"title": n, "color": c.upper()} for n, c in zip(names, table_colours, strict=True)]
    (folder / "classes.json").write_text(json.dumps({"classes": rows, "tags": []}))
    return folder


def prepped_streets(folder: Path) -> Path:
    """Write index maps in folders like "annotations_prepped_train", named by nothing."""
    for split, count in (("train", 5), ("test", 2)):
        for index in range(count):
            name = f"{index:04}.png"
            save(folder / f"images_prepped_{split}" / name, draw_photo(index))
            save(folder / f"annotations_prepped_{split}" / name, draw_blocks(index, 4))
    return folder


def binary_masks(folder: Path) -> Path:
    """Write masks of 0 and 255 beside their images, in one folder."""
    for index in range(6):
        save(folder / "data" / f"{index}_sat.jpg", draw_photo(index))
        save(folder / "data" / f"{index}_mask.png", draw_blocks(index, 2) * np.uint8(255))
    return folder


def palette_maps(folder: Path) -> Path:
    """Write index maps with a palette, in which 255 is ignored, beside JPEGs in VOC's folders."""
    palette = np.random.default_rng(0).integers(0, 256, 768, dtype=np.uint8)
    for index in range(6):
        labels = draw_blocks(index, 3)
        labels[:, :3] = 255
        save(folder / "JPEGImages" / f"2007_{index}.jpg", draw_photo(index))
        path = folder / "SegmentationClass" / f"2007_{index}.png"
        path.parent.mkdir(exist_ok=True)
        image = Image.fromarray(labels)
        image.putpalette(palette.tolist())
        image.save(path)
    return folder


def blurred_masks(folder: Path) -> Path:
    """Write binary masks as JPEG, whose values stray around black and white."""
    for index in range(6):
        save(folder / "images" / f"{index}.jpg", draw_photo(index))
        save(folder / "masks" / f"{index}.jpg", draw_blocks(index, 2) * np.uint8(255))
    return folder


def nuclei_like(folder: Path) -> Path:
    """Write 8-bit maps of single blocks, from 3 to 13 objects each."""
    for index in range(6):
        cells = np.zeros(24, int)
        count = 3 + 2 * index
        cells[:count] = np.arange(1, count + 1)
        ids = np.kron(cells.reshape(4, 6), np.ones((12, 10), int)).astype(np.uint8)
        save(folder / "images" / f"{index}.png", draw_photo(index, ids.shape))
        save(folder / "masks" / f"{index}.png", ids)
    return folder


SCENES = (("training", "train"), ("validation", "val"))


def ade20k(folder: Path) -> Path:
    """Write ADEChallengeData2016: maps from 1 to 150, 0 for unlabelled pixels."""
    folder = folder / "ADEChallengeData2016"
    for inner, split in SCENES:
        for index in range(3):
            name = f"ADE_{split}_{index:08}"
            save(folder / "images" / inner / f"{name}.jpg", draw_photo(index))
            save(folder / "annotations" / inner / f"{name}.png", ade20k_map(index))
    (folder / "objectInfo150.txt").write_text("Idx\tRatio\tTrain\tVal\tStuff\tName\n")
    return folder


def ade20k_map(seed: int) -> np.ndarray:
    """Draw nothing, wall, bed and fan (the last class)."""
    return np.array([0, 1, 8, 150], np.uint8)[draw_blocks(seed, 4)]


def ade20k_objects(folder: Path) -> Path:
    """Write ADEChallengeData2016 with its maps of instances: two beds, one of them on a wall."""
    folder = ade20k(folder)
    for inner, split in SCENES:
        for index in range(3):
            objects = np.zeros((48, 64, 3), np.uint8)
            objects[:12, :11, :2], objects[12:24, 11:22, :2] = (1, 1), (1, 2)
            path = folder / "annotations_instance" / inner / f"ADE_{split}_{index:08}.png"
            save(path, objects)
    return folder


def ade20k_full(folder: Path) -> Path:
    """Write the full set as Mask2Former prepares it: 16 bits, counted from 0, 65535 ignored."""
    folder = folder / "ADE20K_2021_17_01"
    for inner, split in SCENES:
        for index in range(2):
            labels = np.array([0, 846, 65535], np.uint16)[draw_blocks(index, 3)]
            name = f"ADE_{split}_{index:08}"
            save(folder / "images_detectron2" / inner / f"{name}.jpg", draw_photo(index))
            save(folder / "annotations_detectron2" / inner / f"{name}.tif", labels)
    return folder


def cityscapes(folder: Path) -> Path:
    """Write instance ids: road, two cars, a group of cars, a parking, and what is no class."""
    for split in ("train", "val"):
        for index in range(2):
            frame = f"aachen_{index:06}_000019"
            image = folder / "leftImg8bit" / split / "aachen" / f"{frame}_leftImg8bit.png"
            save(image, draw_photo(index))
            ids = np.array([7, 26000, 26001, 26, 9, 0], np.uint16)[draw_blocks(index, 6)]
            prefix = folder / "gtFine" / split / "aachen" / frame
            save(Path(f"{prefix}_gtFine_instanceIds.png"), ids)
            raw = np.where(ids >= 1000, ids // 1000, ids).astype(np.uint8)
            save(Path(f"{prefix}_gtFine_labelIds.png"), raw)
    return folder


def mapillary_vistas(folder: Path) -> Path:
    """Write instance maps: two birds, roads, and regions that are not evaluated."""
    classes = [("Bird", True, True), ("Road", False, True), ("Unlabeled", False, False)]
    for inner, _ in SCENES:
        for index in range(2):
            objects = np.array([0, 1, 256, 512], np.uint16)[draw_blocks(index, 4)]
            save(folder / inner / "images" / f"{index}.jpg", draw_photo(index))
            save(folder / inner / "instances" / f"{index}.png", objects)
            save(folder / inner / "labels" / f"{index}.png", (objects // 256).astype(np.uint8))
    labels = [
        {"readable": name, "name": name, "instances": i, "evaluate": e, "color": [9, 8, 7]}
        for name, i, e in classes
    ]
    (folder / "config.json").write_text(json.dumps({"labels": labels, "version": "1.1"}))
    return folder


LAYOUTS = {
    write.__name__: write
    for write in (
        aerial_tiles,
        segnet_streets,
        camvid_streets,
        segnet_camvid,
        dubai_tiles,
        prepped_streets,
        binary_masks,
        palette_maps,
        blurred_masks,
        nuclei_like,
        ade20k,
        ade20k_objects,
        ade20k_full,
        cityscapes,
        mapillary_vistas,
    )
}
"""Layouts by name: functions that write into an empty folder and return it."""
