"""The whole network: backbone, pixel decoder, transformer decoder."""

from jaxtyping import Float
from torch import Tensor, nn

from unimask.outputs import SegmenterOutput


class Segmenter(nn.Module):
    """Propose masks with classes for a picture (Mask2Former, figure 2).

    Args:
        backbone: Pictures to features at strides 4 to 32.
        pixel_decoder: Features to mask features and maps for the decoder.
        transformer_decoder: Queries to class and mask logits.
    """

    def __init__(
        self, *, backbone: nn.Module, pixel_decoder: nn.Module, transformer_decoder: nn.Module
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.pixel_decoder = pixel_decoder
        self.transformer_decoder = transformer_decoder

    def forward(
        self, pixel_values: Float[Tensor, "b 3 h w"], *, auxiliary: bool | None = None
    ) -> SegmenterOutput:
        """Give class and mask logits of every query.

        Args:
            pixel_values: Normalised pictures of any height and width.
            auxiliary: Whether to give the earlier layers' predictions too; None gives them
                while training.

        Returns:
            Logits; mask logits have a quarter of the input's height and width, rounded up.
        """
        features = self.backbone(pixel_values)
        pixels = self.pixel_decoder(features)
        wanted = self.training if auxiliary is None else auxiliary
        return self.transformer_decoder(pixels, auxiliary=wanted)
