"""Check labelled folders before training, and convert them to other formats."""

from unimask.curation.check import check
from unimask.curation.convert import convert

__all__ = ["check", "convert"]
