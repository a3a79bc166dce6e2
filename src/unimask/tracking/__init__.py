"""Tracking: objects of consecutive results keep their ids."""

from unimask.tracking.settings import TrackerSettings
from unimask.tracking.tracker import Tracker

__all__ = ["Tracker", "TrackerSettings"]
