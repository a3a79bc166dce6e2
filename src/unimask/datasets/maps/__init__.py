"""Datasets whose labels are pictures: a map of classes or of objects for each picture."""
