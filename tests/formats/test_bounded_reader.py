"""Reading damaged headers allocates no more memory than the file has bytes."""

import tracemalloc

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from unimask.formats.bounded_reader import MAX_UNCHECKED_READ, BoundedReader


def test_reads_of_gigabytes_allocate_nothing(tmp_path):
    path = tmp_path / "small.bin"
    path.write_bytes(b"abc")
    tracemalloc.start()
    with BoundedReader(path) as stream:
        assert stream.read(2**31) == b"abc"
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**21


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)
@given(sizes=st.lists(st.none() | st.integers(-1, 3 * MAX_UNCHECKED_READ), max_size=5))
def test_bounded_reader_equals_an_ordinary_file(tmp_path, sizes):
    path = tmp_path / "file.bin"
    path.write_bytes(bytes(range(251)) * (2 * MAX_UNCHECKED_READ // 251))
    with BoundedReader(path) as ours, path.open("rb") as theirs:
        for size in sizes:
            assert ours.read(size) == theirs.read(size) and ours.tell() == theirs.tell()


def test_missing_files_raise_os_errors(tmp_path):
    with pytest.raises(FileNotFoundError):
        BoundedReader(tmp_path / "missing.bin")
