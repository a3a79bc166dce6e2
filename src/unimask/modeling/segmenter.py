"""The whole network: backbone, pixel decoder, transformer decoder."""

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from unimask.labels import Task
from unimask.modeling.task_encoder import TaskEncoder
from unimask.modeling.text_encoder import TextMapper
from unimask.outputs import FactoredOutput, SegmenterOutput


class Segmenter(nn.Module):
    """Propose masks with classes for a picture (Mask2Former, figure 2; OneFormer, figure 2).

    Args:
        backbone: Pictures to features at strides 4 to 32.
        pixel_decoder: Features to mask features and maps for the decoder.
        transformer_decoder: Queries to class and mask logits.
        task_encoder: Tells the queries what is asked; OneFormer alone has one.
        text_mapper: Texts about the picture, which teach OneFormer's queries.
    """

    def __init__(
        self,
        *,
        backbone: nn.Module,
        pixel_decoder: nn.Module,
        transformer_decoder: nn.Module,
        task_encoder: TaskEncoder | None = None,
        text_mapper: TextMapper | None = None,
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.pixel_decoder = pixel_decoder
        self.transformer_decoder = transformer_decoder
        self.task_encoder = task_encoder
        self.text_mapper = text_mapper

    def forward(
        self,
        pixel_values: Float[Tensor, "b c h w"],
        task: Task | Sequence[Task] | None = None,
        *,
        sentences: Int[Tensor, "b n t"] | None = None,
        auxiliary: bool | None = None,
        factored: bool = False,
    ) -> SegmenterOutput | FactoredOutput:
        """Give class and mask logits of every query.

        Args:
            pixel_values: Normalised pictures of any height and width.
            task: What is asked, of all pictures or of each. Only OneFormer listens; None asks
                it for panoptic segmentation.
            sentences: Tokens of texts about the pictures, to train OneFormer with.
            auxiliary: Whether to give the earlier layers' predictions too; None gives them
                while training.
            factored: Give all layers' predictions with their masks as factors, where the decoder
                can: for losses that draw masks themselves (`Criterion.takes_factors`).

        Returns:
            Logits; mask logits have a quarter of the input's height and width, rounded up.
        """
        features = self.backbone(pixel_values.contiguous(memory_format=torch.channels_last))
        pixels = self.pixel_decoder(features)
        wanted = self.training if auxiliary is None else auxiliary
        token = None
        if self.task_encoder is not None:
            asked = task or "panoptic"
            token = self.task_encoder(
                [asked] * len(pixel_values) if isinstance(asked, str) else asked
            )
        output = self.transformer_decoder(pixels, token, auxiliary=wanted, factored=factored)
        if self.text_mapper is not None and sentences is not None:
            output = output._replace(texts=self.text_mapper(sentences))
        return output
