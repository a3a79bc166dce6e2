"""Encodings of masks, and formats of files: functions whose round trips are tested."""
