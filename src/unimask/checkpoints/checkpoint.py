"""A trained model: its configuration, weights, labels and processing settings."""

from dataclasses import dataclass

from torch import Tensor

from unimask.config import PostprocessingConfig, PreprocessingConfig, SegmenterConfig
from unimask.labels import LabelSet, Task


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Checkpoint:
    """A network's configuration and weights, with everything else that its predictions depend on.

    Attributes:
        config: Architecture of the network.
        state: Weights under the names of our modules.
        labels: Classes in the order of the network's outputs.
        tasks: Tasks that the weights were trained for, most demanding first.
        preprocessing: Settings of pre-processing.
        postprocessing: Settings of post-processing.
    """

    config: SegmenterConfig
    state: dict[str, Tensor]
    labels: LabelSet
    tasks: tuple[Task, ...]
    preprocessing: PreprocessingConfig
    postprocessing: PostprocessingConfig
