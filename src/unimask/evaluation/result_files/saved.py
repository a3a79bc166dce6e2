"""Results of `Result.save` and `unimask predict --out`: one JSON per image, with class names."""

from collections.abc import Sequence
from pathlib import Path, PurePath

from unimask.datasets import Dataset
from unimask.errors import DataError, SettingsError, TaskError
from unimask.evaluation.classes import ClassMapping, match_classes
from unimask.evaluation.result_files.json_file import read_json
from unimask.evaluation.result_files.records import SavedResult, SavedSegment
from unimask.evaluation.result_files.source import unmatched_notes
from unimask.formats.json_outline import read_json_outline
from unimask.formats.json_values import JsonValueError, convert_record
from unimask.formats.run_length import RunLength
from unimask.labels import LabelSet, Task
from unimask.results import Result, Segment

RESULT_KEYS = ("task", "labels", "segments", "size")
"""Keys of the JSON of a result."""

MAX_PATH_PARTS = 8
"""Maximum number of parent folders by which images of the same name are distinguished."""


class SavedResults:
    """Results that this package wrote; classes are matched by their names.

    An image is identified by the path in its result; else by the longest end of that path, or of
    the result's own path, that only one image has.

    Args:
        root: Folder of the results, or the only file.
        files: JSON files of results.
        dataset: Dataset whose images the results belong to.

    Raises:
        DataError: A file is invalid, or none belongs to an image of the dataset.
        TaskError: The results belong to different tasks.
    """

    def __init__(self, root: Path, files: Sequence[Path], dataset: Dataset) -> None:
        self.root, self.labels, self.paths = root, dataset.labels, dataset.paths
        self.class_mappings: dict[tuple[str, ...], ClassMapping] = {}
        images, tasks = PathIndex(dataset.paths), set[Task]()
        self.files: dict[int, Path] = {}
        num_unmatched = 0
        for path in files:
            saved = read_saved_result(path)
            tasks.add(saved.task)
            index = images.find(saved.image, path, root)
            if index is None:
                num_unmatched += 1
            elif index in self.files:
                raise DataError(
                    f"{self.files[index]} and {path} are both results for {self.paths[index].name}:"
                    " keep one"
                )
            else:
                self.files[index] = path
        if len(tasks) != 1:
            raise TaskError(f"{root} holds results of several tasks ({', '.join(sorted(tasks))})")
        self.task: Task = tasks.pop()
        self.match_notes = unmatched_notes(len(dataset), len(self.files), num_unmatched, root)

    def result(self, index: int, size: tuple[int, int]) -> Result:
        """Return the result for an image, in the dataset's label ids."""
        if index not in self.files:
            return Result(self.task, size, self.labels, (), path=self.paths[index])
        path = self.files[index]
        saved = read_saved_result(path)
        labels = saved_label_set(path, saved, self.labels)
        segments = [
            to_segment(path, segment_id, segment, labels, size)
            for segment_id, segment in enumerate(saved.segments, start=1)
        ]
        key = (*saved.labels, str(labels.is_thing))
        if key not in self.class_mappings:
            self.class_mappings[key] = match_classes(self.root.name, labels, self.labels, self.task)
        result = Result(self.task, size, labels, tuple(segments), path=self.paths[index])
        return self.class_mappings[key].map_result(result)

    def notes(self) -> list[str]:
        """Return how many results or images, and which classes, have no counterpart."""
        classes = [note for classes in self.class_mappings.values() for note in classes.notes()]
        return [*self.match_notes, *dict.fromkeys(classes)]


class PathIndex:
    """Images by the ends of their paths; an end that several images share identifies none.

    Args:
        paths: Paths of the images.
    """

    def __init__(self, paths: Sequence[Path]) -> None:
        self.by_path = {str(path.absolute()): index for index, path in enumerate(paths)}
        self.by_suffix: dict[tuple[str, ...], int | None] = {}
        for index, path in enumerate(paths):
            for parts in (path.parts, path.with_suffix("").parts):
                for count in range(1, MAX_PATH_PARTS + 1):
                    suffix = parts[-count:]
                    other = self.by_suffix.setdefault(suffix, index)
                    self.by_suffix[suffix] = index if other == index else None

    def find(self, image: str | None, path: Path, root: Path) -> int | None:
        """Return the index of the image that a result belongs to; None if there is none.

        Args:
            image: Path of the image in the result.
            path: Path of the result itself.
            root: Folder of all results.
        """
        relative = path.relative_to(root) if path != root else Path(path.name)
        suffixes = [relative.with_suffix("").parts]
        if image is not None:
            index = self.by_path.get(str(Path(image).absolute()))
            if index is not None:
                return index
            image_path = PurePath(image)
            suffixes = [
                image_path.parts,
                image_path.with_suffix("").parts if image_path.name else (),
                *suffixes,
            ]
        for parts in suffixes:
            for count in range(min(len(parts), MAX_PATH_PARTS), 0, -1):
                index = self.by_suffix.get(parts[-count:])
                if index is not None:
                    return index
        return None


def find_saved_results(location: Path) -> list[Path]:
    """Return the JSON files of saved results in a folder and its subfolders, or the file itself."""
    files = [location] if location.is_file() else sorted(location.rglob("*.json"))
    return [path for path in files if is_saved_result(path)]


def is_saved_result(path: Path) -> bool:
    """Return whether a JSON file is a saved result, by its first keys."""
    outline = read_json_outline(path)
    return outline.kind == "object" and set(RESULT_KEYS) <= set(outline.keys)


def read_saved_result(path: Path) -> SavedResult:
    """Read the JSON of a result.

    Raises:
        DataError: The file is invalid.
    """
    try:
        return convert_record(read_json(path), SavedResult)
    except JsonValueError as error:
        raise DataError(f"{path}: {error}: predict the image again") from None


def saved_label_set(path: Path, saved: SavedResult, data: LabelSet) -> LabelSet:
    """Return the label set of a result; earlier releases did not save which classes are things.

    Raises:
        DataError: The classes are not a valid label set.
    """
    is_thing = dict(zip(data.names, data.is_thing, strict=True))
    things = saved.is_thing
    if things is None:
        things = [is_thing.get(name, True) for name in saved.labels]
    try:
        return LabelSet(tuple(saved.labels), tuple(things))
    except SettingsError as error:
        raise DataError(f"{path}: {error}") from None


def to_segment(
    path: Path, segment_id: int, saved: SavedSegment, labels: LabelSet, size: tuple[int, int]
) -> Segment:
    """Convert one saved segment.

    Raises:
        DataError: Its class or its mask is invalid.
    """
    if not 0 <= saved.label_id < len(labels):
        raise DataError(
            f"{path}: segment {segment_id} has the label_id {saved.label_id}, which is none"
        )
    try:
        rle = RunLength.from_coco(saved.rle)
    except DataError as error:
        raise DataError(f"{path}: segment {segment_id}: {error}") from None
    if rle.size != size:
        raise DataError(
            f"{path}: the masks are {rle.size[0]} x {rle.size[1]}, but the image is {size[0]} x "
            f"{size[1]}: predict the image again"
        )
    return Segment.from_rle(labels, saved.label_id, rle, id=segment_id, score=saved.score)
