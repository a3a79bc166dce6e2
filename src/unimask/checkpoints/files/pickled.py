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

from unimask.checkpoints.files.pickle_machine import Name, UnsafePickleError
from unimask.errors import CheckpointError, one_line

NUMERIC_TYPES = re.compile(r"b1|[iu][1248]|f[248]")


class PickledDtype:
    """Data type of an array, as a pickle describes it.

    Args:
        code: Type code such as "f4"; text, dates and Python objects are refused.
    """

    def __init__(self, code: object, *_: object) -> None:
        if not isinstance(code, str) or not NUMERIC_TYPES.fullmatch(code):
            raise UnsafePickleError(f"arrays of type {str(code)[:40]!r}")
        self.dtype = np.dtype(code)

    def set_state(self, state: tuple) -> None:
        """Set the byte order."""
        if state[1] not in ("<", ">", "|", "="):
            raise UnsafePickleError(f"the byte order {str(state[1])[:40]!r}")
        self.dtype = self.dtype.newbyteorder(state[1])


class PickledArray:
    """An array that is created first and filled later."""

    array: np.ndarray | None = None

    def set_state(self, state: tuple) -> None:
        """Fill the array from (version,) shape, type, Fortran order, bytes."""
        shape, kind, is_fortran_order, data = state[-4:]
        self.array = build_array(data, kind, shape, "F" if is_fortran_order else "C")


class PickledDict(dict):
    """An ordered dictionary that accepts no attributes."""

    def set_state(self, state: object) -> None:
        """Ignore attributes, such as the versions of modules."""


def build_array(data: object, kind: object, shape: object, order: object) -> np.ndarray:
    """Return a writable array in native byte order.

    Writable bytes become its memory, because a copy would double the memory of a large file.

    Raises:
        Refused: An argument has the wrong type, or the number of bytes does not fit the shape.
    """
    if isinstance(data, str):  # bytes of Python 2, read as Latin-1
        data = data.encode("latin1")
    sizes = isinstance(shape, tuple) and all(isinstance(n, int) and n >= 0 for n in shape)
    if not (sizes and isinstance(kind, PickledDtype) and isinstance(data, bytes | bytearray)):
        raise UnsafePickleError("an array without shape, type or bytes")
    if order not in ("C", "F") or math.prod(shape) * kind.dtype.itemsize != len(data):  # type: ignore[arg-type]
        raise UnsafePickleError("an array whose shape and bytes disagree")
    flat = np.frombuffer(bytearray(data) if isinstance(data, bytes) else data, kind.dtype)
    native = flat.astype(kind.dtype.newbyteorder("="), copy=False)
    return native.reshape(shape, order=order)  # type: ignore[call-overload]


def array_from_buffer(data: object, kind: object, shape: object, order: object) -> PickledArray:
    """Build an array in the way of numpy's function for pickle protocol 5."""
    draft = PickledArray()
    draft.array = build_array(data, kind, shape, order)
    return draft


def build_scalar(kind: object, data: object) -> PickledArray:
    """Build a scalar in the way of numpy's function."""
    return array_from_buffer(data, kind, (), "C")


def encode(text: object, encoding: object = "latin1") -> bytes:
    """Encode text, the way in which Python 3 writes bytes in old protocols."""
    if not isinstance(text, str) or encoding != "latin1":
        raise UnsafePickleError("text in a strange encoding")
    return text.encode("latin1")


class Storage:
    """Numbers that tensors share.

    Args:
        flat: All numbers as a tensor of one axis.
    """

    def __init__(self, flat: Tensor) -> None:
        self.flat = flat


class IgnoredObject:
    """An object of the training state that is not read."""

    def set_state(self, state: object) -> None:
        """Ignore the state."""


def build_tensor(storage: object, offset: int, size: tuple, stride: tuple, *_: object) -> Tensor:
    """Build a tensor as a view; torch checks that it stays within its storage.

    Raises:
        Refused: The storage has fewer numbers, so that with stride 0 a few bytes would fill memory.
    """
    if not isinstance(storage, Storage) or not all(isinstance(n, int) for n in size):
        raise UnsafePickleError("a tensor without storage")
    if math.prod(size) > len(storage.flat):
        raise UnsafePickleError("a tensor larger than its storage")
    return storage.flat.as_strided(size, stride, offset)


def get_ignored_attribute(owner: object, *_: object) -> IgnoredObject:
    """Return an attribute of an unread object, which is unread too."""
    if owner not in IGNORED_CLASSES:
        raise UnsafePickleError("builtins.getattr")
    return IgnoredObject()


NUMPY_MODULES = ("numpy.core.multiarray", "numpy._core.multiarray")

IGNORED_CLASSES = frozenset({Name("mmengine.logging.history_buffer", "HistoryBuffer")})
"""Classes of training logs."""

STAND_INS: dict[tuple[str, str], Callable[..., Any]] = {
    ("collections", "OrderedDict"): PickledDict,
    ("numpy", "ndarray"): PickledArray,
    ("numpy", "dtype"): PickledDtype,
    ("_codecs", "encode"): encode,
    ("builtins", "bytes"): lambda: b"",  # of no bytes
    ("builtins", "getattr"): get_ignored_attribute,
    **{(module, "_reconstruct"): lambda *_: PickledArray() for module in NUMPY_MODULES},
    **{(module, "scalar"): build_scalar for module in NUMPY_MODULES},
    ("numpy.core.numeric", "_frombuffer"): array_from_buffer,
    ("numpy._core.numeric", "_frombuffer"): array_from_buffer,
    ("torch", "Size"): tuple,
    ("torch._utils", "_rebuild_tensor"): build_tensor,
    ("torch._utils", "_rebuild_tensor_v2"): build_tensor,
    ("torch._utils", "_rebuild_parameter"): lambda data, *_: data,
    **dict.fromkeys(IGNORED_CLASSES, lambda *_: IgnoredObject()),
}


def call_stand_in(name: Name, arguments: tuple) -> object:
    """Call the stand-in for a name.

    Raises:
        Refused: The name has no stand-in.
    """
    module = "builtins" if name.module == "__builtin__" else name.module  # name in Python 2
    make = STAND_INS.get((module, name.name))
    if make is None:
        raise UnsafePickleError(f"{module[:40]}.{name.name[:40]}")
    return make(*arguments)


@contextmanager
def convert_errors(path: Path) -> Iterator[None]:
    """Convert any error in reading a file to a CheckpointError of one line.

    Raises:
        CheckpointError: The file requests more than weights need, or is damaged.
    """
    try:
        yield
    except UnsafePickleError as refused:
        raise CheckpointError(
            f"{path} requests {refused}, which weights do not need and which could be harmful: "
            "nothing was executed; get the file from its authors"
        ) from None
    except Exception as error:  # a damaged pickle can raise any exception
        reason = one_line(error)
        raise CheckpointError(
            f"{path} is no file of weights, or is damaged ({reason}): download it again"
        ) from error
