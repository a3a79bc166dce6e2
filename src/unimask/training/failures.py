"""One-line errors for a lack of memory, with the settings to lower."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from unimask.errors import TrainingError
from unimask.training.settings import TrainingSettings

OUT_OF_MEMORY = ("can't allocate memory", "not enough memory", "out of memory")
"""Messages of PyTorch's out-of-memory errors that are plain RuntimeErrors."""

KILLED = "DataLoader worker"


@contextmanager
def one_line_memory_errors(step: int, settings: TrainingSettings) -> Iterator[None]:
    """Convert a lack of memory during a step to a TrainingError.

    Args:
        step: Number of the step, from 1.
        settings: Settings named in the message.

    Raises:
        TrainingError: Memory ran out in this process or in a data loading process.
    """
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        message = str(error)
        if message.startswith(KILLED):
            raise TrainingError(
                f"step {step}: a process that reads images was killed, as systems do when "
                f"memory runs out: lower --workers (now {settings.workers}); the last saved "
                "state is kept"
            ) from error
        if not (
            isinstance(error, torch.OutOfMemoryError | MemoryError)
            or any(words in message for words in OUT_OF_MEMORY)
        ):
            raise
        queries = "" if settings.num_queries is None else f" (now {settings.num_queries})"
        raise TrainingError(
            f"step {step}: out of memory: lower --batch-size (now {settings.batch_size}; "
            f"--accumulate, now {settings.accumulate}, keeps the images per update), --size "
            f"(now {settings.augmentation.crop}) or --queries{queries}, or pass --recompute; the "
            "last saved state is kept, and --resume takes all of these but --size and --queries"
        ) from error
