"""Tracking: objects of consecutive results keep their ids."""

from unimask.tracking.settings import ClipSettings, TrackerSettings
from unimask.tracking.tracker import Tracker

__all__ = ["ClipSettings", "Tracker", "TrackerSettings"]
