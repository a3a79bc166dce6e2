"""Files of torch and safetensors are read or refused."""

import pytest
import torch
from safetensors.torch import save_file

from unimask.checkpoints.files.tensors import read_tensors
from unimask.errors import CheckpointError

STATE = {"weight": torch.arange(6.0).view(2, 3), "count": torch.tensor(3)}


@pytest.mark.parametrize("wrap", [None, "model", "state_dict"])
@pytest.mark.parametrize("zipped", [True, False])
def test_files_of_torch_are_read_whatever_their_name(tmp_path, zipped, wrap):
    content = {wrap: STATE, "iteration": 5} if wrap else STATE
    for name in ("model_final.pth", "model.pkl", "blob"):
        torch.save(content, tmp_path / name, _use_new_zipfile_serialization=zipped)
        tensors = read_tensors(tmp_path / name)
        assert all(torch.equal(tensors[name], value) for name, value in STATE.items())


def test_floats_become_float32_and_integers_are_unchanged(tmp_path):
    torch.save({"weight": STATE["weight"].bfloat16(), "count": STATE["count"]}, tmp_path / "a.pt")
    tensors = read_tensors(tmp_path / "a.pt")
    assert tensors["weight"].dtype == torch.float32 and tensors["count"].dtype == torch.int64


def test_safetensors_are_read(tmp_path):
    save_file(STATE, tmp_path / "weights.safetensors")
    assert torch.equal(read_tensors(tmp_path / "weights.safetensors")["weight"], STATE["weight"])
    (tmp_path / "weights.safetensors").write_bytes(b"garbage" * 10)
    with pytest.raises(CheckpointError, match=r"weights\.safetensors is damaged"):
        read_tensors(tmp_path / "weights.safetensors")


class MaliciousObject:
    def __init__(self, trace):
        self.trace = trace

    def __reduce__(self):
        return eval, (f"open({str(self.trace)!r}, 'w').close()",)


@pytest.mark.parametrize("zipped", [True, False])
def test_code_in_torch_files_is_refused_and_never_executed(tmp_path, zipped):
    path = tmp_path / "model.pth"
    torch.save({"model": STATE, "x": MaliciousObject(tmp_path / "trace")}, path,
               _use_new_zipfile_serialization=zipped)  # fmt: skip
    with pytest.raises(CheckpointError, match=r"model\.pth requests [a-z.]*eval, which") as caught:
        read_tensors(path)
    assert not (tmp_path / "trace").exists() and "\n" not in str(caught.value)


def test_damaged_files_of_torch_are_named(tmp_path):
    torch.save(STATE, tmp_path / "model.pth")
    content = (tmp_path / "model.pth").read_bytes()
    (tmp_path / "model.pth").write_bytes(content.replace(b"PK\x01\x02", b"PK\x09\x09"))
    with pytest.raises(CheckpointError, match=r"model\.pth is"):
        read_tensors(tmp_path / "model.pth")


def test_a_folder_in_place_of_a_file_is_named(tmp_path):
    with pytest.raises(CheckpointError, match="cannot be read"):
        read_tensors(tmp_path)
