"""New runs refuse folders with foreign files."""

import json

import pytest

from unimask.errors import OutputError
from unimask.formats.output_folder import OutputFolder
from unimask.training.new_folder import claim_folder

OURS = {"model": "x", "task": "instance", "data": "d", "labels": [], "settings": {}}


def test_new_folders_contain_the_unimask_record(tmp_path):
    claim_folder(tmp_path / "run")
    assert json.loads((tmp_path / "run" / "unimask.json").read_text())["files"] == {}
    (tmp_path / "run" / "samples").mkdir()
    (tmp_path / "run" / "metrics.csv").write_text("step\n")
    claim_folder(
        tmp_path / "run"
    )  # a run that was killed before its first state can be started again


def write_earlier_run(folder):
    (folder / "settings.json").write_text(json.dumps(OURS))
    (folder / "samples").mkdir()


ACCEPTED = {
    "empty": lambda folder: None,
    "junk": lambda folder: (folder / ".DS_Store").touch(),
    "nothing but an empty folder of samples": lambda folder: (folder / "samples").mkdir(),
    "a run of an earlier release": write_earlier_run,
}


@pytest.mark.parametrize("case", ACCEPTED)
def test_folders_without_foreign_files_are_accepted(tmp_path, case):
    ACCEPTED[case](tmp_path)
    claim_folder(tmp_path)


def write_results(folder):
    with OutputFolder(folder).new_file("a.json") as path:
        path.write_text("{}")


def write_run_with_notes(folder):
    claim_folder(folder)
    (folder / "notes.txt").write_text("mine")


FOREIGN = {
    "images": lambda folder: (folder / "a.png").touch(),
    "settings of an editor": lambda folder: (folder / "settings.json").write_text('{"a": 1}'),
    "metrics of another program": lambda folder: (folder / "metrics.csv").write_text("step\n"),
    "samples of another program": lambda folder: (
        (folder / "samples").mkdir(),
        (folder / "samples" / "a.png").touch(),
    ),
    "results of predict": write_results,
    "a run with notes": write_run_with_notes,
}


@pytest.mark.parametrize("case", FOREIGN)
def test_foreign_files_are_not_touched(tmp_path, case):
    FOREIGN[case](tmp_path)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(OutputError, match=r"did not write .*: choose a new or empty folder"):
        claim_folder(tmp_path)
    assert sorted(tmp_path.rglob("*")) == before
