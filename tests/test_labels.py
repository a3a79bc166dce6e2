"""Label sets: validation and equality."""

import pytest

from unimask.errors import SettingsError
from unimask.labels import LabelSet, adds_background


def test_colours_are_one_per_class_and_decide_nothing():
    plain = LabelSet(("road", "sky"), (False, False))
    painted = LabelSet(("road", "sky"), (False, False), ((128, 64, 128), None))
    assert plain == painted and hash(plain) == hash(painted)
    assert plain.colour(0) is None
    assert painted.colour(0) == (128, 64, 128) and painted.colour(1) is None


@pytest.mark.parametrize(
    ("colours", "reason"),
    [
        (((1, 2, 3),), "2 names, but 1 colours"),
        (((1, 2, 3), (0, 0, 256)), r"\(0, 0, 256\) is not a colour"),
        (((1, 2), None), r"\(1, 2\) is not a colour"),
    ],
)
def test_invalid_colours_are_refused(colours, reason):
    with pytest.raises(SettingsError, match=reason):
        LabelSet(("road", "sky"), (False, False), colours)


def test_a_background_after_things_is_recognised():
    things = LabelSet(("cat", "dog"), (True, True))
    assert adds_background(LabelSet(("cat", "dog", "background"), (True, True, False)), things)
    for names, kinds in (
        (("cat", "dog"), (True, True)),
        (("cat", "dog", "background"), (True, True, True)),
        (("cat", "dog", "sky"), (True, True, False)),
        (("background", "cat", "dog"), (False, True, True)),
    ):
        assert not adds_background(LabelSet(names, kinds), things)


def test_category_ids_default_to_the_label_ids():
    names, kinds = ("cat", "dog"), (True, True)
    assert [LabelSet(names, kinds).category_id(i) for i in range(2)] == [0, 1]
    numbered = LabelSet(names, kinds, category_ids=(18, 17))
    assert [numbered.category_id(i) for i in range(2)] == [18, 17]
    assert numbered == LabelSet(names, kinds)


@pytest.mark.parametrize("ids", [(1,), (1, 1), (1, 2, 3)])
def test_category_ids_that_do_not_name_each_class_are_refused(ids):
    with pytest.raises(SettingsError, match="different category ids"):
        LabelSet(("cat", "dog"), (True, True), category_ids=ids)
