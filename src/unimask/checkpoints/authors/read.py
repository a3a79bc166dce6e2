"""Weight files of the authors, which contain tensors under the authors' names only."""

from dataclasses import replace
from pathlib import Path

from torch import Tensor

from unimask.checkpoints.authors import (
    detr,
    eomt,
    eomt_dinov3,
    mask2former_names,
    maskformer_names,
    oneformer_names,
)
from unimask.checkpoints.authors.mask2former_names import (
    IGNORED_NAMES,
    PIXEL_DECODER,
    modernize_name,
)
from unimask.checkpoints.authors.recognition import find_publication_by_size, segments_clips
from unimask.checkpoints.checkpoint import Checkpoint, ModelDescription
from unimask.checkpoints.config_validation import expected_tensors
from unimask.checkpoints.files.tensors import read_tensors_and_rest
from unimask.checkpoints.huggingface.eomt_names import IGNORED_NAMES as EOMT_IGNORED_NAMES
from unimask.checkpoints.huggingface.eomt_names import eomt_rules
from unimask.checkpoints.keymap import Rules, to_ours
from unimask.checkpoints.mask2former_shapes import infer_segmenter
from unimask.checkpoints.maskformer_shapes import infer_maskformer, is_maskformer
from unimask.checkpoints.mmdetection.read import is_mmdetection, read_mmdetection
from unimask.config import (
    DetrPixelDecoderConfig,
    JointDecoderConfig,
    MaskedDecoderConfig,
    SegmenterConfig,
)
from unimask.errors import CheckpointError


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
        if eomt.is_eomt(tensors) and eomt_dinov3.holds_differences(tensors):
            tensors = eomt_dinov3.add_base(tensors, path)
            config = eomt_dinov3.infer_eomt_dinov3(tensors, path)
        elif eomt.is_eomt(tensors):
            config = eomt.infer_eomt(tensors)
            tensors = eomt.to_huggingface_names(tensors)
        elif detr.is_detr(tensors):
            config = detr.infer_detr(tensors, path)
        else:
            tensors = modernize_names(tensors)
            check_supported(tensors)
            read = infer_maskformer if is_maskformer(tensors) else infer_segmenter
            config = with_clips(read(tensors, path), path)
        expected = expected_tensors(config, tensors)
        ignored = (*IGNORED_NAMES, *EOMT_IGNORED_NAMES)
        state = to_ours(tensors, expected, select_rules(config), ignored=ignored)
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {error}") from error
    publication, assumed = find_publication_by_size(config, path)
    description = ModelDescription(
        config=config,
        labels=publication.label_set(config.num_classes),
        tasks=publication.tasks,
        preprocessing=publication.preprocessing(config),
        postprocessing=publication.postprocessing(config),
    )
    return Checkpoint(description, state), assumed


def select_rules(config: SegmenterConfig) -> Rules:
    """Return the rules that map a network's names to those in its authors' files.

    EoMT's files are converted to the names of the Hugging Face schema before.
    """
    if isinstance(config.transformer_decoder, JointDecoderConfig):
        return eomt_rules(config)
    if isinstance(config.pixel_decoder, DetrPixelDecoderConfig):
        return detr.NAMES
    if config.task_queries is not None:
        return oneformer_names.NAMES
    masked = isinstance(config.transformer_decoder, MaskedDecoderConfig)
    return mask2former_names.NAMES if masked else maskformer_names.NAMES


def modernize_names(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Rename tensors of first releases to the names of later ones."""
    flat = not any(name.startswith(PIXEL_DECODER) for name in tensors)
    return {modernize_name(name, is_head_flat=flat): value for name, value in tensors.items()}


def with_clips(config: SegmenterConfig, path: Path) -> SegmenterConfig:
    """Return the configuration, of a network of clips if the path names one."""
    decoder = config.transformer_decoder
    if not isinstance(decoder, MaskedDecoderConfig) or not segments_clips(config, path):
        return config
    return replace(config, transformer_decoder=replace(decoder, clips=True))


def check_supported(tensors: dict[str, Tensor]) -> None:
    """Refuse networks of other families and schemas.

    Raises:
        CheckpointError: The file belongs to such a network.
    """
    if any(name.startswith("model.pixel_level_module.") for name in tensors):
        raise CheckpointError(
            "its names are Hugging Face's: load the folder that contains config.json"
        )
    if not any(name.startswith("sem_seg_head.") for name in tensors):
        first = ", ".join(sorted(tensors)[:3])
        raise CheckpointError(
            "it is no MaskFormer, Mask2Former, OneFormer, EoMT or DETR: no tensor is called "
            f"sem_seg_head, network.q or detr.query_embed (but {first}); pass weights of a "
            "backbone by --backbone-weights of unimask train"
        )
    if f"{PIXEL_DECODER}.mask_features.weight" not in tensors:
        raise CheckpointError(
            "it is no MaskFormer, Mask2Former or OneFormer: its sem_seg_head has no mask_features"
        )
