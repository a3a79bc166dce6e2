"""Selection of unlabelled images to label next."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
from jaxtyping import Float

from unimask.config import Window
from unimask.datasets.folder import DatasetFolder
from unimask.errors import DataError, ImageError, SettingsError
from unimask.formats.file_digest import sampled_digest
from unimask.inference import Predictor, load
from unimask.inference.exported import ExportedPredictor
from unimask.inference.sources import list_sources
from unimask.inference.thread_map import thread_map
from unimask.labels import Task
from unimask.processing.arguments import check_count
from unimask.processing.images import MAX_PIXELS, ImageArray, count_pixels, read_image
from unimask.results import Result
from unimask.selection.choose import choose_images, rank_shares
from unimask.selection.image_features import record_image_features, standardise
from unimask.selection.informativeness import compute_disagreement, compute_uncertainty

MIN_SCORE = 0.1
"""Minimum score of the instances from which uncertainty is computed."""

MAX_PENDING_IMAGES = 2
"""Largest number of images that are read in advance."""

Progress = Callable[[int, int], None]
"""Function called with the number of finished images and of all images."""


@dataclass(frozen=True, slots=True)
class SelectedImage:
    """An unlabelled image that was selected.

    Attributes:
        path: Path of the image.
        uncertainty: Uncertainty of its prediction from 0 to 1; None if nothing was predicted.
        disagreement: Difference between its prediction and that of its mirror image, from 0 to 1.
    """

    path: Path
    uncertainty: float | None
    disagreement: float


@dataclass(frozen=True, slots=True)
class Selection:
    """Images to label next.

    Attributes:
        images: Selected images, in the order of selection.
        num_candidates: Number of images among which they were selected.
        failures: Error of each image that could not be read.
    """

    images: tuple[SelectedImage, ...]
    num_candidates: int
    failures: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, object]:
        """Return the selection as plain values that can be written as JSON."""
        return {
            "images": [asdict(image) | {"path": str(image.path)} for image in self.images],
            "candidates": self.num_candidates,
            "failures": list(self.failures),
        }


@dataclass(frozen=True, slots=True)
class ScoredImage:
    """An image with its scores and features."""

    image: SelectedImage
    features: Float[np.ndarray, " f"]


def select(
    images: str | Path | Sequence[str | Path],
    model: str | Path | Predictor,
    count: int,
    *,
    task: str | None = None,
    labelled: str | Path | None = None,
    device: str = "auto",
    window: Window = None,
    max_pixels: int = MAX_PIXELS,
    progress: Progress | None = None,
) -> Selection:
    """Select the images whose labels would improve a model most.

    An image is worth labelling if its prediction is uncertain, if it differs from the prediction of
    the mirrored image, and if it looks unlike images that are already selected or labelled. The
    first two are averaged by rank; images are then chosen one by one by the product of this
    informativeness and the distance of their features to the nearest chosen or labelled image.

    Args:
        images: Folder, glob pattern, or paths of unlabelled images.
        model: Model to improve: a predictor, or anything that `load` accepts.
        count: Number of images to select, at least 1.
        task: Task of the predictions; by default the model's most general task.
        labelled: Dataset folder of the images that have labels. Copies of them are not selected,
            and images that look like them are less likely to be; None for no images.
        device: Device of the model, if it is loaded here.
        window: Values mapped to 0 and 255; see `Predictor.predict`.
        max_pixels: Largest number of pixels per image; larger images are skipped.
        progress: Function called after each image.

    Raises:
        ImageError: No image can be read.
        SettingsError: `count` is out of range.
        TaskError: The model was not trained for the task.

    Example:
        >>> import unimask
        >>> selection = unimask.select("photos", "runs/first", 20)  # doctest: +SKIP
        >>> [image.path.name for image in selection.images]  # doctest: +SKIP
    """
    check_count("count", count)
    predictor = model if isinstance(model, Predictor) else load(model, device=device)  # type: ignore[arg-type]
    if isinstance(predictor, ExportedPredictor):
        raise SettingsError(
            f"{predictor.name} is an exported file, which gives no image features: pass the model "
            "that it was exported from"
        )
    resolved_task = predictor.resolve_task(task)
    labelled_paths = [] if labelled is None else list_labelled(Path(labelled))
    known = {sampled_digest([path]) for path in labelled_paths}
    paths = [path for path in list_paths(images) if sampled_digest([path]) not in known]
    scorer = ImageScorer(predictor, resolved_task, window, max_pixels)
    outcomes: list[ScoredImage | ImageError] = []
    for outcome in scorer.score([*paths, *labelled_paths]):
        outcomes.append(outcome)
        if progress is not None:
            progress(len(outcomes), len(paths) + len(labelled_paths))
    rows, labelled_rows = (
        [each for each in part if isinstance(each, ScoredImage)]
        for part in (outcomes[: len(paths)], outcomes[len(paths) :])
    )
    failures = [str(each) for each in outcomes if isinstance(each, ImageError)]
    if not rows:
        raise ImageError(failures[0] if failures else f"all images have labels in {labelled}")
    chosen = choose_rows(rows, labelled_rows, count)
    return Selection(tuple(rows[i].image for i in chosen), len(rows), tuple(failures))


def list_labelled(folder: Path) -> list[Path]:
    """Return the paths of all images of a labelled dataset.

    Raises:
        DataError: The folder is no dataset, or its images are not files.
    """
    dataset = DatasetFolder(folder)
    paths = [path for name in dataset.split_names() for path in dataset.open(name).paths]
    if not all(Path(path).is_file() for path in paths):
        raise DataError(f"{folder} stores its images in tables: pass a dataset of image files")
    return [Path(path) for path in paths]


def list_paths(images: str | Path | Sequence[str | Path]) -> list[Path]:
    """Return the paths of the images that an argument names."""
    if isinstance(images, str | Path):
        return list_sources(images)
    return [path for each in images for path in list_sources(each)]


def choose_rows(
    rows: Sequence[ScoredImage], labelled: Sequence[ScoredImage], count: int
) -> list[int]:
    """Choose images by their informativeness, and by their distance to one another."""
    scores = [[row.image.uncertainty, row.image.disagreement] for row in rows]
    uncertainty, disagreement = map(rank_shares, np.array(scores, np.float64).T)
    features = standardise(np.stack([row.features for row in [*rows, *labelled]]))
    return choose_images(
        (uncertainty + disagreement) / 2, features[: len(rows)], features[len(rows) :], count
    )


class ImageScorer:
    """Scores of images by a model, two forward passes each.

    Args:
        predictor: Model.
        task: Task of the predictions.
        window: Values mapped to 0 and 255.
        max_pixels: Largest number of pixels per image.
    """

    def __init__(self, predictor: Predictor, task: Task, window: Window, max_pixels: int) -> None:
        self.predictor, self.task = predictor, task
        rules = predictor.description.preprocessing
        self.window: Window = rules.window if window is None else window
        self.max_pixels = max_pixels

    def score(self, paths: Iterable[Path]) -> Iterator[ScoredImage | ImageError]:
        """Yield each image with its scores, or the error of one that cannot be read, in order."""
        with closing(thread_map(paths, self.read, MAX_PENDING_IMAGES, count_pixels)) as pending:
            for path, future in pending:
                try:
                    yield self.score_array(path, future.result())
                except ImageError as error:
                    yield error
                del future  # else its image stays in memory while the next one is read

    def read(self, path: Path) -> ImageArray:
        """Read an image.

        Raises:
            ImageError: It cannot be read.
        """
        return read_image(
            path,
            window=self.window,
            max_pixels=self.max_pixels,
            channels=self.predictor.channels,
        )

    def score_array(self, path: Path, image: ImageArray) -> ScoredImage:
        """Compute the scores and features of one image."""
        mirrored = np.ascontiguousarray(image[:, ::-1])
        low = MIN_SCORE if self.task == "instance" else None
        with record_image_features(self.predictor.network) as features:
            results = self.predictor.predict(
                [image, mirrored],
                self.task,
                threshold=low,
                batch_size=2,
                max_pixels=self.max_pixels,
            )
        uncertainty = compute_uncertainty(results[0])
        min_score = self.predictor.min_score("instance") or 0.0
        confident = [without_candidates(result, min_score) for result in results]
        disagreement = compute_disagreement(*confident)
        return ScoredImage(SelectedImage(path, uncertainty, disagreement), features[0])


def without_candidates(result: Result, min_score: float) -> Result:
    """Return a result without the instances of lower scores."""
    if result.task != "instance":
        return result
    segments = [segment for segment in result.segments if (segment.score or 0) >= min_score]
    return replace(result, segments=tuple(segments))
