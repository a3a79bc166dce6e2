"""Predictors whose network is an exported graph in another runtime."""

from pathlib import Path

import torch
from torch import Tensor

from unimask.config import PreprocessingConfig
from unimask.errors import SettingsError
from unimask.inference.predictor import Predictor
from unimask.labels import Task
from unimask.outputs import SegmenterOutput
from unimask.processing.images import ImageArray
from unimask.processing.preprocess import Preprocessed, preprocess, preprocess_unnormalised
from unimask.runtimes.foreign import GraphRules
from unimask.runtimes.network import RuntimeNetwork

EXPORTED_SUFFIXES = (".onnx", ".xml")
"""Suffixes of exported files."""


class ExportedPredictor(Predictor):
    """Predictor of an exported file.

    Unlike the network of other predictors, `network` takes images from 0 to 255, as the graph
    normalises them itself.

    Args:
        network: Network in a runtime.
        name: Name of the model in messages.
    """

    network: RuntimeNetwork  # type: ignore[assignment]

    def __init__(self, network: RuntimeNetwork, name: str) -> None:
        super().__init__(network, network.description, name)  # type: ignore[arg-type]

    @property
    def channels(self) -> int:
        """Number of channels of the images that the network reads; 3 for RGB."""
        return self.network.description.input.channels

    @property
    def segments_clips(self) -> bool:
        """Whether the graph segments clips: none does."""
        return False

    @property
    def device(self) -> torch.device:
        """Device of the network's inputs and outputs."""
        return torch.device("cpu")

    @property
    def dtype(self) -> torch.dtype:
        """Dtype of the network's input."""
        return getattr(torch, self.network.description.input.dtype)

    def preprocess(
        self, image: ImageArray, config: PreprocessingConfig | None = None
    ) -> Preprocessed:
        """Resize and pad an image to the size of the graph."""
        config = config or self.description.preprocessing
        return preprocess_unnormalised(image, config, self.dtype)

    def logits(self, pixel_values: Tensor, task: Task) -> SegmenterOutput:
        """Run the graph."""
        return self.network(pixel_values, task)

    def save(self, folder: str | Path) -> None:
        """Refuse to write weights, which an exported file does not hold in a loadable form.

        Raises:
            SettingsError: Always.
        """
        raise SettingsError(
            f"{self.name} is an exported file: copy it, or save the model that it was exported from"
        )

    def push_to_hub(self, repository: str, **options: object) -> str:
        """Refuse to upload weights, as `save` does.

        Raises:
            SettingsError: Always.
        """
        raise SettingsError(f"{self.name} is an exported file: push the model it was exported from")


class ForeignPredictor(ExportedPredictor):
    """Predictor of a file of another program, whose graph takes normalised images."""

    def preprocess(
        self, image: ImageArray, config: PreprocessingConfig | None = None
    ) -> Preprocessed:
        """Resize, normalise and pad an image to the size of the graph."""
        return preprocess(image, config or self.description.preprocessing)


def is_exported(source: str | Path) -> bool:
    """Return whether a source is the path of an exported file, by its suffix."""
    return Path(source).suffix.lower() in EXPORTED_SUFFIXES


def open_network(path: Path, device: str, rules: GraphRules | None = None) -> RuntimeNetwork:
    """Open an exported file in the runtime of its suffix.

    Args:
        path: The file.
        device: Device of the runtime.
        rules: Labels and rules of a file of another program; None for files of unimask.

    Raises:
        CheckpointError: The file does not exist, is damaged, or is of another program.
        MissingExtraError: The runtime is not installed.
        SettingsError: The device is not available.
    """
    # Imported here: only users of exported files pay for the runtime.
    if path.suffix.lower() == ".xml":
        from unimask.runtimes.openvino_runtime import OpenVinoNetwork

        return OpenVinoNetwork(path, device, rules)
    from unimask.runtimes.onnx_runtime import OnnxNetwork

    return OnnxNetwork(path, device, rules)


def load_exported(
    source: str | Path, device: str, rules: GraphRules | None = None
) -> ExportedPredictor:
    """Load an exported file in its runtime; see `open_network`."""
    network = open_network(Path(source).expanduser(), device, rules)
    kind = ExportedPredictor if rules is None else ForeignPredictor
    return kind(network, str(source))
