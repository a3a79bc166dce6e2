"""Input image for commands."""

import pytest
from conftest import draw_discs
from PIL import Image


@pytest.fixture
def image(tmp_path):
    path = tmp_path / "cells.png"
    Image.fromarray(draw_discs(0)[0]).save(path)
    return path
