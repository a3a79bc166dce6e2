"""Colours, and pictures that people like to look at."""
