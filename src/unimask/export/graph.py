"""Capture of a network as one graph of PyTorch's own operators, with normalisation inside."""

import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram

from unimask.errors import SettingsError, one_line
from unimask.kernels.deformable_attention.dispatch import force_implementation
from unimask.labels import Task
from unimask.modeling.segmenter import Segmenter
from unimask.runtimes.metadata import ExportedDescription

MAX_BATCH = 65536
"""Largest batch size of graphs that take any."""


class ExportedSegmenter(nn.Module):
    """Network from images of 0 to 255 to the logits of the last layer.

    OneFormer's task tokens are computed in advance: the graph selects one per image.

    Args:
        network: Network in eval mode on the CPU.
        mean: Mean per channel, from 0 to 255.
        std: Standard deviation per channel.
        tasks: Tasks of the graph.
    """

    mean: Tensor
    std: Tensor
    tokens: Tensor | None

    def __init__(
        self,
        network: Segmenter,
        mean: tuple[float, ...],
        std: tuple[float, ...],
        tasks: tuple[Task, ...],
    ) -> None:
        super().__init__()
        self.network = network
        self.register_buffer("mean", torch.tensor(mean)[:, None, None])
        self.register_buffer("std", torch.tensor(std)[:, None, None])
        with torch.no_grad():
            encoder = network.task_encoder
            self.register_buffer("tokens", None if encoder is None else encoder(tasks).clone())

    def forward(
        self,
        pixel_values: Shaped[Tensor, "b c h w"],
        task: Int[Tensor, " b"] | None = None,
    ) -> tuple[Float[Tensor, "b q k"], Float[Tensor, "b q i j"]]:
        """Compute class and mask logits.

        Args:
            pixel_values: Images from 0 to 255, uint8 or float32.
            task: Index of each image's task; None for the only one.
        """
        normalised = (pixel_values.float() - self.mean) / self.std
        pixels = self.network.pixel_decoder(self.network.backbone(normalised))
        token = None
        if self.tokens is not None:
            batch = pixel_values.shape[0]
            token = self.tokens[:1].expand(batch, -1) if task is None else self.tokens[task]
        output = self.network.transformer_decoder(pixels, token, auxiliary=False)
        return output.class_logits, output.mask_logits


def example_inputs(description: ExportedDescription, batch: int) -> tuple[Tensor, ...]:
    """Return random images, and tasks if the graph takes any, in the format of its inputs."""
    spec = description.input
    generator = torch.Generator().manual_seed(0)
    shape = (batch, spec.channels, *spec.size)
    images = torch.randint(0, 256, shape, generator=generator).to(getattr(torch, spec.dtype))
    if not description.takes_task:
        return (images,)
    return images, torch.arange(batch) % len(description.tasks)


@torch.no_grad()
def capture(model: ExportedSegmenter, description: ExportedDescription) -> ExportedProgram:
    """Capture the network for the inputs that the description specifies.

    Raises:
        SettingsError: The network's operations depend on values, so that it is no graph.
    """
    batch = description.input.batch
    inputs = example_inputs(description, 2 if batch is None else batch)
    dynamic = None
    if batch is None:
        dimension = Dim("batch", min=1, max=MAX_BATCH)
        dynamic = tuple({0: dimension} for _ in inputs)
    # Fill caches of constants, such as position encodings, with tensors instead of symbols.
    model(*(part[:1] for part in inputs))
    with force_implementation("reference"):  # PyTorch's operators, which exporters translate
        try:
            return torch.export.export(model, inputs, dynamic_shapes=dynamic, strict=False)
        except Exception as error:  # the tracer's errors have no common type
            raise SettingsError(
                f"the network cannot be captured as a graph: {one_line(error)}"
            ) from error
