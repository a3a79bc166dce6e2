"""What `unimask batch` takes as INPUT."""

import io
import tarfile

import fsspec
import pyarrow
import pytest
from pyarrow import parquet

from unimask.batch import BatchSettings, record
from unimask.batch.inputs import expand_braces, list_inputs
from unimask.errors import DataError, ImageError, SettingsError
from unimask.processing.images import read_image


def paths_of(source, column=None) -> list[str]:
    return [item.path for item in list_inputs(str(source), column).items()]


@pytest.fixture(scope="module")
def expected(images) -> list[str]:
    return [str(path) for path in sorted(images.rglob("*.png"))]


def write_tar(path, files) -> None:
    with tarfile.open(path, "w") as tar:
        for file in files:
            tar.add(file, file.relative_to(file.parents[1]))
            label = tarfile.TarInfo(f"{file.stem}.json")
            tar.addfile(label, io.BytesIO())


def test_folders_and_patterns(images, expected):
    assert paths_of(images) == expected
    assert paths_of(f"file://{images}") == expected
    assert paths_of(images / "a" / "*.png") == [path for path in expected if "/a/" in path]


def test_lists_are_relative_to_their_folder(images, expected, tmp_path):
    names = [path.relative_to(images).as_posix() for path in sorted(images.rglob("*.png"))]
    text = images / "list.txt"
    text.write_text("\ufeff" + "\r\n".join([*names, "", "s3://bucket/x.png"]) + "\n", "utf-8")
    assert paths_of(text) == [*expected, "s3://bucket/x.png"]
    table = images / "list.csv"
    table.write_text("id;path\n" + "".join(f"1;{name}\n" for name in names) + "2;\n")
    assert paths_of(table) == [*expected, ""]
    assert paths_of(table, "path") == [*expected, ""]
    columns = {"number": [1] * len(names), "where": names}
    parquet.write_table(pyarrow.table(columns), images / "list.parquet")
    assert paths_of(images / "list.parquet", "where") == expected
    for name in ("list.txt", "list.csv", "list.parquet"):
        (images / name).unlink()


def test_tar_archives(images, expected, tmp_path):
    files = sorted(images.rglob("*.png"))
    write_tar(tmp_path / "shard-000.tar", files[:3])
    write_tar(tmp_path / "shard-001.tar", files[3:])
    for source in ("shard-*.tar", "shard-{000..001}.tar"):
        items = list(list_inputs(str(tmp_path / source)).items())
        assert [item.archive for item in items] == [
            str(tmp_path / f"shard-{int(i > 2):03d}.tar") for i in range(len(files))
        ]
        for item, file in zip(items, files, strict=True):
            assert (read_image(item.source()) == read_image(file)).all()
            assert item.path.startswith("tar://") and item.path.endswith(item.archive)
            with fsspec.open(item.path) as stream:
                assert stream.read() == file.read_bytes()
    (tmp_path / "shard-001.tar").write_bytes((tmp_path / "shard-001.tar").read_bytes()[:700])
    with pytest.raises(ImageError, match=r"shard-001\.tar ends before this image"):
        read_image(items[3].source())
    with pytest.raises(DataError, match=r"shard-001\.tar is damaged"):
        paths_of(tmp_path / "shard-*.tar")


def test_samples_of_archives_with_several_images_need_an_extension(images, tmp_path):
    with tarfile.open(tmp_path / "x.tar", "w") as tar:
        for key in ("a/1", "a/2"):
            for extension in ("jpg", "seg.png", "cls"):
                tar.add(images / "a" / "0.png", f"{key}.{extension}")
    with pytest.raises(SettingsError, match=r"several images per sample \(jpg, seg\.png\)"):
        list_inputs(str(tmp_path / "x.tar")).check()
    for extension in ("jpg", "seg.png"):
        listing = list_inputs(str(tmp_path / "x.tar"), extension)
        listing.check()
        names = [item.path.partition("::")[0] for item in listing.items()]
        assert names == [f"tar://a/1.{extension}", f"tar://a/2.{extension}"]


def test_remote_files(images):
    system = fsspec.filesystem("memory")
    files = sorted(images.rglob("*.png"))
    for file in files:
        system.pipe_file(f"/batch/{file.name}", file.read_bytes())
    system.pipe_file("/batch/notes.md", b"text")
    system.pipe_file("/list.txt", b"batch/0.png\nbatch/lost.png\n")
    listing = list_inputs("memory://batch")
    sources = [item.source() for item in listing.items()]
    assert len(sources) == len(files)
    assert (read_image(sources[0]) == read_image(images / "a" / "0.png")).all()
    assert paths_of("memory://batch/[01].png") == ["memory:///batch/0.png", "memory:///batch/1.png"]
    found, lost = (item.source() for item in list_inputs("memory:///list.txt").items())
    assert (read_image(found) == read_image(images / "a" / "0.png")).all()
    with pytest.raises(ImageError, match=r"lost\.png cannot be fetched"):
        read_image(lost)


@pytest.mark.parametrize(
    ("name", "content", "column", "message"),
    [
        ("absent", None, None, "does not exist"),
        ("a.txt", None, None, "does not exist"),
        ("*.tar", None, None, "no file fits"),
        ("a.tar.gz", b"", None, "is compressed"),
        ("a.tar", b"\x1f\x8b\x08\x00", None, "is compressed"),
        ("a.txt", b"\xff\xfe\x00", None, "is not in UTF-8"),
        ("a.txt", b"x", "path", "without columns"),
        ("a.csv", b"x,y\n1,2\n", None, "--column; it has x, y"),
        ("a.csv", b"x,y\n1,2\n", "z", "--column; it has x, y"),
        ("a.parquet", b"PAR1", None, "no Parquet file"),
        ("nothing://x/y.txt", None, None, "cannot be opened"),
        ("a-{5..1}.tar", None, None, "must rise"),
    ],
)
def test_errors_name_the_file_and_the_fix(tmp_path, name, content, column, message):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    source = name if "://" in name else str(tmp_path / name)
    with pytest.raises((DataError, SettingsError), match=message):
        paths_of(source, column)


def test_a_list_whose_images_are_all_missing_is_refused(tmp_path):
    (tmp_path / "list.txt").write_text("a.png\nb.png\n")
    with pytest.raises(DataError, match="relative paths belong to the folder of the list"):
        list_inputs(str(tmp_path / "list.txt")).check()


def test_ranges_of_numbers():
    assert expand_braces("a-{08..10}.tar") == ["a-08.tar", "a-09.tar", "a-10.tar"]
    assert expand_braces("{0..1}/{1..1}") == ["0/1", "1/1"]


def test_parts_are_found_in_lists_of_several_row_groups(images, model, tmp_path, monkeypatch):
    monkeypatch.setattr(record, "INPUTS_PER_GROUP", 4)
    settings = BatchSettings(input=str(images), model=str(model), rows_per_part=3)
    run = record.open_run(tmp_path / "out", settings)
    found = [item.path for part in range(run.num_parts) for item in run.read_items(part)]
    assert found == [str(path) for path in sorted(images.rglob("*.png"))]
    assert [len(run.read_items(part)) for part in range(3)] == [3, 3, 1]
