"""Speed and memory of models on a machine."""

from unimask.profiling.benchmark import benchmark

__all__ = ["benchmark"]
