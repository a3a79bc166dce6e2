"""What preprocessor_config.json asks for, to the letter.

The Hub's Mask2Formers say 384 x 384, which comes from their conversion, not from their authors; see
`huggingface_config.read_preprocessing` for what is done unless somebody asks for this.
"""

from dataclasses import replace

from unimask.checkpoints.huggingface_config import extras, read_preprocessing, tuples
from unimask.checkpoints.plausible import check_preprocessing
from unimask.config import PreprocessingConfig
from unimask.errors import CheckpointError

Json = dict

BILINEAR = 2


def read_as_written(
    config: Json, preprocessor: Json | None, default: PreprocessingConfig
) -> PreprocessingConfig:
    """Give the preprocessing that a folder's own description asks for.

    A height and a width are squashed to, rounded up to multiples of the size divisor (OneFormer's
    description has none); a folder that gives edges is read by them.

    Args:
        config: config.json; of what we keep there beside the schema only the window counts.
        preprocessor: preprocessor_config.json, if the folder has it.
        default: For what it does not say.

    Raises:
        CheckpointError: There is no description, or it asks for what is not here.
    """
    if preprocessor is None:
        raise CheckpointError("preprocessor_config.json does not exist: it cannot be followed")
    asked = [] if preprocessor.get("do_resize", True) else ["no resizing"]
    if preprocessor.get("resample", BILINEAR) != BILINEAR:
        asked.append("a resampling other than bilinear")
    if asked:
        raise CheckpointError(
            f"preprocessor_config.json asks for {' and '.join(asked)}, which is not here: leave "
            "preprocessing at authors"
        )
    window = tuples(extras(config).get("preprocessing", {})).get("window")
    by_edges = read_preprocessing({**config, "unimask": {}}, preprocessor, default)
    size = preprocessor.get("size")
    if not isinstance(size, dict) or not {"height", "width"} <= size.keys():
        return check_preprocessing(replace(by_edges, window=window))
    usual = 1 if config.get("model_type") == "oneformer" else 32
    step = max(1, preprocessor.get("size_divisor", usual))
    height, width = (-(-size[side] // step) * step for side in ("height", "width"))
    return check_preprocessing(
        replace(by_edges, squash=(height, width), size_divisor=step, window=window)
    )
