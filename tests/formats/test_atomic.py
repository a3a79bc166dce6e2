"""Files appear whole or not at all."""

import pytest

from unimask.errors import OutputError
from unimask.formats.atomic import atomic_path


def test_a_file_appears_when_the_block_ends(tmp_path):
    path = tmp_path / "new" / "a.txt"
    with atomic_path(path) as temporary:
        assert temporary.suffix == ".txt"
        temporary.write_text("whole")
        assert not path.exists()
    assert path.read_text() == "whole"
    assert list(path.parent.iterdir()) == [path]


def test_a_failure_leaves_the_old_file_and_no_rest(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(KeyError), atomic_path(path) as temporary:
        temporary.write_text("half")
        raise KeyError
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("name", ["file/a.txt", "folder", "x" * 300, "missing"])
def test_a_place_that_cannot_be_written_is_named(tmp_path, name):
    (tmp_path / "file").touch()
    (tmp_path / "folder" / "inner").mkdir(parents=True)
    with pytest.raises(OutputError, match=r"cannot write .*; choose"):  # noqa: SIM117
        with atomic_path(tmp_path / name) as temporary:
            if name != "missing":
                temporary.write_text("text")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder"]
