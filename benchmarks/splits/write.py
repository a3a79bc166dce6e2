"""Write a dataset with a fixed split, so that every system trains and is scored on the same images.

    python -m benchmarks.splits.write NAME DATA OUT
    python -m benchmarks.splits.write NAME DATA --record

NAME is a file in this folder without `.json`; it lists the images of each split, relative to DATA,
the dataset as its authors publish it. OUT gets one folder per split with links to the files, in a
layout that `unimask` recognises. `--record` writes the list from the split that `unimask` chooses
for DATA; it refuses to replace a list, since scores of different lists cannot be compared.
"""

import argparse
import json
import shutil
from pathlib import Path

from unimask.datasets import Dataset, open_dataset, open_train_and_val, split_names
from unimask.datasets.interface import DatasetOptions, label_files

FOLDER = Path(__file__).parent

SPLITS = ("train", "val", "test")

SMALL_FILES = 100_000
"""Largest size in bytes of a file next to the splits, such as a class table, that is linked too."""


def read_list(name: str) -> dict[str, list[str]]:
    """Read the images of each split."""
    return json.loads((FOLDER / f"{name}.json").read_text())


def open_splits(data: Path) -> dict[str, Dataset]:
    """Open the training and validation images that `train` would take, and the test images."""
    train, val = open_train_and_val(data)
    opened = {"train": train, "val": val}
    if "test" in split_names(data, DatasetOptions()):
        opened["test"] = open_dataset(data, "test")
    return opened


def record(name: str, data: Path) -> None:
    """Write the list of the split that `unimask` chooses for a dataset."""
    file = FOLDER / f"{name}.json"
    if file.exists():
        raise SystemExit(f"{file} exists: scores on another list cannot be compared with it")
    chosen = {
        split: [Path(path).relative_to(data).as_posix() for path in dataset.paths]
        for split, dataset in open_splits(data).items()
    }
    file.write_text(json.dumps(chosen, indent=0) + "\n")
    print({split: len(paths) for split, paths in chosen.items()})


def labels_of(data: Path) -> dict[str, tuple[Path, ...]]:
    """Return the label files of each image, by its path relative to the dataset."""
    return {
        Path(path).relative_to(data).as_posix(): tuple(map(Path, label_files(dataset, index)))
        for dataset in open_splits(data).values()
        for index, path in enumerate(dataset.paths)
    }


def flat_name(path: str) -> str:
    """Join a relative path to a file name, without the folder that all images have in common."""
    parts = [part for part in Path(path).parts if part not in (*SPLITS, "images", "JPEGImages")]
    return "_".join(parts).replace(" ", "_")


def link(source: Path, target: Path) -> None:
    """Link a file, and create the folder of the link."""
    target.parent.mkdir(parents=True, exist_ok=True)
    target.symlink_to(source.resolve())


def write_maps(data: Path, out: Path, images: dict[str, list[str]]) -> None:
    """Link images and label maps, and the class tables beside them."""
    labels = labels_of(data)
    for split, paths in images.items():
        for path in paths:
            (mask,) = labels[path]
            name = flat_name(path)
            link(data / path, out / split / "images" / name)
            link(mask, out / split / "masks" / Path(name).with_suffix(mask.suffix).name)
    for file in data.iterdir():
        if file.is_file() and file.stat().st_size < SMALL_FILES:
            link(file, out / file.name)


def write_coco(data: Path, out: Path, images: dict[str, list[str]]) -> None:
    """Link images, and write the annotations of each split as one file."""
    folders = {file.parent: json.loads(file.read_text()) for file in data.rglob("*.json")}
    rows_of = {
        (folder, Path(row["file_name"]).name): row
        for folder, whole in folders.items()
        for row in whole["images"]
    }
    for split, paths in images.items():
        chosen, objects = [], []
        for path in paths:
            folder = next(folder for folder in folders if folder in (data / path).parents)
            row, number = rows_of[folder, Path(path).name], len(chosen) + 1
            chosen.append({**row, "id": number, "file_name": flat_name(path)})
            own = [o for o in folders[folder]["annotations"] if o["image_id"] == row["id"]]
            objects += [
                {**o, "id": len(objects) + n, "image_id": number} for n, o in enumerate(own, 1)
            ]
            link(data / path, out / split / flat_name(path))
        categories = next(iter(folders.values()))["categories"]
        whole = {"images": chosen, "annotations": objects, "categories": categories}
        (out / split / "_annotations.coco.json").write_text(json.dumps(whole))


def write(name: str, data: Path, out: Path) -> Path:
    """Write a folder with the fixed split of a dataset; replace one that was written before."""
    images = read_list(name)
    shutil.rmtree(out, ignore_errors=True)
    first = next(iter(images.values()))[0]
    is_coco = not any(path.suffix == ".png" for path in labels_of(data)[first])
    (write_coco if is_coco else write_maps)(data, out, images)
    return out


def main() -> None:
    """Write a dataset or a list."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    parser.add_argument("name")
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path, nargs="?")
    parser.add_argument("--record", action="store_true")
    options = parser.parse_args()
    if options.record:
        record(options.name, options.data)
    elif options.out is None:
        parser.error("pass OUT or --record")
    else:
        write(options.name, options.data, options.out)


if __name__ == "__main__":
    main()
