"""Read MOTS text files: a line per object with frame, id, class, size and COCO's run lengths."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from unimask.datasets.interface import Dataset, DatasetOptions, add_notes
from unimask.datasets.objects.annotations import AnnotationBuilder
from unimask.datasets.objects.dataset import ObjectDataset, build_object_labels
from unimask.datasets.videos import Video
from unimask.errors import DataError
from unimask.formats.run_length import RunLength
from unimask.processing.images import list_images

FIELDS = 6
"""Number of fields of a line."""

MAX_LINE = 2**24
"""Maximum length of a line in characters."""

Sequences = Mapping[str, tuple[Path, Path]]
"""Folder of the images, and the text file, of each sequence."""


def find_sequences(texts: Mapping[str, Path], images: Path) -> dict[str, tuple[Path, Path]]:
    """Return the sequences that have a folder of images and a text file of MOTS."""
    return {
        name: (images / name, path)
        for name, path in texts.items()
        if (images / name).is_dir() and is_mots_text(path)
    }


def is_mots_text(path: Path) -> bool:
    """Return whether the first line of a file has the fields of MOTS; those of MOT have commas."""
    try:
        with path.open(encoding="utf-8") as stream:
            fields = stream.readline(MAX_LINE).split()
    except (OSError, ValueError):
        return False
    return len(fields) == FIELDS and all(field.isdecimal() for field in fields[: FIELDS - 1])


def open_sequences(
    format: str,
    name: str,
    sequences: Sequences,
    class_names: Mapping[int, str],
    options: DatasetOptions,
) -> Dataset:
    """Open the frames of sequences; frames without a line have no objects.

    Args:
        format: Name of the label format.
        name: Name of the dataset.
        sequences: Images and text file of each sequence.
        class_names: Name of each class id; those that no object has are left out.
        options: Options with the images' channels.

    Raises:
        DataError: A line is malformed, or its frame has no image.
    """
    builder = AnnotationBuilder()
    paths: list[Path] = []
    sizes: list[tuple[int, int]] = []
    texts: list[Path] = []
    videos: list[Video] = []
    used: dict[int, int] = {}
    num_frames_missing = 0
    for video, (folder, text) in sequences.items():
        frames = {}
        for path in list_images(folder, recursive=False):
            if path.stem.isdecimal():
                frames[int(path.stem[:18])] = len(paths)
                paths.append(path)
                sizes.append((0, 0))
                texts.append(text)
        videos.append(Video(video, video, tuple(frames[number] for number in sorted(frames))))
        num_frames_missing += add_objects(builder, text, frames, sizes, class_names, used)
    class_ids = sorted(used)
    table = np.zeros(len(used), np.int32)
    table[[used[number] for number in class_ids]] = np.arange(len(used))
    builder.renumber(np.arange(len(paths), dtype=np.int32), table)
    annotations = builder.finish(
        np.array(sizes, np.int64).reshape(-1, 2), lambda image, id: f"{texts[image]}: object {id}"
    )
    labels = build_object_labels(
        [class_names[number] for number in class_ids], category_ids=tuple(class_ids)
    )
    dataset = ObjectDataset(
        format, name, labels, paths, annotations,
        lambda image, id: f"{texts[image]}: object {id}", options.channels,
    )  # fmt: skip
    dataset.videos = videos
    if num_frames_missing:
        add_notes(dataset, [f"{num_frames_missing} objects are of frames without an image"])
    return dataset


def add_objects(
    builder: AnnotationBuilder,
    text: Path,
    frames: Mapping[int, int],
    sizes: list[tuple[int, int]],
    class_names: Mapping[int, str],
    used: dict[int, int],
) -> int:
    """Add the objects of one sequence, and count those of frames without an image.

    Args:
        builder: Collector of the objects.
        text: Text file of the sequence.
        frames: Index of the image of each frame.
        sizes: Height and width of each image, set here.
        class_names: Name of each class id.
        used: Index of each class id that occurs, extended here.

    Raises:
        DataError: A line is malformed.
    """
    num_missing = 0
    try:
        with text.open(encoding="utf-8") as stream:
            for number, line in enumerate(stream, start=1):
                if not (fields := line.split()):
                    continue
                frame, id, class_id, mask = parse_line(fields, f"{text}: line {number}")
                if class_id not in class_names:
                    raise DataError(
                        f"{text}: line {number} has class {class_id}, but classes are "
                        f"{', '.join(map(str, class_names))}: correct it"
                    )
                if (index := frames.get(frame)) is None:
                    num_missing += 1
                    continue
                if sizes[index] not in ((0, 0), mask.size):
                    raise DataError(f"{text}: line {number} has another size than its frame: redo")
                sizes[index] = mask.size
                label = used.setdefault(class_id, len(used))
                builder.add(index, label, id, mask)
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{text} cannot be read ({error}): download it again") from error
    return num_missing


def parse_line(fields: list[str], origin: str) -> tuple[int, int, int, RunLength]:
    """Parse the frame, id, class id and mask of a line.

    Raises:
        DataError: A field is malformed.
    """
    numbers = fields[: FIELDS - 1]
    if len(fields) != FIELDS or not all(
        field.isascii() and field.isdecimal() and len(field) <= 9 for field in numbers
    ):
        raise DataError(f"{origin} is not 'frame id class height width run-lengths': correct it")
    frame, id, class_id, height, width = map(int, numbers)
    try:
        mask = RunLength.from_coco({"size": [height, width], "counts": fields[-1]})
    except DataError as error:
        raise DataError(f"{origin}: {error}") from error
    return frame, id, class_id, mask
