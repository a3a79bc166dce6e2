"""Segmentation of many images by one or many processes, into Parquet files."""

from unimask.batch.parts import Shard, count_failed, parse_shard, pending_parts
from unimask.batch.read import is_batch_output, read_batch
from unimask.batch.record import RunRecord, open_run
from unimask.batch.settings import BatchSettings, WorkerOptions
from unimask.batch.worker import PartSummary, PartWorker

__all__ = [
    "BatchSettings",
    "PartSummary",
    "PartWorker",
    "RunRecord",
    "Shard",
    "WorkerOptions",
    "count_failed",
    "is_batch_output",
    "open_run",
    "parse_shard",
    "pending_parts",
    "read_batch",
]
