"""Exported graphs, their metadata, and other runtimes; and int8 in PyTorch."""
