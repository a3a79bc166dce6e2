"""Files of `torch.save`: a pickle, and the storages to which it refers."""

import io
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO

import torch

from unimask.checkpoints.files.pickled import Storage, call_stand_in
from unimask.pickles.machine import (
    Name,
    PickleMachine,
    UnsafePickleError,
    expect_type,
)

DTYPES = {
    "DoubleStorage": torch.float64,
    "FloatStorage": torch.float32,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "UntypedStorage": torch.uint8,
    "BoolStorage": torch.bool,
}
"""Data types by torch's names of storages, in any module."""

LOCAL_HEADER = 30
"""Size in bytes of a zip entry's header before its name."""


def read_torch_zip(path: Path) -> object:
    """Read a file of torch 1.6 or later.

    Raises:
        Refused: It requests more than weights need.
        Exception: Any exception, if the file is damaged.
    """
    with zipfile.ZipFile(path) as archive, path.open("rb") as stream:
        size = path.stat().st_size
        entries = {entry.filename: entry for entry in archive.infolist()}
        check_uncompressed(entries, size)
        (description,) = (name for name in entries if name.endswith("/data.pkl"))
        folder = description.removesuffix("data.pkl")
        storages: dict[object, Storage] = {}

        def fetch(reference: object) -> Storage:
            dtype, key, count, _ = parse_storage_reference(reference)
            if key not in storages:
                data = read_entry(stream, entries[f"{folder}data/{key}"])
                flat = torch.frombuffer(data, dtype=dtype) if data else torch.empty(0, dtype=dtype)
                storages[key] = Storage(flat)
            if len(storages[key].flat) != count or storages[key].flat.dtype != dtype:
                raise ValueError("a storage of another size")
            return storages[key]

        stream.seek(0)
        with archive.open(description) as pickled:
            return PickleMachine(pickled, size=size, call=call_stand_in, fetch=fetch).read()  # type: ignore[arg-type]


def check_uncompressed(entries: Mapping[str, zipfile.ZipInfo], size: int) -> None:
    """Refuse zips that expand when they are read; torch compresses nothing.

    Raises:
        Refused: The zip would expand.
    """
    packed = any(entry.compress_type != zipfile.ZIP_STORED for entry in entries.values())
    if packed or sum(entry.file_size for entry in entries.values()) > size:
        raise UnsafePickleError("more room than the file has")


def read_entry(stream: BinaryIO, entry: zipfile.ZipInfo) -> bytearray:
    """Read an entry's bytes; torch does not always write a checksum.

    Raises:
        ValueError: The file is truncated.
    """
    stream.seek(entry.header_offset)
    header = stream.read(LOCAL_HEADER)
    names = int.from_bytes(header[26:28], "little") + int.from_bytes(header[28:30], "little")
    stream.seek(names, 1)
    data = bytearray(entry.file_size)
    if stream.readinto(data) != len(data):  # type: ignore[attr-defined]
        raise ValueError("it ends early")
    return data


def parse_storage_reference(reference: object) -> tuple[torch.dtype, object, int, object]:
    """Parse a storage's data type, key, number of elements, and view (old torch).

    Raises:
        Refused: The reference is not a storage.
    """
    word, name, key, _, count, *view = expect_type(reference, tuple)
    if word != "storage" or not isinstance(name, Name) or name.name not in DTYPES:
        raise UnsafePickleError("what is no storage of numbers")
    if not isinstance(count, int) or count < 0 or not isinstance(key, str):
        raise UnsafePickleError("a storage without size")
    return DTYPES[name.name], key, count, view[0] if view else None


def read_legacy_torch(stream: BinaryIO) -> object:
    """Read a file of torch before 1.6: consecutive pickles, then the storages.

    Raises:
        Refused: It requests more than weights need.
        Exception: Any exception, if the file is damaged.
    """
    size = stream.seek(0, 2)
    stream.seek(0)
    for _ in ("magic number", "version", "machine"):
        PickleMachine(stream, size=size, call=call_stand_in).read()
    storages: dict[object, torch.Tensor] = {}
    remaining_bytes = size

    def fetch(reference: object) -> Storage:
        nonlocal remaining_bytes
        dtype, key, count, view = parse_storage_reference(reference)
        if key not in storages:
            remaining_bytes -= count * dtype.itemsize
            if remaining_bytes < 0:
                raise UnsafePickleError("more room than the file has")
            storages[key] = torch.empty(count, dtype=dtype)
        if view is None:
            return Storage(storages[key])
        _, offset, length = expect_type(view, tuple)
        return Storage(storages[key].narrow(0, offset, length))

    content = PickleMachine(stream, size=size, call=call_stand_in, fetch=fetch).read()
    for key in expect_type(PickleMachine(stream, size=size, call=call_stand_in).read(), list):
        read_storage(storages[key], stream)
    return content


def read_storage(storage: torch.Tensor, stream: BinaryIO) -> None:
    """Read a storage's elements, which follow their number.

    Raises:
        ValueError: Their number differs from that in the pickle.
    """
    count = int.from_bytes(stream.read(8), "little")
    data = stream.read(storage.nbytes)
    if count != len(storage) or len(data) != storage.nbytes:
        raise ValueError("a storage of another size")
    if data:
        storage.copy_(torch.frombuffer(bytearray(data), dtype=storage.dtype))


def read_pickle(stream: BinaryIO) -> object:
    """Read a pickle without separate storages; those inside it are small files of old torch.

    Args:
        stream: Open file.

    Returns:
        Object of the pickle; its arrays are of type `Draft`, its tensors are tensors.

    Raises:
        Refused: It requests more than weights need.
        Exception: Any exception, if the file is damaged.
    """
    size = stream.seek(0, 2)
    stream.seek(0)
    return PickleMachine(stream, size=size, call=call_or_read).read()


def call_or_read(name: Name, arguments: tuple) -> object:
    """Read a storage from its bytes, or call a stand-in.

    Raises:
        Refused: The name has no stand-in, or the bytes hold no storage.
    """
    if name != ("torch.storage", "_load_from_bytes"):
        return call_stand_in(name, arguments)
    (data,) = arguments
    content = read_legacy_torch(
        io.BytesIO(data if isinstance(data, bytearray) else expect_type(data, bytes))
    )
    if not isinstance(content, Storage):
        raise UnsafePickleError("a storage that is none")
    return content
