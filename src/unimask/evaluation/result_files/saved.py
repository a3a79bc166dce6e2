"""Results of `Result.save` and `unimask predict --out`: one JSON per image, with class names."""

from collections.abc import Sequence
from pathlib import Path, PurePath

from unimask.datasets import Dataset
from unimask.errors import DataError, SettingsError, TaskError
from unimask.evaluation.classes import ClassMapping, match_classes
from unimask.evaluation.result_files.json_file import read_json
from unimask.evaluation.result_files.records import SavedResult, SavedSegment
from unimask.evaluation.result_files.source import partner_notes
from unimask.formats.json_outline import read_json_outline
from unimask.formats.json_values import JsonValueError, convert_record
from unimask.formats.run_length import RunLength
from unimask.labels import LabelSet, Task
from unimask.results import Result, Segment

KEYS = ("task", "labels", "segments", "size")
"""Keys of the JSON of a result."""

SUFFIX_PARTS = 8
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
        self.matched: dict[tuple[str, ...], ClassMapping] = {}
        images, tasks = ImageNames(dataset.paths), set[Task]()
        self.files: dict[int, Path] = {}
        strangers = 0
        for path in files:
            saved = read_saved(path)
            tasks.add(saved.task)
            index = images.find(saved.image, path, root)
            if index is None:
                strangers += 1
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
        self.told = partner_notes(len(dataset), len(self.files), strangers, root)

    def of(self, index: int, size: tuple[int, int]) -> Result:
        """Return the result for an image, in the dataset's label ids."""
        if index not in self.files:
            return Result(self.task, size, self.labels, (), path=self.paths[index])
        path = self.files[index]
        saved = read_saved(path)
        labels = labels_of(path, saved, self.labels)
        segments = [
            segment_of(path, place, segment, labels, size)
            for place, segment in enumerate(saved.segments, start=1)
        ]
        key = (*saved.labels, str(labels.is_thing))
        if key not in self.matched:
            self.matched[key] = match_classes(self.root.name, labels, self.labels, self.task)
        result = Result(self.task, size, labels, tuple(segments), path=self.paths[index])
        return self.matched[key].map_result(result)

    def notes(self) -> list[str]:
        """Return how many results or images, and which classes, have no counterpart."""
        classes = [note for classes in self.matched.values() for note in classes.notes()]
        return [*self.told, *dict.fromkeys(classes)]


class ImageNames:
    """Images by the ends of their paths; an end that several images share identifies none.

    Args:
        paths: Paths of the images.
    """

    def __init__(self, paths: Sequence[Path]) -> None:
        self.by_path = {str(path.absolute()): index for index, path in enumerate(paths)}
        self.by_end: dict[tuple[str, ...], int | None] = {}
        for index, path in enumerate(paths):
            for parts in (path.parts, path.with_suffix("").parts):
                for count in range(1, SUFFIX_PARTS + 1):
                    end = parts[-count:]
                    taken = self.by_end.setdefault(end, index)
                    self.by_end[end] = index if taken == index else None

    def find(self, image: str | None, path: Path, root: Path) -> int | None:
        """Return the index of the image that a result belongs to; None if there is none.

        Args:
            image: Path of the image in the result.
            path: Path of the result itself.
            root: Folder of all results.
        """
        inner = path.relative_to(root) if path != root else Path(path.name)
        ends = [inner.with_suffix("").parts]
        if image is not None:
            index = self.by_path.get(str(Path(image).absolute()))
            if index is not None:
                return index
            image_path = PurePath(image)
            ends = [
                image_path.parts,
                image_path.with_suffix("").parts if image_path.name else (),
                *ends,
            ]
        for parts in ends:
            for count in range(min(len(parts), SUFFIX_PARTS), 0, -1):
                index = self.by_end.get(parts[-count:])
                if index is not None:
                    return index
        return None


def saved_files(place: Path) -> list[Path]:
    """Return the JSON files of saved results in a folder and its subfolders, or the file itself."""
    files = [place] if place.is_file() else sorted(place.rglob("*.json"))
    return [path for path in files if is_saved(path)]


def is_saved(path: Path) -> bool:
    """Return whether a JSON file is a saved result, by its first keys."""
    outline = read_json_outline(path)
    return outline.kind == "object" and set(KEYS) <= set(outline.keys)


def read_saved(path: Path) -> SavedResult:
    """Read the JSON of a result.

    Raises:
        DataError: The file is invalid.
    """
    try:
        return convert_record(read_json(path), SavedResult)
    except JsonValueError as error:
        raise DataError(f"{path}: {error}: predict the image again") from None


def labels_of(path: Path, saved: SavedResult, data: LabelSet) -> LabelSet:
    """Return the label set of a result; earlier releases did not save which classes are things.

    Raises:
        DataError: The classes are not a valid label set.
    """
    kinds = dict(zip(data.names, data.is_thing, strict=True))
    things = saved.is_thing
    if things is None:
        things = [kinds.get(name, True) for name in saved.labels]
    try:
        return LabelSet(tuple(saved.labels), tuple(things))
    except SettingsError as error:
        raise DataError(f"{path}: {error}") from None


def segment_of(
    path: Path, place: int, found: SavedSegment, labels: LabelSet, size: tuple[int, int]
) -> Segment:
    """Convert one saved segment.

    Raises:
        DataError: Its class or its mask is invalid.
    """
    if not 0 <= found.label_id < len(labels):
        raise DataError(f"{path}: segment {place} has the label_id {found.label_id}, which is none")
    try:
        rle = RunLength.from_coco(found.rle)
    except DataError as error:
        raise DataError(f"{path}: segment {place}: {error}") from None
    if rle.size != size:
        raise DataError(
            f"{path}: the masks are {rle.size[0]} x {rle.size[1]}, but the image is {size[0]} x "
            f"{size[1]}: predict the image again"
        )
    return Segment.of(labels, found.label_id, rle, id=place, score=found.score)
