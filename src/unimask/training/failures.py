"""What stops a run from outside, told in one line that says what to lower."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from unimask.errors import TrainingError
from unimask.training.settings import TrainingSettings

OUT_OF_MEMORY = ("can't allocate memory", "not enough memory", "out of memory")
"""How PyTorch says so where it raises a plain RuntimeError: on CPUs, and on other accelerators."""

KILLED = "DataLoader worker"


@contextmanager
def told_in_one_line(step: int, settings: TrainingSettings) -> Iterator[None]:
    """Turn a lack of memory in a step into words.

    Args:
        step: Which is taken, counted from 1.
        settings: What may be lowered.

    Raises:
        TrainingError: Memory ran out, here or in a process that reads pictures.
    """
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        told = str(error)
        if told.startswith(KILLED):
            raise TrainingError(
                f"step {step}: a process that reads pictures was killed, as systems do when "
                f"memory runs out: lower --workers (now {settings.workers}); the last saved "
                "state is kept"
            ) from error
        if not (
            isinstance(error, torch.OutOfMemoryError | MemoryError)
            or any(words in told for words in OUT_OF_MEMORY)
        ):
            raise
        queries = "" if settings.num_queries is None else f" (now {settings.num_queries})"
        raise TrainingError(
            f"step {step}: out of memory: lower --batch-size (now {settings.batch_size}; "
            f"--accumulate, now {settings.accumulate}, keeps the pictures per update), --size "
            f"(now {settings.augmentation.crop}) or --queries{queries}, or give --recompute; the "
            "last saved state is kept, and --resume takes all of these but --size and --queries"
        ) from error
