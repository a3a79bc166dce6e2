"""GeoJSON (RFC 7946) in pixels of an image, which QuPath and GIS tools open."""

from collections.abc import Mapping

from jaxtyping import Num
from numpy import ndarray

from unimask.formats.outlines import (
    OutlinePart,
    OutlineStyle,
    outline_parts,
    signed_area,
    simple_parts,
)
from unimask.formats.run_length import RunLength


def geojson_feature(
    rle: RunLength, properties: Mapping[str, object], outlines: OutlineStyle = "exact"
) -> dict[str, object]:
    """Return a mask as a feature: a Polygon, or a MultiPolygon if it has several parts.

    Exact outlines never touch themselves: pixels that touch only at a corner are in different
    parts.

    Args:
        rle: Mask; an empty one has no geometry.
        properties: Properties of the feature.
        outlines: "exact" for outlines of the pixels, "simple" for those of few vertices.
    """
    parts = simple_parts(rle) if outlines == "exact" else outline_parts(rle, outlines)
    polygons = [polygon_coordinates(part) for part in parts]
    geometry = None
    if len(polygons) == 1:
        geometry = {"type": "Polygon", "coordinates": polygons[0]}
    elif polygons:
        geometry = {"type": "MultiPolygon", "coordinates": polygons}
    return {"type": "Feature", "geometry": geometry, "properties": dict(properties)}


def geojson_properties(
    *,
    label: str,
    label_id: int,
    is_thing: bool,
    score: float | None,
    area: int,
    colour: tuple[int, int, int],
) -> dict[str, object]:
    """Return the properties of an object; QuPath reads `objectType` and `classification`."""
    return {
        "label": label,
        "label_id": label_id,
        "is_thing": is_thing,
        "score": None if score is None else round(score, 6),
        "area": area,
        "objectType": "annotation",
        "classification": {"name": label, "color": list(colour)},
    }


def feature_collection(
    features: list[dict[str, object]], *, image_name: str | None, size: tuple[int, int]
) -> dict[str, object]:
    """Return a feature collection; "image" holds the name, height and width of its image.

    Coordinates are x and y in pixels, from the upper left corner of the image downwards.
    """
    image = {"file_name": image_name, "height": size[0], "width": size[1]}
    return {"type": "FeatureCollection", "image": image, "features": features}


def polygon_coordinates(part: OutlinePart) -> list[list[list[float]]]:
    """Return the rings of a part, of which the exterior is counterclockwise and holes clockwise."""
    return [closed_ring(loop, counterclockwise=index == 0) for index, loop in enumerate(part.loops)]


def closed_ring(loop: Num[ndarray, "_ 2"], *, counterclockwise: bool) -> list[list[float]]:
    """Return a ring whose last vertex is the first again, in the given direction (y upwards)."""
    points = (loop if (signed_area(loop) > 0) == counterclockwise else loop[::-1]).tolist()
    return [*points, points[0]]
