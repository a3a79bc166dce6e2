"""Predictions for one image: its segments, and the formats to which they convert."""

from unimask.results.result import Result, result_file_names
from unimask.results.segment import Candidate, Segment

__all__ = ["Candidate", "Result", "Segment", "result_file_names"]
