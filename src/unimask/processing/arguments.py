"""Checks of the arguments of prediction and post-processing, with one-line errors."""

from collections.abc import Sequence
from numbers import Integral, Real

import numpy as np
from torch import Tensor

from unimask.errors import SettingsError
from unimask.labels import LabelSet

Size = tuple[int, int]
"""Height and width."""

MAX_PIXELS = 2**32 - 1
"""Largest number of pixels of a result: run lengths are 32-bit integers."""


def check_fraction(name: str, value: object, *, optional: bool = False) -> None:
    """Raise SettingsError unless a value is a number from 0 to 1.

    Raises:
        SettingsError: The value is anything else, such as NaN, a boolean or text.
    """
    if value is None and optional:
        return
    is_number = isinstance(value, Real) and not isinstance(value, bool | np.bool_)
    if not is_number or not 0 <= float(value) <= 1:  # type: ignore[arg-type]
        raise SettingsError(f"{name} is {abbreviate(value)}: pass a number from 0 to 1")


def check_count(name: str, value: object, minimum: int = 1) -> None:
    """Raise SettingsError unless a value is an integer of at least `minimum`.

    Raises:
        SettingsError: The value is anything else.
    """
    if not isinstance(value, Integral) or isinstance(value, bool) or value < minimum:
        raise SettingsError(
            f"{name} is {abbreviate(value)}: pass a whole number, {minimum} or more"
        )


def check_choice(name: str, value: object, choices: Sequence[str]) -> None:
    """Raise SettingsError unless a value is one of `choices`.

    Raises:
        SettingsError: The value is anything else.
    """
    if not isinstance(value, str) or value not in choices:
        raise SettingsError(
            f"{name} is {abbreviate(value)}: pass {' or '.join(map(repr, choices))}"
        )


def parse_sizes(
    padded_size: object, input_size: object, original_size: object
) -> tuple[Size, Size, Size]:
    """Return the three sizes as integers, if they are valid and consistent.

    Raises:
        SettingsError: A side is not a positive integer, the input is larger than the padded input,
            or the result would have more pixels than run lengths can count.
    """
    sizes_by_name = {
        "padded_size": padded_size,
        "input_size": input_size,
        "original_size": original_size,
    }
    for name, size in sizes_by_name.items():
        if not isinstance(size, tuple | list) or len(size) != 2:
            raise SettingsError(f"{name} is {abbreviate(size)}: pass height and width")
        for side in size:
            check_count(f"a side of {name}", side)
    padded, resized, original = (
        (int(size[0]), int(size[1]))  # type: ignore[index]
        for size in sizes_by_name.values()
    )
    if resized[0] > padded[0] or resized[1] > padded[1]:
        raise SettingsError(
            f"input_size {resized} is larger than padded_size {padded}: padding only adds pixels"
        )
    if original[0] * original[1] > MAX_PIXELS:
        raise SettingsError(f"original_size {original} has more than {MAX_PIXELS:,} pixels")
    return padded, resized, original


def build_label_set(labels: object, is_thing: object) -> LabelSet:
    """Build a label set from class names and thing flags.

    Raises:
        SettingsError: An argument is not a sequence, or their lengths differ.
    """
    for name, values in (("labels", labels), ("is_thing", is_thing)):
        if isinstance(values, str) or not isinstance(values, Sequence | np.ndarray):
            raise SettingsError(f"{name} is {abbreviate(values)}: pass a sequence, one per class")
    names, things = tuple(labels), tuple(is_thing)  # type: ignore[arg-type]
    if len(names) != len(things):
        raise SettingsError(
            f"{len(names)} labels, but is_thing has {len(things)} values: pass one per class"
        )
    if not all(
        isinstance(thing, bool | np.bool_ | Integral) and thing in (0, 1) for thing in things
    ):
        raise SettingsError(f"is_thing is {abbreviate(things)}: pass True or False per class")
    if not all(isinstance(name, str) for name in names):
        raise SettingsError(f"labels are {abbreviate(names)}: pass the classes' names as text")
    return LabelSet(names, tuple(map(bool, things)))


def check_tensors(class_logits: object, mask_logits: object) -> None:
    """Raise SettingsError unless both logits are floating-point tensors on one device.

    Raises:
        SettingsError: They are anything else.
    """
    for name, logits in (("class_logits", class_logits), ("mask_logits", mask_logits)):
        if not isinstance(logits, Tensor):
            raise SettingsError(f"{name} is a {type(logits).__name__}: pass a tensor")
        if not logits.is_floating_point():
            kind = str(logits.dtype).removeprefix("torch.")
            raise SettingsError(f"{name} holds {kind} numbers: pass logits as floats")
    if class_logits.device != mask_logits.device:  # type: ignore[union-attr]
        raise SettingsError("class_logits and mask_logits lie on two devices: bring them to one")


def abbreviate(value: object) -> str:
    """Format a value in at most 60 characters."""
    text = " ".join(repr(value).split())
    return text if len(text) <= 60 else f"{text[:57]}..."
