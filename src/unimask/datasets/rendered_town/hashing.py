"""Hash integers to random numbers, so that every place of a scene has its own without any state."""

from enum import IntEnum, auto

import numpy as np
from jaxtyping import Float32, Int, UInt32

MASK = 0xFFFFFFFF
MULTIPLIERS = (0x7FEB352D, 0x846CA68B)
"""Multipliers of the 32-bit integer hash "lowbias32" by Chris Wellons."""

INDEX_OFFSET = 1 << 20
"""Number added to indices of blocks, which may be negative, where only others are accepted."""


class Stream(IntEnum):
    """Independent sequences of random numbers of one seed."""

    STYLE = auto()
    JUNCTION = auto()
    STREET = auto()
    ROAD = auto()
    RIVER = auto()
    BLOCK_KIND = auto()
    BLOCK = auto()
    FIELD = auto()
    TRAFFIC = auto()
    TEXTURE = auto()
    SENSOR = auto()


def mix(value: int) -> int:
    """Hash one integer of 32 bits."""
    value ^= value >> 16
    value = value * MULTIPLIERS[0] & MASK
    value ^= value >> 15
    value = value * MULTIPLIERS[1] & MASK
    return value ^ value >> 16


def hash_integers(*values: int) -> int:
    """Hash any number of integers to one of 32 bits."""
    result = 0x9E3779B9
    for value in values:
        result = mix((result + (value & MASK)) & MASK ^ value >> 32 & MASK)
    return result


def uniform(*values: int) -> float:
    """Return a number from 0 to 1, without 1, that depends on the integers only."""
    return hash_integers(*values) / (MASK + 1)


def block_generator(seed: int, stream: Stream, i: int, j: int) -> np.random.Generator:
    """Return the random generator of a block."""
    return np.random.default_rng((seed, int(stream), i + INDEX_OFFSET, j + INDEX_OFFSET))


def mix_array(values: UInt32[np.ndarray, "..."]) -> UInt32[np.ndarray, "..."]:
    """Hash an array of integers in-place, and return it."""
    values ^= values >> 16
    values *= np.uint32(MULTIPLIERS[0])
    values ^= values >> 15
    values *= np.uint32(MULTIPLIERS[1])
    values ^= values >> 16
    return values


def hash_grid(
    key: int, rows: Int[np.ndarray, " h"], columns: Int[np.ndarray, " w"]
) -> UInt32[np.ndarray, "h w"]:
    """Hash the points of a grid to integers of 32 bits.

    Args:
        key: Integer that selects one of many independent grids.
        rows: Absolute row indices.
        columns: Absolute column indices.
    """
    offsets = np.array([hash_integers(key), 0x9E3779B1, 0x85EBCA77], np.uint32)
    by_row = mix_array(rows.astype(np.uint32) * offsets[1] + offsets[0])
    return mix_array(by_row[:, None] + columns.astype(np.uint32) * offsets[2])


def uniform_grid(
    key: int, rows: Int[np.ndarray, " h"], columns: Int[np.ndarray, " w"]
) -> Float32[np.ndarray, "h w"]:
    """Return numbers from -1 to 1 at the points of a grid, as in `hash_grid`."""
    return (hash_grid(key, rows, columns) >> 8).astype(np.float32) * np.float32(2**-23) - 1
