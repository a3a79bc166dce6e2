"""Readers of foreign files, each with small valid folders as seeds.

A reader calls what users call: it opens a folder and reads all of its content.
It may return, or raise a `UnimaskError` of one line; anything else is a fault.
"""

import io
import json
import pickle
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

import numpy as np
import outlines
import published_layouts
import tool_exports
import torch
from conftest import (
    TINY_DEEPLAB,
    TINY_MASKFORMER,
    TINY_ONEFORMER,
    TINY_PER_PIXEL_PLUS,
    TINY_RESNET,
    TINY_SWIN,
    tiny_checkpoint,
    write_discs,
)
from fuzzing import volumes
from map_layouts import LAYOUTS, draw_blocks, draw_photo
from mutations import read_dataset
from PIL import Image
from safetensors.torch import save_file

import unimask
from unimask.checkpoints import write_huggingface
from unimask.checkpoints.authors.mask2former_names import NAMES
from unimask.checkpoints.keymap import to_theirs
from unimask.config import CriterionConfig
from unimask.curation import check
from unimask.datasets import open_dataset
from unimask.datasets.transforms import Augmentation
from unimask.errors import DataError
from unimask.formats.output_folder import RECORD_NAME, OutputFolder
from unimask.formats.panoptic_png import encode_ids
from unimask.formats.run_length import encode_id_map
from unimask.processing.images import read_image
from unimask.text.task_sentences import END_TOKEN, START_TOKEN
from unimask.text.tokenizers import ClipTokenizer
from unimask.training import TrainingSettings, loop


@dataclass(frozen=True)
class Reader:
    """A reader and its seeds.

    Attributes:
        write: Writes the seeds, each a folder inside the given one.
        read: Reads one such folder.
        pattern: The files that are changed.
        writes: It writes into the folder, which is made anew for each input.
    """

    write: Callable[[Path], object]
    read: Callable[[Path], object]
    pattern: str = "*"
    writes: bool = False


def read_labelled_folder(folder: Path) -> None:
    """Read every sample of a dataset, or check it like `unimask check`.

    Raises:
        DataError: It is refused.
    """
    sizes = sum(path.stat().st_size for path in folder.rglob("*.*") if path.is_file())
    if sizes % 4 == 0:
        check(folder)
        return
    refusal = read_dataset(folder)
    if refusal:
        raise DataError(refusal)


def labelled(*writers: Callable[[Path], object], pattern: str = "*") -> Reader:
    """Return the reader of datasets, with one seed of each writer."""

    def write(place: Path) -> None:
        for number, writer in enumerate(writers):
            (place / str(number)).mkdir(parents=True)
            writer(place / str(number))

    return Reader(write, read_labelled_folder, pattern)


def write_panoptic(folder: Path) -> Path:
    """Write COCO panoptic: two images of a thing, a crowd and stuff, split by the rule."""
    categories = [{"id": 3, "name": "cat", "isthing": 1}, {"id": 7, "name": "sky", "isthing": 0}]
    images, annotations = [], []
    for number in range(2):
        name = f"{number}.png"
        outlines.draw(folder / "images", name)
        ids = np.full(outlines.SIZE, 300, np.int64)
        ids[4:20, 4:20], ids[30:40, 30:60] = 1, 2
        (folder / "panoptic").mkdir(exist_ok=True)
        Image.fromarray(encode_ids(ids)).save(folder / "panoptic" / name)
        images.append({"id": number, "file_name": name, "height": 48, "width": 64})
        segments = [
            {"id": id, "category_id": 7 if id == 300 else 3, "iscrowd": int(id == 2), "area": 9}
            for id in (1, 2, 300)
        ]
        annotations.append({"image_id": number, "file_name": name, "segments_info": segments})
    content = {"images": images, "annotations": annotations, "categories": categories}
    return outlines.write_json(folder / "panoptic.json", content)


def write_masks_of_run_lengths(folder: Path) -> Path:
    """Write COCO instances whose masks are run lengths, compressed and not, one of them a crowd."""
    content = outlines.coco_content()
    mask = np.zeros(outlines.SIZE, np.int32)
    mask[5:20, 9:30] = 1
    content["annotations"][0]["segmentation"] = encode_id_map(mask)[1].to_coco()
    content["annotations"][1]["segmentation"] = {
        "size": list(outlines.SIZE), "counts": [5, 10, 3057],
    }  # fmt: skip
    content["annotations"][1]["iscrowd"] = 1
    for name in outlines.IMAGES:
        outlines.draw(folder / "images", name)
    return outlines.write_json(folder / "instances.json", content)


def write_arrays(folder: Path) -> Path:
    """Write label maps as numpy arrays, and a class table."""
    for number in range(6):
        for kind, pixels in (("images", draw_photo(number)), ("masks", draw_blocks(number, 3))):
            (folder / kind).mkdir(exist_ok=True)
            np.save(folder / kind / f"{number}.npy", pixels)
    (folder / "classes.txt").write_text("sky\nroad\ntree\n")
    return folder


def write_tables(folder: Path) -> Path:
    """Write a parquet file of photographs and label maps, and a card with the classes."""
    import pyarrow
    import pyarrow.parquet

    rows = {
        "image": [packed(draw_photo(number)) for number in range(2)],
        "annotation": [packed(draw_blocks(number, 3)) for number in range(2)],
    }
    features = {name: {"_type": "Image"} for name in rows}
    table = pyarrow.table(rows).replace_schema_metadata(
        {"huggingface": json.dumps({"info": {"features": features}})}
    )
    (folder / "data").mkdir()
    pyarrow.parquet.write_table(table, folder / "data" / "train-00000-of-00001.parquet")
    (folder / "README.md").write_text("---\nid2label:\n  0: void\n  1: sky\n  2: road\n---\n")
    return folder


def write_saved_tables(folder: Path) -> Path:
    """Write two tables by `save_to_disk`: Arrow files, and JSON files with their columns."""
    import datasets

    features = datasets.Features({"image": datasets.Image(), "annotation": datasets.Image()})
    rows = {
        "image": [packed(draw_photo(number)) for number in range(2)],
        "annotation": [packed(draw_blocks(number, 3)) for number in range(2)],
    }
    table = datasets.Dataset.from_dict(rows, features=features)
    splits = datasets.DatasetDict({"train": table, "validation": table})
    splits.save_to_disk(str(folder / "tables"))
    return folder


def packed(pixels: np.ndarray) -> dict[str, object]:
    """Return a table cell that holds an image."""
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    return {"bytes": stream.getvalue(), "path": None}


def write_output_folders(place: Path) -> None:
    """Write folders of results: one written once, and one rewritten often."""
    for name, times in (("written", 1), ("rewritten", 6)):
        folder = place / name / "out"
        for _ in range(times):
            for file in ("a.json", "b/c.txt"):
                with OutputFolder(folder).new_file(file) as path:
                    path.write_text(file)
        (folder / "mine.txt").write_text("mine")


def rewrite_output_folder(folder: Path) -> None:
    """Write two results into a folder of results.

    Raises:
        AssertionError: A file of the user was replaced.
    """
    own = folder / "out" / "mine.txt"
    before = own.read_bytes() if own.is_file() else None
    try:
        place = OutputFolder(folder / "out")
        place.check(["a.json", "b/c.txt"])
        for name in ("a.json", "new.txt"):
            with place.new_file(name) as path:
                path.write_text("new")
    finally:
        assert before is None or own.read_bytes() == before, "a file of the user was replaced"


def write_results(place: Path) -> None:
    """Write each kind of foreign results beside their dataset."""
    for kind in ("coco", "panoptic", "maps"):
        write_panoptic(place / kind / "data")
        (place / kind / "results").mkdir()
    dataset = open_dataset(place / "coco" / "data")
    entries = [
        {"image_id": n, "category_id": 3, "segmentation": rle.to_coco(), "score": 0.9}
        for n in range(2)
        for rle in encode_id_map(dataset[n].id_maps[0]).values()
    ]
    outlines.write_json(place / "coco" / "results" / "results.json", entries)
    theirs = place / "panoptic"
    shutil.copytree(theirs / "data" / "panoptic", theirs / "results" / "panoptic")
    shutil.copy(theirs / "data" / "panoptic.json", theirs / "results")
    for number in range(2):
        pixels = draw_blocks(number, 2)
        Image.fromarray(pixels).save(place / "maps" / "results" / f"{number}.png")


def read_results(folder: Path) -> None:
    file = folder / "results" / "results.json"
    results = file if file.exists() else folder / "results"
    unimask.evaluate(folder / "data", results=results, split=None)


def write_models(place: Path) -> None:
    """Write a folder of each family, some without our own key, as other programs write them."""
    for name, config in (
        ("mask2former", TINY_SWIN), ("oneformer", TINY_ONEFORMER), ("maskformer", TINY_MASKFORMER),
        ("own", TINY_DEEPLAB), ("per-pixel", TINY_PER_PIXEL_PLUS),
    ):  # fmt: skip
        write_huggingface(place / name, tiny_checkpoint(config))
    shutil.copytree(place / "mask2former", place / "theirs")
    content = json.loads((place / "theirs" / "config.json").read_text())
    content.pop("unimask", None)
    (place / "theirs" / "config.json").write_text(json.dumps(content))


def read_model(folder: Path) -> None:
    """Load a model folder, and predict with about every eighth."""
    predictor = unimask.load(folder, device="cpu")
    if (folder / "config.json").stat().st_size % 8 == 0:
        predictor.predict(np.zeros((8, 8, predictor.channels), np.uint8))


def write_weights(place: Path) -> None:
    """Write weights in every supported container."""
    state = to_theirs(tiny_checkpoint(TINY_RESNET).state, NAMES)
    arrays = {name: value.numpy() for name, value in state.items()}
    contents = {"state_dict": state, "meta": {"CLASSES": ("a", "b")}, "iteration": 3}
    for name in ("zip.pth", "old.pth", "two.pkl", "five.pkl", "small.safetensors"):
        (place / name).mkdir(parents=True)
        path = place / name / name
        if name == "small.safetensors":
            save_file(state, path)
        elif name.endswith(".pkl"):
            path.write_bytes(pickle.dumps({"model": arrays}, 2 if name == "two.pkl" else 5))
        else:
            torch.save(contents, path, _use_new_zipfile_serialization=name == "zip.pth")


def read_file_of_weights(folder: Path) -> None:
    for path in sorted(folder.iterdir()):
        unimask.load(path, device="cpu")


def write_images(place: Path) -> None:
    """Write an image of each supported format."""
    random = np.random.default_rng(0)
    rgb = random.integers(0, 256, (8, 8, 3), dtype=np.uint8)
    deep = random.integers(0, 4096, (8, 8), dtype=np.uint16)
    frames = [Image.fromarray(rgb), Image.fromarray(rgb[::-1].copy())]
    kinds: dict[str, tuple[Image.Image, dict]] = {
        "rgb.png": (frames[0], {}),
        "rgba.png": (frames[0].convert("RGBA"), {}),
        "deep.png": (Image.fromarray(deep), {}),
        "palette.png": (frames[0].convert("P"), {"transparency": 3}),
        "a.jpg": (
            frames[0],
            {"exif": b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0"},
        ),
        "cmyk.jpg": (frames[0].convert("CMYK"), {}),
        "a.gif": (frames[0].convert("P"), {"save_all": True, "append_images": frames[1:]}),
        "a.tif": (frames[0], {"save_all": True, "append_images": frames[1:]}),
        "deep.tif": (Image.fromarray(deep.astype(np.float32)), {"compression": "tiff_lzw"}),
        "a.bmp": (frames[0], {}),
        "a.webp": (frames[0], {}),
        "a.pgm": (Image.fromarray(deep), {}),
    }
    for name, (image, options) in kinds.items():
        (place / name).mkdir(parents=True)
        image.save(place / name / name, **options)
    for name, array in (("rgb.npy", rgb), ("deep.npy", deep), ("float.npy", rgb / 7)):
        (place / name).mkdir()
        np.save(place / name / name, array)


def read_images(folder: Path) -> None:
    for path in sorted(folder.iterdir()):
        many = path.is_file() and path.stat().st_size % 4 == 0
        read_image(path, window="auto" if many else None)


def write_tokenizers(place: Path) -> None:
    """Write a byte-level vocabulary with CLIP's numbers and few words."""
    letters = [chr(code) for code in range(ord("!"), ord("~") + 1)]
    words = [*letters, *(f"{letter}</w>" for letter in letters), "ta", "sk</w>", "task</w>"]
    vocabulary = {word: number for number, word in enumerate(words)}
    vocabulary |= {"<|startoftext|>": START_TOKEN, "<|endoftext|>": END_TOKEN}
    folder = place / "clip"
    folder.mkdir(parents=True)
    (folder / "vocab.json").write_text(json.dumps(vocabulary))
    (folder / "merges.txt").write_text("#version: 0.2\nt a\ns k</w>\nta sk</w>\n")
    engine = ClipTokenizer(folder).engine
    (place / "whole").mkdir()
    engine.save(str(place / "whole" / "tokenizer.json"))


def read_tokenizer(folder: Path) -> None:
    ClipTokenizer(folder).encode(["the task is panoptic", "\N{GRINNING FACE} é", ""])


def write_run(place: Path) -> None:
    """Write the folder of a finished run, beside its data."""
    data, start = write_discs(place / "a" / "data", {"train": 2, "val": 1}), place / "a" / "start"
    write_huggingface(start, tiny_checkpoint(TINY_RESNET))
    settings = TrainingSettings(
        steps=1, batch_size=1, warmup_steps=0, workers=0, augmentation=Augmentation(crop=32),
        criterion=CriterionConfig(num_points=16),
    )  # fmt: skip
    unimask.train(
        data, str(start), out=place / "a" / "run", settings=settings, device="cpu", quiet=True
    )


def read_run(folder: Path) -> None:
    """Resume a run without further steps."""
    with mock.patch.object(loop.Loop, "run_steps", lambda *_: None):
        unimask.train(resume=True, out=folder / "run", device="cpu", quiet=True)


OBJECTS = outlines.WRITERS
READERS = {
    "coco-instances": labelled(
        OBJECTS["COCO instances"], OBJECTS["a single COCO JSON"], OBJECTS["Roboflow's COCO"],
        write_masks_of_run_lengths, pattern="*.json",
    ),
    "coco-panoptic": labelled(write_panoptic),
    "yolo": labelled(
        OBJECTS["YOLO"], OBJECTS["Roboflow's YOLO"], OBJECTS["YOLO without YAML"],
        pattern="*.[ty][xa]*",
    ),
    "labelme": labelled(OBJECTS["LabelMe"], pattern="*.json"),
    "cvat": labelled(OBJECTS["CVAT"], pattern="*.xml"),
    **{
        name: labelled(*writers, pattern=pattern)
        for name, (writers, pattern) in tool_exports.SEEDS.items()
    },
    "label-maps": labelled(
        *(LAYOUTS[n] for n in ("aerial_tiles", "camvid_streets", "binary_masks", "palette_maps",
                               "blurred_masks", "nuclei_like", "segnet_camvid")),
        write_arrays, lambda folder: write_discs(folder / "discs", {"train": 2, "val": 1}),
    ),
    "voc": labelled(published_layouts.voc),
    "cell-tracking": labelled(published_layouts.cell_tracking),
    "mask-folders": labelled(published_layouts.dsb2018, pattern="*.png"),
    "cellpose": labelled(published_layouts.cellpose, pattern="*_seg.npy"),
    "kitti": labelled(
        published_layouts.kitti, published_layouts.kitti_step, published_layouts.kitti_mots,
        published_layouts.kitti_mots_text,
    ),
    "ade20k-full": labelled(published_layouts.ade20k_full, pattern="*.json"),
    "class-masks": labelled(published_layouts.label_studio_brush, published_layouts.open_images),
    "ade20k": labelled(*(LAYOUTS[n] for n in ("ade20k", "ade20k_objects", "ade20k_full"))),
    "cityscapes": labelled(LAYOUTS["cityscapes"]),
    "mapillary": labelled(LAYOUTS["mapillary_vistas"]),
    "tables": labelled(write_tables),
    "saved-tables": labelled(write_saved_tables),
    "output-folders": Reader(write_output_folders, rewrite_output_folder, RECORD_NAME, writes=True),
    "results": Reader(write_results, read_results, "results/**/*"),
    "model-folders": Reader(write_models, read_model, "*.json"),
    "weight-files": Reader(write_weights, read_file_of_weights),
    "images": Reader(write_images, read_images),
    "tokenizers": Reader(write_tokenizers, read_tokenizer),
    "runs": Reader(write_run, read_run, "run/[sm]*.*", writes=True),
}  # fmt: skip
"""Every reader by name."""

if volumes.HAS_MEDICAL:
    READERS["volumes"] = Reader(volumes.write_volumes, volumes.read_volumes)
