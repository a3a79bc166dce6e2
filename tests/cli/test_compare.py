"""`unimask compare` on the command line."""

import json


def test_a_model_compared_with_itself_shows_no_difference(command, discs, tiny_model, tmp_path):
    target = tmp_path / "both.json"
    code, out, _ = command(
        "compare", tiny_model, tiny_model, "--data", discs, "--task", "semantic",
        "--resamples", 5, "--json", target,
    )  # fmt: skip
    assert code == 0 and "semantic on 2 images" in out and "+0.00" in out
    assert "better" not in out and "worse" not in out
    assert json.loads(target.read_text())["scores"]["mIoU"]["change"] == 0


def test_unknown_tasks_are_one_line_errors(command, check_error, discs, tiny_model):
    code, _, err = command("compare", tiny_model, tiny_model, "--data", discs, "--task", "all")
    check_error(code, err, "unknown task")
