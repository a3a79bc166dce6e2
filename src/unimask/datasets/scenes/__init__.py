"""Datasets of large rasters (scenes) with labels on the ground, which are cut into chips."""
