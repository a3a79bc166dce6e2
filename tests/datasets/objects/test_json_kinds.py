"""JSON files of labelling tools: each is of one tool alone, and files are sampled first."""

import warnings

import pytest
import tool_exports
from outlines import IMAGES, draw, labelme_content, write_json

from unimask.datasets.candidates import find_candidates
from unimask.datasets.interface import Evidence
from unimask.datasets.objects import json_kinds
from unimask.datasets.objects.json_kinds import find_json_files, is_segment_anything

pytest.importorskip("pycocotools.mask")

WRITERS = [writer for writers, _ in tool_exports.SEEDS.values() for writer in writers]


@pytest.mark.parametrize("writer", WRITERS, ids=lambda writer: writer.__name__)
def test_the_files_of_a_tool_are_of_one_format(tmp_path, writer):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        candidates = find_candidates(writer(tmp_path), None)
    formats = [each for each in candidates.formats if each.evidence >= Evidence.CONTENT]
    assert len(formats) == 1 and not candidates.failures


def test_a_tools_files_are_found_among_a_few_others(tmp_path, monkeypatch):
    monkeypatch.setattr(json_kinds, "MAX_SAMPLED_FILES", 4)
    tool_exports.write_segment_anything(tmp_path / "b")
    for name in list(IMAGES)[:3]:
        draw(tmp_path / "a", name)
        write_json((tmp_path / "a" / name).with_suffix(".json"), labelme_content(name, []))
    assert len(find_json_files(tmp_path, is_segment_anything)) == len(IMAGES)
    for number in range(2):
        write_json(tmp_path / "a" / f"{number}.json", labelme_content("a.png", []))
    assert find_json_files(tmp_path, is_segment_anything) == []
