"""Scores of models on labelled images, and their speed and memory on a machine."""

from unimask.evaluation.benchmark import benchmark
from unimask.evaluation.compare import compare
from unimask.evaluation.evaluate import evaluate, evaluate_predictor

__all__ = ["benchmark", "compare", "evaluate", "evaluate_predictor"]
