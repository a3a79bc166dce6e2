"""Settings of the documentation site: `make docs` builds it into docs/_build/html.

The root of the site is the repository, so that relative links of the Markdown files mean the same
files on the site as in a checkout. Pages of the API and of the commands are written at each build,
and all notebooks are executed.
"""

import inspect
import re
import shutil
import sys
from pathlib import Path

from sphinx.application import Sphinx

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "scripts"))

from site_pages import index_toctrees, write_reference  # noqa: E402

project = "unimask"
author = "the unimask authors"
extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
root_doc = "docs/index"
include_patterns = [
    "docs/*.md",
    "docs/notebooks/*.ipynb",
    "docs/reference/[a-z]*",
    "ARCHITECTURE.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "src/unimask/weights/*/README.md",
]
exclude_patterns = [
    ".*",
    "benchmarks",
    "build",
    "data",
    "demo",
    "dist",
    "docs/_build",
    "runs",
    "tests",
]

myst_heading_anchors = 4
nb_execution_mode = "force"  # a cache would not notice changes of the library
nb_execution_in_temp = True
nb_execution_timeout = 1200  # seconds per cell
nb_execution_show_tb = True
nb_output_stderr = "warn"  # `make docs` turns warnings into errors
nb_merge_streams = True
nb_mime_priority_overrides = [
    ("html", "image/jpeg", 0),  # smaller than the PNG of the same image
    ("html", "text/html", None),  # rich's copy of its text, in another font
]
nb_ipywidgets_js = {}  # by default from another server
default_role = "literal"
smartquotes = False  # they would turn --option into a dash
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
napoleon_use_ivar = True
python_use_unqualified_type_names = True

html_theme = "furo"
html_title = "unimask"
html_static_path = ["site.css"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_copyright = False

NOTEBOOKS = "docs/notebooks/"
MARKDOWN_LITERAL = re.compile(r"(?<!`)`([^`]+)`(?!`)")


def fix_docstring(
    app: Sphinx, what: str, name: str, value: object, options: object, lines: list[str]
) -> None:
    """Turn `name` into a literal and escape stars; omit the docstring of a constant's type."""
    if what == "data" and inspect.getdoc(value) == inspect.getdoc(type(value)):
        lines.clear()
    lines[:] = [MARKDOWN_LITERAL.sub(r"``\1``", line.replace("*", r"\*")) for line in lines]


def add_toctrees(app: Sphinx, name: str, source: list[str]) -> None:
    """Append the navigation to the index: its sections and links as toctrees."""
    if name == root_doc:
        source[0] += index_toctrees(source[0])


def redirect_root(app: Sphinx, error: Exception | None) -> None:
    """Write index.html at the top of the site, which leads to the index of the documentation."""
    if error is None and app.builder.name == "html":
        page = '<meta charset="utf-8"><title>unimask</title>'
        page += '<meta http-equiv="refresh" content="0; url=docs/index.html">'
        page += '<a href="docs/index.html">Documentation of unimask</a>\n'
        (Path(app.outdir) / "index.html").write_text(page, encoding="utf-8")


def link_notebook(
    app: Sphinx, name: str, template: str, context: dict[str, object], doctree: object
) -> None:
    """Add a link below the title of a notebook's page, which downloads the notebook."""
    if name.startswith(NOTEBOOKS):
        file = name.removeprefix(NOTEBOOKS) + ".ipynb"
        link = f'<p><a href="{file}" download>Download this notebook</a></p>'
        context["body"] = str(context["body"]).replace("</h1>", f"</h1>\n{link}", 1)


def copy_notebooks(app: Sphinx, error: Exception | None) -> None:
    """Copy the notebooks, without outputs, beside their pages."""
    if error is None and app.builder.name == "html":
        for path in (ROOT / NOTEBOOKS).glob("*.ipynb"):
            shutil.copyfile(path, Path(app.outdir) / NOTEBOOKS / path.name)


def setup(app: Sphinx) -> None:
    """Write the generated pages, and register the hooks."""
    write_reference(ROOT / "docs" / "reference")
    app.connect("autodoc-process-docstring", fix_docstring)
    app.connect("source-read", add_toctrees)
    app.connect("html-page-context", link_notebook)
    app.connect("build-finished", redirect_root)
    app.connect("build-finished", copy_notebooks)
