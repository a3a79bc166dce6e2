"""Label sets of public datasets."""

from unimask.label_sets.known import NUM_CLASSES, add_known_colours, find_label_set, known_labels

__all__ = ["NUM_CLASSES", "add_known_colours", "find_label_set", "known_labels"]
