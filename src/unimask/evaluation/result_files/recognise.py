"""Detection of the format of results in a file or a folder."""

from pathlib import Path

from unimask.datasets import Dataset
from unimask.datasets.volumes.dataset import VolumeDataset
from unimask.errors import DataError, SettingsError, TaskError
from unimask.evaluation.result_files.coco import CocoResults
from unimask.evaluation.result_files.json_file import read_json
from unimask.evaluation.result_files.maps import MapResults
from unimask.evaluation.result_files.panoptic import PanopticResults
from unimask.evaluation.result_files.saved import SavedResults, find_saved_results
from unimask.evaluation.result_files.source import ResultSource
from unimask.evaluation.result_files.volume_maps import VolumeMapResults
from unimask.labels import parse_task


def open_results(
    path: str | Path, dataset: Dataset, task: str | None = None, categories: str | None = None
) -> ResultSource:
    """Open results of any program.

    Results of `Result.save` and `unimask predict --out` are read directly, subfolders included. A
    JSON list is COCO results (instance). A JSON object with annotations, or a folder with one, is
    COCO panoptic with its PNGs. Any other folder contains maps: of label ids (semantic), or of
    object ids with `task="instance"`. Results of a dataset of volumes are a folder of label maps.

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
    location = Path(path)
    requested = None if task is None else parse_task(task)
    if not location.exists():
        raise DataError(f"{location} does not exist: pass the file or the folder of the results")
    if isinstance(dataset, VolumeDataset):
        if categories is not None:
            raise SettingsError(f"{location} has no category ids: omit --categories")
        return VolumeMapResults(location, dataset, requested)
    source = open_json_results(location, dataset, categories)
    if source is None:
        if categories is not None:
            raise SettingsError(f"{location} has no category ids: omit --categories")
        if requested == "panoptic":
            raise DataError(
                f"{location} lacks the JSON file of COCO panoptic, which holds the classes"
            )
        return MapResults(location, dataset, requested or "semantic")
    if requested not in (None, source.task):
        raise TaskError(f"{location} holds {source.task} results, not {requested}: omit --task")
    return source


def open_json_results(path: Path, dataset: Dataset, categories: str | None) -> ResultSource | None:
    """Open results that JSON files list; return None for a folder without any.

    Raises:
        DataError: They are invalid.
        SettingsError: `categories` was passed for results that name their classes.
    """
    files = find_saved_results(path)
    if files:
        if categories is not None:
            raise SettingsError(f"{path} identifies classes by name: omit --categories")
        return SavedResults(path, files, dataset)
    file = find_json(path)
    if file is None:
        return None
    content = read_json(file)
    if isinstance(content, list):
        return CocoResults(file, content, dataset, categories)
    if isinstance(content, dict) and "annotations" in content:
        return PanopticResults(file, content, dataset, categories)
    raise DataError(f"{file} is neither COCO results (a list) nor COCO panoptic (with annotations)")


def find_json(path: Path) -> Path | None:
    """Return the file itself, or the only JSON file in a folder; None for a folder without one."""
    if path.is_file():
        return path
    files = sorted(path.glob("*.json"))
    if len(files) > 1:
        raise DataError(f"{path} holds {len(files)} JSON files: name the one with the results")
    return files[0] if files else None
