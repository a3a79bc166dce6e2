"""unimask: universal image segmentation."""

from unimask.version import __version__

__all__ = ["__version__"]
