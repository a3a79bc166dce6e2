"""Read labelled folders on disk as samples."""

from unimask.datasets.describe import check_classes, check_tasks, describe, widest_task
from unimask.datasets.ground_truth import ground_truth_result
from unimask.datasets.interface import Dataset
from unimask.datasets.opening import detect_format, open_dataset, open_train_and_val, split_names
from unimask.datasets.sample import Sample
from unimask.datasets.supervision import check_supervision

__all__ = [
    "Dataset",
    "Sample",
    "check_classes",
    "check_supervision",
    "check_tasks",
    "describe",
    "detect_format",
    "ground_truth_result",
    "open_dataset",
    "open_train_and_val",
    "split_names",
    "widest_task",
]
