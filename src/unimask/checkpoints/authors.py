"""The authors' own files: weights under their names, and nothing else."""

from pathlib import Path

from torch import Tensor

from unimask.checkpoints import mask2former_names, oneformer_names
from unimask.checkpoints.checkpoint import Checkpoint
from unimask.checkpoints.keymap import Rules, to_ours
from unimask.checkpoints.mask2former_names import (
    NO_WEIGHTS,
    PIXELS,
    QUERIES,
    current_name,
)
from unimask.checkpoints.published import publication_of_size
from unimask.checkpoints.shapes import read_segmenter
from unimask.checkpoints.tensor_files import read_tensors
from unimask.config import SegmenterConfig
from unimask.errors import CheckpointError
from unimask.modeling.skeleton import build_skeleton


def read_authors(path: Path) -> tuple[Checkpoint, str | None]:
    """Read a file of weights as the authors publish or train them (`.pkl`, `.pth`, or any name).

    The architecture follows from the tensors' shapes, labels and tests from the number of classes
    and from what file and folders are called; see `shapes.py` and `published.py`.

    Returns:
        The checkpoint, and a line for a person where something was assumed.

    Raises:
        CheckpointError: The file cannot be read, or is of no network that is known here.
    """
    tensors = read_tensors(path)
    try:
        tensors = current(tensors)
        refuse_others(tensors)
        config = read_segmenter(tensors, path)
        wanted = build_skeleton(config).state_dict()
        state = to_ours(tensors, wanted, names_of(config), ignored=NO_WEIGHTS)
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {error}") from error
    publication, assumed = publication_of_size(config, path)
    checkpoint = Checkpoint(
        config=config,
        state=state,
        labels=publication.label_set(config.num_classes),
        tasks=publication.tasks,
        preprocessing=publication.preprocessing(config.backbone),
        postprocessing=publication.postprocessing(config),
    )
    return checkpoint, assumed


def names_of(config: SegmenterConfig) -> Rules:
    """Give the table of a network's names in its authors' files."""
    told = config.task_queries is not None
    return oneformer_names.NAMES if told else mask2former_names.NAMES


def current(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Bring the names of first releases up to date."""
    flat = not any(name.startswith(PIXELS) for name in tensors)
    return {current_name(name, head_was_flat=flat): value for name, value in tensors.items()}


def refuse_others(tensors: dict[str, Tensor]) -> None:
    """Refuse networks of other families and schemas by their name.

    Raises:
        CheckpointError: It is another network's file.
    """
    if any(name.startswith("model.pixel_level_module.") for name in tensors):
        raise CheckpointError("its names are Hugging Face's: give the folder, with config.json")
    if any(name.startswith(f"{QUERIES}.transformer.") for name in tensors):
        raise CheckpointError("it is a MaskFormer, which is not known here yet")
    if not any(name.startswith("sem_seg_head.") for name in tensors):
        first = ", ".join(sorted(tensors)[:3])
        raise CheckpointError(
            f"it is no Mask2Former or OneFormer: nothing is called sem_seg_head (but {first}); "
            "a backbone's weights go to --backbone-weights of unimask train"
        )
