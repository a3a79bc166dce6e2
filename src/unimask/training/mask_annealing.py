"""Annealing of masked attention (EoMT, 3.3).

At first every query attends only inside its mask. Block after block, the probability of this falls
to 0, so that predictions need no masks. The authors' schedules, in steps, are the same shares of
each training (`configs/dinov2/**/*.yaml`; those on DINOv3 start with the first block at once).
"""

from torch import nn

from unimask.modeling.transformer_decoders import JointDecoder

FIRST_START, LAST_START, DURATION = 1 / 6, 4 / 6, 1 / 6
"""Start of the first and of the last block, and duration of each, as shares of the training."""

POWER = 0.9
"""Exponent with which the probability falls (`poly_power`)."""


def mask_probs(progress: float, blocks: int) -> tuple[float, ...]:
    """Compute the probability of masked attention of each block.

    Args:
        progress: Share of the training that is done, from 0 to 1.
        blocks: Number of blocks.
    """
    distance = (LAST_START - FIRST_START) / max(1, blocks - 1)
    starts = [FIRST_START + index * distance for index in range(blocks)]
    done = [min(max((progress - start) / DURATION, 0.0), 1.0) for start in starts]
    return tuple((1 - part) ** POWER for part in done)


def anneal_masks(network: nn.Module, progress: float) -> None:
    """Set the probabilities of masked attention of an EoMT; other networks stay as they are.

    Args:
        network: Network, or its wrapper for several processes.
        progress: Share of the training that is done, from 0 to 1.
    """
    decoder = getattr(network, "module", network).transformer_decoder
    if isinstance(decoder, JointDecoder):
        decoder.mask_probs = mask_probs(progress, len(decoder.blocks))
