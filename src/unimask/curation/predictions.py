"""Write predictions as a dataset, which labelling tools open and `train` reads."""

import shutil
from collections.abc import Callable, Iterable
from itertools import count
from pathlib import Path

import numpy as np
from PIL import Image

from unimask.curation.convert import ConversionResult, link_image, new_folder, unused_name
from unimask.curation.writers.create import check_format, create_writer
from unimask.curation.writers.writer import Writer
from unimask.datasets import Sample
from unimask.datasets.interface import ALL_IMAGES
from unimask.datasets.objects.dataset import build_object_labels, select_labels
from unimask.datasets.objects.layers import stack_masks
from unimask.errors import DataError, SettingsError
from unimask.formats.outlines import OutlineStyle
from unimask.labels import LabelSet, Task, is_background
from unimask.results import Result

FORMAT_TASKS: dict[str, Task] = {
    "coco": "instance",
    "yolo": "instance",
    "instance-ids": "instance",
    "coco-panoptic": "panoptic",
    "semantic": "semantic",
}
"""Task whose results a format represents best; the others take those of any task."""


FORMATS_WITHOUT_LABEL_FILES = ("coco", "cvat")
"""Formats whose labels are in one file for all images."""


def preferred_task(to: str, tasks: tuple[Task, ...], labels: LabelSet) -> Task:
    """Return the task to predict for a format: the one it represents best, if a model does it.

    Lists of objects of a model that knows nothing but objects and their background are instances.

    Args:
        to: Name of the format.
        tasks: Tasks of the model, the most general first.
        labels: Classes of the model.
    """
    has_stuff = any(
        not thing and not is_background(name)
        for name, thing in zip(labels.names, labels.is_thing, strict=True)
    )
    task = FORMAT_TASKS.get(to, tasks[0] if has_stuff else "instance")
    return task if task in tasks else tasks[0]


def write_predictions(
    results: Iterable[Result],
    out: str | Path,
    *,
    to: str,
    link: bool = False,
    outlines: OutlineStyle | None = None,
    progress: Callable[[Result], None] | None = None,
    failed: Callable[[DataError], None] | None = None,
    root: str | Path | None = None,
) -> ConversionResult:
    """Write results and their images as one dataset, completely or not at all.

    Results are written one by one, in constant memory. Scores are stored where the format has room:
    "coco" and "coco-panoptic" as `score`, "labelme" as `score` of each shape, "cvat" as an
    attribute, and "geojson" as a property. Pixels without a segment are background in instance
    results, and ignored in panoptic and semantic ones. Semantic results have no objects, so that
    "coco", "yolo" and "instance-ids" refuse them.

    Args:
        results: Results of one model and task, such as from `Predictor.stream`.
        out: Folder to write, new or empty.
        to: Format, as in `convert`.
        link: Whether to link images rather than copy them.
        outlines: "simple" or "exact" polygons, as in `convert`.
        progress: Function called with each result when it is written.
        failed: Function called with the error of each result that has too many overlapping
            instances, which is then left out; None raises the error instead.
        root: Folder that contains all images, to which the names of images in the labels are then
            relative, and no images are written; None to write the images too.

    Raises:
        DataError: There are no results, or the format cannot represent them.
        OutputError: `out` is not empty, or cannot be written.
        SettingsError: A setting is unknown, results differ in task or classes, or an image is not a
            file that could be linked.

    Example:
        >>> import unimask
        >>> model = unimask.load("nuclei")  # doctest: +SKIP
        >>> unimask.write_predictions(
        ...     model.stream("photos"), "prelabels", to="labelme"
        ... )  # doctest: +SKIP
    """
    check_format(to, outlines)
    target, written = Path(out), ConversionResult(Path(out))
    written.images[ALL_IMAGES] = 0
    used_names: set[str] = set()
    with new_folder(target) as folder:
        writer, first = None, None
        for result in results:
            if writer is None or first is None:
                first = (result.task, result.labels)
                writer = create_writer(to, folder, writable_labels(*first)[0], outlines)
                if root is None:
                    writer.image_folder(ALL_IMAGES).mkdir(parents=True, exist_ok=True)
            if first != (result.task, result.labels):
                raise SettingsError(
                    "results differ in their task or classes: write those of one model and task"
                )
            try:
                sample = sample_from_result(result)
            except DataError as error:
                if failed is None:
                    raise
                failed(error)
            else:
                if root is None:
                    write_result(writer, result, sample, used_names, link)
                else:
                    names = None if to in FORMATS_WITHOUT_LABEL_FILES else used_names
                    writer.add(ALL_IMAGES, sample, relative_name(result.path, Path(root), names))
                written.images[ALL_IMAGES] += 1
                del sample
            if progress is not None:
                progress(result)
            del result  # else its image stays in memory while the next one is predicted
        if writer is None or not written.images[ALL_IMAGES]:
            raise DataError(f"there are no results to write to {out}")
        writer.finish(ALL_IMAGES)
        writer.close()
        written.add_losses(writer)
    return written


def write_result(
    writer: Writer, result: Result, sample: Sample, used_names: set[str], link: bool
) -> None:
    """Write the labels of one image, and copy or link its file.

    An image that was not read from a file is written as PNG.
    """
    path = result.path or Path("image.png")
    is_file = result.path is not None and path.is_file()
    file = unused_name(path if is_file else path.with_suffix(".png"), used_names)
    writer.add(ALL_IMAGES, sample, file)
    target = writer.image_folder(ALL_IMAGES) / file
    if link:
        link_image(path, target)
    elif is_file:
        shutil.copyfile(path, target)
    elif result.image is None:
        raise DataError(f"{path} cannot be copied: predict it from a file, or retain its image")
    else:
        Image.fromarray(result.image).save(target, compress_level=3)


def relative_name(path: Path | None, root: Path, used_names: set[str] | None) -> str:
    """Return the name of an image relative to a folder, with a number if its label file exists.

    Args:
        path: Path of the image.
        root: Folder.
        used_names: Names without suffix of the images with label files, to which this one is added;
            None for formats without a file per image.

    Raises:
        DataError: The image is not in the folder.
    """
    if path is None or not path.is_relative_to(root):
        raise DataError(f"{path or 'an image in memory'} is not in {root}: pass another folder")
    name = path.relative_to(root)
    if used_names is not None:
        stem, number = name.stem, 1
        while str(name.with_suffix("")).casefold() in used_names:
            number += 1
            name = name.with_stem(f"{stem}_{number}")
        used_names.add(str(name.with_suffix("")).casefold())
    return name.as_posix()


def sample_from_result(result: Result) -> Sample:
    """Return a prediction as labels of its image, with scores.

    The classes are those of `writable_labels`. Where instances overlap, the higher score is in
    front.

    Raises:
        DataError: So many instances overlap that their layers would exceed the memory limit.
    """
    labels, label_ids = writable_labels(result.task, result.labels)
    segments = [s for s in result.segments if s.label_id in label_ids and s.area]
    numbered = sorted(enumerate(segments, start=1), key=lambda pair: pair[1].score or 0.0)
    try:
        id_maps = stack_masks([(number, s.rle) for number, s in numbered], result.size)
    except DataError as error:
        raise DataError(f"{result.path or 'an image'}: {error}") from error
    ids = [label_ids[s.label_id] for s in segments]
    scores = [np.nan if s.score is None else s.score for s in segments]
    bare = np.logical_not(id_maps.any(axis=0))
    ignored = None
    if result.task == "instance" and bare.any():
        id_maps[0][bare] = len(segments) + 1
        ids, scores = [*ids, labels.is_thing.index(False)], [*scores, np.nan]
    elif bare.any():
        ignored = bare
    return Sample(
        image=np.zeros((*result.size, 3), np.uint8) if result.image is None else result.image,
        id_maps=id_maps,
        label_ids=np.array(ids, np.int64),
        crowds=np.zeros(len(ids), bool),
        ignored=ignored,
        path=result.path or Path("image.png"),
        scores=None if result.task == "semantic" else np.array(scores, np.float64),
    )


def writable_labels(task: Task, labels: LabelSet) -> tuple[LabelSet, dict[int, int]]:
    """Return the classes of a dataset of predictions, and its label id of each label id.

    Panoptic: all classes. Semantic: all classes, as stuff, because objects are not separated.
    Instance: the things and the background, which is added if the model has none.
    """
    if task == "panoptic":
        return labels, {label: label for label in range(len(labels))}
    if task == "semantic":
        stuff = LabelSet(labels.names, (False,) * len(labels), labels.colours, labels.category_ids)
        return stuff, {label: label for label in range(len(labels))}
    chosen = [
        label
        for label, name in enumerate(labels.names)
        if labels.is_thing[label] or is_background(name)
    ]
    numbers = dict(zip(chosen, count(), strict=False))
    some = select_labels(labels, chosen)
    if all(some.is_thing):
        some = build_object_labels(some.names, some.colours, some.category_ids)
    return some, {label: number for label, number in numbers.items() if labels.is_thing[label]}
