"""LabelMe's JSON: shapes of one image, which LabelMe 5 and X-AnyLabeling open and edit."""

import numpy as np
from jaxtyping import Num

from unimask.formats.corner_polygons import join_polygons
from unimask.formats.outlines import OutlineStyle, outline_parts
from unimask.formats.run_length import RunLength

VERSION = "5.5.0"
"""Release of LabelMe whose format is written."""

SCORE_DECIMALS = 6


def labelme_shapes(
    label: str,
    rle: RunLength,
    *,
    group_id: int | None = None,
    score: float | None = None,
    outlines: OutlineStyle = "simple",
) -> list[dict[str, object]]:
    """Return the shapes of one mask: a polygon for each connected part.

    LabelMe draws polygons in the coordinates of pixel corners, as they are written here; its own
    `shape_to_mask` also marks the pixels that the outline touches. A polygon of LabelMe has no
    holes: bridges of zero width connect them with the outline. LabelMe's masks (`shape_type`
    "mask") have holes, but their outlines cannot be edited.

    Args:
        label: Name of the class.
        rle: Mask.
        group_id: Number that the parts of an object of several parts share, by which readers join
            them; None if each part is an object of its own.
        score: Confidence from 0 to 1, stored as "score", which X-AnyLabeling reads; None for none.
        outlines: "simple" for outlines of few vertices, "exact" for those of the pixels.
    """
    parts = outline_parts(rle, outlines)
    extra = {} if score is None else {"score": round(score, SCORE_DECIMALS)}
    return [
        {
            "label": label,
            "points": start_at_single_vertex(join_polygons(list(part.loops))).tolist(),
            "group_id": group_id if len(parts) > 1 else None,
            "description": "",
            "shape_type": "polygon",
            "flags": {},
            "mask": None,
            **extra,
        }
        for part in parts
    ]


def start_at_single_vertex(points: Num[np.ndarray, "n 2"]) -> Num[np.ndarray, "n 2"]:
    """Rotate a polygon so that it starts at a vertex that occurs once, as floats.

    LabelMe 5 leaves out each later vertex that equals the first one, which would break a bridge.
    """
    _, vertices, counts = np.unique(points, axis=0, return_inverse=True, return_counts=True)
    first = int(np.argmax(counts[vertices.ravel()] == 1))
    return np.roll(points, -first, axis=0).astype(np.float64)


def labelme_file(
    shapes: list[dict[str, object]], *, image_path: str, size: tuple[int, int]
) -> dict[str, object]:
    """Return the content of a LabelMe JSON file.

    Args:
        shapes: Shapes of the image.
        image_path: Path of the image, relative to the JSON file.
        size: Height and width of the image in pixels.
    """
    return {
        "version": VERSION,
        "flags": {},
        "shapes": shapes,
        "imagePath": image_path,
        "imageData": None,
        "imageHeight": size[0],
        "imageWidth": size[1],
    }
