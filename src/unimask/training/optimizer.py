"""AdamW with the papers' parameter groups (Mask2Former's `train_net.py`)."""

from torch import nn, optim

from unimask.modeling.transformer_decoders import LearnedQueries, TaskQueries
from unimask.training.settings import TrainingSettings

UNDECAYED_MODULES = (
    nn.LayerNorm,
    nn.GroupNorm,
    nn.BatchNorm2d,
    nn.Embedding,
    LearnedQueries,
    TaskQueries,
)
UNDECAYED_NAMES = ("relative_position_bias_table", "level_embed")


def build_optimizer(
    network: nn.Module, settings: TrainingSettings, *, pretrained: bool
) -> optim.AdamW:
    """Build AdamW with groups of parameters by learning rate and weight decay.

    A pretrained backbone has the learning rate times `backbone_rate`. Norms, embeddings and
    position tables have no weight decay. Frozen parameters are in no group. Each group stores its
    factor on the learning rate as `rate`.
    """
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for path, module in network.named_modules():
        backbone = path == "backbone" or path.startswith("backbone.")
        rate = settings.backbone_rate if backbone and pretrained else 1.0
        for name, parameter in module.named_parameters(recurse=False):
            if not parameter.requires_grad:
                continue
            decayed = not isinstance(module, UNDECAYED_MODULES) and name not in UNDECAYED_NAMES
            decay = settings.weight_decay if decayed else 0.0
            groups.setdefault((rate, decay), []).append(parameter)
    return optim.AdamW(
        [
            {"params": parameters, "weight_decay": decay, "rate": rate}
            for (rate, decay), parameters in groups.items()
        ],
        lr=settings.learning_rate,
        fused=True,
    )
