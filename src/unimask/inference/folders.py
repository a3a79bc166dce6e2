"""Model folders on this machine: bundled with the package, of training runs, or given by path."""

from pathlib import Path

from unimask.bundled import BUNDLED, bundled_names
from unimask.errors import CheckpointError


def local_folder(name: str, path: Path) -> Path | None:
    """Return the local model folder: bundled, of a run, or given by path; None if there is none."""
    if name in bundled_names():
        return BUNDLED / name
    if path.is_dir():
        for folder in (path, path / "weights" / "best", path / "weights" / "last"):
            if (folder / "config.json").is_file():
                return folder
        raise CheckpointError(f"{path} holds no model: expected config.json, or a training run")
    return path.parent if path.is_file() else None  # the folder of this weights file
