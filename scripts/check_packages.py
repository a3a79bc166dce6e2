"""Build the source archive and the wheel into dist/, and check both before a release.

    python scripts/check_packages.py [--python python3.12 --python python3.13]

Needs the extra `release`. Checks that the description renders, that the
wheel built from the source archive has the files of the package and nothing else, that it installs
and predicts in an empty environment of this Python with the versions of `constraints.txt`, and that
every module compiles with each further Python.
"""

import argparse
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

PREDICTION = """
import numpy, unimask
image = numpy.zeros((64, 64, 3), dtype="uint8")
for name in ("nuclei", "rendered-town"):
    print(unimask.__version__, name, len(unimask.load(name).predict(image).segments), "segments")
"""


def run(*words: str | Path, folder: Path = ROOT) -> str:
    """Run a program in a folder; return what it printed, or stop with its error."""
    done = subprocess.run([str(word) for word in words], cwd=folder, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(map(str, words))}\n{done.stdout}{done.stderr}")
    return done.stdout


def build(dist: Path) -> tuple[Path, Path]:
    """Build the source archive, and the wheel from it, into an empty folder; return both files."""
    run(sys.executable, "-m", "build", "--outdir", dist, ROOT)
    run(sys.executable, "-m", "twine", "check", "--strict", *sorted(dist.iterdir()))
    return next(dist.glob("*.tar.gz")), next(dist.glob("*.whl"))


def expected_files() -> set[str]:
    """Return the files of the package that a wheel must have, relative to its root."""
    listed = run("git", "ls-files", "src/unimask").splitlines()
    return {path.removeprefix("src/") for path in listed}


def check_files(archive: Path, wheel: Path) -> None:
    """Require the files of the package in the wheel, and in the source archive what builds it."""
    with zipfile.ZipFile(wheel) as file:
        found = {name for name in file.namelist() if ".dist-info/" not in name}
    if found != expected_files():
        raise SystemExit(f"{wheel.name} differs in {sorted(found ^ expected_files())}")
    with tarfile.open(archive) as file:
        names = {name.partition("/")[2] for name in file.getnames()}
    missing = {"pyproject.toml", "LICENSE", "README.md"} - names
    if missing:
        raise SystemExit(f"{archive.name} lacks {sorted(missing)}")


def environment(folder: Path, python: str) -> Path:
    """Create an empty environment; return its interpreter."""
    run(python, "-m", "venv", folder)
    return folder / "bin" / "python"


def check_installed(wheel: Path, folder: Path) -> None:
    """Require that the wheel installs in an empty environment, predicts and prints its help."""
    python = environment(folder, sys.executable)
    run(python, "-m", "pip", "install", "-q", "-c", ROOT / "constraints.txt", wheel)
    run(python, "-m", "pip", "check")
    print(run(python, "-c", PREDICTION, folder=folder), end="")
    run(folder / "bin" / "unimask", "--help", folder=folder)


def check_compiled(wheel: Path, folder: Path, python: str) -> None:
    """Require that every module compiles with another Python, without its dependencies."""
    inner = environment(folder, python)
    run(inner, "-m", "pip", "install", "-q", "--no-deps", wheel)
    code = "import compileall, pathlib, sysconfig, sys; sys.exit(not compileall.compile_dir("
    code += "pathlib.Path(sysconfig.get_paths()['purelib']) / 'unimask', force=True, quiet=1))"
    run(inner, "-W", "error", "-c", code, folder=folder)
    print(f"{run(inner, '--version').strip()}: every module compiles")


def main() -> None:
    """Build and check."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--python", action="append", default=[], help="Further interpreter.")
    options = parser.parse_args()
    dist = ROOT / "dist"
    if dist.exists() and any(dist.iterdir()):
        raise SystemExit(f"{dist} is not empty: move its files away")
    archive, wheel = build(dist)
    check_files(archive, wheel)
    with tempfile.TemporaryDirectory() as folder:
        check_installed(wheel, Path(folder) / "this")
        for number, python in enumerate(options.python):
            check_compiled(wheel, Path(folder) / str(number), python)
    print(f"{archive.name} and {wheel.name} are complete")


if __name__ == "__main__":
    main()
