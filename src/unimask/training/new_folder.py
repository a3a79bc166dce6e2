"""Check and creation of the folder of a new run."""

import json
from pathlib import Path

from unimask.errors import OutputError
from unimask.formats.output_folder import RECORD_NAME, OutputFolder, list_foreign_files

RUN_FILES = frozenset(
    f"{RECORD_NAME} .lock .lock.json settings.json dataset.json classes.npy metrics.csv curves.png "
    "state.pt samples weights tokenizer tensorboard wandb mlruns".split()
)
"""Names of the entries that a run writes."""

SETTINGS = {"model", "task", "data", "labels", "settings"}
"""Keys of settings.json that identify folders of earlier releases."""

LISTED = 3
MOST_BYTES = 2**24


def claim_folder(path: Path) -> None:
    """Create the folder of a new run and mark it as written by unimask.

    Raises:
        OutputError: It holds files that do not belong to a run, or cannot be created.
    """
    entries = list_foreign_files(path)
    foreign = [name for name in entries if name not in RUN_FILES]
    if foreign or (entries and not is_ours(path, entries)):
        names = foreign or entries
        listing = ", ".join(names[:LISTED]) + (", ..." if len(names) > LISTED else "")
        raise OutputError(
            f"{path} holds files that unimask did not write ({listing}): choose a new or empty "
            "folder"
        )
    if not entries:
        OutputFolder(path).create_record()


def is_ours(path: Path, found: list[str]) -> bool:
    """Return whether a folder belongs to a run, even one that was killed before its first state."""
    if RECORD_NAME in found:
        OutputFolder(path)  # raises OutputError for an invalid record
        return True
    if found == ["samples"]:
        return not any((path / "samples").iterdir())
    try:
        file = path / "settings.json"
        content = json.loads(file.read_text()) if file.stat().st_size < MOST_BYTES else None
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(content, dict) and content.keys() >= SETTINGS
