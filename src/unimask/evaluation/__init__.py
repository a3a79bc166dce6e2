"""Scores of models on labelled images."""

from unimask.evaluation.compare import compare
from unimask.evaluation.evaluate import evaluate, evaluate_predictor
from unimask.evaluation.evaluate_tracks import evaluate_tracks

__all__ = ["compare", "evaluate", "evaluate_predictor", "evaluate_tracks"]
