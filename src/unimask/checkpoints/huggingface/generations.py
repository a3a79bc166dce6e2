"""Differences between releases of `transformers`: tensor names and undescribed backbones.

Folders of releases 4.27 to 5.23 were compared (`benchmarks/agreement/huggingface_generations.py`).
Names are the same, except after saving with `save_original_format=False` in release 5: then
Swin's blocks and DETR's layers have new names.
"""

import re
from pathlib import Path

from torch import Tensor

from unimask.checkpoints.backbone_shapes import infer_backbone
from unimask.checkpoints.huggingface.backbone_names import BACKBONES, ENCODER, RESNET
from unimask.checkpoints.huggingface.detr_names import TIMM_RESNET
from unimask.checkpoints.huggingface.mask2former_names import TRANSFORMER_DECODER
from unimask.checkpoints.huggingface.maskformer import MASKFORMER_SWIN
from unimask.checkpoints.keymap import Rules, to_theirs
from unimask.config import BackboneConfig, TimmConfig
from unimask.errors import CheckpointError

Json = dict

IDENTITY: Rules = (("**", "**"),)

NESTED_MODULES: Rules = (
    (f"{ENCODER}.swin.**", f"{ENCODER}.**"),
    (f"{ENCODER}._backbone.conv_encoder.**", f"{ENCODER}._backbone.**"),
    *IDENTITY,
)
"""Release 5 stores a Swin without its output norms one level deeper; 5.6 saves timm's backbones of
MaskFormers under a name of DETR's.
"""

BLOCK, ATTENTION = f"{ENCODER}.encoder.layers.*.blocks.*", "attention.self"
TABLE = "relative_position_bias_table"
LAYER = f"{TRANSFORMER_DECODER}.decoder.layers.*"

RENAMED_MODULES: Rules = (
    *(
        (f"{BLOCK}.attention.{part[0]}_proj.**", f"{BLOCK}.{ATTENTION}.{part}.**")
        for part in ("query", "key", "value")
    ),
    (f"{BLOCK}.attention.relative_position_bias.{TABLE}", f"{BLOCK}.{ATTENTION}.{TABLE}"),
    (f"{BLOCK}.attention.o_proj.**", f"{BLOCK}.attention.output.dense.**"),
    (f"{BLOCK}.mlp.fc1.**", f"{BLOCK}.intermediate.dense.**"),
    (f"{BLOCK}.mlp.fc2.**", f"{BLOCK}.output.dense.**"),
    *(
        (f"{LAYER}.{part}.o_proj.**", f"{LAYER}.{part}.out_proj.**")
        for part in ("self_attn", "encoder_attn")
    ),
    (f"{LAYER}.mlp.fc*.**", f"{LAYER}.fc*.**"),
    *IDENTITY,
)
"""Release 5's names of modules, and those of all other releases."""

GATED_LAYERS: Rules = (
    *(
        (
            f"layers.*.mlp.weights_in.{kind}",
            (f"layers.*.mlp.gate_proj.{kind}", f"layers.*.mlp.up_proj.{kind}"),
        )
        for kind in ("weight", "bias")
    ),
    ("layers.*.mlp.weights_out.**", "layers.*.mlp.down_proj.**"),
    *IDENTITY,
)
"""Names of SwiGLU in the first releases with EoMT, and those of release 5."""

TIMM_NAME = re.compile(r"(timm/)?[\w-]+(\.[\w-]+)?")


def to_usual_names(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Rename tensors to the names that most releases write."""
    for rules in (NESTED_MODULES, RENAMED_MODULES, GATED_LAYERS, (*TIMM_RESNET, *IDENTITY)):
        tensors = to_theirs(tensors, rules)
    return tensors


def read_timm(backbone: Json) -> TimmConfig:
    """Read the name of a model of timm.

    Raises:
        CheckpointError: The name has parts that make timm load another file, or go online.
    """
    name = str(backbone["backbone"])
    if not TIMM_NAME.fullmatch(name):
        raise CheckpointError(f"timm has no model {name[:60]!r}")
    return TimmConfig(name=name, in_channels=backbone.get("num_channels", 3))


def infer_named_backbone(config: Json, tensors: dict[str, Tensor], folder: Path) -> BackboneConfig:
    """Read a backbone that config.json only names: a model of timm, or one of the Hub.

    Those of the Hub are derived from their tensors.

    Raises:
        CheckpointError: The backbone is unknown.
    """
    name = str(config.get("backbone"))[:60]
    if config.get("use_timm_backbone"):
        channels = (config.get("backbone_kwargs") or {}).get("in_chans", 3)
        return read_timm({"backbone": name, "num_channels": channels})
    swapped = [
        (part, ours)
        for ours, theirs in (*RESNET, *BACKBONES, *MASKFORMER_SWIN)
        for part in ((theirs,) if isinstance(theirs, str) else theirs)
    ]
    inner = {n: t for n, t in tensors.items() if n.startswith(f"{ENCODER}.")}
    try:
        return infer_backbone(to_theirs(inner, [*swapped, *IDENTITY]), folder)
    except CheckpointError as error:
        raise CheckpointError(
            f"config.json does not describe the backbone {name!r}, and its tensors fit no "
            f"supported one: {error}"
        ) from error
