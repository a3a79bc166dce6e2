"""Linear layers that many calls share: one meaning, several implementations."""

from unimask.kernels.linear.kept import kept
from unimask.kernels.linear.packed import Activation, packs, ready_layer, ready_linear

__all__ = ["Activation", "kept", "packs", "ready_layer", "ready_linear"]
