"""Pickles, read as data without executing anything that they request."""
