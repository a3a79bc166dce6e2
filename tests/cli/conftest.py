"""The command run in this process, and what its failures look like."""

import sys
import warnings

import pytest
from conftest import draw_discs
from PIL import Image

from unimask.cli.main import main


@pytest.fixture
def command(monkeypatch, capsys):
    """Run `unimask ARGUMENTS` here; give exit code, stdout and stderr."""

    def run(*arguments) -> tuple[int, str, str]:
        monkeypatch.setattr(warnings, "showwarning", warnings.showwarning)  # main sets its own
        monkeypatch.setattr(sys, "argv", ["unimask", *map(str, arguments)])
        with pytest.raises(SystemExit) as stopped:
            main()
        printed = capsys.readouterr()
        return stopped.value.code or 0, printed.out, printed.err

    return run


@pytest.fixture
def picture(tmp_path):
    path = tmp_path / "cells.png"
    Image.fromarray(draw_discs(0)[0]).save(path)
    return path


@pytest.fixture(scope="session")
def one_line():
    """Hold a failure to its promise: exit code 2, and one line that holds `parts`."""

    def check(code, err, *parts) -> None:
        assert code == 2
        assert err.startswith("unimask: error: ") and err.count("\n") == 1, err
        for part in parts:
            assert part in err, err

    return check
