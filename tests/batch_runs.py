"""Runs of `unimask batch` in this process."""

from pathlib import Path

from unimask.batch import (
    BatchSettings,
    PartWorker,
    Shard,
    WorkerOptions,
    open_run,
    pending_parts,
)

NUM_IMAGES = 7


def run_batch(
    source: object,
    out: Path,
    model: Path,
    *,
    shard: Shard | None = None,
    retry_errors: bool = False,
    **settings,
) -> list[int]:
    """Compute all pending parts of a run; return their numbers."""
    settings = {"rows_per_part": 2, "task": "instance", "threshold": 0.1} | settings
    record = open_run(out, BatchSettings(input=str(source), model=str(model), **settings))
    options = WorkerOptions(device="cpu", retry_errors=retry_errors)
    parts = pending_parts(record, shard or Shard(), retry_errors)
    worker = PartWorker(out, options)
    for part in parts:
        worker.process(part)
    return parts


def read_parts(out: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(out.glob("part-*"))}
