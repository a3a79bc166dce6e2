import pytest
import torch

from unimask.checkpoints.keymap import to_ours, to_theirs
from unimask.errors import CheckpointError

RULES = (
    ("layers.*.qkv.weight", ("blocks.*.q.weight", "blocks.*.k.weight", "blocks.*.v.weight")),
    ("layers.*.norm.**", "blocks.*.layer_norm.**"),
    ("head.weight", "classifier.weight"),
)
OURS = {
    "layers.0.qkv.weight": torch.arange(12.0).view(6, 2),
    "layers.10.norm.bias": torch.ones(3),
    "head.weight": torch.zeros(2, 2),
}


def test_names_and_fused_tensors_round_trip():
    theirs = to_theirs(OURS, RULES)
    assert sorted(theirs) == [
        "blocks.0.k.weight", "blocks.0.q.weight", "blocks.0.v.weight",
        "blocks.10.layer_norm.bias", "classifier.weight",
    ]  # fmt: skip
    assert theirs["blocks.0.k.weight"].tolist() == [[4.0, 5.0], [6.0, 7.0]]
    again = to_ours(theirs, OURS, RULES)
    assert all(torch.equal(again[name], tensor) for name, tensor in OURS.items())


@pytest.mark.parametrize("mismatch", ["missing", "unknown", "of another shape"])
def test_mismatches_are_listed(mismatch):
    theirs = to_theirs(OURS, RULES)
    if mismatch == "missing":
        del theirs["classifier.weight"]
    if mismatch == "unknown":
        theirs["extra.weight"] = torch.ones(1)
    if mismatch == "of another shape":
        theirs["classifier.weight"] = torch.ones(3)
    with pytest.raises(CheckpointError, match=f"1 tensors are {mismatch}: .*weight"):
        to_ours(theirs, OURS, RULES)


def test_names_without_weights_may_be_ignored():
    theirs = to_theirs(OURS, RULES) | {"criterion.empty_weight": torch.ones(1)}
    assert to_ours(theirs, OURS, RULES, ignored=(r"criterion\..*",)).keys() == OURS.keys()


def test_a_name_without_a_rule_is_an_error():
    with pytest.raises(CheckpointError, match="no rule renames 'other'"):
        to_theirs({"other": torch.ones(1)}, RULES)
