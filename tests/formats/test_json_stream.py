"""Streaming long JSON lists item by item."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unimask.errors import DataError
from unimask.formats import json_stream
from unimask.formats.json_stream import stream_lists

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(
    st.dictionaries(st.sampled_from(["a", "b", "c"]), VALUES),
    st.integers(1, 9),
    st.sampled_from([None, 1]),
)
def test_streamed_items_equal_json_load(tmp_path_factory, content, chunk, indent):
    path = tmp_path_factory.mktemp("json") / "a.json"
    path.write_text(json.dumps(content, indent=indent))
    expected = []
    for key, value in content.items():
        if key != "c":
            expected += (
                [(key, item) for item in value] if isinstance(value, list) else [(key, value)]
            )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_stream, "CHUNK_CHARACTERS", chunk)
        assert list(stream_lists(path, ("a", "b"))) == expected


@pytest.mark.parametrize(
    "text", ["", "[1]", '{"a": [1, 2', '{"a": [1 2]}', '{"a" [1]}', "\0", "{a"]
)
def test_invalid_json_is_named(tmp_path, text):
    path = tmp_path / "a.json"
    path.write_text(text)
    with pytest.raises(DataError, match=r"a\.json is not the JSON it should be .*: export it"):
        list(stream_lists(path, ("a",)))


def test_missing_files_are_named(tmp_path):
    with pytest.raises(DataError, match=r"gone\.json cannot be read"):
        list(stream_lists(tmp_path / "gone.json", ("a",)))
    (tmp_path / "b.json").write_bytes(b'{"a": "\xff\xfe"}')
    with pytest.raises(DataError, match=r"b\.json is not"):
        list(stream_lists(tmp_path / "b.json", ("a",)))
