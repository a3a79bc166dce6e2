"""The top level of JSON files: keys and first items, in any encoding, without reading it all."""

import json
import time
import tracemalloc

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from unimask.errors import DataError
from unimask.formats import json_outline, json_stream
from unimask.formats.json_outline import read_json_outline
from unimask.formats.json_stream import stream_items, stream_lists, stream_members

CONTENT = {
    "info": {"year": 2024},
    "images": [{"id": 1, "file_name": "ä.png"}, {"id": 2, "width": 3}],
    "annotations": [],
    "version": "1.0",
}


@pytest.mark.parametrize(
    "encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-be", "utf-16-le", "utf-32"]
)
def test_keys_are_found_whatever_the_encoding(tmp_path, encoding):
    path = tmp_path / "a.json"
    path.write_bytes(json.dumps(CONTENT, ensure_ascii=False).encode(encoding))
    actual = read_json_outline(path)
    assert actual.complete and actual.error == "" and actual.kind == "object"
    assert actual.keys == {
        "info": "object",
        "images": "list",
        "annotations": "list",
        "version": "value",
    }
    assert actual.item_keys("images") == {"id", "file_name", "width"}
    assert actual.item_keys("annotations") == frozenset()
    assert actual.counts == {"images": 2, "annotations": 0}
    assert not actual.may_have("categories") and actual.may_have("images")
    items = list(stream_lists(path, ("images",)))
    assert items == [("images", image) for image in CONTENT["images"]]


def test_truncated_files_yield_the_keys_before_the_end(tmp_path):
    path = tmp_path / "a.json"
    path.write_text(json.dumps(CONTENT)[:60])
    actual = read_json_outline(path)
    assert actual.error and not actual.complete and list(actual.keys) == ["info", "images"]
    assert read_json_outline(tmp_path / "gone.json").error


@pytest.mark.parametrize(
    ("text", "kind"),
    [("[]", "list"), ('[{"a": 1}]', "list"), ("3", "value"), ("  \n", "value"), ("", "value")],
)
def test_lists_and_values_are_distinguished_from_objects(tmp_path, text, kind):
    (tmp_path / "a.json").write_text(text)
    actual = read_json_outline(tmp_path / "a.json")
    assert actual.kind == kind and actual.keys == {}
    assert actual.item_keys("") == ({"a"} if "a" in text else frozenset())


def test_a_changed_file_is_scanned_again(tmp_path):
    path = tmp_path / "a.json"
    path.write_text('{"a": 1}')
    assert list(read_json_outline(path).keys) == ["a"]
    path.write_text('{"a": 1, "b": 2}')
    assert list(read_json_outline(path).keys) == ["a", "b"]


def test_the_scan_of_a_long_file_stops_at_its_budget(tmp_path, monkeypatch):
    monkeypatch.setattr(json_stream, "CHUNK_CHARACTERS", 1 << 12)
    path = tmp_path / "a.json"
    images = [{"id": number, "file_name": "x" * 50} for number in range(20_000)]
    path.write_text(json.dumps({"images": images, "annotations": []}))
    tracemalloc.start()
    actual = read_json_outline(path, 1 << 16)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert not actual.complete and actual.may_have("annotations") and actual.error == ""
    assert 0 < actual.counts["images"] < 2_000 and peak < 1 << 20


@pytest.mark.parametrize("text", ["[" * 200_000, '{"a":' * 200_000, '{"a": "' + "x" * (1 << 22)])
def test_deeply_nested_json_is_an_error(tmp_path, text):
    (tmp_path / "a.json").write_text(text + " " * (1 << 22))
    begin = time.perf_counter()
    assert read_json_outline(tmp_path / "a.json").error
    assert time.perf_counter() - begin < 5


def test_the_scan_stops_after_the_first_items_of_a_list(tmp_path):
    """Further items add no information, and up to 64 million characters would be scanned."""
    path = tmp_path / "a.json"
    content = {"images": [{"id": i} for i in range(200)], "annotations": [{"a": 1}] * 200, "z": 1}
    path.write_text(json.dumps(content))
    found = read_json_outline(path, until="annotations")
    assert found.counts == {"images": 200, "annotations": 64} and not found.complete
    assert found.item_keys("annotations") == {"a"} and found.may_have("z")
    assert read_json_outline(path).counts == {"images": 200, "annotations": 200}


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.text("ab\u00e4\ud83d\ude00", max_size=3),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text("abc", max_size=2), inner, max_size=4)
    ),
    max_leaves=20,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(VALUES)
def test_a_small_file_has_the_outline_that_a_scan_finds(tmp_path, content):
    """Small files are parsed at once; the result is that of the parser for long files."""
    path = tmp_path / "a.json"
    path.write_text(json.dumps(content))
    parsed = json_outline.scan_small_file(str(path))
    state = json_outline.OutlineScan("")
    with json_stream.open_json(path) as stream:
        state.complete = state.walk(json_stream.JsonReader(stream), 1 << 20)
    assert parsed == state.outline()


def test_keys_of_objects_are_found(tmp_path):
    path = tmp_path / "a.json"
    path.write_text(json.dumps({"image": {"height": 1, "width": 2}, "annotations": [{"id": 1}]}))
    actual = read_json_outline(path)
    assert actual.member_keys("image") == {"height", "width"}
    assert actual.member_keys("annotations") == actual.member_keys("gone") == frozenset()


def test_members_of_objects_are_streamed(tmp_path):
    path = tmp_path / "a.json"
    path.write_text(json.dumps({"a": [1, 2], "b": {"x": {"y": 1}, "z": [3]}, "c": 5}))
    assert list(stream_members(path)) == [("a", [1, 2]), ("b", {"x": {"y": 1}, "z": [3]}), ("c", 5)]
    assert list(stream_members(path, "b")) == [("x", {"y": 1}), ("z", [3])]
    assert list(stream_members(path, "gone")) == []
    path.write_text("[1, {}]")
    assert list(stream_items(path)) == [1, {}]
    for stream in (stream_members(path), stream_members(path, "b")):
        with pytest.raises(DataError, match="is not the JSON it should be"):
            list(stream)
