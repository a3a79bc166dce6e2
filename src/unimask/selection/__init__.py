"""Active selection: the unlabelled images whose labels would improve a model most."""

from unimask.selection.select import SelectedImage, Selection, select

__all__ = ["SelectedImage", "Selection", "select"]
