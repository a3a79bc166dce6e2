"""Large images, which are read in windows and whose results are written in blocks."""
