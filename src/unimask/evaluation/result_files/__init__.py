"""Results that any program wrote, matched to the pictures of a dataset."""

from unimask.evaluation.result_files.recognise import open_results
from unimask.evaluation.result_files.source import ResultSource

__all__ = ["ResultSource", "open_results"]
