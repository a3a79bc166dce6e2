"""The arrays of a window that is being rendered, and the tools to draw on them."""

from collections.abc import Sequence
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Float, Float32

from unimask.datasets.rendered_town.hashing import Stream, hash_integers
from unimask.datasets.rendered_town.noise import fractal_noise, smooth_noise
from unimask.datasets.rendered_town.style import Style
from unimask.datasets.rendered_town.window import Patch, Window, clip_box, fill_polygon

Plane = Float32[np.ndarray, "h w"]
Slices = tuple[slice, slice]


class Canvas:
    """Arrays of a window.

    Attributes:
        style: Style of the scene.
        window: Window of the scene.
        rgb: Planes of red, green and blue, from 0 to 1.
        label_ids: Label id of each pixel.
        ids: Id of the thing at each pixel; 0 for stuff.
        shade: Share of the sunlight that is blocked on the ground, before blurring.
    """

    def __init__(self, style: Style, window: Window) -> None:
        self.style, self.window = style, window
        size = (window.height, window.width)
        self.rgb = np.zeros((3, *size), np.float32)
        self.label_ids = np.zeros(size, np.uint8)
        self.ids = np.zeros(size, np.int32)
        self.shade = np.zeros(size, np.float32)

    def key(self, number: int) -> int:
        """Return the key of one of the scene's textures."""
        return hash_integers(self.style.seed, Stream.TEXTURE, number)

    @cached_property
    def grain(self) -> Plane:
        """Fine texture, about -1 to 1."""
        grain = smooth_noise(self.window, 1, self.key(0))
        grain *= np.float32(0.55)
        grain += smooth_noise(self.window, 2, self.key(1))
        return grain

    @cached_property
    def clumps(self) -> Plane:
        """Texture of tufts and stains about a metre wide, about -1 to 1."""
        pixels = self.style.pixels
        return fractal_noise(self.window, (pixels(1.7), pixels(0.8)), self.key(10))

    @cached_property
    def patches(self) -> Plane:
        """Variation over several metres, about -1 to 1."""
        pixels = self.style.pixels
        spacings = (pixels(23.0), pixels(9.0), pixels(4.0))
        return fractal_noise(self.window, spacings, self.key(20), 0.7)

    def fill(self, vertices: Float[np.ndarray, "n 2"]) -> Patch | None:
        """Return the pixels of a polygon in metres; None if the window has none."""
        return fill_polygon(vertices / self.style.scale, self.window)

    def box(self, left: float, top: float, right: float, bottom: float) -> Slices | None:
        """Return the slices of a box in metres; None if it is outside of the window."""
        scale = self.style.scale
        return clip_box(left / scale, top / scale, right / scale, bottom / scale, self.window)

    def bounds(self, vertices: Float[np.ndarray, "n 2"], margin: float = 0.0) -> Slices | None:
        """Return the slices of the box around points in metres; None if it is outside."""
        left, top = vertices.min(axis=0).tolist()
        right, bottom = vertices.max(axis=0).tolist()
        return self.box(left - margin, top - margin, right + margin, bottom + margin)

    def offsets(
        self, slices: Slices, origin: Sequence[float]
    ) -> tuple[Float32[np.ndarray, "1 w"], Float32[np.ndarray, "h 1"]]:
        """Return x and y in metres of the pixels of some slices, relative to a point.

        Args:
            slices: Rows and columns.
            origin: Point (x, y) near the pixels, in metres.
        """
        rows, columns = slices
        x = np.arange(columns.start, columns.stop) + (self.window.column + 0.5)
        y = np.arange(rows.start, rows.stop) + (self.window.row + 0.5)
        x = (x * self.style.scale - origin[0]).astype(np.float32)
        y = (y * self.style.scale - origin[1]).astype(np.float32)
        return x[None, :], y[:, None]

    def paint(
        self,
        patch: Patch,
        colour: Sequence[float] | Float32[np.ndarray, "3 h w"],
        label: int | None = None,
        id: int = 0,
    ) -> None:
        """Paint the pixels of an object.

        Args:
            patch: Pixels.
            colour: One colour, or planes of the size of the patch.
            label: Label id; None to leave labels and ids as they are.
            id: Id of the thing; 0 for stuff.
        """
        rows, columns, mask = patch
        planes = np.asarray(colour, np.float32)
        if planes.ndim == 1:
            planes = planes[:, None, None]
        target = self.rgb[:, rows, columns]
        np.copyto(target, planes, where=mask)
        if label is not None:
            np.copyto(self.label_ids[rows, columns], np.uint8(label), where=mask)
            np.copyto(self.ids[rows, columns], np.int32(id), where=mask)

    def darken(self, patch: Patch | None, share: float) -> None:
        """Block a share of the sunlight on some pixels of the ground."""
        if patch is not None:
            target = self.shade[patch.rows, patch.columns]
            np.maximum(target, np.float32(share) * patch.mask, out=target)


def textured(
    colour: Sequence[float], light: Float32[np.ndarray, "h w"]
) -> Float32[np.ndarray, "3 h w"]:
    """Return planes of one colour with varying brightness."""
    return np.asarray(colour, np.float32)[:, None, None] * light


def blend(
    start: Sequence[float], end: Sequence[float], share: Float32[np.ndarray, "h w"]
) -> Float32[np.ndarray, "3 h w"]:
    """Return planes that change from one colour to another."""
    first, last = np.asarray(start, np.float32), np.asarray(end, np.float32)
    return first[:, None, None] + (last - first)[:, None, None] * share


def full_patch(mask: Bool[np.ndarray, "h w"]) -> Patch:
    """Return a patch of a whole window."""
    return Patch(slice(0, mask.shape[0]), slice(0, mask.shape[1]), mask)
