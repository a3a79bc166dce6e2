"""Score the instances of a model above several minimum scores.

    python -m benchmarks.training.instance_threshold DATA MODEL [--split train] [--every 7]

DATA is a dataset of things that do not overlap. The minimum score with the highest
TP / (TP + FP + FN) on training images is a good `instance_threshold` of the model.
"""

import argparse

import unimask
from unimask.datasets import open_dataset
from unimask.evaluation.result_providers import Predictions
from unimask.evaluation.scorers import build_scorer

MIN_SCORES = tuple(percent / 100 for percent in range(30, 95, 5))
METRICS = ("AP_match@0.50", "AP_match@0.70")


def main() -> None:
    """Predict every image once, and print the scores."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("data")
    parser.add_argument("model")
    parser.add_argument("--split", default="train")
    parser.add_argument("--every", type=int, default=7, help="use every so many images")
    options = parser.parse_args()
    model = unimask.load(options.model, device="cpu")
    predictions = Predictions(model, open_dataset(options.data, options.split), "instance")
    scorers = {
        least: build_scorer("instance", predictions.labels, min_score=least) for least in MIN_SCORES
    }
    indices = range(0, len(predictions.dataset), options.every)
    for index in indices:
        sample = predictions.dataset[index]
        result = predictions.result(index, sample)
        for scorer in scorers.values():
            scorer.add(result, sample)
    print(f"{options.model}, {len(indices)} images of {options.split}")
    print("minimum score", *METRICS, sep="  ")
    for least, scorer in scorers.items():
        scores = scorer.metrics()
        print(f"{least:13.2f}", *(f"{scores[metric]:13.1f}" for metric in METRICS), sep="  ")


if __name__ == "__main__":
    main()
