"""A whole network: its parts and its classes."""

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
    """A whole network.

    Attributes:
        num_classes: Real classes; the network adds "no object" as its last output.
        text: The text branch, to train OneFormer with; None where weights lack it.
    """

    backbone: BackboneConfig
    pixel_decoder: PixelDecoderConfig
    transformer_decoder: TransformerDecoderConfig
    num_classes: int
    text: TextConfig | None = None

    @property
    def task_queries(self) -> TaskQueriesConfig | None:
        """How queries are made of the task; None for networks that are not told any."""
        queries = self.transformer_decoder
        return queries.task_queries if isinstance(queries, MaskedDecoderConfig) else None
