"""GeoJSON as RFC 7946 defines it."""

from itertools import pairwise

import numpy as np
from hypothesis import example, given
from hypothesis.extra.numpy import array_shapes, arrays
from pycocotools import mask as coco

from unimask.formats.geojson import feature_collection, geojson_feature
from unimask.formats.run_length import RunLength

MASKS = arrays(np.bool_, array_shapes(min_dims=2, max_dims=2, max_side=9))
RING = np.pad(np.zeros((2, 3), bool), 2, constant_values=True)
CHESS = np.indices((5, 6)).sum(0) % 2 == 1


def area(ring):
    """Compute the shoelace formula, positive for counterclockwise rings."""
    pairs = pairwise(ring)
    return sum(x0 * y1 - x1 * y0 for (x0, y0), (x1, y1) in pairs) / 2


@given(MASKS)
@example(RING)
@example(CHESS)
def test_rings_are_closed_and_turn_as_the_standard_says(mask):
    geometry = geojson_feature(RunLength.from_mask(mask), {})["geometry"]
    if not mask.any():
        assert geometry is None
        return
    several = geometry["type"] == "MultiPolygon"
    polygons = geometry["coordinates"] if several else [geometry["coordinates"]]
    assert several == (len(polygons) > 1)
    again = np.zeros_like(mask)
    for rings in polygons:
        for number, ring in enumerate(rings):
            assert ring[0] == ring[-1] and len(ring) >= 5
            assert (area(ring) > 0) == (number == 0)
            points = [float(value) for point in ring[:-1] for value in point]
            (encoded,) = coco.frPyObjects([points], *mask.shape)
            again ^= RunLength.from_coco(encoded).to_mask()
    assert (again == mask).all()
    assert sum(area(ring) for rings in polygons for ring in rings) == mask.sum()


def test_simple_features_have_few_vertices():
    rows, columns = np.indices((90, 100))
    rle = RunLength.from_mask(np.hypot(rows - 44, columns - 51) < 40)
    exact, simple = (geojson_feature(rle, {"a": 1}, style) for style in ("exact", "simple"))
    assert exact["properties"] == simple["properties"] == {"a": 1}
    lengths = [len(item["geometry"]["coordinates"][0]) for item in (exact, simple)]
    assert lengths[1] < 30 < 150 < lengths[0]


def test_a_collection_names_its_image():
    content = feature_collection([], image_name="a.png", size=(3, 4))
    assert content["type"] == "FeatureCollection" and content["features"] == []
    assert content["image"] == {"file_name": "a.png", "height": 3, "width": 4}
