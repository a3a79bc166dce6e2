from unimask.metrics.absent import describe_absent, split_absent

PER_CLASS = {
    "cat": {"AP": 12.5, "APs": None},
    "zebra": {"AP": None, "APs": None},
    "kite": {"AP": None, "APs": None},
    "dog": {"AP": 0.0, "APs": 0.0},
}


def test_classes_with_any_score_have_a_table_row():
    scored, absent = split_absent(PER_CLASS)
    assert list(scored) == ["cat", "dog"] and absent == ["zebra", "kite"]


def test_absent_classes_are_named_in_one_line():
    words = describe_absent(["zebra", "kite"], 4)
    assert words == "2 of 4 classes have no score here: zebra, kite"
    assert describe_absent([], 4) == ""
