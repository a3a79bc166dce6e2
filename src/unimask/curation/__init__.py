"""Labelled folders looked over before they are used, and written in other formats."""

from unimask.curation.check import check
from unimask.curation.convert import convert

__all__ = ["check", "convert"]
