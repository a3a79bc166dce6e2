"""Worked examples of the documentation: their commands are those that were measured."""

import json
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
RESULTS = sorted((ROOT / "benchmarks" / "results").glob("example_*.json"))

PAGE = """
```sh
git clone https://example.org/data
unimask check data
unimask train data \\
    --steps 3
```
Text.
```python
print(1)
```
"""


@pytest.fixture(autouse=True)
def benchmarks_can_be_imported(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT))


def test_commands_of_a_page_are_found_in_order():
    from benchmarks.worked_examples import commands

    assert commands(PAGE) == [
        ("sh", "unimask check data"),
        ("sh", "unimask train data     --steps 3"),
        ("python", "print(1)\n"),
    ]


def test_commands_run_one_after_another(tmp_path):
    from benchmarks.worked_examples import run

    run("sh", "mkdir folder && cd folder && touch file", tmp_path)
    entry = run("python", "import os; print(os.listdir('folder'))", tmp_path)
    assert entry["printed"] == "['file']\n"


@pytest.mark.parametrize("result", RESULTS, ids=lambda path: path.stem)
def test_measured_commands_are_those_of_the_page(result):
    from benchmarks.worked_examples import commands

    page = (ROOT / "docs" / f"{result.stem}.md").read_text(encoding="utf-8")
    measured = [entry["code"] for entry in json.loads(result.read_text())["commands"]]
    assert measured == [code for _, code in commands(page)]
