"""Result folders: only files that unimask wrote are replaced."""

import json
import os
import subprocess
import sys
import time

import pytest

from unimask.errors import OutputError
from unimask.formats import atomic
from unimask.formats import output_folder as module
from unimask.formats.output_folder import OutputFolder, parse_record


def write(folder, name, text):
    atomic.remove_abandoned_once.cache_clear()  # as in a new process
    with OutputFolder(folder).new_file(name) as path:
        path.write_text(text)


def content(folder):
    return {
        str(path.relative_to(folder)): path.read_text()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != "unimask.json"
    }


def test_a_new_folder_lists_what_was_written(tmp_path):
    write(tmp_path / "out", "a.txt", "one")
    write(tmp_path / "out", "inner/b.txt", "two")
    record = json.loads((tmp_path / "out" / "unimask.json").read_text())
    assert list(record["files"]) == ["a.txt", "inner/b.txt"]
    assert record["files"]["a.txt"] == module.compute_sha256(tmp_path / "out" / "a.txt")
    assert content(tmp_path / "out") == {"a.txt": "one", "inner/b.txt": "two"}
    assert not list((tmp_path / "out").glob(".*"))


def test_own_files_are_replaced_repeatedly(tmp_path):
    for number in range(12):
        write(tmp_path, "a.txt", str(number))
    assert content(tmp_path) == {"a.txt": "11"}
    text = (tmp_path / "unimask.json").read_text()
    assert text.count("a.txt") <= module.MAX_ENTRIES_PER_FILE + 1


@pytest.mark.parametrize("junk", [".DS_Store", "Thumbs.db", ".gitkeep", "._a.png", "lost+found"])
def test_system_files_count_as_an_empty_folder(tmp_path, junk):
    (tmp_path / junk).touch()
    write(tmp_path, "a.txt", "one")
    assert (tmp_path / "a.txt").read_text() == "one" and (tmp_path / junk).exists()


def test_folders_with_foreign_files_are_refused(tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(OutputError, match=r"did not write \(mine.txt\): choose a new or empty"):
        OutputFolder(tmp_path)
    assert os.listdir(tmp_path) == ["mine.txt"]


def test_folders_filled_with_foreign_files_later_are_refused(tmp_path):
    folder = OutputFolder(tmp_path)
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(OutputError, match=r"\(mine.txt\)"), folder.new_file("a.txt"):
        pass
    assert os.listdir(tmp_path) == ["mine.txt"]


def test_unlisted_and_changed_files_are_refused_before_the_work(tmp_path):
    write(tmp_path, "a.txt", "one")
    write(tmp_path, "b.txt", "two")
    (tmp_path / "a.txt").write_text("edited")
    (tmp_path / "c.txt").write_text("mine")
    folder = OutputFolder(tmp_path)
    folder.check(["b.txt", "d.txt"])
    with pytest.raises(OutputError, match=r"a.txt was changed since unimask wrote it"):
        folder.check(["a.txt", "b.txt"])
    with pytest.raises(OutputError, match=r"c.txt was not written by unimask .*\(and 1 more\)"):
        folder.check(["c.txt", "b.txt", "a.txt"])
    for name in ("a.txt", "c.txt"):
        with pytest.raises(OutputError), folder.new_file(name) as path:
            path.write_text("lost")
    assert content(tmp_path) == {"a.txt": "edited", "b.txt": "two", "c.txt": "mine"}


def test_foreign_files_with_other_names_are_kept(tmp_path):
    write(tmp_path, "a.txt", "one")
    (tmp_path / "mine.txt").write_text("mine")
    write(tmp_path, "a.txt", "two")
    assert content(tmp_path) == {"a.txt": "two", "mine.txt": "mine"}


def test_links_are_not_followed(tmp_path):
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious" / "a.txt").write_text("mine")
    out = tmp_path / "out"
    write(out, "first.txt", "one")
    (out / "a.txt").symlink_to(tmp_path / "precious" / "a.txt")
    (out / "gone.txt").symlink_to(tmp_path / "nowhere")
    (out / "inner").symlink_to(tmp_path / "precious")
    folder = OutputFolder(out)
    for name in ("a.txt", "gone.txt", "inner/a.txt", "inner/new.txt"):
        with pytest.raises(OutputError, match="link"):
            folder.check([name])
    assert content(tmp_path / "precious") == {"a.txt": "mine"}


@pytest.mark.parametrize("name", ["../a.txt", "inner/../../a.txt", "/a.txt", "", "unimask.json"])
def test_paths_outside_the_folder_are_refused(tmp_path, name):
    with pytest.raises(OutputError, match="cannot be the name of a result"):
        OutputFolder(tmp_path / "out").check([name])


def test_a_name_cannot_be_both_a_file_and_a_folder(tmp_path):
    with pytest.raises(OutputError, match=r"a.json is the name of a folder too"):
        OutputFolder(tmp_path).check(["a.json", "a.json/b.png"])


HOSTILE = {
    "no JSON": "hello",
    "empty": "",
    "a list": "[]",
    "nothing in it": "{}",
    "files of another type": '{"unimask": "1", "files": 3}',
    "names in a list": '{"unimask": "1", "files": ["a.txt"]}',
    "no hashes": '{"unimask": "1", "files": {"a.txt": 1}}',
    "short hashes": '{"unimask": "1", "files": {"a.txt": "ab"}}',
    "a path upwards": f'{{"unimask": "1", "files": {{"../a.txt": "{"0" * 64}"}}}}',
    "an absolute path": f'{{"unimask": "1", "files": {{"/a.txt": "{"0" * 64}"}}}}',
    "deeply nested": '{"unimask":' + "[" * 100_000,
    "someone else's": '{"name": "unimask settings", "files": {}}',
    "bytes": b"\xff\xfe\x00",
}


@pytest.mark.parametrize("case", HOSTILE)
def test_a_damaged_record_is_one_line(tmp_path, case):
    text = HOSTILE[case]
    path = tmp_path / "unimask.json"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(OutputError, match=r"unimask.json is damaged, or was not written") as error:
        OutputFolder(tmp_path)
    assert "\n" not in str(error.value)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="Windows has no such files")
def test_a_pipe_in_place_of_the_record_does_not_block(tmp_path):
    os.mkfifo(tmp_path / "unimask.json")
    with pytest.raises(OutputError, match=r"unimask.json is damaged, or was not written"):
        OutputFolder(tmp_path)


def test_truncated_records_are_read(tmp_path):
    write(tmp_path, "a.txt", "one")
    whole = (tmp_path / "unimask.json").read_text()
    write(tmp_path, "b.txt", "two")
    longer = (tmp_path / "unimask.json").read_text()
    start = len(whole) - len(module.RECORD_TAIL)
    assert longer[:start] == whole[:start]
    for end in range(start, len(longer)):
        pairs = parse_record(longer[:end])
        assert pairs is not None and pairs[0][0] == "a.txt", longer[:end]
    (tmp_path / "unimask.json").write_text(longer[: start + 9])
    (tmp_path / "b.txt").unlink()
    write(tmp_path, "c.txt", "three")
    assert list(json.loads((tmp_path / "unimask.json").read_text())["files"]) == ["a.txt", "c.txt"]


KILLED = """
import os, sys
from pathlib import Path
from unimask.formats import atomic
from unimask.formats import output_folder as module

folder = module.OutputFolder(Path(sys.argv[1]))
moment = sys.argv[2]
with folder.new_file("inner/a.txt") as path:
    path.write_text("killed")
    if moment == "while it writes":
        os._exit(9)
    if moment == "before it is moved":
        module.os.replace = lambda *_: os._exit(9)
    if moment == "after it is moved":
        module.os.unlink = lambda *_: os._exit(9)
"""


@pytest.mark.parametrize("moment", ["while it writes", "before it is moved", "after it is moved"])
@pytest.mark.parametrize("before", [None, "old"])
def test_killed_runs_can_be_repeated(tmp_path, moment, before):
    if before:
        write(tmp_path, "inner/a.txt", before)
    code = subprocess.run([sys.executable, "-c", KILLED, tmp_path, moment]).returncode
    assert code == 9
    write(tmp_path, "inner/a.txt", "again")
    assert content(tmp_path) == {"inner/a.txt": "again"}


TWO = """
import sys
from pathlib import Path
from unimask.formats.output_folder import OutputFolder

folder = OutputFolder(Path(sys.argv[1]))
for number in range(60):
    with folder.new_file(f"{sys.argv[2]}{number}.txt") as path:
        path.write_text(sys.argv[2])
"""


def test_concurrent_processes_record_all_files(tmp_path):
    runs = [subprocess.Popen([sys.executable, "-c", TWO, tmp_path, name]) for name in "ab"]
    assert [run.wait() for run in runs] == [0, 0]
    files = json.loads((tmp_path / "unimask.json").read_text())["files"]
    assert set(files) == {f"{name}{number}.txt" for name in "ab" for number in range(60)}
    assert set(content(tmp_path)) == set(files)


def test_many_files_take_linear_time(tmp_path):
    folder = OutputFolder(tmp_path)
    seconds = []
    for part in range(4):
        start = time.process_time()
        for number in range(60):
            with folder.new_file(f"{part}_{number}.txt") as path:
                path.write_text("x")
        seconds.append(time.process_time() - start)
    assert min(seconds[2:]) < 3 * max(seconds[:2])


def test_a_full_disk_does_not_damage_the_record(tmp_path, monkeypatch):
    write(tmp_path, "a.txt", "one")
    record = (tmp_path / "unimask.json").read_text()

    class Full:
        def __init__(self, stream):
            self.stream = stream

        def write(self, data):
            monkeypatch.setattr(Full, "write", lambda self, data: self.stream.write(data))
            self.stream.write(data[:7])
            raise OSError(28, "No space left on device")

        def __getattr__(self, name):
            return getattr(self.stream, name)

    real = module.append_or_restore
    monkeypatch.setattr(module, "append_or_restore", lambda s, *rest: real(Full(s), *rest))
    with pytest.raises(OutputError, match="No space left"):
        write(tmp_path, "b.txt", "two")
    assert (tmp_path / "unimask.json").read_text() == record
    assert content(tmp_path) == {"a.txt": "one"}
