"""Results of any program, matched to the images of a dataset."""

from unimask.evaluation.result_files.recognise import open_results
from unimask.evaluation.result_files.source import ResultSource

__all__ = ["ResultSource", "open_results"]
