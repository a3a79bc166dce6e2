"""Exported graphs: their metadata, and other runtimes in place of PyTorch."""
