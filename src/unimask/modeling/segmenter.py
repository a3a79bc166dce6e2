"""The network: backbone, pixel decoder, transformer decoder."""

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from unimask.errors import SettingsError
from unimask.labels import Task
from unimask.modeling.pixel_decoders import PixelDecoderOutput
from unimask.modeling.task_encoder import TaskEncoder
from unimask.modeling.text_encoder import TextMapper
from unimask.outputs import FactoredOutput, SegmenterOutput


class Segmenter(nn.Module):
    """Mask classification network (Mask2Former, figure 2; OneFormer, figure 2).

    Args:
        backbone: Module from images to features at strides 4 to 32, or to tokens (EoMT).
        pixel_decoder: Module from features to mask features and maps for the decoder; the identity
            for tokens.
        transformer_decoder: Module from these to class and mask logits of queries.
        task_encoder: Encoder of the task; OneFormer only.
        text_mapper: Encoder of texts about the image for the contrastive loss; OneFormer only.
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
        pixel_values: Float[Tensor, "b *t c h w"],
        task: Task | Sequence[Task] | None = None,
        *,
        sentences: Int[Tensor, "b n t"] | None = None,
        auxiliary: bool | None = None,
        factored: bool = False,
    ) -> SegmenterOutput | FactoredOutput:
        """Compute class and mask logits for every query.

        Args:
            pixel_values: Normalized images of any height and width; for networks of clips also
                clips (b, t, c, h, w), and an image is a clip of one frame.
            task: Task of all images, or of each. Used by OneFormer only; None means panoptic.
            sentences: Token ids of texts about the images, to train OneFormer.
            auxiliary: Whether to return the predictions of earlier layers too; None returns them
                in training mode.
            factored: Whether to return the masks of all layers as factors, where the decoder can:
                for losses that compute masks themselves (`Criterion.takes_factors`).

        Returns:
            Class logits, whose last column is "no object", and mask logits with a quarter of the
            input's height and width, rounded up.

        Raises:
            SettingsError: `pixel_values` has another rank, dtype or device than the network needs.
        """
        if not torch.compiler.is_compiling():
            clips = getattr(self.transformer_decoder, "clips", False)
            check_images(pixel_values, next(self.backbone.parameters()), clips=clips)
        auxiliary = self.training if auxiliary is None else auxiliary
        if pixel_values.ndim == 5:
            pixels = self.encode(pixel_values.flatten(0, 1))
            frames = pixel_values.shape[1]
            return self.decode_clips(pixels, frames, auxiliary=auxiliary, factored=factored)
        features = self.backbone(pixel_values.contiguous(memory_format=torch.channels_last))
        pixels = self.pixel_decoder(features)
        token = None
        if self.task_encoder is not None:
            tasks = task or "panoptic"
            token = self.task_encoder(
                [tasks] * len(pixel_values) if isinstance(tasks, str) else tasks
            )
        output = self.transformer_decoder(pixels, token, auxiliary=auxiliary, factored=factored)
        if self.text_mapper is not None and sentences is not None:
            output = output._replace(text_queries=self.text_mapper(sentences))
        return output

    def encode(self, pixel_values: Float[Tensor, "n c h w"]) -> PixelDecoderOutput:
        """Compute the maps of frames of clips that the transformer decoder reads."""
        features = self.backbone(pixel_values.contiguous(memory_format=torch.channels_last))
        return self.pixel_decoder(features)

    def decode_clips(
        self, pixels: PixelDecoderOutput, frames: int, *, auxiliary: bool, factored: bool
    ) -> SegmenterOutput | FactoredOutput:
        """Predict classes and masks of clips from the maps of their frames.

        Args:
            pixels: Maps of the frames of all clips in order.
            frames: Number of frames of each clip.
            auxiliary: Whether to return the predictions of earlier layers too.
            factored: Whether to return the masks of all layers as factors.
        """
        features = pixels.mask_features._replace(frames=frames)
        output = self.transformer_decoder(
            pixels._replace(mask_features=features), auxiliary=auxiliary, factored=factored
        )
        return output if isinstance(output, FactoredOutput) else output.group_frames(frames)


def check_images(pixel_values: object, weight: Tensor, *, clips: bool = False) -> None:
    """Raise if an input cannot be a batch of images for a network with this weight.

    Args:
        pixel_values: Input of the network.
        weight: Weight of the network.
        clips: Whether the network takes clips too.

    Raises:
        SettingsError: It is not a tensor (b, c, h, w), or of clips (b, t, c, h, w), of the weight's
            dtype and device.
    """
    if not isinstance(pixel_values, Tensor):
        raise SettingsError(f"pixel_values is a {type(pixel_values).__name__}: pass a tensor")
    if pixel_values.ndim not in ((4, 5) if clips else (4,)) or not pixel_values.numel():
        shape = tuple(pixel_values.shape)
        wanted = "(b, c, h, w) or (b, t, c, h, w)" if clips else "(b, c, h, w)"
        raise SettingsError(f"pixel_values has shape {shape}: pass {wanted}, normalized images")
    if pixel_values.dtype != weight.dtype and not (
        pixel_values.is_floating_point() and torch.is_autocast_enabled(weight.device.type)
    ):
        raise SettingsError(
            f"pixel_values has dtype {pixel_values.dtype}, the network {weight.dtype}: convert one"
        )
    if pixel_values.device != weight.device:
        raise SettingsError(
            f"pixel_values is on {pixel_values.device}, the network on {weight.device}: move one"
        )
