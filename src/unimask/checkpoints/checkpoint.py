"""A trained model: its description, and its weights."""

from dataclasses import dataclass

from torch import Tensor

from unimask.config import PostprocessingConfig, PreprocessingConfig, SegmenterConfig
from unimask.labels import LabelSet, Task


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelDescription:
    """Everything that the predictions of a model depend on, except its weights.

    Attributes:
        config: Architecture of the network.
        labels: Classes in the order of the network's outputs.
        tasks: Tasks that the weights were trained for, most demanding first.
        preprocessing: Settings of pre-processing.
        postprocessing: Settings of post-processing.
    """

    config: SegmenterConfig
    labels: LabelSet
    tasks: tuple[Task, ...]
    preprocessing: PreprocessingConfig
    postprocessing: PostprocessingConfig


@dataclass(frozen=True, slots=True, eq=False)
class Checkpoint:
    """A model's description and weights.

    Attributes:
        description: Architecture, labels, tasks, and settings of pre- and post-processing.
        state: Weights under the names of our modules.
    """

    description: ModelDescription
    state: dict[str, Tensor]
