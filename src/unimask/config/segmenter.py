"""Configuration of a whole network: its parts and its number of classes."""

from dataclasses import dataclass

from unimask.config.backbones import BackboneConfig
from unimask.config.pixel_decoders import PixelDecoderConfig
from unimask.config.transformer_decoders import (
    MaskedDecoderConfig,
    TaskQueriesConfig,
    TextConfig,
    TransformerDecoderConfig,
)


@dataclass(frozen=True, kw_only=True, slots=True)
class SegmenterConfig:
    """Configuration of a whole network.

    Attributes:
        backbone: Configuration of the backbone.
        pixel_decoder: Configuration of the pixel decoder.
        transformer_decoder: Configuration of the transformer decoder.
        num_classes: Number of classes without "no object", which the network adds as its last
            output.
        text: Configuration of the text encoder used to train OneFormer; None for weights without
            it.
    """

    backbone: BackboneConfig
    pixel_decoder: PixelDecoderConfig
    transformer_decoder: TransformerDecoderConfig
    num_classes: int
    text: TextConfig | None = None

    @property
    def task_queries(self) -> TaskQueriesConfig | None:
        """Configuration of task-conditioned queries; None for networks that take no task."""
        queries = self.transformer_decoder
        return queries.task_queries if isinstance(queries, MaskedDecoderConfig) else None

    @property
    def clips(self) -> bool:
        """Whether the network segments clips of a video instead of images."""
        queries = self.transformer_decoder
        return isinstance(queries, MaskedDecoderConfig) and queries.clips
