"""The notebooks: they are stored without outputs, use public names only, and are linked."""

import ast
import json
import re
import runpy
import tomllib
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted((ROOT / "docs" / "notebooks").glob("*.ipynb"))
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
CELL_ID = re.compile(r"[a-z]+(-[a-z]+)*")
INSTALL = re.compile(r"`%pip install '?\.(?:\[([a-z,]+)\])?'?`")

all_notebooks = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


@pytest.fixture(scope="module")
def site_pages() -> dict[str, object]:
    """Names of the script that writes the pages of the API."""
    return runpy.run_path(str(ROOT / "scripts" / "site_pages.py"))


def read_cells(path: Path, kind: str) -> list[str]:
    """Return the sources of the cells of a kind, "code" or "markdown"."""
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return ["".join(cell["source"]) for cell in cells if cell["cell_type"] == kind]


def test_there_is_a_notebook_for_each_subject():
    assert {path.stem for path in NOTEBOOKS} == {
        "evaluate", "export", "large_image", "predict", "train_instance", "train_oneformer",
        "train_panoptic", "train_semantic", "video", "volume",
    }  # fmt: skip


@pytest.mark.extra
@all_notebooks
def test_notebooks_follow_the_format(path):
    nbformat = pytest.importorskip("nbformat")
    nbformat.validate(nbformat.read(path, as_version=nbformat.NO_CONVERT))


@all_notebooks
def test_notebooks_hold_nothing_of_a_run_or_of_a_machine(path):
    notebook = json.loads(path.read_text(encoding="utf-8"))
    assert notebook["metadata"] == {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    for cell in notebook["cells"]:
        assert cell["metadata"] == {}
        assert cell.get("outputs", []) == [] and cell.get("execution_count") is None


@all_notebooks
def test_cells_have_stable_ids(path):
    ids = [cell["id"] for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]]
    assert len(ids) == len(set(ids))
    assert not [each for each in ids if not CELL_ID.fullmatch(each)]


@all_notebooks
def test_notebooks_have_a_title_and_short_cells(path):
    title, *_ = read_cells(path, "markdown")
    assert title.startswith("# ")
    assert max(len(source.splitlines()) for source in read_cells(path, "code")) <= 24


@all_notebooks
def test_the_installation_is_one_line_with_extras_that_exist(path):
    texts = read_cells(path, "markdown")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert sum("pip install" in text for text in texts) == 1
    installed = INSTALL.search(texts[0])
    assert installed, "no line of installation below the title"
    extras = set((installed[1] or "").split(",")) - {""}
    assert extras <= set(project["optional-dependencies"])


@all_notebooks
def test_only_public_names_are_imported(path, site_pages):
    documented, public_names = site_pages["MODULES"], site_pages["public_names"]
    tree = ast.parse("\n".join(read_cells(path, "code")))
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module.partition(".")[0] == "unimask":
            assert node.module in documented
            assert {name.name for name in node.names} <= set(public_names(node.module))
        if isinstance(node, ast.Import):
            names = [name.name for name in node.names]
            assert not [name for name in names if name.startswith("unimask.")]
        if isinstance(node, ast.Attribute) and getattr(node.value, "id", "") == "unimask":
            assert node.attr in import_module("unimask").__all__


@all_notebooks
def test_links_lead_to_files_of_the_repository(path):
    for target in LINK.findall("\n".join(read_cells(path, "markdown"))):
        if "://" not in target:
            assert (path.parent / target.split("#")[0]).exists(), target


def test_the_documentation_index_lists_every_notebook():
    index = (ROOT / "docs" / "index.md").read_text(encoding="utf-8")
    linked = {target for target in LINK.findall(index) if target.endswith(".ipynb")}
    assert linked == {f"notebooks/{path.name}" for path in NOTEBOOKS}
