"""Weights out of pickle files, without running what else such files may ask for.

A pickle is a program: loading one the usual way can start any command. Here it may build
containers, numbers, text, and arrays; every other name is refused. Even those few are stand-ins:
nothing of numpy or torch is within a file's reach before its types and sizes have been checked.
"""

import math
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from unimask.checkpoints.pickle_machine import Name, Refused
from unimask.errors import CheckpointError

NUMBERS = re.compile(r"b1|[iu][1248]|f[248]")


class Kind:
    """A type of numbers, as a pickle describes it.

    Args:
        code: Such as "f4"; text, dates and Python objects are refused.
    """

    def __init__(self, code: object, *_: object) -> None:
        if not isinstance(code, str) or not NUMBERS.fullmatch(code):
            raise Refused(f"arrays of type {str(code)[:40]!r}")
        self.dtype = np.dtype(code)

    def take_state(self, state: tuple) -> None:
        """Take the order of bytes."""
        if state[1] not in ("<", ">", "|", "="):
            raise Refused(f"the byte order {str(state[1])[:40]!r}")
        self.dtype = self.dtype.newbyteorder(state[1])


class Draft:
    """An array that is announced first and filled later."""

    array: np.ndarray | None = None

    def take_state(self, state: tuple) -> None:
        """Take the numbers: (version,) shape, type, whether columns come first, bytes."""
        shape, kind, by_columns, data = state[-4:]
        self.array = array_of(data, kind, shape, "F" if by_columns else "C")


class Container(dict):
    """A dictionary that keeps its order and takes no attributes."""

    def take_state(self, state: object) -> None:
        """Leave out what somebody hung on it, such as the versions of modules."""


def array_of(data: object, kind: object, shape: object, order: object) -> np.ndarray:
    """Give an array that may be written to, in native byte order.

    Bytes that may be written to become its memory: a copy would double what a large file takes.

    Raises:
        Refused: The parts are not what they should be, or the bytes are not as many as the shape.
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
    """Stand in for numpy's way of pickle protocol 5."""
    draft = Draft()
    draft.array = array_of(data, kind, shape, order)
    return draft


def scalar(kind: object, data: object) -> Draft:
    """Stand in for a number of numpy's."""
    return array_from_buffer(data, kind, (), "C")


def encode(text: object, encoding: object = "latin1") -> bytes:
    """Stand in for how Python 3 writes bytes in old protocols."""
    if not isinstance(text, str) or encoding != "latin1":
        raise Refused("text in a strange encoding")
    return text.encode("latin1")


class Storage:
    """Numbers that tensors share.

    Args:
        flat: All of them, in a row.
    """

    def __init__(self, flat: Tensor) -> None:
        self.flat = flat


class Unread:
    """Something that a training kept for itself, and that nobody here looks at."""

    def take_state(self, state: object) -> None:
        """Leave out what it knew."""


def tensor(storage: object, offset: int, size: tuple, stride: tuple, *_: object) -> Tensor:
    """Stand in for torch's tensors; torch checks that they stay within their storage.

    Raises:
        Refused: There are not as many numbers, whatever the strides: a few bytes would fill memory.
    """
    if not isinstance(storage, Storage) or not all(isinstance(n, int) for n in size):
        raise Refused("a tensor without storage")
    if math.prod(size) > len(storage.flat):
        raise Refused("a tensor larger than its storage")
    return storage.flat.as_strided(size, stride, offset)


def attribute(owner: object, *_: object) -> Unread:
    """Stand in for Python's way to name a method; those of unread things are unread."""
    if owner not in UNREAD:
        raise Refused("builtins.getattr")
    return Unread()


NUMPY = ("numpy.core.multiarray", "numpy._core.multiarray")

UNREAD = frozenset({Name("mmengine.logging.history_buffer", "HistoryBuffer")})
"""Classes of trainings' own records."""

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
    """Give what the stand-in for a name makes of arguments.

    Raises:
        Refused: Nothing stands in for it.
    """
    module = "builtins" if name.module == "__builtin__" else name.module  # Python 2's word
    make = STAND_INS.get((module, name.name))
    if make is None:
        raise Refused(f"{module[:40]}.{name.name[:40]}")
    return make(*arguments)


@contextmanager
def telling(path: Path) -> Iterator[None]:
    """Turn whatever goes wrong with a file into one line about it.

    Raises:
        CheckpointError: The file asks for more than weights need, or is damaged.
    """
    try:
        yield
    except Refused as refused:
        raise CheckpointError(
            f"{path} asks for {refused}, which weights do not need and which could do harm: "
            "nothing of it was run; get the file from its authors"
        ) from None
    except Exception as error:  # a damaged pickle fails in any way that a program can
        told = " ".join(str(error).split())[:120]
        raise CheckpointError(
            f"{path} is no file of weights, or is damaged ({told}): download it again"
        ) from error
