"""The wheel and the source archive have every file, and install in an empty environment."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "scripts"))

import check_packages

pytestmark = [pytest.mark.extra, pytest.mark.slow]


@pytest.fixture(scope="module")
def packages(tmp_path_factory) -> tuple[Path, Path]:
    """Build both, the wheel from the source archive."""
    pytest.importorskip("build")
    return check_packages.build(tmp_path_factory.mktemp("dist"))


def test_the_packages_have_every_file_of_the_repository(packages):
    check_packages.check_files(*packages)


def test_a_missing_file_is_reported(packages, monkeypatch):
    files = check_packages.expected_files() | {"unimask/weights/other/model.safetensors"}
    monkeypatch.setattr(check_packages, "expected_files", lambda: files)
    with pytest.raises(SystemExit, match=r"weights/other/model\.safetensors"):
        check_packages.check_files(*packages)


def test_the_wheel_installs_and_predicts_in_an_empty_environment(packages, tmp_path, capsys):
    check_packages.check_installed(packages[1], tmp_path)
    assert "rendered-town" in capsys.readouterr().out


def test_every_module_of_the_wheel_compiles_without_dependencies(packages, tmp_path, capsys):
    check_packages.check_compiled(packages[1], tmp_path, sys.executable)
    assert "every module compiles" in capsys.readouterr().out
