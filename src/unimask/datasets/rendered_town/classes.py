"""Classes of rendered towns."""

from unimask.labels import LabelSet

TOWN_LABELS = LabelSet(
    names=("building", "car", "road", "field", "water", "tree", "ground"),
    is_thing=(True, True, False, False, False, False, False),
    colours=(
        (214, 84, 58),
        (250, 190, 40),
        (122, 122, 132),
        (196, 160, 92),
        (52, 118, 196),
        (32, 108, 56),
        (142, 190, 96),
    ),
)
"""Classes of rendered towns.

Roads include sidewalks, drives and car parks. Trees are stuff: crowns merge into woods, in which
even people do not agree on the single trees.
"""

BUILDING_LABEL, CAR_LABEL, ROAD_LABEL, FIELD_LABEL, WATER_LABEL, TREE_LABEL, GROUND_LABEL = range(7)
