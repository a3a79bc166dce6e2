"""Models as checkpoints, to be written."""

from unimask.checkpoints import Checkpoint, ModelDescription
from unimask.modeling.segmenter import Segmenter


def to_checkpoint(network: Segmenter, description: ModelDescription) -> Checkpoint:
    """Return a model with float32 weights on the CPU, from any device and dtype."""
    state = {
        name: (tensor.float() if tensor.is_floating_point() else tensor).detach().cpu()
        for name, tensor in network.state_dict().items()
    }
    return Checkpoint(description, state)
