"""Atomic writes: files appear completely or not at all."""

import os
import subprocess
import sys

import pytest

from unimask.errors import OutputError, StorageError
from unimask.formats import atomic
from unimask.formats.atomic import atomic_folder, atomic_path, partial_name, remove_abandoned


def test_files_appear_when_the_context_exits(tmp_path):
    path = tmp_path / "new" / "a.txt"
    with atomic_path(path) as temporary:
        assert temporary.suffix == ".txt"
        temporary.write_text("whole")
        assert not path.exists()
    assert path.read_text() == "whole"
    assert list(path.parent.iterdir()) == [path]


def test_failures_keep_the_old_file_and_remove_the_temporary_one(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(KeyError), atomic_path(path) as temporary:
        temporary.write_text("half")
        raise KeyError
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("name", ["file/a.txt", "folder", "x" * 300, "missing"])
def test_unwritable_paths_are_named(tmp_path, name):
    (tmp_path / "file").touch()
    (tmp_path / "folder" / "inner").mkdir(parents=True)
    with pytest.raises(OutputError, match=r"cannot write .*; choose"):  # noqa: SIM117
        with atomic_path(tmp_path / name) as temporary:
            if name != "missing":
                temporary.write_text("text")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder"]


KILLED = """
import os, sys
from pathlib import Path
from unimask.formats.atomic import atomic_path
with atomic_path(Path(sys.argv[1])) as path:
    path.write_text("half")
    os._exit(9)
"""


def test_files_of_killed_processes_are_removed_at_the_next_write(tmp_path):
    subprocess.run([sys.executable, "-c", KILLED, tmp_path / "a.safetensors"])
    (left,) = tmp_path.iterdir()
    assert left.name.startswith(".partial-") and left.suffix == ".safetensors"
    with atomic_path(tmp_path / "b.txt") as path:
        path.write_text("whole")
    assert [path.name for path in tmp_path.iterdir()] == ["b.txt"]


def test_files_of_running_processes_are_kept(tmp_path):
    parts = partial_name(".txt").split("-")
    elsewhere = "-".join([parts[0], "another_host", *parts[2:]])
    earlier = "-".join(
        [*parts[:3], str(int(parts[3]) - 1), *parts[4:]]
    )  # the process id was reused
    dead = "-".join([*parts[:2], "999999999", *parts[3:]])
    alive = [partial_name(".txt"), elsewhere, ".partial-notes.txt", ".partial-0123456789ab.txt"]
    for name in (*alive, earlier, dead):
        (tmp_path / name).touch()
    (tmp_path / f"{dead}-copy").mkdir()
    (tmp_path / dead.removesuffix(".txt")).mkdir()
    (tmp_path / dead.removesuffix(".txt") / "inner.txt").touch()
    remove_abandoned(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {*alive, f"{dead}-copy"}


@pytest.mark.parametrize("number", [28, 122, 30])
def test_a_full_disk_raises_a_storage_error(tmp_path, number):
    with pytest.raises(StorageError, match="cannot write"), atomic_path(tmp_path / "a.txt"):
        raise OSError(number, os.strerror(number))
    with pytest.raises(OutputError) as error, atomic_path(tmp_path / "a.txt"):
        raise OSError(5, "Input/output error")
    assert not isinstance(error.value, StorageError)


def test_folders_appear_atomically_and_keep_existing_files(tmp_path):
    out = tmp_path / "out"
    with pytest.raises(KeyboardInterrupt), atomic_folder(out) as folder:
        (folder / "a.txt").write_text("half")
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []
    out.mkdir()
    (out / ".gitkeep").touch()
    with atomic_folder(out) as folder:
        (folder / "a.txt").write_text("whole")
    assert {path.name for path in out.iterdir()} == {".gitkeep", "a.txt"}
    with pytest.raises(OutputError, match=r"a.txt is in the way"), atomic_folder(out) as folder:
        (folder / "a.txt").write_text("other")
    assert (out / "a.txt").read_text() == "whole" and len(list(tmp_path.iterdir())) == 1


def test_processes_whose_start_is_unknown_count_as_running(monkeypatch):
    assert atomic.is_running(os.getpid(), 0)
    monkeypatch.setattr(atomic, "process_start_time", lambda pid: 0)
    assert atomic.is_running(os.getpid(), 5)
