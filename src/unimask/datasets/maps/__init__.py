"""Datasets whose labels are image files: one map of classes or of objects per image."""
