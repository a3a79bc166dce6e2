"""The table of docs/training.md that compares with `transformers` is that of the saved scores."""

import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def test_the_table_equals_the_saved_scores(monkeypatch):
    pytest.importorskip("matplotlib").use("agg")
    monkeypatch.setattr(sys, "path", [str(ROOT), *sys.path])
    import benchmarks.training.beside_report as report

    _, _, rest = report.DOCUMENT.read_text().partition(f"<!-- table: {report.NAME} -->")
    table, end, _ = rest.partition(f"<!-- end: {report.NAME} -->")
    assert end and table.strip() == report.table(report.read_saved_scores()), (
        "run benchmarks.training.beside_report"
    )
