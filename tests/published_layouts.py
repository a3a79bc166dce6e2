"""Small datasets in the layouts of published ones, which tell classes and objects by themselves."""

import hashlib
from pathlib import Path, PurePosixPath

import numpy as np
from map_layouts import draw_photo, save
from PIL import Image

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


LAYOUTS = {write.__name__: write for write in (voc, cell_tracking, dsb2018, cellpose)}
"""Each of them by name; a layout is written into an empty folder, and its own is given back."""
