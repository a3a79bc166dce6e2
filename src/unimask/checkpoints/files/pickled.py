"""Weights from pickle files, read without executing anything else that such files may request.

A pickle is a program: loading one in the usual way can start any command. Here it may build
containers, numbers, text and arrays; every other name is refused. Even these few are stand-ins: a
file reaches nothing of numpy or torch before its types and sizes were checked.
"""

import math
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from unimask.checkpoints.files.pickle_machine import Name, Refused
from unimask.errors import CheckpointError, one_line

NUMBERS = re.compile(r"b1|[iu][1248]|f[248]")


class Kind:
    """Data type of an array, as a pickle describes it.

    Args:
        code: Type code such as "f4"; text, dates and Python objects are refused.
    """

    def __init__(self, code: object, *_: object) -> None:
        if not isinstance(code, str) or not NUMBERS.fullmatch(code):
            raise Refused(f"arrays of type {str(code)[:40]!r}")
        self.dtype = np.dtype(code)

    def take_state(self, state: tuple) -> None:
        """Set the byte order."""
        if state[1] not in ("<", ">", "|", "="):
            raise Refused(f"the byte order {str(state[1])[:40]!r}")
        self.dtype = self.dtype.newbyteorder(state[1])


class Draft:
    """An array that is created first and filled later."""

    array: np.ndarray | None = None

    def take_state(self, state: tuple) -> None:
        """Fill the array from (version,) shape, type, Fortran order, bytes."""
        shape, kind, by_columns, data = state[-4:]
        self.array = array_of(data, kind, shape, "F" if by_columns else "C")


class Container(dict):
    """An ordered dictionary that accepts no attributes."""

    def take_state(self, state: object) -> None:
        """Ignore attributes, such as the versions of modules."""


def array_of(data: object, kind: object, shape: object, order: object) -> np.ndarray:
    """Return a writable array in native byte order.

    Writable bytes become its memory, because a copy would double the memory of a large file.

    Raises:
        Refused: An argument has the wrong type, or the number of bytes does not fit the shape.
    """
    if isinstance(data, str):  # bytes of Python 2, read as Latin-1
        data = data.encode("latin1")
    sizes = isinstance(shape, tuple) and all(isinstance(n, int) and n >= 0 for n in shape)
    if not (sizes and isinstance(kind, Kind) and isinstance(data, bytes | bytearray)):
        raise Refused("an array without shape, type or bytes")
    if order not in ("C", "F") or math.prod(shape) * kind.dtype.itemsize != len(data):  # type: ignore[arg-type]
        raise Refused("an array whose shape and bytes disagree")
    flat = np.frombuffer(bytearray(data) if isinstance(data, bytes) else data, kind.dtype)
    native = flat.astype(kind.dtype.newbyteorder("="), copy=False)
    return native.reshape(shape, order=order)  # type: ignore[call-overload]


def array_from_buffer(data: object, kind: object, shape: object, order: object) -> Draft:
    """Build an array in the way of numpy's function for pickle protocol 5."""
    draft = Draft()
    draft.array = array_of(data, kind, shape, order)
    return draft


def scalar(kind: object, data: object) -> Draft:
    """Build a scalar in the way of numpy's function."""
    return array_from_buffer(data, kind, (), "C")


def encode(text: object, encoding: object = "latin1") -> bytes:
    """Encode text, the way in which Python 3 writes bytes in old protocols."""
    if not isinstance(text, str) or encoding != "latin1":
        raise Refused("text in a strange encoding")
    return text.encode("latin1")


class Storage:
    """Numbers that tensors share.

    Args:
        flat: All numbers as a tensor of one axis.
    """

    def __init__(self, flat: Tensor) -> None:
        self.flat = flat


class Unread:
    """An object of the training state that is not read."""

    def take_state(self, state: object) -> None:
        """Ignore the state."""


def tensor(storage: object, offset: int, size: tuple, stride: tuple, *_: object) -> Tensor:
    """Build a tensor as a view; torch checks that it stays within its storage.

    Raises:
        Refused: The storage has fewer numbers, so that with stride 0 a few bytes would fill memory.
    """
    if not isinstance(storage, Storage) or not all(isinstance(n, int) for n in size):
        raise Refused("a tensor without storage")
    if math.prod(size) > len(storage.flat):
        raise Refused("a tensor larger than its storage")
    return storage.flat.as_strided(size, stride, offset)


def attribute(owner: object, *_: object) -> Unread:
    """Return an attribute of an unread object, which is unread too."""
    if owner not in UNREAD:
        raise Refused("builtins.getattr")
    return Unread()


NUMPY = ("numpy.core.multiarray", "numpy._core.multiarray")

UNREAD = frozenset({Name("mmengine.logging.history_buffer", "HistoryBuffer")})
"""Classes of training logs."""

STAND_INS: dict[tuple[str, str], Callable[..., Any]] = {
    ("collections", "OrderedDict"): Container,
    ("numpy", "ndarray"): Draft,
    ("numpy", "dtype"): Kind,
    ("_codecs", "encode"): encode,
    ("builtins", "bytes"): lambda: b"",  # of no bytes
    ("builtins", "getattr"): attribute,
    **{(module, "_reconstruct"): lambda *_: Draft() for module in NUMPY},
    **{(module, "scalar"): scalar for module in NUMPY},
    ("numpy.core.numeric", "_frombuffer"): array_from_buffer,
    ("numpy._core.numeric", "_frombuffer"): array_from_buffer,
    ("torch", "Size"): tuple,
    ("torch._utils", "_rebuild_tensor"): tensor,
    ("torch._utils", "_rebuild_tensor_v2"): tensor,
    ("torch._utils", "_rebuild_parameter"): lambda data, *_: data,
    **dict.fromkeys(UNREAD, lambda *_: Unread()),
}


def call(name: Name, arguments: tuple) -> object:
    """Call the stand-in for a name.

    Raises:
        Refused: The name has no stand-in.
    """
    module = "builtins" if name.module == "__builtin__" else name.module  # name in Python 2
    make = STAND_INS.get((module, name.name))
    if make is None:
        raise Refused(f"{module[:40]}.{name.name[:40]}")
    return make(*arguments)


@contextmanager
def telling(path: Path) -> Iterator[None]:
    """Convert any error in reading a file to a CheckpointError of one line.

    Raises:
        CheckpointError: The file requests more than weights need, or is damaged.
    """
    try:
        yield
    except Refused as refused:
        raise CheckpointError(
            f"{path} asks for {refused}, which weights do not need and which could do harm: "
            "nothing of it was run; get the file from its authors"
        ) from None
    except Exception as error:  # a damaged pickle can raise any exception
        reason = one_line(error)
        raise CheckpointError(
            f"{path} is no file of weights, or is damaged ({reason}): download it again"
        ) from error
