"""Write samples as files of a dataset format, one module per format."""
