"""Plots of an evaluation as SVG, with both axes from 0 to 1."""

from collections.abc import Mapping
from html import escape

import numpy as np
from jaxtyping import Float

from unimask.metrics import CalibrationError
from unimask.visualization.palette import class_colour

WIDTH, HEIGHT = 560, 330
LEFT, RIGHT, TOP, BOTTOM = 50, 130, 10, 40
INNER_WIDTH, INNER_HEIGHT = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM

ACCURACY_COLOUR, ERROR_COLOUR = "#4c78a8", "#e45756"

MIN_SHARE_SHOWN = 0.005
"""Fraction of all predictions below which that of a bin is not printed."""


def position(x: float, y: float) -> tuple[float, float]:
    """Return the position of a point in the image."""
    return LEFT + x * INNER_WIDTH, TOP + (1 - y) * INNER_HEIGHT


def polyline(points: list[tuple[float, float]], style: str) -> str:
    """Draw a line through points of the plot."""
    text = " ".join("{:.1f},{:.1f}".format(*position(*point)) for point in points)
    return f'<polyline points="{text}" fill="none" {style}/>'


def box(left: float, bottom: float, right: float, top: float, style: str, title: str) -> str:
    """Draw a rectangle of the plot with a tooltip."""
    (x0, y0), (x1, y1) = position(left, top), position(right, bottom)
    return (
        f'<rect x="{x0 + 0.5:.1f}" y="{y0:.1f}" width="{x1 - x0 - 1:.1f}" height="{y1 - y0:.1f}" '
        f"{style}><title>{escape(title)}</title></rect>"
    )


def axes(x_label: str, y_label: str) -> list[str]:
    """Draw the grid and the labels of both axes."""
    elements = []
    for tick in (0, 0.25, 0.5, 0.75, 1):
        (x, _), (_, y) = position(tick, 0), position(0, tick)
        elements.append(polyline([(0, tick), (1, tick)], 'stroke="#8c959f55"'))
        elements.append(f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{tick:g}</text>')
        elements.append(f'<text x="{x:.1f}" y="{HEIGHT - 18}" text-anchor="middle">{tick:g}</text>')
    across, down = LEFT + INNER_WIDTH / 2, TOP + INNER_HEIGHT / 2
    elements.append(
        f'<text x="{across}" y="{HEIGHT - 1}" text-anchor="middle">{escape(x_label)}</text>'
    )
    elements.append(
        f'<text x="10" y="{down}" text-anchor="middle" transform="rotate(-90 10 {down})">'
        f"{escape(y_label)}</text>"
    )
    return elements


def legend_entry(number: int, colour: str, name: str) -> str:
    """Draw one entry of the legend."""
    x, y = WIDTH - RIGHT + 10, 20 + 18 * number
    return (
        f'<rect x="{x}" y="{y - 9}" width="12" height="12" fill="{colour}"/>'
        f'<text x="{x + 18}" y="{y + 2}">{escape(name)}</text>'
    )


def svg(elements: list[str]) -> str:
    """Join elements to an image."""
    return f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}">{"".join(elements)}</svg>'


def curve_plot(curves: Mapping[str, Float[np.ndarray, " r"]]) -> str:
    """Draw precision-recall curves."""
    elements = axes("recall", "precision")
    for number, (name, values) in enumerate(curves.items()):
        colour = "#{:02x}{:02x}{:02x}".format(*class_colour(number))
        points = list(zip(np.linspace(0, 1, len(values)).tolist(), values.tolist(), strict=True))
        elements.append(polyline(points, f'stroke="{colour}" stroke-width="2"'))
        elements.append(legend_entry(number, colour, name))
    return svg(elements)


def reliability_diagram(calibration: CalibrationError, correctness: str) -> str:
    """Draw the fraction of correct predictions by confidence, beside the diagonal.

    Args:
        calibration: Confidences and correctness by bin.
        correctness: Name of the fraction of correct predictions, "accuracy" or "precision".
    """
    elements = axes("confidence", correctness)
    total, bins = calibration.counts.sum(), calibration.num_bins
    rows = zip(
        calibration.counts, calibration.mean_confidences, calibration.accuracies, strict=True
    )
    for number, (count, confidence, accuracy) in enumerate(rows):
        if not count:
            continue
        left, right = number / bins, (number + 1) / bins
        share = count / total
        title = (
            f"confidence {confidence:.3f}, {correctness} {accuracy:.3f}, {count:,} predictions "
            f"({share:.1%})"
        )
        low, high = sorted((accuracy, confidence))
        elements.append(box(left, 0, right, accuracy, f'fill="{ACCURACY_COLOUR}"', title))
        elements.append(
            box(left, low, right, high, f'fill="{ERROR_COLOUR}" fill-opacity=".55"', title)
        )
        if share >= MIN_SHARE_SHOWN:
            x, y = position((left + right) / 2, high)
            elements.append(
                f'<text x="{x:.1f}" y="{y - 3:.1f}" text-anchor="middle" '
                f'style="font-size:9px">{share:.0%}</text>'
            )
    elements.append(polyline([(0, 0), (1, 1)], 'stroke="#8c959f" stroke-dasharray="5 4"'))
    elements.append(legend_entry(0, ACCURACY_COLOUR, correctness))
    elements.append(legend_entry(1, ERROR_COLOUR, "error"))
    return svg(elements)
