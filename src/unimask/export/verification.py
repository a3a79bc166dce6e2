"""Comparison of an exported file with the network that it was exported from."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from unimask.errors import SettingsError
from unimask.export.formats import Precision
from unimask.inference.exported import ExportedPredictor
from unimask.inference.predictor import Predictor
from unimask.labels import Task
from unimask.outputs import SegmenterOutput
from unimask.processing.images import MAX_PIXELS, ImageArray
from unimask.processing.preprocess import Preprocessed
from unimask.processing.windowed import cut_windows, list_windows
from unimask.results import Result

LOGIT_SHARE = 0.999
"""Share of the logits that must be as close. Where a mask logit is almost 0, rounding decides
whether masked attention reads its position, which changes all logits of a query."""

MAX_COMPARED = 256
"""Number of logits per query by which queries are aligned, at most."""


@dataclass(frozen=True, slots=True)
class Tolerance:
    """Largest difference of an exported file from its network.

    Attributes:
        logit_error: Largest difference of `LOGIT_SHARE` of the logits, relative to the greatest.
        equal_pixels: Smallest share of pixels with equal decisions, from 0 to 1.
        min_score: Smallest score of the instances that are compared; None for that of predictions.
            Rounded weights order the others, which have scores near 0, differently.
    """

    logit_error: float
    equal_pixels: float
    min_score: float | None = None


# Rounded weights change the order of selected queries, and with it all logits.
TOLERANCES: dict[Precision, Tolerance] = {
    "float32": Tolerance(1e-3, 0.999, min_score=0.0),
    "float16": Tolerance(float("inf"), 0.99),
    "int8": Tolerance(float("inf"), 0.95),
}


@dataclass(frozen=True, slots=True)
class Agreement:
    """Agreement of an exported file with the network.

    Attributes:
        images: Number of images compared.
        logit_error: Difference of logits that 99.9 % of them stay below, relative to the greatest
            logit.
        max_logit_error: Greatest difference of logits, relative to the greatest logit.
        equal_pixels: Per task, the share of pixels with equal decisions among those that either
            assigns to a class or segment, from 0 to 1.
        tolerance: Largest difference allowed.
    """

    images: int
    logit_error: float
    max_logit_error: float
    equal_pixels: dict[Task, float]
    tolerance: Tolerance = TOLERANCES["float32"]

    @property
    def is_within_tolerance(self) -> bool:
        """Whether logits and decisions are equal enough."""
        share = min(self.equal_pixels.values())
        tolerance = self.tolerance
        return self.logit_error <= tolerance.logit_error and share >= tolerance.equal_pixels

    def describe(self) -> str:
        """Describe the agreement in one line."""
        shares = ", ".join(
            f"{100 * share:.3f} % {task}" for task, share in self.equal_pixels.items()
        )
        return (
            f"logits differ by at most {self.max_logit_error:.1e} of the greatest "
            f"({100 * LOGIT_SHARE} % of them by {self.logit_error:.1e}); "
            f"equal pixels: {shares} ({self.images} images)"
        )


@torch.inference_mode()
def compare_predictors(
    original: Predictor,
    exported: ExportedPredictor,
    images: Sequence[ImageArray],
    *,
    num_random: int = 1,
    tolerance: Tolerance = TOLERANCES["float32"],
) -> Agreement:
    """Compare logits and decisions on random images and on the given ones.

    Args:
        original: Model with the preprocessing of the exported file.
        exported: The exported file.
        images: Images to compare on, in addition to random ones.
        num_random: Number of random images; they have the size of masks, in which decisions are
            fast.
        tolerance: Largest difference allowed.
    """
    height, width = exported.network.description.input.size
    random = np.random.default_rng(0)
    noise = [
        random.integers(0, 256, (-(-height // 4), -(-width // 4), exported.channels), np.uint8)
        for _ in range(num_random)
    ]
    errors: list[tuple[float, float]] = []
    counts: dict[Task, np.ndarray] = {task: np.zeros(2, np.int64) for task in exported.tasks}
    everything = [*noise, *images]
    for image in everything:
        first, second = (network_input(image, model) for model in (original, exported))
        pixel_values = first.pixel_values
        if exported.dtype == torch.uint8:  # whose padding is rounded
            pixel_values = normalise_pixels(second.pixel_values, original)
        outputs: tuple[SegmenterOutput, ...] = ()
        for task in exported.tasks:
            if not outputs or exported.network.description.takes_task:
                outputs = (
                    original.logits(pixel_values[None], task),
                    exported.logits(second.pixel_values[None], task),
                )
                errors += logit_errors(*outputs)
            min_score = tolerance.min_score if task == "instance" else None
            results = (
                original.postprocess(output, 0, first, task, min_score, False) for output in outputs
            )
            counts[task] += count_equal_pixels(*results)
    shares: dict[Task, float] = {
        task: float(equal / total) if total else 1.0 for task, (equal, total) in counts.items()
    }
    common, greatest = (max(values) for values in zip(*errors, strict=True))
    return Agreement(len(everything), common, greatest, shares, tolerance)


def network_input(image: ImageArray, model: Predictor) -> Preprocessed:
    """Preprocess an image; of models that segment windows, return its first window alone."""
    item = model.prepare(image, None, MAX_PIXELS).preprocessed
    windows = list_windows(item.input_size, model.description.preprocessing)
    if not windows:
        return item
    (pixel_values,) = cut_windows(item.pixel_values[None], windows[:1])
    size = pixel_values.shape[1], pixel_values.shape[2]
    return Preprocessed(pixel_values, size, size, size)


def normalise_pixels(pixel_values: Tensor, model: Predictor) -> Tensor:
    """Normalise an image (c, h, w) with values from 0 to 255."""
    rules = model.description.preprocessing
    mean, std = (torch.tensor(values)[:, None, None] for values in (rules.mean, rules.std))
    return (pixel_values.float() - mean) / std


def logit_errors(ours: SegmenterOutput, theirs: SegmenterOutput) -> list[tuple[float, float]]:
    """Return the common and the greatest difference of class and of mask logits.

    Both are relative to the greatest logit; the common one is that of `LOGIT_SHARE`.
    """
    errors = []
    for expected, actual in zip(ours[:2], align_queries(ours, theirs)[:2], strict=True):
        error = (expected - actual).abs() / expected.abs().max().clamp(min=1e-6)
        error = error.nan_to_num(float("inf")).flatten()
        common = error.kthvalue(max(1, int(LOGIT_SHARE * len(error)))).values
        errors.append((float(common), float(error.max())))
    return errors


def align_queries(ours: SegmenterOutput, theirs: SegmenterOutput) -> SegmenterOutput:
    """Return the logits of one image of `theirs` with its queries in the order of `ours`.

    Networks that select queries from the image order them by a score, so that rounding may swap
    queries with almost equal scores. No decision depends on the order.
    """
    cost = torch.zeros(())
    for expected, actual in zip(ours[:2], theirs[:2], strict=True):
        step = expected[0, 0].numel() // MAX_COMPARED + 1
        rows, columns = (part[0].flatten(1)[:, ::step] for part in (expected, actual))
        cost = cost + torch.cdist(rows, columns, p=1) / expected.abs().max().clamp(min=1e-6)
    order = linear_sum_assignment(cost.nan_to_num(float(torch.finfo(torch.float32).max)))[1]
    return SegmenterOutput(theirs.class_logits[:, order], theirs.mask_logits[:, order])


def count_equal_pixels(ours: Result, theirs: Result) -> tuple[int, int]:
    """Count the pixels with equal decisions, and those for which either result has one.

    Segments of equal class are matched by their overlap, since ids only number them.
    """
    first, second = ours.segmentation, theirs.segmentation
    if ours.task == "semantic":
        assigned = (first >= 0) | (second >= 0)
        return int(((first == second) & assigned).sum()), int(assigned.sum())
    total = int(((first > 0) | (second > 0)).sum())
    classes = [{segment.id: segment.label_id for segment in r.segments} for r in (ours, theirs)]
    both = (first > 0) & (second > 0)
    pairs, overlaps = np.unique(np.stack([first[both], second[both]]), axis=1, return_counts=True)
    matched: tuple[set[int], set[int]] = (set(), set())
    equal = 0
    for index in np.argsort(-overlaps):
        one, other = map(int, pairs[:, index])
        is_free = one not in matched[0] and other not in matched[1]
        if is_free and classes[0][one] == classes[1][other]:
            matched[0].add(one)
            matched[1].add(other)
            equal += int(overlaps[index])
    return equal, total


def check_agreement(agreement: Agreement) -> None:
    """Refuse a file whose answers differ.

    Raises:
        SettingsError: The difference is beyond the tolerance.
    """
    if not agreement.is_within_tolerance:
        raise SettingsError(
            f"the exported graph differs from the network and was discarded: {agreement.describe()}"
        )
