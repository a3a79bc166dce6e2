"""Evaluation of tracks on labelled videos."""

from pathlib import Path

from unimask.config import Preprocessing
from unimask.datasets import Dataset, describe, open_dataset
from unimask.datasets.interface import DatasetOptions
from unimask.datasets.splits import Subset
from unimask.datasets.videos import Video, find_videos
from unimask.errors import DataError
from unimask.evaluation.evaluate import Progress, check_sources, load_predictor
from unimask.evaluation.result_providers import open_predictions
from unimask.evaluation.track_providers import FileTracks, PredictedTracks, TrackProvider
from unimask.evaluation.track_scorers import build_track_scorer
from unimask.formats.output_file import check_output_files, write_report
from unimask.inference import Dtype, Predictor
from unimask.processing.intensities import UINT8_WINDOW


def evaluate_tracks(
    data: str | Path,
    model: str | Path | Predictor | None = None,
    *,
    results: str | Path | None = None,
    categories: str | None = None,
    task: str | None = None,
    split: str | None = "val",
    format: str | None = None,
    device: str = "auto",
    dtype: Dtype = "float32",
    preprocessing: Preprocessing = "authors",
    compile: bool = False,
    json: str | Path | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> dict[str, object]:
    """Score the tracks of a model, or those in files, on labelled videos.

    Instance: AP and AR of tracks as YouTube-VIS defines them and, if TrackEval is installed, HOTA,
    IDF1 and MOTA as means over classes, and the number of switches of ids. Panoptic and semantic:
    VPQ and STQ; semantic classes count as stuff. All but switches are percentages; undefined ones
    are None.

    Args:
        data: Folder of labelled videos: YouTube-VIS, MOTS or KITTI-STEP.
        model: Predictor, or any model that `load` takes; it tracks the labelled frames.
        results: Tracks to score instead of a model: YouTube-VIS JSON or MOTS text.
        categories: Numbering of classes in results without names, "data" or "labels".
        task: Task to score; by default the model's most demanding one that the labels support.
        split: Split of the dataset; None for all videos.
        format: Format of the labels as `open_dataset` takes it.
        device: Device of a model that is loaded here.
        dtype: Data type of its computation, as `load` takes it.
        preprocessing: Source of its pre-processing, "authors" or "hub", as `load` takes it.
        compile: Whether it is compiled, as `load` takes it.
        json: File to write the scores to.
        overwrite: Whether `json` may replace a file that unimask did not write.
        progress: Function that is called after each frame.

    Returns:
        `{task, data, description, split, images, videos, metrics, per_class, notes}`.

    Raises:
        DataError: Dataset, results or model cannot be read, or do not belong together, or the
            labels have no identities.
        OutputError: The file cannot be written, or exists and was not written by unimask.
        SettingsError: There is neither a model nor results, or both.
        TaskError: Model, results or labels do not support the task.

    Example:
        >>> from unimask.evaluation import evaluate_tracks
        >>> report = evaluate_tracks("traffic", "rendered-town")  # doctest: +SKIP
        >>> print(report["metrics"]["VPQ"])  # doctest: +SKIP
    """
    check_sources(model, results, categories, False)
    check_output_files(json, None, overwrite=overwrite)
    if results is not None:
        dataset = open_dataset(data, split, format=format)
        videos = labelled_videos(data, dataset)
        provider: TrackProvider = FileTracks(results, dataset, videos, task, categories)
    else:
        predictor = load_predictor(model, device, dtype, preprocessing, compile)
        options = DatasetOptions(format=format)
        # The predictor applies a window of its own to each frame: the dataset must not.
        window = UINT8_WINDOW if predictor.description.preprocessing.window else None
        predictions = open_predictions(predictor, data, split, task, options, window)
        provider = PredictedTracks(predictions)
        videos = labelled_videos(data, provider.dataset)
    report = {
        "task": provider.task,
        "data": provider.dataset.name,
        "description": describe(provider.dataset),
        "split": split,
        **score_videos(provider, videos, progress),
    }
    if json is not None:
        write_report(json, report, overwrite=overwrite)
    return report


def labelled_videos(data: str | Path, dataset: Dataset) -> list[Video]:
    """Return the videos of a dataset.

    Raises:
        DataError: The labels do not identify objects through videos, or the split cuts videos.
    """
    videos = find_videos(dataset)
    if not videos:
        raise DataError(
            f"{data} has no ids of objects through videos: score images without --tracks, or label "
            "videos as YouTube-VIS, MOTS or KITTI-STEP"
        )
    lengths = {video.id: len(video.frames) for video in videos}
    whole = find_videos(dataset.dataset) if isinstance(dataset, Subset) else []
    if any(len(video.frames) != lengths.get(video.id, len(video.frames)) for video in whole):
        raise DataError(
            f"{data} has no validation videos of its own, and too few videos to set whole ones "
            "aside: name another split by --split, such as all"
        )
    return videos


def score_videos(
    provider: TrackProvider, videos: list[Video], progress: Progress | None
) -> dict[str, object]:
    """Score the results of all videos."""
    scorer = build_track_scorer(provider.task, provider.labels, provider.min_score)
    total = sum(len(video.frames) for video in videos)
    done = 0
    for video in videos:
        for result, sample in provider.results(video):
            scorer.add(result, sample)
            done += 1
            if progress is not None:
                progress(done, total)
        scorer.end_video(video.name)
    return {
        "images": done,
        "videos": len(videos),
        "metrics": scorer.metrics(),
        "per_class": scorer.per_class(),
        "notes": [*provider.notes(), *scorer.notes()],
    }
