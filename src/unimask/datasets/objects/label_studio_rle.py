"""Decode the masks of Label Studio's brush: runs of the bytes of an RGBA image, packed into bits.

The layout is that of the package `rle-pack` of thi.ng/umbrella: 32 bits with the number of values,
5 bits with the length of a value in bits less one, and four times 4 bits with the lengths of counts
less one. Blocks follow: a bit that is 1 for one value repeated and 0 for several values, 2 bits
that choose the length of the count, the count less one, and the value or values.
"""

from collections.abc import Sequence

import numpy as np

from unimask.datasets.objects.outlines import place_mask
from unimask.errors import DataError
from unimask.formats.run_length import RunLength
from unimask.processing.images import MAX_PIXELS

CHANNELS = 4
"""Values per pixel: red, green, blue and alpha, of which alpha is the mask."""

MAX_SHORT_BLOCK = 32
"""Maximum number of values of a block that are read one by one."""

DAMAGED = "has a brush mask that ends too early: draw it again"


class BitReader:
    """Reader of numbers of any length in bits.

    Args:
        data: Packed bytes, the highest bit of each first.
    """

    def __init__(self, data: bytes) -> None:
        self.data, self.position = data, 0
        self.bits = np.unpackbits(np.frombuffer(data, np.uint8))

    def read(self, length: int) -> int:
        """Read one number of up to 32 bits.

        Raises:
            DataError: The data ends before.
        """
        start, self.position = self.position, self.position + length
        if self.position > len(self.bits):
            raise DataError(DAMAGED)
        window = int.from_bytes(self.data[start >> 3 : (start >> 3) + 5], "big")
        width = 8 * min(5, len(self.data) - (start >> 3))
        return window >> (width - (start & 7) - length) & ((1 << length) - 1)

    def read_alphas(self, count: int, length: int, first: int) -> list[int]:
        """Read several numbers, and return the indices of the pixels whose alpha is not zero.

        Args:
            count: Number of the numbers.
            length: Length of each in bits.
            first: Index of the first number that is an alpha; each fourth after it is one too.

        Raises:
            DataError: The data ends before.
        """
        start, self.position = self.position, self.position + count * length
        if self.position > len(self.bits):
            raise DataError(DAMAGED)
        if count > MAX_SHORT_BLOCK:
            values = self.bits[start : self.position].reshape(count, length)
            return np.flatnonzero(values[first::CHANNELS].any(axis=1)).tolist()
        block = int.from_bytes(self.data[start >> 3 : (self.position + 7) >> 3], "big")
        last = block >> (-self.position % 8)
        mask = (1 << length) - 1
        alphas = range(first, count, CHANNELS)
        return [n for n, at in enumerate(alphas) if last >> (count - 1 - at) * length & mask]


def decode_brush(values: Sequence[int], size: tuple[int, int]) -> RunLength:
    """Decode a mask; a pixel belongs to it if its alpha is not zero.

    Args:
        values: Bytes of the packed mask, as a list of numbers.
        size: Height and width of its image.

    Raises:
        DataError: The mask is damaged, or is for another size; the message is the end of a
            sentence.
    """
    pixels = size[0] * size[1]
    if pixels > MAX_PIXELS:
        raise DataError(f"is in an image of {size[1]} x {size[0]}, which is too large: check it")
    try:
        reader = BitReader(bytes(values))
    except (TypeError, ValueError):
        raise DataError("has a brush mask that is no list of bytes: export it again") from None
    total, word = reader.read(32), reader.read(5) + 1
    if total != CHANNELS * pixels:
        raise DataError(
            f"has a brush mask of {total / CHANNELS:g} pixels, but its image has {size[1]} x "
            f"{size[0]}: redo it"
        )
    count_lengths = [reader.read(4) + 1 for _ in range(4)]
    edges = np.zeros(pixels + 1, np.int8)
    position = 0
    while position < total:
        head = reader.read(3)
        count = reader.read(count_lengths[head & 3]) + 1
        if position + count > total:
            raise DataError("has a brush mask of more pixels than its image: draw it again")
        if head < 4:
            covered = reader.read_alphas(count, word, -(position + 1) % CHANNELS)
            for pixel in covered:
                edges[position // CHANNELS + pixel] += 1
                edges[position // CHANNELS + pixel + 1] -= 1
        elif reader.read(word):
            # Alpha is the last value of a pixel: the run covers pixels whose alpha lies in it.
            edges[position // CHANNELS] += 1
            edges[(position + count) // CHANNELS] -= 1
        position += count
    inside = np.cumsum(edges[:-1], dtype=np.int8).astype(bool).reshape(size)
    return place_mask(inside, 0, 0, size)
