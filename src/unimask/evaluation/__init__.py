"""Scores of models on labelled images."""

from unimask.evaluation.compare import compare
from unimask.evaluation.evaluate import evaluate, evaluate_predictor

__all__ = ["compare", "evaluate", "evaluate_predictor"]
