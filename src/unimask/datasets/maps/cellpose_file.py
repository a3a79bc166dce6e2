"""Read the masks in cellpose's `_seg.npy`, a pickled dictionary, without executing anything in it.

numpy would unpickle the file, and unpickling can start any command. Here a pickle may build
containers, numbers, text, paths and arrays of numbers; every other name is refused.
"""

from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

import numpy as np
from jaxtyping import Integer

from unimask.datasets.maps.map_array import check_plane, to_whole_numbers
from unimask.errors import DataError, one_line
from unimask.pickles.arrays import ARRAY_STAND_INS, PickledArray, PickledDtype
from unimask.pickles.machine import Name, PickleMachine, UnsafePickleError, expect_type

ENDING = "_seg.npy"
"""Ending of the names of cellpose's files."""

MASKS_KEY = "masks"

PATH_CLASSES = ("Path", "PosixPath", "WindowsPath", "PurePath", "PurePosixPath", "PureWindowsPath")


class ObjectDtype:
    """Data type of arrays of Python objects."""

    def set_state(self, state: tuple) -> None:
        """Ignore the state, which is the same for all of these types."""


class ObjectArray(PickledArray):
    """An array of numbers, or of Python objects, which are stored as a list."""

    objects: list | None = None

    def set_state(self, state: tuple) -> None:
        """Fill the array; see `PickledArray.set_state`."""
        if len(state) >= 4 and isinstance(state[-3], ObjectDtype):
            self.objects = expect_type(state[-1], list)
        else:
            super().set_state(state)


def build_dtype(code: object, *_: object) -> PickledDtype | ObjectDtype:
    """Build a data type of numbers or objects."""
    return ObjectDtype() if code in ("O", "O8", "O4") else PickledDtype(code)


def build_path(*parts: object) -> str:
    """Build a path as text."""
    return str(PurePosixPath(*(expect_type(part, str) for part in parts)))


STAND_INS: dict[tuple[str, str], Callable[..., Any]] = {
    **ARRAY_STAND_INS,
    ("numpy", "dtype"): build_dtype,
    **{
        (module, "_reconstruct"): lambda *_: ObjectArray()
        for module in ("numpy.core.multiarray", "numpy._core.multiarray")
    },
    **{
        (module, name): build_path
        for module in ("pathlib", "pathlib._local")
        for name in PATH_CLASSES
    },
}
"""Stand-in for each module and name."""


def call_stand_in(name: Name, arguments: tuple) -> object:
    """Call the stand-in for a name.

    Raises:
        UnsafePickleError: The name has no stand-in.
    """
    make = STAND_INS.get((name.module, name.name))
    if make is None:
        raise UnsafePickleError(f"{name.module[:40]}.{name.name[:40]}")
    return make(*arguments)


def read_cellpose_masks(path: Path) -> Integer[np.ndarray, "h w"]:
    """Read the numbers of the objects in cellpose's file.

    Raises:
        DataError: The file is damaged, requests anything but data, or holds no masks of an image.
    """
    try:
        with path.open("rb") as stream:
            content = read_content(stream, path.stat().st_size)
    except UnsafePickleError as refused:
        raise DataError(
            f"{path} requests {refused}, which labels do not need and which could be harmful: "
            "nothing was executed; save it again with cellpose"
        ) from None
    except MemoryError:
        raise
    except Exception as error:  # a damaged pickle can raise any exception
        reason = one_line(error)
        raise DataError(
            f"{path} is not a file of cellpose, or is damaged ({reason}): save it again"
        ) from error
    masks = content.get(MASKS_KEY)
    if not isinstance(masks, PickledArray) or masks.array is None:
        raise DataError(f"{path} has no masks: save it again with cellpose")
    if masks.array.dtype.kind not in "biuf":
        raise DataError(f"{path} has masks of {masks.array.dtype}: save it again with cellpose")
    array = np.asarray(check_plane(masks.array, path))
    if array.ndim != 2:
        raise DataError(f"{path} has masks of shape {array.shape}: number objects in one plane")
    return to_whole_numbers(array, path)


def read_content(stream: BinaryIO, size: int) -> dict:
    """Read the dictionary in an array of one object.

    Raises:
        UnsafePickleError: The pickle requests anything but data.
        Exception: Any exception, if the file is damaged.
    """
    if not holds_one_object(stream):
        raise ValueError("it does not hold one object")
    array = PickleMachine(stream, size=size, call=call_stand_in).read()
    objects = expect_type(array, ObjectArray).objects
    if objects is None or len(objects) != 1:
        raise ValueError("it does not hold one object")
    return expect_type(objects[0], dict)


def holds_one_object(stream: BinaryIO) -> bool:
    """Read the header of an array, and return whether the array holds a single object.

    Raises:
        ValueError: The file is not an array of numpy.
    """
    version = np.lib.format.read_magic(stream)
    read_header = (
        np.lib.format.read_array_header_1_0
        if version == (1, 0)
        else np.lib.format.read_array_header_2_0
    )
    shape, _, dtype = read_header(stream)
    return dtype.hasobject and shape == ()


def is_cellpose_file(path: Path) -> bool:
    """Return whether a file has the name and the header of cellpose's files."""
    try:
        with path.open("rb") as stream:
            return path.name.endswith(ENDING) and holds_one_object(stream)
    except Exception:  # parsing the header raises many types of exceptions
        return False
