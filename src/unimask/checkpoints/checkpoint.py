"""Everything that a trained model is."""

from dataclasses import dataclass

from torch import Tensor

from unimask.config import PostprocessingConfig, PreprocessingConfig, SegmenterConfig
from unimask.labels import LabelSet, Task


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Checkpoint:
    """A network's description and weights, with what its predictions depend on.

    Attributes:
        config: The architecture.
        state: Weights under the names of our modules.
        labels: Classes in the order of the outputs.
        tasks: What the weights were trained for, widest first.
        preprocessing: How pictures become tensors.
        postprocessing: Thresholds, and what is resized.
    """

    config: SegmenterConfig
    state: dict[str, Tensor]
    labels: LabelSet
    tasks: tuple[Task, ...]
    preprocessing: PreprocessingConfig
    postprocessing: PostprocessingConfig
