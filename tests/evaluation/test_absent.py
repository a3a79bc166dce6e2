from unimask.cli.score_tables import score_tables
from unimask.evaluation.absent import absent_in_words, split_absent

PER_CLASS = {
    "cat": {"AP": 12.5, "APs": None},
    "zebra": {"AP": None, "APs": None},
    "kite": {"AP": None, "APs": None},
    "dog": {"AP": 0.0, "APs": 0.0},
}


def test_a_class_with_any_score_keeps_its_row():
    scored, absent = split_absent(PER_CLASS)
    assert list(scored) == ["cat", "dog"] and absent == ["zebra", "kite"]


def test_the_others_are_named_in_one_line():
    words = absent_in_words(["zebra", "kite"], 4)
    assert words == "2 of 4 classes have no score here: zebra, kite"
    assert absent_in_words([], 4) == ""


def test_the_terminal_has_no_rows_of_dashes():
    (table,) = score_tables({}, PER_CLASS)
    assert table.row_count == 2 and table.caption == absent_in_words(["zebra", "kite"], 4)
    (table,) = score_tables({}, {"cat": {"AP": None}})
    assert table.row_count == 0 and "cat" in str(table.caption)
