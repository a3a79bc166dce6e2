"""The tables of docs/speed.md are those of the saved results."""

import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def report():
    """Script that writes the tables; it is not part of the package."""
    pytest.importorskip("matplotlib").use("agg")
    sys.path.insert(0, str(ROOT))
    try:
        from benchmarks import speed_report

        yield speed_report
    finally:
        sys.path.remove(str(ROOT))


def test_tables_equal_the_saved_results(report):
    actual, text = report.results(), report.DOCUMENT.read_text()
    for name, write in report.TABLES.items():
        _, _, rest = text.partition(f"<!-- table: {name} -->")
        table, end, _ = rest.partition(f"<!-- end: {name} -->")
        assert end and table.strip() == write(actual), f"{name}: run benchmarks/speed_report.py"


def test_saved_benchmark_outputs_agree(report):
    for case, result in report.results().items():
        for pair in result["pairs"]:
            assert pair.get("agreement", {"good": True})["good"], (case, pair["peer"])
