"""The user's cache: computed once, and again if its file or folder cannot be used."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from unimask.formats.user_cache import cache_folder, cached_numbers

KEY = {"processor": "any", "torch": "2", "instructions": ("a", "b"), "limit": None}


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("UNIMASK_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def count(numbers):
    calls = []
    return lambda: calls.append(0) or numbers, calls


def test_numbers_are_computed_once_for_each_key(cache):
    compute, calls = count({"a": 1.5, "b": 2})
    for _ in range(2):
        assert cached_numbers("speed", KEY, ("a", "b"), compute) == {"a": 1.5, "b": 2.0}
    assert len(calls) == 1
    cached_numbers("speed", KEY | {"torch": "3"}, ("a", "b"), compute)
    assert len(calls) == 2 and len(list(cache.iterdir())) == 2


@pytest.mark.parametrize(
    "damage",
    [
        b"", b"{", b"[" * 100_000, b"\xff\xfe\x00", b"null", b"[]", b'{"key": 1}',
        b'{"key": KEY, "numbers": {"a": NaN}}', b'{"key": KEY, "numbers": {"a": "1"}}',
        b'{"key": KEY, "numbers": {"a": -1}}', b'{"key": KEY, "numbers": {}}',
        b'{"key": KEY, "numbers": [1]}', b'{"key": KEY, "numbers": {"b": 1.0}}',
    ],
)  # fmt: skip
def test_damaged_files_are_replaced(cache, damage):
    compute, calls = count({"a": 1.5})
    cached_numbers("speed", KEY, ("a",), compute)
    (file,) = cache.iterdir()
    good = file.read_bytes()
    key = good.partition(b'"key": ')[2].partition(b',\n "numbers"')[0]
    file.write_bytes(damage.replace(b"KEY", key))
    assert cached_numbers("speed", KEY, ("a",), compute) == {"a": 1.5}
    assert len(calls) == 2 and file.read_bytes() == good


@pytest.mark.parametrize("kind", ["file", "missing parent", "folder"])
def test_a_cache_that_cannot_be_written_is_left_out(cache, kind):
    compute, calls = count({"a": 1.5})
    if kind == "file":
        cache.write_text("a file of the user")
    elif kind == "missing parent":
        cache.symlink_to("/proc/nowhere")
    else:  # a folder in the place of the file
        cached_numbers("speed", KEY, ("a",), compute)
        (file,) = cache.iterdir()
        file.unlink()
        file.mkdir()
        (file / "mine").write_text("kept")
    before = len(calls)
    for _ in range(2):
        assert cached_numbers("speed", KEY, ("a",), compute) == {"a": 1.5}
    assert len(calls) == before + 2
    if kind == "file":
        assert cache.read_text() == "a file of the user"
    if kind == "folder":
        assert (file / "mine").read_text() == "kept" and list(cache.iterdir()) == [file]


def test_users_without_a_home_have_no_cache(monkeypatch):
    monkeypatch.delenv("UNIMASK_CACHE")
    monkeypatch.setattr(Path, "home", lambda: (_ for _ in ()).throw(RuntimeError("no home")))
    assert cache_folder() is None
    assert cached_numbers("speed", KEY, ("a",), lambda: {"a": 1.0}) == {"a": 1.0}


def test_the_folder_follows_the_system(monkeypatch, tmp_path):
    monkeypatch.delenv("UNIMASK_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "unimask"


def test_processes_that_write_at_the_same_time_leave_one_whole_file(cache):
    program = (
        "from unimask.formats.user_cache import cached_numbers\n"
        "for n in range(200):\n"
        "    values = cached_numbers('speed', {'n': n % 4}, ('a',), lambda: {'a': 1.0 + n % 4})\n"
        "    assert values == {'a': 1.0 + n % 4}, values\n"
    )
    running = [
        subprocess.Popen([sys.executable, "-c", program], env=os.environ | {"OMP_NUM_THREADS": "1"})
        for _ in range(3)
    ]
    assert [process.wait(60) for process in running] == [0, 0, 0]
    assert len(list(cache.iterdir())) == 4
