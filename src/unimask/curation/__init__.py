"""Check labelled folders before training, convert them, and write predictions as datasets."""

from unimask.curation.check import check
from unimask.curation.convert import convert
from unimask.curation.predictions import write_predictions

__all__ = ["check", "convert", "write_predictions"]
