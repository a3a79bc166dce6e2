"""Validation of the averaged weights with the public predictor."""

import torch
from PIL import Image
from torch import Tensor

from unimask.checkpoints import ModelDescription
from unimask.datasets import Dataset
from unimask.datasets.ground_truth import ground_truth_result
from unimask.evaluation import evaluate_predictor
from unimask.evaluation.classes import match_model_classes
from unimask.evaluation.evaluate import Progress
from unimask.formats.atomic import atomic_path
from unimask.inference import Predictor
from unimask.labels import Task
from unimask.modeling.build import build_segmenter
from unimask.processing.intensities import UINT8_WINDOW
from unimask.results import Result
from unimask.training.run_folder import RunFolder

MAIN_METRICS = {"panoptic": ("PQ",), "semantic": ("mIoU",), "instance": ("AP", "AP_match@0.50")}
"""Main metric of each task; the first one that evaluation returns is used."""

NUM_SAMPLES = 4


def build_predictor(
    description: ModelDescription, state: dict[str, Tensor], device: torch.device, name: str
) -> Predictor:
    """Build a predictor from a run's weights."""
    network = build_segmenter(description.config)
    network.load_state_dict(state)
    network = network.to(device).eval().requires_grad_(False)
    return Predictor(network, description, name)


def validate(
    predictor: Predictor, dataset: Dataset, task: Task, progress: Progress | None = None
) -> tuple[str, float]:
    """Compute name and value of the task's main metric; 0 if it is undefined."""
    scores = evaluate_predictor(predictor, dataset, task=task, progress=progress)
    metrics: dict[str, float | None] = scores["metrics"]  # type: ignore[assignment]
    name = next(name for name in MAIN_METRICS[task] if name in metrics)
    return name, metrics[name] or 0.0


def draw_samples(
    predictor: Predictor, dataset: Dataset, task: Task, folder: RunFolder, step: int
) -> None:
    """Draw ground truth and prediction of a few evenly spaced images."""
    labels = match_model_classes(predictor, dataset, task).labels
    for index in range(min(NUM_SAMPLES, len(dataset))):
        sample = dataset[index * len(dataset) // min(NUM_SAMPLES, len(dataset))]
        ground_truth = ground_truth_result(sample, labels, task)
        prediction = predictor.predict(
            sample.image, task, window=UINT8_WINDOW, retain_confidence=False
        )
        target = folder.path / "samples" / f"{index}_step{step:06d}.png"
        with atomic_path(target) as path:
            side_by_side(ground_truth, prediction).save(path)


def side_by_side(ground_truth: Result, prediction: Result) -> Image.Image:
    """Draw the ground truth on the left and the prediction on the right."""
    left, right = ground_truth.plot(legend=False), prediction.plot()
    board = Image.new("RGB", (left.width + right.width + 8, max(left.height, right.height)))
    board.paste(left, (0, 0))
    board.paste(right, (left.width + 8, 0))
    return board
