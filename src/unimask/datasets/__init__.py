"""Read labelled folders on disk as samples."""

from unimask.datasets.describe import check_classes, check_tasks, describe, widest_task
from unimask.datasets.folder import detect_format, open_dataset, open_train_and_val, split_names
from unimask.datasets.interface import Dataset
from unimask.datasets.sample import Sample
from unimask.datasets.supervision import check_teaching

__all__ = [
    "Dataset",
    "Sample",
    "check_classes",
    "check_tasks",
    "check_teaching",
    "describe",
    "detect_format",
    "open_dataset",
    "open_train_and_val",
    "split_names",
    "widest_task",
]
