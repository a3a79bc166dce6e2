"""Weight files of mmdetection."""
