"""The record of a batch run in its output folder: settings, images, and the names of its parts."""

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unimask.batch.inputs import InputItem, InputListing, list_inputs, readable_path
from unimask.batch.path_lists import open_parquet
from unimask.batch.settings import BatchSettings
from unimask.errors import DataError, MissingExtraError, OutputError, SettingsError, one_line
from unimask.formats.atomic import atomic_path, partial_path
from unimask.formats.output_file import GENERATOR
from unimask.formats.output_folder import list_foreign_files

RECORD_NAME = "_batch.json"
INPUTS_NAME = "_inputs.parquet"
MODEL_NAME = "_model.json"
"""Names begin with an underscore so that readers of Parquet folders ignore them."""

INPUTS_PER_GROUP = 2**15
"""Number of images per row group of the list, which a process reads to find those of a part."""


@dataclass(frozen=True)
class RunRecord:
    """What is fixed about a run.

    Attributes:
        folder: Output folder.
        settings: Values of `BatchSettings`, as JSON has them.
        num_images: Number of images.
        root: Folder that contains all images, or the common beginning of their URIs.
        inputs_digest: Digest of the listed images.
    """

    folder: Path
    settings: dict[str, Any]
    num_images: int
    root: str
    inputs_digest: str

    @property
    def rows_per_part(self) -> int:
        """Number of images per part; the last part may have fewer."""
        return self.settings["rows_per_part"]

    @property
    def num_parts(self) -> int:
        """Number of parts."""
        return -(-self.num_images // self.rows_per_part)

    def part_path(self, part: int) -> Path:
        """Return the file of a part, which exists only when it is complete."""
        return self.folder / f"part-{part:05d}-of-{self.num_parts:05d}.parquet"

    def part_size(self, part: int) -> int:
        """Return the number of images of a part."""
        return min(self.rows_per_part, self.num_images - part * self.rows_per_part)

    def read_items(self, part: int) -> list[InputItem]:
        """Read the images of a part from the list in the folder.

        Raises:
            DataError: The list is damaged.
        """
        path = self.folder / INPUTS_NAME
        first = part * self.rows_per_part
        last = first + self.part_size(part)
        groups = range(first // INPUTS_PER_GROUP, (last - 1) // INPUTS_PER_GROUP + 1)
        with open_parquet(path, str(path)) as file:
            try:
                table = file.read_row_groups(list(groups))
                start = first - groups[0] * INPUTS_PER_GROUP
                rows = table.slice(start, last - first).to_pylist()
            except (OSError, ValueError) as error:
                raise DataError(
                    f"{path} is damaged ({one_line(error)}): remove {self.folder}"
                ) from (error)
        return [InputItem(**row) for row in rows]


def open_run(folder: Path, settings: BatchSettings) -> RunRecord:
    """Begin a run in a folder, or continue the one that was begun there with the same settings.

    Several processes may begin the same run at the same time: each writes the same files.

    Raises:
        DataError: The images cannot be listed.
        OutputError: The folder holds other files, or cannot be written.
        SettingsError: The run was begun with other settings or other images.
    """
    import_pyarrow()
    recorded = (folder / RECORD_NAME).exists()
    if not recorded:
        check_folder(folder)
    else:
        check_settings(read_record(folder), settings)
    listing = list_inputs(settings.input, settings.column)
    listing.check()
    digest = listing.digest()
    if not recorded:
        num_images, root = write_inputs(folder / INPUTS_NAME, listing)
        write_record(RunRecord(folder, settings.to_json(), num_images, root, digest))
    record = read_record(folder)
    check_settings(record, settings)  # another process may have begun another run meanwhile
    if record.inputs_digest != digest:
        raise SettingsError(
            f"the images of {settings.input} are not those with which {folder} was begun: restore "
            "them, or choose another OUT"
        )
    return record


def check_folder(folder: Path) -> None:
    """Test that a folder is new, empty, or was left by the beginning of a run.

    Raises:
        OutputError: It holds other files.
    """
    others = [name for name in list_foreign_files(folder) if name != INPUTS_NAME]
    if others:
        raise OutputError(
            f"{folder} is not empty (it holds {others[0]}), and holds no batch run: choose a new "
            "folder"
        )


def check_settings(record: RunRecord, settings: BatchSettings) -> None:
    """Test that a run was begun with these settings.

    Raises:
        SettingsError: Others were used; the message names them.
    """
    differences = settings.differences(record.settings)
    if differences:
        raise SettingsError(
            f"{record.folder} was begun with {', '.join(differences)}: repeat that, or choose "
            "another OUT"
        )


def write_inputs(path: Path, listing: InputListing) -> tuple[int, str]:
    """Write the list of images in constant memory.

    Returns:
        Number of images, and the folder that contains all of them.

    Raises:
        DataError: There are no images, or a name is not valid Unicode.
        OutputError: The file cannot be written.
    """
    import pyarrow
    from pyarrow import parquet

    schema = pyarrow.schema(
        [
            ("path", pyarrow.string()),
            ("archive", pyarrow.string()),
            ("start", pyarrow.int64()),
            ("size", pyarrow.int64()),
        ]
    )
    num_images, root = 0, None
    with atomic_path(path) as temporary, parquet.ParquetWriter(temporary, schema) as writer:
        for items in chunked(listing.items(), INPUTS_PER_GROUP):
            try:
                writer.write_table(
                    pyarrow.Table.from_pylist([item._asdict() for item in items], schema)
                )
            except UnicodeEncodeError:
                bad = next(item.path for item in items if not is_unicode(item.path))
                raise DataError(f"{bad} has a name that is not valid UTF-8: rename it") from None
            num_images += len(items)
            for item in items:
                parts = readable_path(item.path).split("/")[:-1]
                root = parts if root is None else common_start(root, parts)
        if not num_images:
            raise DataError("the list has no images: check it")
    return num_images, "/".join(root or [])


def chunked(items: Iterator[InputItem], size: int) -> Iterator[list[InputItem]]:
    """Group items into lists of `size`; the last one may be shorter."""
    group = []
    for item in items:
        group.append(item)
        if len(group) == size:
            yield group
            group = []
    if group:
        yield group


def is_unicode(text: str) -> bool:
    """Return whether a file's name can be encoded."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def common_start(first: list[str], second: list[str]) -> list[str]:
    """Return the parts with which both lists begin."""
    count = 0
    while count < min(len(first), len(second)) and first[count] == second[count]:
        count += 1
    return first[:count]


def write_record(record: RunRecord) -> None:
    """Write `_batch.json`, which marks a folder as that of a run."""
    content = {
        "generator": GENERATOR,
        "settings": record.settings,
        "images": record.num_images,
        "root": record.root,
        "inputs_digest": record.inputs_digest,
    }
    with atomic_path(record.folder / RECORD_NAME) as temporary:
        temporary.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def read_record(folder: Path) -> RunRecord:
    """Read the record of a run.

    Raises:
        DataError: The folder holds no run, or its record is damaged.
    """
    path = folder / RECORD_NAME
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        settings, images = dict(content["settings"]), int(content["images"])
        if images < 1 or settings["rows_per_part"] < 1:
            raise ValueError("it has no images")
        return RunRecord(folder, settings, images, content["root"], content["inputs_digest"])
    except FileNotFoundError:
        raise DataError(
            f"{folder} is no output of unimask batch: it has no {RECORD_NAME}"
        ) from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path} is damaged ({one_line(error)}): restore it") from error


def record_model(folder: Path, content: dict[str, Any]) -> None:
    """Record the model of a run, or test that it is the recorded one.

    Args:
        folder: Output folder.
        content: Digest of the weights, labels and task.

    Raises:
        SettingsError: The run was begun with another model.
    """
    path = folder / MODEL_NAME
    with partial_path(path) as temporary:
        temporary.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
        try:
            os.link(temporary, path)  # fails if another process was first, unlike a replacement
        except FileExistsError:
            pass
        except OSError:  # the file system has no links
            if not path.exists():
                os.replace(temporary, path)
    if read_model(folder) != content:
        raise SettingsError(
            f"the model has other weights, classes or dtype than the one with which {folder} was "
            "begun: choose another OUT"
        )


def read_model(folder: Path) -> dict[str, Any]:
    """Read what `record_model` wrote.

    Raises:
        DataError: It is missing or damaged.
    """
    path = folder / MODEL_NAME
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{path} is damaged ({one_line(error)}): restore it") from error


def import_pyarrow() -> None:
    """Import pyarrow.

    Raises:
        MissingExtraError: It is not installed.
    """
    try:
        import pyarrow  # noqa: F401
    except ImportError:
        raise MissingExtraError("pyarrow", "batch") from None
