"""Samples to the files of a format, one format a file."""
