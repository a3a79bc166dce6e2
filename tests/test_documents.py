"""Documents: tables render, links lead somewhere, generated parts are up to date."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])
FENCE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
MAX_README_WORDS = 700


def prose(path: Path) -> str:
    """Return a document's text without its code blocks."""
    return FENCE.sub("", path.read_text(encoding="utf-8"))


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def cells(row: str) -> int:
    """Count the cells of a table row; escaped bars and bars in code do not separate cells."""
    plain = re.sub(r"`[^`]*`", "", row).replace(r"\|", "")
    return plain.strip().strip("|").count("|") + 1


@pytest.mark.parametrize("path", DOCUMENTS, ids=name)
def test_tables_render(path):
    """Rows after a blank line, without a header, or with other columns would show as text."""
    blocks = re.split(r"\n\s*\n|\n(?=[^|\n])|(?<=[^|\n])\n(?=\|)", prose(path))
    for block in blocks:
        rows = [row for row in block.splitlines() if row.startswith("|")]
        if not rows:
            continue
        assert len(rows) > 1 and re.fullmatch(r"[|:\- ]+", rows[1]), f"no table header: {rows[0]}"
        assert len({cells(row) for row in rows}) == 1, f"rows of different lengths: {rows[0]}"


@pytest.mark.parametrize("path", DOCUMENTS, ids=name)
def test_links_lead_to_files_of_the_repository(path):
    for target in LINK.findall(prose(path)):
        if "://" not in target and not target.startswith(("#", "mailto:")):
            assert (path.parent / target.split("#")[0]).exists(), f"{name(path)}: {target}"


def test_generated_tables_of_models_are_up_to_date():
    script = ROOT / "scripts" / "models_table.py"
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_the_readme_can_be_read_in_a_few_minutes():
    assert len((ROOT / "README.md").read_text(encoding="utf-8").split()) <= MAX_README_WORDS


def test_the_documentation_index_lists_every_page():
    index = (ROOT / "docs" / "index.md").read_text(encoding="utf-8")
    pages = {path.name for path in (ROOT / "docs").glob("*.md")} - {"index.md"}
    links = {target for target in LINK.findall(index) if target.endswith(".md")}
    assert pages == {target for target in links if not target.startswith("../")}
