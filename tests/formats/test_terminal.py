"""Names from files are printed as text without terminal commands."""

import io

import pytest
from rich.table import Table
from rich.text import Text

from unimask.formats.terminal import Terminal

NAMES = {
    "[/b]": "[/b]",
    "[red]cell": "[red]cell",
    "\\[bold]": "\\[bold]",
    ":dog:": ":dog:",
    "\x1b[31mred": "\\x1b[31mred",
    "bell\x07": "bell\\x07",
    "back\rspace": "back\\rspace",
    "gpj.\u202etxt": "gpj.\\u202etxt",
    "half \ud800": "half \\ud800",
    "Zürich 日本": "Zürich 日本",
}


@pytest.mark.parametrize("name", NAMES)
def test_names_are_printed_literally(name):
    stream = io.StringIO()
    terminal = Terminal(file=stream, width=100)
    terminal.print(f"line {name}\nnext", soft_wrap=True)
    table = Table("class", f"of {name}", box=None)
    table.add_row(name, "1")
    terminal.print(table)
    shown = NAMES[name]
    lines = stream.getvalue().splitlines()
    assert lines[:2] == [f"line {shown}", "next"]
    assert f"of {shown}" in lines[2] and lines[3].split("  ")[0].strip() == shown


def test_styles_are_still_possible():
    stream = io.StringIO()
    Terminal(file=stream, force_terminal=True, width=40, color_system="standard").print(
        Text("bold", style="bold")
    )
    assert "\x1b[1mbold" in stream.getvalue()
