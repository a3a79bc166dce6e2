"""Weights from pickle files, read without executing anything else that such files may request.

A pickle is a program: loading one in the usual way can start any command. Here it may build
containers, numbers, text and arrays; every other name is refused. Even these few are stand-ins: a
file reaches nothing of numpy or torch before its types and sizes were checked.
"""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from torch import Tensor

from unimask.errors import CheckpointError, one_line
from unimask.pickles.arrays import ARRAY_STAND_INS
from unimask.pickles.machine import Name, UnsafePickleError


class PickledDict(dict):
    """An ordered dictionary that accepts no attributes."""

    def set_state(self, state: object) -> None:
        """Ignore attributes, such as the versions of modules."""


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


IGNORED_CLASSES = frozenset({Name("mmengine.logging.history_buffer", "HistoryBuffer")})
"""Classes of training logs."""

STAND_INS: dict[tuple[str, str], Callable[..., Any]] = {
    ("collections", "OrderedDict"): PickledDict,
    **ARRAY_STAND_INS,
    ("builtins", "getattr"): get_ignored_attribute,
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
