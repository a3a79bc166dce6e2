"""Provenance of a model: licence, base model, training data and scores, where known."""

import csv
import json
from dataclasses import dataclass, field
from pathlib import Path

from unimask.bundled import BUNDLED, bundled_names
from unimask.errors import CheckpointError
from unimask.inference.folders import local_folder
from unimask.inference.hub import is_hub_id
from unimask.inference.names import is_untrained
from unimask.published.zoo import PublishedModel, published_models

LARGEST_FILE = 2**26
"""Largest accepted size in bytes of a run's record and of its metrics."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Provenance:
    """What is known about a model beside its description; None where it is unknown.

    Attributes:
        licence: Licence of the weights.
        base_model: Model that the weights are a copy of, or that training started from.
        base_licence: Licence of the base model.
        trained: Whether the base model was trained further.
        data: Name of the dataset that the scores belong to.
        scores: Scores by metric, in percent.
        scored_by: Description of who measured the scores.
    """

    licence: str | None = None
    base_model: str | None = None
    base_licence: str | None = None
    trained: bool = False
    data: str | None = None
    scores: dict[str, float] = field(default_factory=dict)
    scored_by: str = ""

    @property
    def base_on_hub(self) -> str | None:
        """Hub id of the base model, without revision, or None."""
        name = (self.base_model or "").partition("@")[0]
        is_file = Path(name).suffix.lower() in (".pkl", ".pth", ".pt", ".safetensors", ".onnx")
        return name if is_hub_id(name) and not is_file and not Path(name).exists() else None


def find_provenance(source: str) -> Provenance:
    """Return what is known about a model.

    Args:
        source: Argument of `unimask.load`.
    """
    published = find_published(source)
    if published is not None:
        return Provenance(
            licence=published.licence,
            base_model=published.hub or published.file,
            base_licence=published.licence,
            data=published.data,
            scores=published.scores,
            scored_by="reported by the authors",
        )
    if source in bundled_names():
        return Provenance(
            licence=read_licence(BUNDLED / source / "README.md"),
            base_model=f"the model {source} of unimask",
        )
    run = find_run(source)
    if run is not None:
        return read_run(*run)
    return (
        Provenance(base_model=source) if is_hub_id(source) and not exists(source) else Provenance()
    )


def find_published(source: str) -> PublishedModel | None:
    """Return the published model with this Hub id, or whose file has this name."""
    name = source.partition("@")[0]
    file = None if exists(name) and Path(name).is_dir() else Path(name).name
    for model in published_models():
        if name == model.hub and not exists(name):
            return model
        if file and model.file and file == model.file.rpartition("/")[2]:
            return model
    return None


def exists(source: str) -> bool:
    """Return whether a source is a local path."""
    return Path(source).expanduser().exists()


def find_run(source: str) -> tuple[Path, str] | None:
    """Return the folder of the run that a source belongs to, and "best" or "last"."""
    path = Path(source).expanduser()
    if not path.is_dir():
        return None
    try:
        folder = local_folder(source, path)
    except CheckpointError:  # the name of a predictor may be any text
        return None
    if folder is None or folder.parent.name != "weights":
        return None
    run = folder.resolve().parents[1]
    return (run, folder.name) if (run / "settings.json").is_file() else None


def read_run(run: Path, weights: str) -> Provenance:
    """Read the initial model, the dataset and the validation score of a run.

    Files that are missing or damaged count as unknown: they are not needed for the weights.
    """
    try:
        record = json.loads(read_small(run / "settings.json"))
        data, model = record.get("data"), record.get("model")
    except (OSError, ValueError, AttributeError):
        return Provenance()
    if not isinstance(model, str) or is_untrained(model):
        model = None  # an architecture is no base model
    known = isinstance(data, str)
    # The last part only: a local path says nothing to others, and may be private.
    name = (data if is_hub_id(data) and not exists(data) else Path(data).name) if known else None
    published = None if model is None else find_published(model)
    return Provenance(
        base_model=model if model is None or not exists(model) else Path(model).name,
        base_licence=None if published is None else published.licence,
        trained=True,
        data=name,
        scores=read_scores(run / "metrics.csv", weights),
        scored_by="measured on the validation images during training",
    )


def read_scores(path: Path, weights: str) -> dict[str, float]:
    """Read the score of the best or the last validation of a run; empty if there is none."""
    try:
        rows = list(csv.DictReader(read_small(path).splitlines()))
        scored = [(float(row["score"]), row["metric"]) for row in rows if row.get("score")]
    except (OSError, ValueError, KeyError, csv.Error):
        return {}
    if not scored:
        return {}
    score, metric = max(scored) if weights == "best" else scored[-1]
    return {metric: score}


def read_licence(card: Path) -> str | None:
    """Read the licence from the metadata of a model card, or return None."""
    import yaml

    parts = card.read_text(encoding="utf-8").split("---\n")
    metadata = yaml.safe_load(parts[1]) if len(parts) > 2 else None
    return metadata.get("license") if isinstance(metadata, dict) else None


def read_small(path: Path) -> str:
    """Read a text file.

    Raises:
        OSError: It cannot be read.
        ValueError: It is too large, or not text.
    """
    if path.stat().st_size > LARGEST_FILE:
        raise ValueError(f"{path} is too large")
    return path.read_text(encoding="utf-8")
