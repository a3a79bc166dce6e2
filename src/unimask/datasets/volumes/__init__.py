"""Datasets of labelled volumes, whose samples are slices."""
