"""Labels and rules for graphs of other programs: every form of a class list, and a model folder."""

import json
import shutil

import conftest
import pytest

from unimask.checkpoints import read_folder_description, write_huggingface
from unimask.errors import SettingsError
from unimask.inference.graph_rules import read_graph_rules, read_label_file
from unimask.labels import LabelSet

CATEGORIES = [
    {"id": 7, "name": "cell", "isthing": 1, "color": [1, 2, 3]},
    {"id": 9, "name": "background", "isthing": 0},
]
FORMS = {
    "names": {"names": ["cell", "background"], "is_thing": [True, False]},
    "categories": CATEGORIES,
    "annotation file": {"images": [], "categories": CATEGORIES},
}
INVALID = {
    "no JSON": "{",
    "another value": '"cell"',
    "no names": "{}",
    "too few flags": '{"names": ["a", "b"], "is_thing": [true]}',
    "a wrong type": '{"names": [1]}',
    "deep nesting": "[" * 100_000,
}


@pytest.mark.parametrize("content", FORMS.values(), ids=FORMS)
def test_class_lists_are_read_in_every_form(content, tmp_path):
    file = tmp_path / "labels.json"
    file.write_text(json.dumps(content))
    labels = read_label_file(file)
    assert labels == LabelSet(("cell", "background"), (True, False))
    if content is not FORMS["names"]:
        assert labels.category_ids == (7, 9)
        assert labels.colours == ((1, 2, 3), None)


@pytest.mark.parametrize("text", INVALID.values(), ids=INVALID)
def test_invalid_class_lists_are_refused_in_one_line(text, tmp_path):
    file = tmp_path / "labels.json"
    file.write_text(text)
    with pytest.raises(SettingsError, match=r"labels\.json") as caught:
        read_label_file(file)
    assert "\n" not in str(caught.value)


def test_a_missing_class_list_is_named(tmp_path):
    with pytest.raises(SettingsError, match=r"none\.json does not exist"):
        read_label_file(tmp_path / "none.json")


def test_a_folder_needs_no_weights(tmp_path):
    whole, described = tmp_path / "whole", tmp_path / "described"
    write_huggingface(whole, conftest.tiny_checkpoint(conftest.TINY_SWIN))
    described.mkdir()
    for name in ("config.json", "preprocessor_config.json"):
        shutil.copy(whole / name, described / name)
    assert read_folder_description(described) == read_folder_description(whole)
    rules = read_graph_rules(None, described, "authors")
    assert rules.labels == read_folder_description(whole).labels
    other = LabelSet(("a", "b"), (True, False))
    assert read_graph_rules(other, described, "authors").labels == other


def test_without_labels_and_rules_nothing_is_assumed():
    with pytest.raises(SettingsError, match="needs labels or rules"):
        read_graph_rules(None, None, "authors")
