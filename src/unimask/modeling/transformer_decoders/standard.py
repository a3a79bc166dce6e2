"""The transformer decoder of MaskFormer: DETR's, over one map (MaskFormer, 3.4)."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from unimask.kernels.positions import level_positions
from unimask.modeling.layers.detr import DetrDecoderLayer
from unimask.modeling.layers.detr_head import DetrHead, EncodedMaps
from unimask.modeling.layers.mask_head import MaskHead
from unimask.modeling.layers.pyramid import initialize_convolutions
from unimask.modeling.pixel_decoders import PixelDecoderOutput
from unimask.modeling.transformer_decoders.per_pixel import PerClassHead
from unimask.outputs import LayerPrediction, SegmenterOutput


class StandardDecoder(nn.Module):
    """DETR's transformer decoder over the map at stride 32, with a prediction after every layer.

    The queries start at zero and differ only by their learned positions. Each layer's output is
    normalized for its prediction only (in the head), as in both papers' `TransformerDecoder`.

    Args:
        input_dim: Number of channels of the map.
        dim: Number of channels of the queries.
        num_queries: Number of queries.
        layers: Decoder layers.
        head: Prediction head, shared by all layers.
    """

    def __init__(
        self,
        *,
        input_dim: int,
        dim: int,
        num_queries: int,
        layers: Sequence[DetrDecoderLayer],
        head: MaskHead | PerClassHead | DetrHead,
    ) -> None:
        super().__init__()
        self.input_proj = nn.Identity() if input_dim == dim else nn.Conv2d(input_dim, dim, 1)
        self.query_positions = nn.Embedding(num_queries, dim)
        self.layers = nn.ModuleList(layers)
        self.head = head
        initialize_convolutions(self.input_proj)

    def forward(
        self,
        pixels: PixelDecoderOutput | EncodedMaps,
        task_token: Float[Tensor, "b c"] | None = None,
        *,
        auxiliary: bool,
        factored: bool = False,
    ) -> SegmenterOutput:
        """Predict classes and masks of all queries.

        Args:
            pixels: Output of the pixel decoder.
            task_token: Ignored.
            auxiliary: Whether to return the predictions of earlier layers too.
            factored: Ignored: masks are always computed.
        """
        size = (pixels.coarse.shape[-2], pixels.coarse.shape[-1])
        memory = self.input_proj(pixels.coarse).flatten(2).transpose(1, 2)
        (positions,) = level_positions([size], memory.shape[-1], memory, local=False)
        query_positions = self.query_positions.weight
        queries = torch.zeros_like(query_positions).expand(memory.shape[0], -1, -1)
        states: list[Tensor] = []
        for layer in self.layers:
            queries = layer(queries, query_positions, memory, positions)
            states += [queries] if auxiliary else []
        last: LayerPrediction = self.head(queries, pixels.mask_features)
        if isinstance(self.head, DetrHead):
            return SegmenterOutput(*last, boxes=tuple(map(self.head.boxes, states)))
        earlier = tuple(self.head(state, pixels.mask_features) for state in states[:-1])
        return SegmenterOutput(*last, earlier)
