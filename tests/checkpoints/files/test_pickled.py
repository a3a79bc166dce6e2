"""Pickles of weights are read; other pickles are refused without executing anything."""

import copyreg
import io
import os
import pickle
import tracemalloc
from collections import OrderedDict

import numpy as np
import pytest
import torch

from unimask.checkpoints.files.tensors import read_tensors
from unimask.errors import CheckpointError
from unimask.pickles.arrays import PickledArray

ARRAYS = {
    "matrix": np.arange(6, dtype=np.float32).reshape(2, 3),
    "columns first": np.asfortranarray(np.arange(6, dtype=np.float32).reshape(2, 3)),
    "strided": np.arange(12, dtype=np.float64)[::2],
    "big endian": np.arange(3, dtype=">f4"),
    "half": np.ones(3, np.float16),
    "count": np.array(7),
    "scalar": np.float32(1.5),
    "flags": np.array([True, False]),
    "none": np.zeros((0, 4), np.float32),
}


def write(path, content, protocol=4):
    path.write_bytes(pickle.dumps(content, protocol=protocol))
    return path


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("container", [dict, OrderedDict])
def test_arrays_of_every_kind_and_protocol_are_read(tmp_path, protocol, container):
    state = container(ARRAYS)
    content = {"model": state, "__author__": "somebody", "matching_heuristics": True}
    tensors = read_tensors(write(tmp_path / "weights.pkl", content, protocol))
    assert list(tensors) == list(ARRAYS)
    for name, array in ARRAYS.items():
        assert tensors[name].dtype.is_floating_point == (np.asarray(array).dtype.kind == "f")
        np.testing.assert_array_equal(tensors[name].numpy(), array)


@pytest.mark.parametrize("core", [b"numpy.core", b"numpy._core"])
def test_both_names_of_numpys_core_are_supported(tmp_path, core):
    path = tmp_path / "weights.pkl"
    content = pickle.dumps({"weight": ARRAYS["matrix"]}, protocol=2)  # names without lengths
    path.write_bytes(content.replace(b"numpy._core", b"numpy.core").replace(b"numpy.core", core))
    assert core + b".multiarray" in path.read_bytes()
    np.testing.assert_array_equal(read_tensors(path)["weight"].numpy(), ARRAYS["matrix"])


def test_bytes_of_python_2_are_read(tmp_path):
    """In pickles of Python 2, names and data are byte strings of protocol 2."""
    data = np.array([1.5, -2.0], "<f4").tobytes()
    raw = (
        b"\x80\x02}U\x06weightcnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85"
        b"U\x01b\x87R(K\x01K\x02\x85cnumpy\ndtype\nU\x02f4K\x00K\x01\x87R(K\x03U\x01<NNNJ\xff\xff"
        b"\xff\xffJ\xff\xff\xff\xffK\x00tb\x89U" + bytes([len(data)]) + data + b"tbs."
    )
    (tmp_path / "old.pkl").write_bytes(raw)
    assert read_tensors(tmp_path / "old.pkl")["weight"].tolist() == [1.5, -2.0]


def test_tensors_inside_a_pickle_are_read(tmp_path):
    """Detectron2's conversion script writes Swin's ImageNet weights in this form."""
    base = torch.arange(12.0).view(3, 4)
    model = OrderedDict(
        whole=base, part=base[1:, ::2], turned=base.T, weight=torch.nn.Parameter(base.half())
    )
    tensors = read_tensors(write(tmp_path / "swin.pkl", {"model": model}))
    assert all(torch.equal(tensors[name], model[name].float()) for name in model)


@pytest.mark.parametrize("protocol", [3, 4, 5])
def test_large_files_are_in_memory_once(tmp_path, protocol):
    content = {name: np.full(2**19, name, np.float32) for name in range(5)}
    named = {str(name): array for name, array in content.items()}
    path = write(tmp_path / "weights.pkl", {"model": named}, protocol)
    read_tensors(path)  # memory of first imports does not count
    tracemalloc.start()
    tensors = read_tensors(path)
    _, maximum = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert maximum < 1.3 * path.stat().st_size
    tensors["0"].add_(1)
    assert all(torch.equal(tensors[str(n)], torch.full((2**19,), n or 1.0)) for n in range(5))


def test_values_larger_than_the_file_are_refused(tmp_path):
    intact = pickle.dumps({"weight": np.zeros(2**18, np.float32)}, protocol=4)
    (tmp_path / "weights.pkl").write_bytes(intact[: 2**19])
    with pytest.raises(CheckpointError, match="expected 1048576 bytes in a bytes4, but only"):
        read_tensors(tmp_path / "weights.pkl")


class Reduced:
    def __init__(self, *parts):
        self.parts = parts

    def __reduce__(self):
        return self.parts


def mark(path):
    """Return code that creates a file if it is executed."""
    return f"open({str(path)!r}, 'w').close()"


ATTACKS = {
    "system": lambda trace: Reduced(os.system, (f"touch {trace}",)),
    "eval": lambda trace: Reduced(eval, (mark(trace),)),
    "exec": lambda trace: Reduced(exec, (mark(trace),)),
    "getattr": lambda trace: Reduced(getattr, ("text", "upper")),
    "import": lambda trace: Reduced(__import__, ("os",)),
    "reconstructor": lambda trace: Reduced(copyreg._reconstructor, (PickledArray, object, None)),
    "old class": lambda trace: Reduced(type, ("Fresh", (), {})),
    "torch load": lambda trace: Reduced(torch.load, (str(trace),)),
    "numpy load": lambda trace: Reduced(np.load, (str(trace), None, True)),
    "state": lambda trace: Reduced(OrderedDict, (), {"x": Reduced(eval, (mark(trace),))}),
    "storage": lambda trace: Reduced(
        torch.storage._load_from_bytes, (pickle.dumps(Reduced(eval, (mark(trace),))),)
    ),
}


@pytest.mark.parametrize("where", ["top", "value", "key", "beside", "in an array", "deep"])
@pytest.mark.parametrize("name", ATTACKS)
def test_code_in_pickles_is_refused_and_never_executed(tmp_path, name, where):
    trace = tmp_path / "trace"
    attack = ATTACKS[name](trace)
    content = {
        "top": attack,
        "value": {"model": {"weight": ARRAYS["matrix"], "other": attack}},
        "key": {"model": {(1, attack): ARRAYS["matrix"]}},
        "beside": {"trainer": attack, "model": {"weight": ARRAYS["matrix"]}},
        "in an array": {"model": {"weight": np.array([attack], dtype=object)}},
        "deep": {"model": [[[({"x": (attack,)},)]]]},
    }[where]
    path = write(tmp_path / "weights.pkl", content)
    with pytest.raises(CheckpointError, match=r"weights\.pkl") as caught:
        read_tensors(path)
    assert not trace.exists()
    assert "\n" not in str(caught.value)
    harmless = name in ("state", "storage") or where == "in an array"
    assert harmless or "nothing was executed" in str(caught.value)


def test_refused_imports_are_named_in_the_error(tmp_path):
    path = write(tmp_path / "weights.pkl", {"model": Reduced(os.system, ("true",))})
    with pytest.raises(
        CheckpointError, match=rf"weights\.pkl requests {os.system.__module__}.syst"
    ):
        read_tensors(path)


@pytest.mark.parametrize("kind", ["O", "V8", "S4", "U4", "M8[s]", "c16"])
def test_non_numeric_arrays_are_refused(tmp_path, kind):
    path = write(tmp_path / "weights.pkl", {"weight": np.zeros(2, kind)})
    with pytest.raises(CheckpointError, match=r"weights\.pkl requests arrays of type"):
        read_tensors(path)


def reconstruct(shape, kind, data, by_columns=False):
    """Return a pickled array whose shape, type and data may contradict each other."""
    make = np.array(0).__reduce__()[0]
    return Reduced(make, (np.ndarray, (0,), b"b"), (1, shape, kind, by_columns, data))


@pytest.mark.parametrize(
    "array",
    [
        reconstruct((4,), np.dtype("f4"), b"\0" * 8),
        reconstruct((2**40, 2**40), np.dtype("f4"), b"\0" * 8),
        reconstruct((-1, -2), np.dtype("f4"), b"\0" * 8),
        reconstruct((2,), np.dtype("f4"), ["a", "b"]),
        reconstruct((2,), "f4", b"\0" * 8),
        reconstruct("ab", np.dtype("f4"), b"\0" * 8),
        Reduced(np.array(0).__reduce__()[0], (np.ndarray, (0,), b"b")),
        reconstruct(([1], [2]), np.dtype("f4"), b"\0" * 8),
    ],
)
def test_arrays_whose_shape_contradicts_their_bytes_are_refused(tmp_path, array):
    path = write(tmp_path / "weights.pkl", {"model": {"weight": array}})
    with pytest.raises(CheckpointError, match=r"weights\.pkl"):
        read_tensors(path)


def test_tensors_beyond_their_storage_are_refused(tmp_path):
    reduced = torch.ones(4).__reduce_ex__(2)
    make, (storage, _, _, stride, *rest) = reduced[0], reduced[1]
    for offset, size in ((0, (400,)), (3, (4,)), (-1, (2,))):
        forged = Reduced(make, (storage, offset, size, stride, *rest))
        path = write(tmp_path / "weights.pkl", {"model": {"weight": forged}})
        with pytest.raises(CheckpointError, match=r"weights\.pkl"):
            read_tensors(path)


def test_a_pickle_cannot_modify_the_reader(tmp_path):
    """BUILD sets attributes of any object on the stack, including results of `find_class`."""
    malicious = (
        b"\x80\x02cnumpy.core.multiarray\n_reconstruct\n(N}U\x08__call__U\x01xstb0"
        b"ccollections\nOrderedDict\n(N}U\x05clearU\x01xstb0}."
    )
    (tmp_path / "malicious.pkl").write_bytes(malicious)
    with pytest.raises(CheckpointError):
        read_tensors(tmp_path / "malicious.pkl")
    tensors = read_tensors(write(tmp_path / "weights.pkl", OrderedDict(ARRAYS)))
    assert tensors.keys() == ARRAYS.keys()


def test_persistent_ids_and_extensions_are_refused(tmp_path):
    for raw in (b"\x80\x02U\x01xQ.", b"\x80\x02\x82\x01."):
        (tmp_path / "weights.pkl").write_bytes(raw)
        with pytest.raises(CheckpointError, match=r"weights\.pkl"):
            read_tensors(tmp_path / "weights.pkl")


class Pickler(pickle.Pickler):
    pass


def test_damaged_files_are_named(tmp_path):
    stream = io.BytesIO()
    Pickler(stream, 4).dump({"model": ARRAYS})
    intact = stream.getvalue()
    for content, message in (
        (b"", "is empty"),
        (intact[: len(intact) // 2], "damaged"),
        (b"<html>no such file</html>", "no file of weights"),
        (b"version https://git-lfs.github.com/spec/v1\n", "no file of weights"),
        (pickle.dumps([1, 2]), "contains no state dict"),
        (pickle.dumps({}), "contains no state dict"),
        (pickle.dumps({"model": {"weight": [1.0]}}), "more than weights by name: 'weight' is of"),
    ):
        (tmp_path / "weights.pkl").write_bytes(content)
        with pytest.raises(CheckpointError, match=message) as failed:
            read_tensors(tmp_path / "weights.pkl")
        assert "weights.pkl" in str(failed.value) and "\n" not in str(failed.value)
