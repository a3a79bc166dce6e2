"""Draw buildings as seen from above: roofs, their equipment, and their shadows."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float32, Int

from unimask.datasets.rendered_town.canvas import Canvas, Slices, textured
from unimask.datasets.rendered_town.classes import BUILDING_LABEL
from unimask.datasets.rendered_town.layout import Building, Rectangle
from unimask.datasets.rendered_town.window import sweep_polygon

PITCHED_TONES = (
    (0.62, 0.31, 0.23),
    (0.68, 0.40, 0.28),
    (0.52, 0.28, 0.22),
    (0.43, 0.33, 0.28),
    (0.37, 0.38, 0.41),
    (0.30, 0.31, 0.33),
    (0.58, 0.47, 0.38),
)
FLAT_TONES = ((0.63, 0.62, 0.59), (0.76, 0.76, 0.74), (0.44, 0.44, 0.46), (0.55, 0.51, 0.46))

SLOPE = 0.75
"""Rise of pitched roofs per metre."""

AMBIENT = 0.50
"""Brightness of a surface that the sun does not reach, relative to level ground in the sun."""

TILE_ROW = 0.9
"""Distance between visible rows of tiles in metres."""


class Face(NamedTuple):
    """Roof of one part of a building, per pixel of its patch.

    Attributes:
        height: Height above the eaves in metres; negative outside.
        slope: Rise (x, y) per metre.
        to_edge: Distance from the edge in metres; negative outside.
    """

    height: Float32[np.ndarray, "h w"]
    slope: Float32[np.ndarray, "2 h w"]
    to_edge: Float32[np.ndarray, "h w"]


def cast_shadow(canvas: Canvas, building: Building) -> None:
    """Block the sunlight on the ground behind a building."""
    for part in building.parts:
        height = building.height
        if building.roof != "flat":
            height += 0.5 * SLOPE * part.half_width
        shift = height * np.array(canvas.style.shadow)
        canvas.darken(canvas.fill(sweep_polygon(part.corners(), shift)), 1.0)


def draw_building(canvas: Canvas, building: Building) -> None:
    """Draw a building and its ground truth."""
    patch = canvas.fill(building.outline)
    if patch is None:
        return
    slices = (patch.rows, patch.columns)
    faces = [shape_roof(canvas, slices, building, part) for part in building.parts]
    highest = np.stack([face.height for face in faces]).argmax(axis=0)
    draw = draw_flat if building.roof == "flat" else draw_pitched
    colours = draw(canvas, slices, building, faces, highest)
    canvas.paint(patch, colours, BUILDING_LABEL, building.id)
    draw_equipment(canvas, building)


def shape_roof(canvas: Canvas, slices: Slices, building: Building, part: Rectangle) -> Face:
    """Compute height and slope of the roof of one part."""
    x, y = canvas.offsets(slices, (part.x, part.y))
    right, down = (np.float32(value) for value in part.direction)
    along, across = x * right + y * down, y * right - x * down
    to_side = np.float32(part.half_width) - np.abs(across)
    to_end = np.float32(part.half_length) - np.abs(along)
    to_edge = np.minimum(to_side, to_end)
    if building.roof == "flat":
        return Face(np.sign(to_edge), np.zeros((2, *to_edge.shape), np.float32), to_edge)
    is_end = (to_end < to_side) & (building.roof == "hip")
    height = np.where(is_end, to_end, to_side) * np.float32(SLOPE)
    sign = np.where(is_end, -np.sign(along), -np.sign(across)) * np.float32(SLOPE)
    slope = np.stack([np.where(is_end, right, -down), np.where(is_end, down, right)]) * sign
    return Face(np.where(to_edge < 0, np.float32(-1), height), slope, to_edge)


def select_face(
    faces: list[Face], highest: Int[np.ndarray, "h w"], field: int
) -> Float32[np.ndarray, "*c h w"]:
    """Return a field of the part that is the highest at each pixel."""
    if len(faces) == 1:
        return faces[0][field]
    return np.where(highest == 0, faces[0][field], faces[1][field])


def draw_pitched(
    canvas: Canvas,
    slices: Slices,
    building: Building,
    faces: list[Face],
    highest: Int[np.ndarray, "h w"],
) -> Float32[np.ndarray, "3 h w"]:
    """Return the colours of a gabled or hipped roof with rows of tiles."""
    height, slope = select_face(faces, highest, 0), select_face(faces, highest, 1)
    sun_x, sun_y, sun_z = canvas.style.sun
    cosine = (sun_z - slope[0] * sun_x - slope[1] * sun_y) / np.float32(np.hypot(1, SLOPE) * sun_z)
    light = AMBIENT + (1 - AMBIENT) * np.clip(cosine, 0, 1.7)
    rows = height / np.float32(SLOPE * TILE_ROW)
    light *= 0.975 + 0.05 * (rows - np.floor(rows))
    light *= 1 + 0.05 * canvas.grain[slices] + 0.05 * canvas.clumps[slices]
    to_edge = np.max([face.to_edge for face in faces], axis=0)
    ridge = np.float32((building.parts[0].half_width - 0.25) * SLOPE)
    light *= 1 + np.float32(0.10) * (height > ridge) - np.float32(0.12) * (to_edge < 0.25)
    return textured(PITCHED_TONES[building.colour % len(PITCHED_TONES)], light)


def draw_flat(
    canvas: Canvas,
    slices: Slices,
    building: Building,
    faces: list[Face],
    highest: Int[np.ndarray, "h w"],
) -> Float32[np.ndarray, "3 h w"]:
    """Return the colours of a flat roof with a parapet."""
    to_edge = np.max([face.to_edge for face in faces], axis=0)
    light = 1 + 0.035 * canvas.grain[slices] + 0.05 * canvas.clumps[slices]
    light += 0.06 * canvas.patches[slices]
    light *= np.where(to_edge < 1.0, np.float32(0.86), np.float32(1.0))
    light = np.where(to_edge < 0.5, np.float32(1.14), light)
    return textured(FLAT_TONES[building.colour % len(FLAT_TONES)], light)


def draw_equipment(canvas: Canvas, building: Building) -> None:
    """Draw chimneys, solar panels and skylights, or the machines of a flat roof."""
    draws = [(building.detail * factor) % 1 for factor in (17, 131, 1031, 7919, 104729)]
    part = building.parts[0]
    if building.roof == "flat":
        count = 1 + int(3 * draws[0]) if part.half_length > 6 else 0
        for number in range(count):
            along = ((draws[1] + number / count) % 1 - 0.5) * 1.3
            across = ((draws[2] + 0.37 * number) % 1 - 0.5) * 1.1
            tone = 0.78 if (draws[3] + 0.4 * number) % 1 < 0.5 else 0.55
            size = (0.8 + 0.9 * ((draws[4] + 0.31 * number) % 1), 0.7 + 0.6 * draws[3])
            draw_box(canvas, part, (along, across), size, (tone, tone, tone * 1.01), 1.3)
        return
    if draws[0] < 0.30 and part.half_length > 4:
        sunny = (
            1
            if canvas.style.sun[1] * part.direction[0] > canvas.style.sun[0] * part.direction[1]
            else -1
        )
        size = (min(2.8, 0.45 * part.half_length), 0.28 * part.half_width)
        draw_box(canvas, part, (0.5 * (draws[1] - 0.5), 0.5 * sunny), size, (0.13, 0.16, 0.25), 0.0)
    if draws[2] < 0.75:
        place = (0.55 if draws[3] < 0.5 else -0.55, 0.12)
        draw_box(canvas, part, place, (0.42, 0.36), (0.50, 0.36, 0.31), 1.5)


def draw_box(
    canvas: Canvas,
    part: Rectangle,
    place: tuple[float, float],
    size: tuple[float, float],
    colour: tuple[float, float, float],
    height: float,
) -> None:
    """Draw a small box on a roof, with its shadow.

    Args:
        canvas: Canvas.
        part: Part of the building.
        place: Centre along and across, as shares of the part's halves.
        size: Half its length and half its width in metres.
        colour: Colour.
        height: Height in metres; 0 for no shadow.
    """
    x, y = part.points(np.array([place]))[0]
    box = Rectangle(float(x), float(y), part.direction, *size)
    if height:
        roof = canvas.fill(sweep_polygon(box.corners(), height * np.array(canvas.style.shadow)))
        if roof is not None:
            target = canvas.rgb[:, roof.rows, roof.columns]
            is_roof = roof.mask & (canvas.label_ids[roof.rows, roof.columns] == BUILDING_LABEL)
            np.copyto(target, target * np.float32(0.62), where=is_roof)
    patch = canvas.fill(box.corners())
    if patch is not None:
        canvas.paint(patch, colour)
