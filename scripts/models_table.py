"""Write the tables of published models in README.md and docs/models.md from the package's data.

python scripts/models_table.py          # compare; exit code 1 if a table is out of date
python scripts/models_table.py --write
"""

import sys
from collections.abc import Iterable
from pathlib import Path

from unimask.formats.atomic import atomic_path
from unimask.published.zoo import PublishedModel, published_models

ROOT = Path(__file__).parents[1]
START, END = "<!-- models -->", "<!-- /models -->"
FAMILIES = {
    "mask2former": "Mask2Former",
    "oneformer": "OneFormer",
    "maskformer": "MaskFormer",
    "eomt": "EoMT",
    "detr": "DETR",
}
COLUMNS = (
    ("COCO", "coco", "PQ"),
    ("COCO", "coco", "AP"),
    ("ADE20K", "ade20k", "mIoU"),
    ("Cityscapes", "cityscapes", "PQ"),
)
"""Columns of the README's table: name of the dataset, its key, and metric."""

BUNDLED = ("nuclei", "rendered-town")
CARD = "src/unimask/weights/{}/README.md"
METRICS = ("PQ", "AP", "mIoU")


def main() -> None:
    """Compare the tables in both files with the package's data, or write them."""
    models = published_models()
    tables = {
        ROOT / "README.md": summary_table(models),
        ROOT / "docs" / "models.md": full_table(models),
    }
    stale = [
        path for path, table in tables.items() if replace_table(path, table) != path.read_text()
    ]
    if "--write" not in sys.argv[1:]:
        sys.exit(f"out of date: {', '.join(map(str, stale))}" if stale else 0)
    for path in stale:
        text = replace_table(path, tables[path])
        with atomic_path(path) as temporary:
            temporary.write_text(text)


def replace_table(path: Path, table: str) -> str:
    """Return a file's text with the table between its markers."""
    before, _, rest = path.read_text().partition(START)
    return f"{before}{START}\n{table}\n{END}{rest.partition(END)[2]}"


def summary_table(models: Iterable[PublishedModel]) -> str:
    """Return one row per family: the best published score of each column's dataset and metric."""
    heads = [f"{name} {metric}" for name, _, metric in COLUMNS]
    rows = [f"| checkpoints | number | {' | '.join(heads)} | licence |"]
    rows.append("|---" * (len(heads) + 3) + "|")
    for name in BUNDLED:
        card = CARD.format(name)
        rows.append(f"| `{name}`, bundled ([card]({card})) | 1 |{' |' * len(heads)} Apache-2.0 |")
    for family, title in FAMILIES.items():
        members = [model for model in models if model.family == family]
        licence = ", ".join(sorted({model.licence for model in members}))
        best = [best_score(members, data, metric) for _, data, metric in COLUMNS]
        rows.append(f"| {title} | {len(members)} | {' | '.join(best)} | {licence} |")
    return "\n".join(rows)


def best_score(models: Iterable[PublishedModel], data: str, metric: str) -> str:
    """Return the highest single-scale score of some models, or nothing if none has the metric."""
    scores = [m.scores[metric] for m in models if m.data == data and metric in m.scores]
    return f"{max(scores)}" if scores else ""


def full_table(models: Iterable[PublishedModel]) -> str:
    """Return one row per published model."""
    rows = [
        "| name | PQ | AP | mIoU | parameters (million) | licence | load as |",
        "|---|---|---|---|---|---|---|",
    ]
    for model in models:
        scores = [str(model.scores.get(metric, "")) for metric in METRICS]
        source = f"`{model.hub}`" if model.hub else f"[file]({model.file})"
        cells = f"`{model.name}`", *scores, f"{model.millions:.0f}", model.licence, source
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows)


if __name__ == "__main__":
    main()
