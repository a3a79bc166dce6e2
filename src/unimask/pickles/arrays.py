"""Stand-ins for numpy's arrays and scalars in pickles, which check what they build."""

import math
import re
from collections.abc import Callable
from typing import Any

import numpy as np

from unimask.pickles.machine import UnsafePickleError

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


NUMPY_MODULES = ("numpy.core.multiarray", "numpy._core.multiarray")

ARRAY_STAND_INS: dict[tuple[str, str], Callable[..., Any]] = {
    ("numpy", "ndarray"): PickledArray,
    ("numpy", "dtype"): PickledDtype,
    ("_codecs", "encode"): encode,
    ("builtins", "bytes"): lambda: b"",  # of no bytes
    **{(module, "_reconstruct"): lambda *_: PickledArray() for module in NUMPY_MODULES},
    **{(module, "scalar"): build_scalar for module in NUMPY_MODULES},
    ("numpy.core.numeric", "_frombuffer"): array_from_buffer,
    ("numpy._core.numeric", "_frombuffer"): array_from_buffer,
}
"""Stand-in for each module and name."""
