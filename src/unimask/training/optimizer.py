"""AdamW with the papers' parameter groups (Mask2Former's `train_net.py`)."""

from torch import nn, optim

from unimask.modeling.layers.recomputable import RecomputableLayer
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

    A pretrained backbone has the learning rate times `backbone_rate`, and its layers times
    `layer_decay` for each layer after them. Norms, embeddings and position tables have no weight
    decay. Frozen parameters are in no group. Each group stores its factor on the learning rate as
    `rate`.
    """
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    backbone_rates = rates_of_backbone(network, settings) if pretrained else {}
    for path, module in network.named_modules():
        rate = backbone_rates.get(path, 1.0)
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


def rates_of_backbone(network: nn.Module, settings: TrainingSettings) -> dict[str, float]:
    """Return the factor on the learning rate of each module of the backbone, by its path.

    Modules between two layers, such as a reduction of resolution, belong to the layer before them,
    and those before the first layer count as a layer. The last layer has `backbone_rate`. A
    backbone without repeated layers has one rate.
    """
    depth, depths = 0, {}
    for path, module in network.named_modules():
        if path == "backbone" or path.startswith("backbone."):
            depth += isinstance(module, RecomputableLayer)
            depths[path] = depth
    decay = settings.layer_decay
    return {
        path: settings.backbone_rate * decay ** (depth - layer) for path, layer in depths.items()
    }
