"""Label sets of public datasets."""

from unimask.label_sets.known import SIZES, in_known_colours, known_labels, recognise

__all__ = ["SIZES", "in_known_colours", "known_labels", "recognise"]
