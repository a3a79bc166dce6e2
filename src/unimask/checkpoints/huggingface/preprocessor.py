"""Pre-processing as preprocessor_config.json literally describes it.

The Hub's Mask2Formers have a size of 384 x 384, which comes from their conversion and not from
their authors; see `config.read_preprocessing` for the default.
"""

from dataclasses import replace

from unimask.checkpoints.config_validation import check_preprocessing
from unimask.checkpoints.huggingface.config import (
    lists_to_tuples,
    read_own_values,
    read_preprocessing,
)
from unimask.config import PreprocessingConfig
from unimask.errors import CheckpointError

Json = dict

BILINEAR = 2


def read_literal_preprocessing(
    config: Json, preprocessor: Json | None, default: PreprocessingConfig
) -> PreprocessingConfig:
    """Return the pre-processing that a folder's preprocessor_config.json describes.

    Height and width are the exact target size, rounded up to multiples of the size divisor (1 for
    OneFormer, whose file lacks it); a folder with edges is read by them.

    Args:
        config: Content of config.json; of the values that unimask adds, only the window is used.
        preprocessor: Content of preprocessor_config.json, if the folder has it.
        default: Settings for what it leaves open.

    Raises:
        CheckpointError: The file is missing, or describes an unsupported operation.
    """
    if preprocessor is None:
        raise CheckpointError("preprocessor_config.json does not exist: it cannot be followed")
    missing = [] if preprocessor.get("do_resize", True) else ["no resizing"]
    if preprocessor.get("resample", BILINEAR) != BILINEAR:
        missing.append("a resampling other than bilinear")
    if missing:
        raise CheckpointError(
            f"preprocessor_config.json requests {' and '.join(missing)}, which is not supported: "
            "use preprocessing='authors'"
        )
    window = lists_to_tuples(read_own_values(config).get("preprocessing", {})).get("window")
    edge_settings = read_preprocessing({**config, "unimask": {}}, preprocessor, default)
    size = preprocessor.get("size")
    if not isinstance(size, dict) or not {"height", "width"} <= size.keys():
        return check_preprocessing(replace(edge_settings, window=window))
    default_divisor = 1 if config.get("model_type") == "oneformer" else 32
    step = max(1, preprocessor.get("size_divisor", default_divisor))
    height, width = (-(-size[side] // step) * step for side in ("height", "width"))
    return check_preprocessing(
        replace(edge_settings, squash=(height, width), size_divisor=step, window=window)
    )
