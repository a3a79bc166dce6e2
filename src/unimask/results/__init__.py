"""Predictions for one image: its segments, and the formats to which they convert."""

from unimask.results.file_names import result_file_names
from unimask.results.result import Result
from unimask.results.segment import Candidate, Segment

__all__ = ["Candidate", "Result", "Segment", "result_file_names"]
