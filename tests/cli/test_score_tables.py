from unimask.cli.score_tables import score_tables
from unimask.metrics.absent import describe_absent

PER_CLASS = {
    "cat": {"AP": 12.5, "APs": None},
    "zebra": {"AP": None, "APs": None},
    "kite": {"AP": None, "APs": None},
    "dog": {"AP": 0.0, "APs": 0.0},
}


def test_tables_omit_rows_without_scores():
    table, line = score_tables({}, PER_CLASS)
    assert table.row_count == 2 and line == describe_absent(["zebra", "kite"], 4)
    assert score_tables({}, {"cat": {"AP": None}}) == [describe_absent(["cat"], 1)]
    assert [type(part) for part in score_tables({}, {"cat": {"AP": 1.0}})] == [type(table)]
