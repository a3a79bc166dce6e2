"""Detection of the format of results in a file or a folder."""

from pathlib import Path

from unimask.datasets import Dataset
from unimask.errors import DataError, SettingsError, TaskError
from unimask.evaluation.result_files.coco import CocoResults
from unimask.evaluation.result_files.json_file import read_json
from unimask.evaluation.result_files.maps import MapResults
from unimask.evaluation.result_files.panoptic import PanopticResults
from unimask.evaluation.result_files.saved import SavedResults, saved_files
from unimask.evaluation.result_files.source import ResultSource
from unimask.labels import parse_task


def open_results(
    path: str | Path, dataset: Dataset, task: str | None = None, categories: str | None = None
) -> ResultSource:
    """Open results of any program.

    Results of `Result.save` and `unimask predict --out` are read directly, subfolders included. A
    JSON list is COCO results (instance). A JSON object with annotations, or a folder with one, is
    COCO panoptic with its PNGs. Any other folder contains maps: of label ids (semantic), or of
    object ids with `task="instance"`.

    Args:
        path: File or folder of the results.
        dataset: Dataset whose images the results belong to.
        task: Task of the results; by default it follows from their format.
        categories: Numbering of `category_id`, "data" (the dataset's category ids) or "labels"
            (label ids from 0); detected by default.

    Raises:
        DataError: They cannot be read, or belong to no image of the dataset.
        SettingsError: These results have no categories.
        TaskError: They belong to another task.
    """
    place = Path(path)
    chosen = None if task is None else parse_task(task)
    if not place.exists():
        raise DataError(f"{place} does not exist: give the file or the folder of the results")
    source = listed_results(place, dataset, categories)
    if source is None:
        if categories is not None:
            raise SettingsError(f"{place} has no categories: leave --categories out")
        if chosen == "panoptic":
            raise DataError(f"{place} holds no JSON of COCO panoptic: it tells the classes")
        return MapResults(place, dataset, chosen or "semantic")
    if chosen not in (None, source.task):
        raise TaskError(f"{place} holds {source.task} results, not {chosen}: leave --task away")
    return source


def listed_results(place: Path, dataset: Dataset, categories: str | None) -> ResultSource | None:
    """Open results that JSON files list; return None for a folder without any.

    Raises:
        DataError: They are invalid.
        SettingsError: `categories` was passed for results that name their classes.
    """
    saved = saved_files(place)
    if saved:
        if categories is not None:
            raise SettingsError(f"{place} names its classes: leave --categories out")
        return SavedResults(place, saved, dataset)
    file = json_of(place)
    if file is None:
        return None
    content = read_json(file)
    if isinstance(content, list):
        return CocoResults(file, content, dataset, categories)
    if isinstance(content, dict) and "annotations" in content:
        return PanopticResults(file, content, dataset, categories)
    raise DataError(f"{file} is neither COCO results (a list) nor COCO panoptic (with annotations)")


def json_of(place: Path) -> Path | None:
    """Return the file itself, or the only JSON file in a folder; None for a folder without one."""
    if place.is_file():
        return place
    files = sorted(place.glob("*.json"))
    if len(files) > 1:
        raise DataError(f"{place} holds {len(files)} JSON files: name the one with the results")
    return files[0] if files else None
