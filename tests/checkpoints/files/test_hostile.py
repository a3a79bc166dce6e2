"""Damaged and malicious files: one-line errors, bounded time and memory, nothing executed."""

import io
import json
import pickle
import resource
import shutil
import struct
import time
import zipfile

import numpy as np
import pytest
import torch
from conftest import TINY_MASKFORMER, TINY_ONEFORMER, TINY_SWIN, tiny_checkpoint
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save, save_file

from unimask.checkpoints import read_authors, read_huggingface, write_huggingface
from unimask.checkpoints.authors.read import select_rules
from unimask.checkpoints.files.tensors import read_tensors
from unimask.checkpoints.keymap import to_theirs
from unimask.errors import CheckpointError, UnimaskError

SECONDS, MEGABYTES = 5, 300


@pytest.fixture
def limited_resources():
    """Limit the time and memory of a test."""
    before, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    yield
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert time.process_time() - start < SECONDS and grown < MEGABYTES * 1024


def assert_refused(read, path, message=None):
    """Check that a file is refused in one line that names it."""
    with pytest.raises(UnimaskError, match=message) as failed:
        read(path)
    assert "\n" not in str(failed.value) and len(str(failed.value)) < 1500
    assert path.name in str(failed.value)


def opcode(code, *parts):
    return code.encode("latin1") + b"".join(parts)


def nested(depth):
    """Return a pickle of nested pairs: each pair contains the previous one twice."""
    return b"\x80\x02)" + b"q\x00h\x00\x86" * depth


PICKLES = {
    "huge memo index": b"\x80\x02}r\xff\xff\xff\xff.",
    "huge number": b"\x80\x02\x8b\xff\xff\xff\x7f" + b"\1" * 20 + b".",
    "long decimal number": b"\x80\x02L" + b"9" * 100_000 + b"L\n.",
    "huge bytes": b"\x80\x04\x8e" + struct.pack("<Q", 2**40) + b"abc.",
    "huge byte array": b"\x80\x05\x96" + struct.pack("<Q", 2**35) + b"abc.",
    "huge frame": b"\x80\x04\x95" + struct.pack("<Q", 2**62) + b"}.",
    "hash of nested tuples": b"\x80\x02}" + nested(60)[2:] + b"K\x01s.",
    "hash of deep tuples": b"\x80\x02}" + b")" + b"\x85" * 300_000 + b"K\x01s.",
    "set of nested tuples": b"\x80\x04\x8f(" + nested(60)[2:] + b"\x90.",
    "hash of a long number": b"\x80\x02}q\x00\x8b" + struct.pack("<i", 2**20) + b"\1" * 2**20
    + b"q\x01" + b"h\x00h\x01K\x01s0" * 3000 + b".",
    "deep lists": b"\x80\x02" + b"]" * 200_000 + b"a" * 199_999 + b".",
    "marks": b"\x80\x02" + b"(" * 600_000 + b".",
    "itself": b"\x80\x02}q\x00U\x05modelh\x00s.",
    "many steps": b"\x80\x02" + b"N0" * 400_000 + b".",
    "names": b"\x80\x04\x8d" + struct.pack("<Q", 2**20) + b"a" * 2**20 + b"\x94"
    + b"h\x00h\x00\x93" * 5000 + b".",
    "copies": b"\x80\x02c_codecs\nencode\nq\x00X" + struct.pack("<I", 2**20) + b"a" * 2**20
    + b"q\x01" + b"h\x00h\x01\x85R" * 5000 + b".",
    "arrays of one text": b"\x80\x02X" + struct.pack("<I", 2**20) + b"a" * 2**20 + b"q\x010"
    + b"cnumpy\ndtype\nU\x02f4\x85Rq\x020cnumpy.core.numeric\n_frombuffer\nq\x030"
    + b"h\x03(h\x01h\x02J\x00\x00\x04\x00\x85U\x01CtR" * 5000 + b".",
    "objects in an array": pickle.dumps({"a": np.array([{}, None], dtype=object)}),
}  # fmt: skip


@pytest.mark.parametrize("name", PICKLES)
def test_pickles_that_would_fill_memory_or_time_are_refused(tmp_path, limited_resources, name):
    path = tmp_path / "weights.pkl"
    path.write_bytes(PICKLES[name])
    assert_refused(read_tensors, path)


def torch_zip(path, *, pickled=None, data=None, packed=False):
    """Write a file of torch with some entries replaced."""
    buffer = io.BytesIO()
    torch.save({"weight": torch.arange(4.0)}, buffer)
    method = zipfile.ZIP_DEFLATED if packed else zipfile.ZIP_STORED
    with zipfile.ZipFile(buffer) as old, zipfile.ZipFile(path, "w", method) as new:
        for entry in old.infolist():
            content = old.read(entry)
            if entry.filename.endswith("data.pkl") and pickled is not None:
                content = pickled(content)
            if entry.filename.endswith("data/0") and data is not None:
                content = data
            new.writestr(entry.filename, content)
    return path


def test_rewritten_zips_are_read(tmp_path):
    """The helper above writes valid files, so that the refusals below have other reasons."""
    assert read_tensors(torch_zip(tmp_path / "a.pth"))["weight"].tolist() == [0, 1, 2, 3]


def test_compressed_zips_are_refused(tmp_path, limited_resources):
    bomb = torch_zip(tmp_path / "bomb.pth", data=bytes(2**26), packed=True)
    assert bomb.stat().st_size < 2**20
    assert_refused(read_tensors, bomb, "more room than the file has")


def test_zips_with_wrong_sizes_are_refused(tmp_path, limited_resources):
    path = torch_zip(tmp_path / "model.pth")
    content = path.read_bytes()
    size = struct.pack("<I", 16)
    for wrong_size in (struct.pack("<I", 2**31), struct.pack("<I", 4)):
        path.write_bytes(content.replace(size, wrong_size))
        assert_refused(read_tensors, path)


def test_overlapping_zip_entries_are_refused(tmp_path, limited_resources):
    """A zip may list the same megabyte under a thousand names."""
    path = tmp_path / "model.pth"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a/data.pkl", pickle.dumps({}))
        archive.writestr("a/data/0", bytes(2**20))
        shared = archive.infolist()[1]
        for number in range(1, 1000):
            duplicate = zipfile.ZipInfo(f"a/data/{number}")
            duplicate.header_offset, duplicate.file_size = shared.header_offset, shared.file_size
            duplicate.compress_size, duplicate.CRC = shared.compress_size, shared.CRC
            archive.filelist.append(duplicate)
            archive.NameToInfo[duplicate.filename] = duplicate
    assert_refused(read_tensors, path, "more room than the file has")


def set_storage_size(old, new):
    """Change the number of elements that a pickle declares for its storage."""
    return lambda content: content.replace(b"K\x04t", b"J" + struct.pack("<i", new) + b"t")


@pytest.mark.parametrize("count", [2**30, 5, 3, -1])
def test_storages_of_another_size_are_refused(tmp_path, limited_resources, count):
    path = torch_zip(tmp_path / "model.pth", pickled=set_storage_size(4, count))
    assert_refused(read_tensors, path)


@pytest.mark.parametrize("zipped", [True, False])
def test_expanded_tensors_are_refused(tmp_path, limited_resources, zipped):
    """Strides of 0 expand one number to any number of elements."""
    wide = torch.zeros(1).half().expand(2**30)
    torch.save({"weight": wide}, tmp_path / "a.pth", _use_new_zipfile_serialization=zipped)
    assert_refused(read_tensors, tmp_path / "a.pth", "larger than its storage")


def test_storages_shared_by_many_tensors_are_refused(tmp_path, limited_resources):
    """Each of the halves would get its own copy in float32."""
    half = torch.zeros(2**18).half()
    state = {f"weight{i}": half.view(-1) for i in range(2000)}
    torch.save(state, tmp_path / "a.pth")
    assert_refused(read_tensors, tmp_path / "a.pth", "has tensors that share memory")


HEADERS = {
    "endless": b"\xff" * 8 + b"{}",
    "longer than the file": struct.pack("<Q", 90_000_000) + b"{}",
    "deep": (lambda text: struct.pack("<Q", len(text)) + text)(b"[" * 100_000),
    "beyond its end": (lambda text: struct.pack("<Q", len(text)) + text)(
        json.dumps({"a": {"dtype": "F32", "shape": [2**30, 2**30], "data_offsets": [0, 2**62]}})
        .encode()
    ),
    "of nothing": (lambda text: struct.pack("<Q", len(text)) + text)(
        json.dumps({"a": {"dtype": "F32", "shape": [2**60, 0], "data_offsets": [0, 0]}}).encode()
    ),
    "strange type": (lambda text: struct.pack("<Q", len(text)) + text + b"\0" * 4)(
        json.dumps({"a": {"dtype": "F4", "shape": [8], "data_offsets": [0, 4]}}).encode()
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", HEADERS)
def test_invalid_safetensors_headers_are_refused(tmp_path, limited_resources, name):
    path = tmp_path / "model.safetensors"
    path.write_bytes(HEADERS[name])
    assert_refused(read_authors, path)


def authors_file(config, path):
    state = to_theirs(tiny_checkpoint(config).state, select_rules(config))
    return state, path


def test_shapes_without_elements_allocate_nothing(tmp_path, limited_resources):
    """A tensor of a billion rows without columns takes no space in a file."""
    state, path = authors_file(TINY_SWIN, tmp_path / "model.safetensors")
    for name in ("query_feat", "query_embed"):
        state[f"sem_seg_head.predictor.{name}.weight"] = torch.zeros(2**33, 0)
    save_file(state, path)
    assert_refused(read_authors, path)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Intact model folder."""
    path = tmp_path_factory.mktemp("whole")
    write_huggingface(path, tiny_checkpoint(TINY_SWIN))
    return path


def changed(folder, target, change, name="config.json"):
    """Copy a folder and change one of its descriptions."""
    shutil.copytree(folder, target)
    content = json.loads((target / name).read_text())
    change(content)
    (target / name).write_text(json.dumps(content))
    return target


def set_value(*keys):
    """Return a function that sets the value under some keys to the last argument."""
    *parents, last, value = keys

    def change(content):
        for key in parents:
            content = content[key]
        content[last] = value

    return change


IMPLAUSIBLE = [
    set_value("hidden_dim", 10**9),
    set_value("hidden_dim", 10**400),
    set_value("hidden_dim", "256"),
    set_value("hidden_dim", True),
    set_value("hidden_dim", None),
    set_value("hidden_dim", -32),
    set_value("hidden_dim", 0),
    set_value("hidden_dim", 4.5),
    set_value("dim_feedforward", 2**16),
    set_value("encoder_layers", 10**6),
    set_value("encoder_layers", 10**3),
    set_value("decoder_layers", 10**6),
    set_value("decoder_layers", "many"),
    set_value("num_attention_heads", 0),
    set_value("num_attention_heads", 7),
    set_value("num_queries", 10**9),
    set_value("dropout", "none"),
    set_value("dropout", float("nan")),
    set_value("dropout", 10**300),
    set_value("pre_norm", True),
    set_value("backbone_config", [1]),
    set_value("backbone_config", "swin"),
    set_value("backbone_config", "model_type", ["swin"]),
    set_value("backbone_config", "depths", [10**6] * 4),
    set_value("backbone_config", "depths", [1, 2]),
    set_value("backbone_config", "depths", 3),
    set_value("backbone_config", "depths", "1121"),
    set_value("backbone_config", "window_size", 10**5),
    set_value("backbone_config", "window_size", 0),
    set_value("backbone_config", "embed_dim", 2**15),
    set_value("backbone_config", "mlp_ratio", 1e5),
    set_value("backbone_config", "num_heads", [0, 0, 0, 0]),
    set_value("id2label", [1, 2]),
    set_value("id2label", {"a": "b"}),
    set_value("id2label", {str(i): "x" for i in range(10**5)}),
    set_value("id2label", "names"),
    set_value("unimask", 7),
    set_value("unimask", "is_thing", [1]),
    set_value("unimask", "is_thing", None),
    set_value("unimask", "tasks", ["flying"]),
    set_value("unimask", "tasks", 3),
    set_value("unimask", "num_points", 10**6),
    set_value("unimask", "preprocessing", {"shortest_edge": 10**7, "longest_edge": 10**7}),
    set_value("unimask", "preprocessing", {"shortest_edge": "all"}),
    set_value("unimask", "preprocessing", {"unknown": 1}),
    set_value("unimask", "preprocessing", "std", [0, 0, 0]),
    set_value("unimask", "preprocessing", "mean", [1]),
    set_value("unimask", "postprocessing", {"top_k": -1}),
    set_value("unimask", "postprocessing", [1]),
]


@pytest.mark.parametrize("change", IMPLAUSIBLE, ids=range(len(IMPLAUSIBLE)))
def test_implausible_configurations_are_refused(folder, tmp_path, limited_resources, change):
    assert_refused(read_huggingface, changed(folder, tmp_path / "model", change), "model")


IMAGES = [
    set_value("size", 10**9),
    set_value("size", [800, 1333]),
    set_value("size", {"shortest_edge": "x"}),
    set_value("image_mean", 3),
    set_value("image_mean", ["a", "b", "c"]),
    set_value("image_std", [0, 0, 0]),
    set_value("image_std", [1, 1]),
    set_value("rescale_factor", 0),
]


@pytest.mark.parametrize("change", IMAGES, ids=range(len(IMAGES)))
def test_implausible_preprocessors_are_refused(folder, tmp_path, change):
    target = changed(folder, tmp_path / "model", lambda content: content.pop("unimask"))
    path = target / "preprocessor_config.json"
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))
    assert_refused(read_huggingface, target, "model")


INVALID_TEXTS = {
    "deep": "[" * 10**6,
    "no object": "[]",
    "no JSON": "{'a': 1}",
    "huge": "{" + " " * 2**25 + "}",
    "long number": '{"hidden_dim": ' + "9" * 10**6 + "}",
    "empty": "",
}


@pytest.mark.parametrize("name", ["config.json", "preprocessor_config.json"])
@pytest.mark.parametrize("text", INVALID_TEXTS)
def test_invalid_configurations_are_refused(folder, tmp_path, limited_resources, name, text):
    target = tmp_path / "model"
    shutil.copytree(folder, target)
    (target / name).write_text(INVALID_TEXTS[text])
    assert_refused(read_huggingface, target, name)
    (target / name).write_bytes(b"\xff\xfe{}")
    assert_refused(read_huggingface, target, name)


def corrupt(content: bytes, data) -> bytes:
    """Truncate a file or change some of its bytes, drawn by hypothesis."""
    corrupted = bytearray(content)
    if data.draw(st.booleans()):
        del corrupted[data.draw(st.integers(0, len(corrupted))) :]
    for _ in range(data.draw(st.integers(0, 4))):
        if corrupted:
            position = data.draw(st.integers(0, len(corrupted) - 1))
            corrupted[position] = data.draw(st.integers(0, 255))
    return bytes(corrupted)


def intact_files():
    """Return small files of every supported kind, by the end of their names."""
    state, _ = authors_file(TINY_SWIN, None)
    small = {"weight": torch.arange(6.0).view(2, 3), "count": torch.tensor(3)}
    arrays = {name: value.numpy() for name, value in small.items()}
    zipped, old = io.BytesIO(), io.BytesIO()
    content = {"state_dict": small, "meta": {"CLASSES": ("a", "b")}, "iteration": 3}
    torch.save(content, zipped)
    torch.save(content, old, _use_new_zipfile_serialization=False)
    return {
        "zip.pth": zipped.getvalue(),
        "old.pth": old.getvalue(),
        "two.pkl": pickle.dumps({"model": arrays}, protocol=2),
        "five.pkl": pickle.dumps({"model": arrays}, protocol=5),
        "tensors.pkl": pickle.dumps({"model": small}),
        "small.safetensors": save(small),
        "network.safetensors": save(state),
    }


FILES = intact_files()
FEW = settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
CORRUPTION = settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.mark.parametrize("name", FILES)
@CORRUPTION
@given(data=st.data())
def test_corrupted_files_raise_only_unimask_errors(tmp_path, name, data):
    path = tmp_path / name
    path.write_bytes(corrupt(FILES[name], data))
    try:
        read_authors(path)
    except CheckpointError as error:
        assert name in str(error) and "\n" not in str(error)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=6,
)


def paths_to_values(content, prefix=()):
    """Yield the path of keys to every value of a description."""
    for key, value in content.items():
        yield (*prefix, key)
        if isinstance(value, dict):
            yield from paths_to_values(value, (*prefix, key))


@pytest.mark.parametrize("name", ["config.json", "preprocessor_config.json"])
@pytest.mark.parametrize("config", [TINY_SWIN, TINY_ONEFORMER, TINY_MASKFORMER],
                         ids=["mask2former", "oneformer", "maskformer"])  # fmt: skip
@FEW
@given(data=st.data())
def test_corrupted_configurations_raise_only_unimask_errors(tmp_path_factory, config, name, data):
    folder = tmp_path_factory.getbasetemp() / f"corrupt{config.backbone.kind}{id(config)}"
    if not folder.is_dir():
        write_huggingface(folder, tiny_checkpoint(config))
    originals = {p.name: p.read_text() for p in folder.glob("*.json")}
    content = json.loads(originals[name])
    if name == "preprocessor_config.json":  # it is only read without our key
        bare = json.loads(originals["config.json"])
        bare.pop("unimask")
        (folder / "config.json").write_text(json.dumps(bare))
    try:
        path = data.draw(st.sampled_from(sorted(paths_to_values(content), key=str)))
        set_value(*path, data.draw(JSON))(content)
        (folder / name).write_text(json.dumps(content))
        read_huggingface(folder)
    except UnimaskError as error:
        assert folder.name in str(error) and "\n" not in str(error)
    finally:
        for other_name, text in originals.items():
            (folder / other_name).write_text(text)


def paths_to_integers(value, prefix=()):
    """Yield the paths of keys to integers in a description."""
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for key, inner in items:
        if isinstance(inner, dict | list):
            yield from paths_to_integers(inner, (*prefix, key))
        elif type(inner) is int:
            yield (*prefix, key)


@pytest.mark.parametrize(
    "config", [TINY_SWIN, TINY_MASKFORMER, TINY_ONEFORMER], ids=["a", "b", "c"]
)
def test_configurations_are_validated_before_memory_is_allocated(
    config, limited_resources, tmp_path
):
    write_huggingface(tmp_path, tiny_checkpoint(config))
    path = tmp_path / "config.json"
    text = path.read_text()
    accepted = set()
    for keys in paths_to_integers(json.loads(text)):
        for huge in (2**16, 2**12):
            description = json.loads(text)
            part = description
            for key in keys[:-1]:
                part = part[key]
            part[keys[-1]] = huge
            path.write_text(json.dumps(description))
            try:
                read_huggingface(tmp_path)
            except CheckpointError as error:
                assert "\n" not in str(error) and str(tmp_path) in str(error)
            else:
                accepted.add(keys[-2] if isinstance(keys[-1], int) else keys[-1])
    allocated = {"num_heads", "num_attention_heads", "num_points", "ffn_dim", "dim", "depths"}
    assert not accepted & allocated
