"""Models that are bundled with the package."""

from pathlib import Path

BUNDLED = Path(__file__).parent / "weights"
"""Folder of the models bundled with the package."""


def bundled_names() -> tuple[str, ...]:
    """Return the names of the models bundled with the package."""
    if not BUNDLED.is_dir():
        return ()
    return tuple(sorted(p.name for p in BUNDLED.iterdir() if (p / "config.json").is_file()))
