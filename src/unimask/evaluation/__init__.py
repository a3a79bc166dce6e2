"""How good a model is on labelled pictures."""

from unimask.evaluation.evaluate import evaluate, evaluate_predictor

__all__ = ["evaluate", "evaluate_predictor"]
