"""Volumes of CT, MRI and microscopy: reading with orientation and spacing, and writing."""

from unimask.volumes.open_volume import open_volume
from unimask.volumes.result import VolumeResult
from unimask.volumes.volume import Volume

__all__ = ["Volume", "VolumeResult", "open_volume"]
