"""A few mutated inputs for every reader; `make fuzz` reads 20,000 of each."""

from pathlib import Path

import pytest
from fuzzing.inputs import Inputs, Outcome
from fuzzing.readers import READERS, Reader

from unimask.errors import DataError

FEW = 15
"""Number of inputs per reader in this test."""


@pytest.mark.parametrize("name", READERS)
def test_mutated_files_are_read_or_refused_in_one_line(name, tmp_path):
    inputs = Inputs(name, tmp_path, seed=0)
    inputs.warm_up()
    outcomes = [inputs.read(inputs.write(number)) for number in range(FEW)]
    failed = {number: actual for number, actual in enumerate(outcomes) if actual.kind == "failed"}
    assert not failed, "\n".join(f"input {n}: {actual.details}" for n, actual in failed.items())
    assert any(actual.kind == "accepted" for actual in outcomes)  # the seeds themselves are valid


def test_an_input_is_the_same_whichever_was_read_before(tmp_path):
    contents = []
    for place, numbers in (("one", (3,)), ("other", (1, 2, 3))):
        inputs = Inputs("cvat", tmp_path / place, seed=0)
        folder = [inputs.write(number) for number in numbers][-1]
        files = sorted(path for path in folder.rglob("*") if path.is_file())
        contents.append([path.read_bytes() for path in files])
    assert contents[0] == contents[1]


def reader_of(read) -> Reader:
    """Return a reader of one file that contains a zero."""

    def write(place: Path) -> None:
        (place / "a").mkdir(parents=True)
        (place / "a" / "a.txt").write_text("0")

    return Reader(write, read)


def refuse(message):
    def read(folder):
        raise DataError(message)

    return read


def crash(folder):
    raise KeyError("x")


@pytest.mark.parametrize(
    ("read", "kind", "fault"),
    [
        (lambda folder: None, "accepted", ""),
        (refuse("one line"), "refused", ""),
        (refuse(""), "failed", "DataError of several lines or none"),
        (crash, "failed", "KeyError at tests/test_fuzzing.py:"),
    ],
    ids=["accepted", "refused", "no message", "traceback"],
)
def test_outcomes_are_distinguished(monkeypatch, tmp_path, read, kind, fault):
    monkeypatch.setitem(READERS, "played", reader_of(read))
    inputs = Inputs("played", tmp_path, seed=0)
    actual: Outcome = inputs.read(inputs.write(0))
    assert actual.kind == kind and actual.fault.startswith(fault)
