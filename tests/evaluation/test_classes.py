"""Models and datasets that number the same classes differently."""

from types import SimpleNamespace

import numpy as np
import pytest

from unimask.errors import DataError
from unimask.evaluation.classes import match_model_classes
from unimask.formats.run_length import RunLength
from unimask.labels import LabelSet
from unimask.results import Result, Segment

STREET = LabelSet(("road", "person", "sky", "car"), (False, True, False, True))


def matched(model, data, task):
    predictor = SimpleNamespace(name="model", description=SimpleNamespace(labels=model))
    return match_model_classes(predictor, SimpleNamespace(labels=data), task)


def result_of(labels, task):
    """Return one segment of a pixel for each class."""
    masks = np.eye(len(labels), dtype=bool)[:, None]
    segments = tuple(
        Segment.from_rle(labels, label, RunLength.from_mask(mask), id=label + 1, score=0.9)
        for label, mask in enumerate(masks)
    )
    return Result(task, (1, len(labels)), labels, segments)


def test_equal_classes_are_unchanged():
    result = result_of(STREET, "panoptic")
    assert matched(STREET, STREET, "panoptic").map_result(result) is result


def test_unnamed_classes_get_the_names_of_the_model():
    cells = LabelSet(("nucleus", "slide"), (True, False))
    result = matched(cells, LabelSet(("object", "background"), (True, False)), "panoptic")
    assert result.labels == cells


@pytest.mark.parametrize("task", ["panoptic", "semantic"])
def test_another_order_is_renumbered_by_name(task):
    model = LabelSet(STREET.names[::-1], STREET.is_thing[::-1])
    classes = matched(model, STREET, task)
    result = classes.map_result(result_of(model, task))
    assert result.labels == STREET and not classes.notes()
    assert [segment.label for segment in result.segments] == list(model.names)
    assert result.label_ids.tolist() == [3, 2, 1, 0]
    assert [s.is_thing for s in result.segments] == list(model.is_thing)


def test_models_of_things_are_scored_on_data_with_stuff():
    """Published models of Cityscapes' instances have 8 classes, its labels 19."""
    model = LabelSet(("person", "car"), (True, True))
    result = matched(model, STREET, "instance").map_result(result_of(model, "instance"))
    assert result.label_ids.tolist() == [1, 3]


def test_models_with_more_classes_are_scored_on_those_of_the_data():
    """Models of COCO's 133 panoptic classes on lists of its 80 things."""
    data = LabelSet(("car", "person", "background"), (True, True, False))
    classes = matched(STREET, data, "instance")
    result = classes.map_result(result_of(STREET, "instance"))
    assert result.label_ids.tolist() == [1, 0]
    assert classes.notes() == [
        "2 of the model's classes are not in the dataset and are ignored: road, sky"
    ]


@pytest.mark.parametrize("task", ["panoptic", "semantic", "instance"])
def test_classes_unknown_to_the_model_are_reported(task):
    model = LabelSet(STREET.names[:3], STREET.is_thing[:3])
    with pytest.raises(DataError, match=r"model knows 3 classes.*only the data has car"):
        matched(model, STREET, task)


@pytest.mark.parametrize("task", ["panoptic", "semantic"])
def test_classes_beyond_the_data_are_refused_where_every_pixel_counts(task):
    with pytest.raises(DataError, match="only model knows car"):
        matched(STREET, LabelSet(STREET.names[:3], STREET.is_thing[:3]), task)


def test_panoptic_needs_the_same_things():
    model = LabelSet(STREET.names, (True, True, False, True))
    with pytest.raises(DataError, match="only the data has road"):
        matched(model, STREET, "panoptic")
    assert matched(model, STREET, "semantic").labels == STREET


@pytest.mark.parametrize(
    "generated",
    [("class 0", "class 1", "class 2"), ("background", "1", "2"), ("background", "foreground")],
)
def test_generated_names_are_replaced_by_those_of_the_model(generated):
    names = ("background", "nerve", "vessel")[: len(generated)]
    model, data = (LabelSet(each, (False,) * len(each)) for each in (names, generated))
    classes = matched(model, data, "semantic")
    result = result_of(model, "semantic")
    assert classes.labels.names == names and classes.map_result(result) is result
    assert "no class names" in classes.notes()[0]


def test_the_background_of_binary_maps_belongs_to_that_of_the_model():
    model = LabelSet(("cat", "dog"), (False, False))
    with pytest.raises(DataError, match="--names"):
        matched(model, LabelSet(("background", "foreground"), (False, False)), "semantic")


@pytest.mark.parametrize(
    "names", [("class 1", "class 2", "class 3"), ("class 0", "class 1"), ("road", "1", "2")]
)
def test_generated_names_with_gaps_or_of_another_number_are_refused(names):
    model = LabelSet(("background", "nerve", "vessel"), (False,) * 3)
    with pytest.raises(DataError, match="--names"):
        matched(model, LabelSet(names, (False,) * len(names)), "semantic")
