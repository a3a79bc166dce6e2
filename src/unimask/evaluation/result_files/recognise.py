"""What kind of results lies in a file or a folder."""

import json
from pathlib import Path
from typing import Any

from unimask.datasets import Dataset
from unimask.errors import DataError, TaskError
from unimask.evaluation.result_files.coco import CocoResults
from unimask.evaluation.result_files.maps import MapResults
from unimask.evaluation.result_files.panoptic import PanopticResults
from unimask.evaluation.result_files.source import ResultSource
from unimask.labels import parse_task


def open_results(path: str | Path, dataset: Dataset, task: str | None = None) -> ResultSource:
    """Open results that any program wrote.

    A JSON list is COCO results (instance). A JSON object with annotations, or a folder that holds
    one, is COCO panoptic with its PNGs. Any other folder is maps: of label ids (semantic), or of
    object numbers with `task="instance"`.

    Args:
        path: The file or the folder.
        dataset: The pictures that the results are of.
        task: What they answer; follows from the kind of files otherwise.

    Raises:
        DataError: They cannot be read, or are of no picture of the dataset.
        TaskError: They answer another task.
    """
    place = Path(path)
    wanted = None if task is None else parse_task(task)
    file = json_of(place)
    if file is None:
        if wanted == "panoptic":
            raise DataError(f"{place} holds no JSON of COCO panoptic: it tells the classes")
        return MapResults(place, dataset, wanted or "semantic")
    content = read_json(file)
    found: ResultSource
    if isinstance(content, list):
        found = CocoResults(file, content, dataset)
    elif isinstance(content, dict) and "annotations" in content:
        found = PanopticResults(file, content, dataset)
    else:
        raise DataError(
            f"{file} is neither COCO results (a list) nor COCO panoptic (with annotations)"
        )
    if wanted not in (None, found.task):
        raise TaskError(f"{file} holds {found.task} results, not {wanted}: leave --task away")
    return found


def json_of(place: Path) -> Path | None:
    """Give the file itself, or the only JSON in a folder; None for a folder without one."""
    if place.is_file():
        return place
    if not place.is_dir():
        raise DataError(f"{place} does not exist: give the file or the folder of the results")
    files = sorted(place.glob("*.json"))
    if len(files) > 1:
        raise DataError(f"{place} holds {len(files)} JSON files: name the one with the results")
    return files[0] if files else None


def read_json(path: Path) -> Any:
    """Read a JSON file.

    Raises:
        DataError: It cannot be read, or is no JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path} is not JSON ({error}): write it again") from None
