"""The gallery: its images are those of its script, and its commands are those that wrote them."""

import re
import runpy
import shlex
from pathlib import Path

import pytest
import typer
from PIL import Image

from unimask.cli.app import app
from unimask.cli.main import register_commands

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "gallery.md").read_text(encoding="utf-8")
SHOWN = re.findall(r"!\[[^\]]+\]\(images/([^)]+)\)\n\n```sh\n(.*?)\n```", PAGE, re.DOTALL)
"""Images of the page, each with the command below it."""

MAX_BYTES = 150_000


def test_every_image_has_a_command():
    assert len(SHOWN) == PAGE.count("![") == PAGE.count("```sh")
    assert 1 <= len(SHOWN) <= 10


@pytest.mark.extra
def test_the_script_writes_the_images_of_the_page_with_its_commands():
    pytest.importorskip("av")
    pytest.importorskip("nibabel")
    figures = runpy.run_path(str(ROOT / "scripts" / "gallery_images.py"))["FIGURES"]
    commands = [(name, " ".join(text.replace("\\\n", "").split())) for name, text in SHOWN]
    assert [(figure.name, figure.command) for figure in figures] == commands


@pytest.mark.parametrize(("name", "text"), SHOWN, ids=[name for name, _ in SHOWN])
def test_commands_of_the_page_parse(name, text):
    program, command, *words = shlex.split(text.replace("\\\n", " "))
    assert program == "unimask"
    register_commands()
    parser = typer.main.get_command(app).commands[command]
    values = parser.make_context(command, words).params
    assert values["model"] in ("nuclei", "rendered-town")


def test_an_unknown_option_does_not_parse():
    register_commands()
    parser = typer.main.get_command(app).commands["predict"]
    with pytest.raises(typer.BadParameter.__mro__[1]):
        parser.make_context("predict", ["town.png", "--modl", "nuclei"])


@pytest.mark.parametrize("name", [name for name, _ in SHOWN])
def test_images_are_small_files(name):
    path = ROOT / "docs" / "images" / name
    assert path.stat().st_size <= MAX_BYTES
    with Image.open(path) as image:
        assert image.width <= 960
