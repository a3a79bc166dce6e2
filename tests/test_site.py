"""The documentation site: it builds without warnings, works offline, and covers its subjects."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

import unimask
from unimask.cli.main import COMMANDS

pytestmark = [pytest.mark.extra, pytest.mark.slow]

ROOT = Path(__file__).parents[1]
LOADED = re.compile(
    r"<(?:script|img|iframe|source|video|audio)\b[^>]*?\bsrc=\"((?:https?:)?//[^\"]*)\""
    r"|<link\b[^>]*?\bhref=\"((?:https?:)?//[^\"]*)\"",
    re.IGNORECASE,
)
"""Files that a browser loads with a page; links that a reader follows are not among them."""

LOADED_BY_CSS = re.compile(r"(?:url\(|@import)\s*[\"']?((?:https?:)?//[^\"')\s]+)")

SYMPTOMS = {
    1: "blocky masks", 2: "registering a dataset", 3: "falls back to the cpu", 4: "cuda extension",
    5: "detectron2 or mmcv cannot be installed", 6: "unlabelled or void pixels",
    7: "matrix contains invalid numeric entries", 8: "tensorrt export fails",
    9: "exported model gives worse results", 10: "dense masks", 11: "padded batch",
    12: "no evaluation", 13: "slower than training", 14: "images without objects",
    15: "reduce_labels", 16: "does not converge", 17: "class cost of 1.0",
    18: "oneformer cannot be fine-tuned", 19: "make panoptic ground truth",
    20: "overlapping annotations", 21: "half precision fails", 22: "natten", 23: "a mac or windows",
    24: "always 100 instances", 25: "num_queries", 26: "probability per pixel",
    27: "inference is slow", 28: "seams are visible", 29: "coordinate reference system",
    30: "more than 3 channels", 31: "visualise", 32: "which checkpoint does which task",
    33: "supervision, fiftyone", 34: "bad labels", 35: "pycocotools does not read",
    36: "missing or unexpected keys", 37: "offline machine", 38: "ids change in every frame",
    39: "agpl", 40: "there is no server", 41: "out of memory in training",
    42: "upstream repository is dead", 43: "3-d volumes", 44: "jagged",
}  # fmt: skip
"""Words in which users describe the problems that they reported, by rank."""


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    """Build the site with warnings as errors, and return its folder."""
    pytest.importorskip("sphinx")
    out = tmp_path_factory.mktemp("site")
    words = ["-m", "sphinx", "-W", "--keep-going", "-q", "-b", "html", "-c", "docs"]
    folders = ["-d", str(out / "doctrees"), ".", str(out / "html")]
    done = subprocess.run(
        [sys.executable, *words, *folders], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return out / "html"


def read_pages(site: Path) -> dict[str, str]:
    return {str(path.relative_to(site)): path.read_text() for path in site.rglob("*.html")}


def test_no_page_loads_anything_from_another_server(site):
    for name, page in read_pages(site).items():
        assert not LOADED.search(page), f"{name}: {LOADED.search(page)}"
    for path in (site / "_static").rglob("*.css"):
        assert not LOADED_BY_CSS.search(path.read_text()), path.name


def test_loaded_files_of_other_servers_are_recognised():
    assert LOADED.search('<script defer src="https://cdn.example/x.js">')
    assert LOADED.search('<link rel="stylesheet" href="//fonts.example/x.css">')
    assert not LOADED.search('<a href="https://github.com"></a><script src="_static/x.js">')
    assert LOADED_BY_CSS.search("@import url('https://fonts.example/css')")


def test_every_public_name_has_an_entry(site):
    page = (site / "docs" / "reference" / "unimask.html").read_text()
    missing = [name for name in unimask.__all__ if f'id="unimask.{name}"' not in page]
    assert not missing


def test_every_command_has_an_entry_with_its_options(site):
    for name in COMMANDS:
        page = (site / "docs" / "reference" / f"unimask_{name}.html").read_text()
        shown = subprocess.run(
            [sys.executable, "-m", "unimask", name, "--help"],
            capture_output=True,
            text=True,
            env={"PATH": "", "COLUMNS": "300", "PYTHONPATH": str(ROOT / "src")},
        ).stdout
        options = set(re.findall(r"--[a-z][a-z-]+", shown)) - {"--help"}
        assert options, name
        assert not [option for option in options if option not in page], name
        assert "–" not in page.partition("<article")[2], f"{name}: -- became a dash"


def test_every_page_of_the_documentation_is_on_the_site(site):
    pages = {path.stem for path in (ROOT / "docs").glob("*.md")}
    assert pages <= {path.stem for path in (site / "docs").glob("*.html")}
    assert (site / "index.html").exists()


def test_notebooks_are_executed_and_can_be_downloaded(site):
    for path in (ROOT / "docs" / "notebooks").glob("*.ipynb"):
        page = (site / "docs" / "notebooks" / f"{path.stem}.html").read_text()
        article = page.partition("<article")[2]
        assert re.search(r'<img [^>]*src="../../_images/', article), f"{path.name}: no image"
        assert 'class="output traceback' not in article and "output stderr" not in article
        assert f'href="{path.name}" download' in article
        assert (site / "docs" / "notebooks" / path.name).read_bytes() == path.read_bytes()


def test_the_reported_problems_are_found_by_their_words():
    assert sorted(SYMPTOMS) == list(range(1, 45))
    text = (ROOT / "docs" / "troubleshooting.md").read_text().lower()
    assert not {rank: words for rank, words in SYMPTOMS.items() if words not in text}


def test_the_search_finds_the_page_of_symptoms(site):
    index = (site / "searchindex.js").read_text()
    content = json.loads(index[index.index("{") : index.rindex("}") + 1])
    number = content["docnames"].index("docs/troubleshooting")
    for term in ("natten", "agpl", "detectron2", "visualis", "supervis", "jag", "reduce_label"):
        documents = content["terms"].get(term, [])
        documents = documents if isinstance(documents, list) else [documents]
        assert number in documents, term
