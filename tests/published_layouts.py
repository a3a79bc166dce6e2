"""Small datasets in published layouts that define classes and objects themselves."""

import hashlib
import json
import shutil
from pathlib import Path, PurePosixPath

import numpy as np
from map_layouts import draw_blocks, draw_photo, save
from PIL import Image

from unimask.formats.run_length import encode_id_map
from unimask.label_sets import known_labels

VOC = known_labels("pascal_voc")
PALETTE = np.zeros((256, 3), np.uint8)
PALETTE[:21] = VOC.colours
PALETTE[21:255, 2] = np.arange(21, 255)
PALETTE[255] = 224, 224, 192
SIZE = (48, 64)
NAMES = tuple(f"2007_{number:06}" for number in range(6))


def draw_voc_maps(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Draw two horses beside a person with borders, and their objects."""
    classes, objects = np.zeros(SIZE, np.uint8), np.zeros(SIZE, np.uint8)
    for number, (left, label) in enumerate(((4, 13), (20, 13), (40, 15)), start=1):
        classes[10:30, left : left + 12 + seed] = objects[10:30, left : left + 12 + seed] = 255
        classes[11:29, left + 1 : left + 11 + seed] = label
        objects[11:29, left + 1 : left + 11 + seed] = number
    return classes, objects


def save_palette(path: Path, values: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(values)
    image.putpalette(PALETTE.ravel().tolist())
    image.save(path)


def write_voc(folder: Path, names=NAMES, *, painted: bool = False, lists: bool = True) -> Path:
    """Write images with maps of classes and objects, and lists of splits."""
    for seed, name in enumerate(names):
        save(folder / "JPEGImages" / f"{name}.jpg", draw_photo(seed))
        for kind, values in zip(
            ("SegmentationClass", "SegmentationObject"), draw_voc_maps(seed % 3), strict=True
        ):
            path = folder / kind / f"{name}.png"
            if painted:
                save(path, PALETTE[values])
            else:
                save_palette(path, values)
    save(folder / "JPEGImages" / "2007_000099.jpg", draw_photo(99))
    if lists:
        place = folder / "ImageSets" / "Segmentation"
        place.mkdir(parents=True)
        for split, part in (("train", names[:4]), ("val", names[4:]), ("trainval", names)):
            (place / f"{split}.txt").write_text("".join(f"{name}\n" for name in part))
    return folder


def voc(folder: Path) -> Path:
    """Write Pascal VOC 2012."""
    return write_voc(folder / "VOC2012")


def draw_cells(seed: int) -> np.ndarray:
    """Draw three cells, in 16 bits, numbered like tracks."""
    ids = np.zeros(SIZE, np.uint16)
    for number, (top, left) in zip((3, 300, 7), ((4, 4), (20, 30), (34, 8)), strict=True):
        ids[top : top + 8, left : left + 9 + seed] = number
    return ids


def cell_tracking(folder: Path) -> Path:
    """Write two sequences of the Cell Tracking Challenge, with gold truth of two frames each."""
    folder = folder / "Fluo-N2DH-GOWT1"
    for sequence in ("01", "02"):
        for frame in range(6):
            ids = draw_cells(frame)
            save(folder / sequence / f"t{frame:03}.tif", draw_photo(frame)[..., 0])
            marks = np.where(np.roll(ids, -2, 1) == ids, ids, 0).astype(np.uint16)
            save(folder / f"{sequence}_GT" / "TRA" / f"man_track{frame:03}.tif", marks)
            if frame in (1, 4):
                gold = np.where(ids == 7, 0, ids).astype(np.uint16)
                save(folder / f"{sequence}_GT" / "SEG" / f"man_seg{frame:03}.tif", gold)
    return folder


def dsb2018(folder: Path) -> Path:
    """Write stage 1 of Data Science Bowl 2018: a folder per image, named by a digest."""
    folder = folder / "dsb2018"
    for split, count in (("stage1_train", 6), ("stage1_test", 2)):
        for number in range(count):
            name = hashlib.sha256(f"{split}{number}".encode()).hexdigest()
            image = np.dstack([draw_photo(number), np.full(SIZE, 255, np.uint8)])
            save(folder / split / name / "images" / f"{name}.png", image)
            ids = draw_cells(number) if split == "stage1_train" else np.zeros(SIZE, np.uint16)
            for value in np.unique(ids[ids > 0]):
                mask = (ids == value).astype(np.uint8) * np.uint8(255)
                digest = hashlib.sha256(mask.tobytes()).hexdigest()
                save(folder / split / name / "masks" / f"{digest}.png", mask)
    (folder / "stage1_train_labels.csv").write_text("ImageId,EncodedPixels\n")
    return folder


def cellpose_content(masks: np.ndarray) -> dict[str, object]:
    """Return what cellpose saves of an image, in the types of several of its releases."""
    return {
        "filename": PurePosixPath("/home/user/a.tif"), "masks": masks, "outlines": masks * 0,
        "img": draw_photo(0), "colors": np.zeros((3, 3), np.uint8), "chan_choose": [0, 0],
        "ismanual": np.zeros(3, bool), "est_diam": 30.0, "diameter": np.nan, "restore": None,
        "flows": [np.zeros((*SIZE, 3), np.uint8), np.zeros(SIZE, np.float32), []],
        "zdraw": [None, None, None], "cellprob_threshold": np.float64(0.5), "model_path": 0,
        "normalize_params": {"lowhigh": None, "percentile": [1.0, 99.0], "invert": False},
    }  # fmt: skip


def cellpose(folder: Path) -> Path:
    """Write images with cellpose's labels in each form, in folders called train and test."""
    folder = folder / "cells"
    for split in ("train", "test"):
        for number in range(3):
            ids = draw_cells(number)
            save(folder / split / f"a{number}.png", draw_photo(number))
            np.save(folder / split / f"a{number}_seg.npy", cellpose_content(ids))
            save(folder / split / f"b{number}.tif", draw_photo(number)[..., 0])
            save(folder / split / f"b{number}_cp_masks.png", ids)
            save(folder / split / f"b{number}_cp_output.png", draw_photo(number))
            save(folder / split / f"{number:03}_img.png", draw_photo(number))
            save(folder / split / f"{number:03}_masks.tif", ids)
    return folder


def kitti(folder: Path) -> Path:
    """Write KITTI's instance maps: a wall, two cars, a group of cars, a trailer, nothing."""
    folder = folder / "data_semantics"
    for number in range(6):
        name = f"{number:06}_10.png"
        codes = np.array([12 * 256 + 1, 26 * 256 + 1, 26 * 256 + 2, 26 * 256, 30 * 256 + 1, 0])
        ids = codes.astype(np.uint16)[draw_blocks(number, 6)]
        save(folder / "training" / "image_2" / name, draw_photo(number))
        save(folder / "training" / "instance" / name, ids)
        save(folder / "training" / "semantic" / name, (ids // 256).astype(np.uint8))
        save(folder / "training" / "semantic_rgb" / name, draw_photo(number))
        save(folder / "testing" / "image_2" / name, draw_photo(number))
    return folder


def kitti_step(folder: Path) -> Path:
    """Write panoptic maps: sky, person 300, a group of cars, riders, nothing."""
    folder = folder / "KITTI-STEP"
    colours = np.array([(10, 0, 0), (11, 1, 44), (13, 0, 0), (12, 0, 0), (255, 0, 0)], np.uint8)
    for split, sequence in (("train", "0000"), ("val", "0002")):
        for number in range(3):
            name = f"{sequence}/{number:06}.png"
            save(folder / "training" / "image_02" / name, draw_photo(number))
            save(folder / "panoptic_maps" / split / name, colours[draw_blocks(number, 5)])
    return folder


def mots_ids(seed: int) -> np.ndarray:
    """Draw background, two cars, a pedestrian and an ignored region."""
    return np.array([0, 1000, 1005, 2001, 10000], np.uint16)[draw_blocks(seed, 5)]


def kitti_mots(folder: Path) -> Path:
    """Write instance maps of three sequences, one of them the authors' for validation."""
    folder = folder / "KITTI_MOTS"
    for sequence in ("0000", "0001", "0002"):
        for number in range(3):
            name = f"{sequence}/{number:06}.png"
            save(folder / "training" / "image_02" / name, draw_photo(number))
            save(folder / "instances" / name, mots_ids(number))
    return folder


def kitti_mots_text(folder: Path) -> Path:
    """Write the same with text files in place of maps."""
    folder = kitti_mots(folder)
    (folder / "instances_txt").mkdir()
    for place in sorted((folder / "instances").iterdir()):
        lines = []
        for path in sorted(place.iterdir()):
            for value, mask in encode_id_map(np.asarray(Image.open(path)).astype(int)).items():
                size = " ".join(map(str, mask.size))
                counts = mask.to_coco()["counts"]
                lines.append(f"{int(path.stem)} {value} {value // 1000} {size} {counts}\n")
        (folder / "instances_txt" / f"{place.name}.txt").write_text("".join(lines))
    shutil.rmtree(folder / "instances")
    return folder


def ade20k_full(folder: Path) -> Path:
    """Write the full ADE20K: nothing, two cars, a wall, and the doors of the cars as parts."""
    folder = folder / "ADE20K_2021_17_01"
    for inner, split, scene in (("training", "train", "street"), ("validation", "val", "street")):
        for number in range(3):
            place = folder / "images" / "ADE" / inner / "urban" / scene
            stem = f"ADE_{split}_{number:08}"
            colours = np.array([(0, 0, 0), (15, 145, 2), (10, 145, 4), (110, 100, 1)], np.uint8)
            save(place / f"{stem}.jpg", draw_photo(number))
            save(place / f"{stem}_seg.png", colours[draw_blocks(number, 4)])
            save(place / f"{stem}_parts_1.png", draw_photo(number))
            save(place / stem / f"instance_000_{stem}.png", draw_blocks(number, 2))
            objects = [
                {"id": 0, "name": "car, auto", "name_ndx": 401, "parts": {"part_level": 0}},
                {"id": 1, "name": "wall", "name_ndx": 2916, "parts": {"part_level": 0}},
                {"id": 2, "name": "door", "name_ndx": 774, "parts": {"part_level": 1}},
            ]
            content = {"annotation": {"filename": f"{stem}.jpg", "object": objects}}
            (place / f"{stem}.json").write_text(json.dumps(content))
    return folder


def label_studio_brush(folder: Path) -> Path:
    """Write brush masks of two labels, drawn with soft edges, and images named by task."""
    for task in (3, 12):
        save(folder / "images" / f"{task}.jpg", draw_photo(task))
        ids = draw_cells(task % 5)
        for label, region, value in (("Car", 0, 3), ("Car", 1, 7), ("Big tree-A", 0, 300)):
            name = f"task-{task}-annotation-{task + 40}-by-1-tag-{label}-{region}.png"
            save(folder / name, (ids == value).astype(np.uint8) * np.uint8(1 + 127 * region))
    return folder


def open_images(folder: Path) -> Path:
    """Write masks of half the size of their images, two of which overlap, and their lists."""
    folder = folder / "open-images-v6"
    (folder / "annotations").mkdir(parents=True)
    header = "MaskPath,ImageID,LabelName,BoxID,BoxXMin,BoxXMax,BoxYMin,BoxYMax,PredictedIoU,Clicks"
    for split, count in (("train", 3), ("validation", 2)):
        rows = [header]
        for number in range(count):
            image = f"{split}{number:04x}"
            save(folder / "images" / split / f"{image}.jpg", draw_photo(number))
            for place, label in ((0, "/m/0k4j"), (1, "/m/01g317")):
                mask = np.zeros((SIZE[0] // 2, SIZE[1] // 2), bool)
                mask[2 + 6 * place : 14, 4 : 20 - 4 * place] = True
                name = f"{image}_{label[1:].replace('/', '')}_{place}.png"
                save(folder / "masks" / split / name, mask)
                rows.append(f"{name},{image},{label},{place},0,1,0,1,,")
        (folder / "annotations" / f"{split}-annotations-object-segmentation.csv").write_text(
            "\n".join(rows) + "\n"
        )
    (folder / "annotations" / "oidv6-class-descriptions.csv").write_text(
        "LabelName,DisplayName\n/m/0k4j,Car\n/m/01g317,Person\n"
    )
    return folder


LAYOUTS = {
    write.__name__: write
    for write in (
        voc,
        cell_tracking,
        dsb2018,
        cellpose,
        kitti,
        kitti_step,
        kitti_mots,
        kitti_mots_text,
        ade20k_full,
        label_studio_brush,
        open_images,
    )
}
"""Each of them by name; a layout is written into an empty folder, and its own is given back."""
