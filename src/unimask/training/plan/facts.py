"""Facts about a planned run, as values; `words` turns them into sentences."""

from dataclasses import dataclass
from typing import Any

from unimask.datasets.volumes.intensities import IntensityRule
from unimask.training.settings import TrainingSettings


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelChosen:
    """Model chosen because none was given.

    Attributes:
        model: Name of the preset.
        is_pretrained: Whether its backbone starts from ImageNet weights.
        objects: Mean number of objects per image, if the choice depends on it.
    """

    model: str
    is_pretrained: bool
    objects: float | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class IntensitiesMeasured:
    """Window of volumes, measured on the training cases.

    Attributes:
        rule: Window and modality.
    """

    rule: IntensityRule


@dataclass(frozen=True, kw_only=True, slots=True)
class UntrainedNetwork:
    """Network with random weights.

    Attributes:
        model: Name of the preset or of the published configuration.
        backbone: Name of the backbone that replaces the network's own; None for its own.
        pixel_decoder: Name of the pixel decoder that replaces the network's own; None for its own.
        backbone_weights: File of the backbone's trained weights; None for random weights.
    """

    model: str
    backbone: str | None = None
    pixel_decoder: str | None = None
    backbone_weights: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainedNetwork:
    """Network with the trained weights of `model`."""

    model: str


@dataclass(frozen=True, kw_only=True, slots=True)
class HeadReplaced:
    """New class head of a trained network.

    Attributes:
        old_classes: Number of classes of the trained head.
        new_classes: Number of classes of the new head.
        first_class_loss: Expected class loss of the new head.
    """

    old_classes: int
    new_classes: int
    first_class_loss: float


@dataclass(frozen=True, kw_only=True, slots=True)
class ThresholdsReplaced:
    """Other post-processing of a trained network.

    Attributes:
        dataset: Dataset whose published thresholds are used; None for the family's defaults.
    """

    dataset: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class QueriesAdded:
    """New queries of a trained network: `added` of `total`."""

    added: int
    total: int


@dataclass(frozen=True, kw_only=True, slots=True)
class QueryLimitChanged:
    """Other largest number of queries of a network that selects queries from the image."""

    old: int
    new: int


@dataclass(frozen=True, kw_only=True, slots=True)
class ChannelsChanged:
    """First layer of a trained network, adapted to images with `channels` channels."""

    channels: int


@dataclass(frozen=True, kw_only=True, slots=True)
class TextBranchReplaced:
    """New text branch of a OneFormer, for texts of `tokenizer`."""

    tokenizer: str


@dataclass(frozen=True, kw_only=True, slots=True)
class NetworkSize:
    """Number of elements of the network's parameters and buffers."""

    elements: int


@dataclass(frozen=True, kw_only=True, slots=True)
class FirstLoss:
    """Expected first loss of an untrained network.

    Attributes:
        terms: Name, weight and expected value of each term of one layer's loss.
        layers: Number of layers whose losses are minimised together.
        last_terms: Terms that only the last layer has (DETR's masks).
    """

    terms: tuple[tuple[str, float, float], ...]
    layers: int
    last_terms: tuple[tuple[str, float, float], ...] = ()

    @property
    def last_layer(self) -> float:
        """Expected loss of the last layer, which is logged."""
        return sum(weight * value for _, weight, value in self.terms + self.last_terms)

    @property
    def total(self) -> float:
        """Expected loss of all layers, without the contrastive loss."""
        earlier = sum(weight * value for _, weight, value in self.terms)
        return (self.layers - 1) * earlier + self.last_layer


@dataclass(frozen=True, kw_only=True, slots=True)
class PredictionSizeChanged:
    """Other shorter side of images in prediction, in pixels: that of the training crops."""

    old: int
    new: int


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainingData:
    """Format, classes and number of images of the dataset, as `datasets.describe` has them."""

    description: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Schedule:
    """Course of a run.

    Attributes:
        images: Number of training images.
        validation_images: Number of validation images.
        processes: Number of processes.
        settings: Settings of the run.
        chosen: Names of settings that were chosen rather than given.
    """

    images: int
    validation_images: int
    processes: int
    settings: TrainingSettings
    chosen: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class PrecisionChosen:
    """Precision chosen by measuring the processor.

    Attributes:
        precision: "float32" or "bfloat16".
        speedup: Estimated time of a step in float32 / time in bfloat16.
    """

    precision: str
    speedup: float


@dataclass(frozen=True, kw_only=True, slots=True)
class RareClasses:
    """Balance of classes that was chosen because most images show none of the rarer ones.

    Attributes:
        share: Share of these images (0 to 1).
        repeat_rare: Setting of the run.
        weigh_classes: Setting of the run.
    """

    share: float
    repeat_rare: float
    weigh_classes: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Crowding:
    """Images with more objects than the network has queries.

    Attributes:
        crowded: Number of such images.
        counted: Number of images whose objects were counted.
        images: Number of training images.
        queries: Number of queries.
        fullest: File name of the image with the most objects.
        most_objects: Number of objects of that image.
    """

    crowded: int
    counted: int
    images: int
    queries: int
    fullest: str
    most_objects: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Sides:
    """Classes of the left and the right side.

    Attributes:
        pairs: Names of the classes that mirrored images exchange.
        one_sided: Names of the classes without a counterpart.
        flip: Whether training images are mirrored.
    """

    pairs: tuple[tuple[str, str], ...]
    one_sided: tuple[str, ...]
    flip: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Resumed:
    """Run that continues after `step` of `steps` steps."""

    model: str
    step: int
    steps: int


@dataclass(frozen=True, kw_only=True, slots=True)
class SettingChanged:
    """Setting that a resumed run changes."""

    name: str
    old: Any
    new: Any


@dataclass(frozen=True, kw_only=True, slots=True)
class StoppedEarly:
    """Run that early stopping ended after `step` steps."""

    step: int
    bad_validations: int


@dataclass(frozen=True, kw_only=True, slots=True)
class AllStepsTaken:
    """Run that has taken at least as many steps as are requested."""

    step: int
    steps: int


Fact = (
    ModelChosen
    | IntensitiesMeasured
    | UntrainedNetwork
    | TrainedNetwork
    | HeadReplaced
    | ThresholdsReplaced
    | QueriesAdded
    | QueryLimitChanged
    | ChannelsChanged
    | TextBranchReplaced
    | NetworkSize
    | FirstLoss
    | PredictionSizeChanged
    | TrainingData
    | Schedule
    | PrecisionChosen
    | RareClasses
    | Crowding
    | Sides
    | Resumed
    | SettingChanged
    | StoppedEarly
    | AllStepsTaken
)
