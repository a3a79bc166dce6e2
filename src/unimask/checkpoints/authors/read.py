"""Weight files of the authors, which contain tensors under the authors' names only."""

from pathlib import Path

from torch import Tensor

from unimask.checkpoints.authors import mask2former_names, maskformer_names, oneformer_names
from unimask.checkpoints.authors.mask2former_names import (
    NO_WEIGHTS,
    PIXELS,
    current_name,
)
from unimask.checkpoints.authors.recognition import publication_of_size
from unimask.checkpoints.checkpoint import Checkpoint
from unimask.checkpoints.config_validation import wanted_tensors
from unimask.checkpoints.files.tensors import read_tensors_and_rest
from unimask.checkpoints.keymap import Rules, to_ours
from unimask.checkpoints.mask2former_shapes import read_segmenter
from unimask.checkpoints.maskformer_shapes import is_maskformer, read_maskformer
from unimask.checkpoints.mmdetection.read import is_mmdetection, read_mmdetection
from unimask.config import MaskedDecoderConfig, SegmenterConfig
from unimask.errors import CheckpointError
from unimask.published.publication import split_words
from unimask.published.publication_tables import VIDEO_FILES


def read_authors(path: Path) -> tuple[Checkpoint, str | None]:
    """Read a weight file as the authors publish or train it (`.pkl`, `.pth`, or any suffix).

    The architecture follows from the shapes of tensors, labels and test settings from the number of
    classes and the names of file and folders; see `mask2former_shapes.py`, `maskformer_shapes.py`
    and `recognition.py`.

    Returns:
        The checkpoint, and a line for the user if something was assumed.

    Raises:
        CheckpointError: The file cannot be read, or holds an unknown network.
    """
    tensors, rest = read_tensors_and_rest(path)
    try:
        if is_mmdetection(tensors):
            return read_mmdetection(tensors, rest, path)
        tensors = current(tensors)
        refuse_others(tensors, path)
        read = read_maskformer if is_maskformer(tensors) else read_segmenter
        config = read(tensors, path)
        expected = wanted_tensors(config, tensors)
        state = to_ours(tensors, expected, names_of(config), ignored=NO_WEIGHTS)
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {error}") from error
    publication, assumed = publication_of_size(config, path)
    checkpoint = Checkpoint(
        config=config,
        state=state,
        labels=publication.label_set(config.num_classes),
        tasks=publication.tasks,
        preprocessing=publication.preprocessing(config),
        postprocessing=publication.postprocessing(config),
    )
    return checkpoint, assumed


def names_of(config: SegmenterConfig) -> Rules:
    """Return the rules that map a network's names to those in its authors' files."""
    if config.task_queries is not None:
        return oneformer_names.NAMES
    masked = isinstance(config.transformer_decoder, MaskedDecoderConfig)
    return mask2former_names.NAMES if masked else maskformer_names.NAMES


def current(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Rename tensors of first releases to the names of later ones."""
    flat = not any(name.startswith(PIXELS) for name in tensors)
    return {current_name(name, head_was_flat=flat): value for name, value in tensors.items()}


def refuse_others(tensors: dict[str, Tensor], path: Path) -> None:
    """Refuse networks of other families and schemas, and networks for video.

    Raises:
        CheckpointError: The file belongs to such a network.
    """
    if any(name.startswith("model.pixel_level_module.") for name in tensors):
        raise CheckpointError("its names are Hugging Face's: give the folder, with config.json")
    if segments_video(path):
        raise CheckpointError(
            "it is a Mask2Former for video, whose positions count frames too: only networks for "
            "images are known here"
        )
    if not any(name.startswith("sem_seg_head.") for name in tensors):
        first = ", ".join(sorted(tensors)[:3])
        raise CheckpointError(
            "it is no MaskFormer, Mask2Former or OneFormer: nothing is called sem_seg_head (but "
            f"{first}); a backbone's weights go to --backbone-weights of unimask train"
        )
    if f"{PIXELS}.mask_features.weight" not in tensors:
        raise CheckpointError(
            "it is no MaskFormer, Mask2Former or OneFormer: its sem_seg_head makes no mask_features"
        )


def segments_video(path: Path) -> bool:
    """Return whether file or folders have the name of a Mask2Former for video."""
    called = "/".join(path.absolute().parts[-5:]).lower()
    name_words = split_words(called)
    return bool(name_words & VIDEO_FILES) or "ytvis" in name_words or "video_mask" in called
