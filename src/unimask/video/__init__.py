"""Videos, cameras and folders of frames: reading, and writing of tracked results."""

from unimask.video.frame import Frame, FrameOptions, TrackedFrame, VideoWarning
from unimask.video.sources import open_frames

__all__ = ["Frame", "FrameOptions", "TrackedFrame", "VideoWarning", "open_frames"]
