"""Datasets whose labels are lists of objects: polygons, boxes, run lengths."""
