"""Invalid arguments of post-processing and prediction are one-line errors."""

import inspect

import numpy as np
import pytest
import torch
from jaxtyping import TypeCheckError

import unimask
from unimask.errors import SettingsError, TaskError, UnimaskError
from unimask.processing import postprocess

unchecked = inspect.unwrap(postprocess)
"""Post-processing without the type checks of the tests, which users do not have."""

NAN, INF = float("nan"), float("inf")
USUAL = {
    "task": "panoptic",
    "labels": ("cat", "wall"),
    "is_thing": (True, False),
    "padded_size": (32, 32),
    "input_size": (24, 32),
    "original_size": (48, 64),
}


def assert_refused(reason, task="panoptic", logits=None, **changes):
    """Check that an argument is refused in one line that names it."""
    class_logits, mask_logits = logits or (torch.zeros(5, 3), torch.zeros(5, 8, 8))
    with pytest.raises(UnimaskError) as caught:
        unchecked(class_logits, mask_logits, **USUAL | {"task": task} | changes)
    assert reason in str(caught.value) and "\n" not in str(caught.value), caught.value


SHARES = [-1, 2, -0.01, NAN, INF, True, "0.5", [0.5]]


@pytest.mark.parametrize("value", SHARES, ids=repr)
@pytest.mark.parametrize(
    "name",
    ["threshold", "object_threshold", "overlap_threshold", "instance_threshold", "min_visible"],
)
def test_thresholds_are_numbers_from_0_to_1(name, value):
    for task in ("panoptic", "instance"):
        assert_refused(f"{name} is ", task, **{name: value})


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("top_k", (-1, 0, 1.5, True, None, "3")),
        ("uncertain_pixels", ("winners", None, 1)),
        ("resize", ("bilinear", None, True)),
        ("padded_size", ((0, 32), (32,), 32, None, (32.0, 32), ("32", 32), (-32, 32))),
        ("input_size", ((0, 24), (24, 0), (1, 2, 3), "ab")),
        ("original_size", ((0, 0), (48, -64), (True, 64), None)),
        ("labels", (5, None, "ab", (1, 2))),
        ("is_thing", (None, True, ("yes", "no"), (2, 0))),
    ],
)
def test_other_arguments_outside_their_range(name, values):
    for value in values:
        assert_refused(name, **{name: value})


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"input_size": (33, 32)}, "input_size (33, 32) is larger than padded_size (32, 32)"),
        ({"original_size": (2**16, 2**16)}, "more than 4,294,967,295 pixels"),
        ({"is_thing": (True,)}, "2 labels, but is_thing has 1 values"),
        ({"labels": ("a", "b", "c")}, "3 labels, but is_thing has 2 values"),
        ({"task": "parts"}, "unknown task 'parts'"),
        ({"task": None}, "unknown task None"),
    ],
)
def test_arguments_that_contradict_each_other(changes, reason):
    assert_refused(reason, **changes)


@pytest.mark.parametrize(
    ("class_logits", "mask_logits", "reason"),
    [
        (torch.zeros(5, 4), torch.zeros(5, 8, 8), "4 class columns, but 2 labels"),
        (torch.zeros(4, 3), torch.zeros(5, 8, 8), "4 queries have classes, but 5 have masks"),
        (torch.zeros(1, 5, 3), torch.zeros(1, 5, 8, 8), "pass those of one image"),
        (torch.full((5, 3), NAN), torch.zeros(5, 8, 8), "NaN or infinity"),
        (torch.zeros(5, 3), torch.full((5, 8, 8), INF), "NaN or infinity"),
        (torch.zeros(5, 3, dtype=torch.long), torch.zeros(5, 8, 8), "class_logits holds int64"),
        (torch.zeros(5, 3), torch.zeros(5, 8, 8, dtype=torch.int32), "mask_logits holds int32"),
        (torch.zeros(5, 3), torch.zeros(5, 0, 8), "pass some"),
        (torch.zeros(0, 3), torch.zeros(0, 8, 8), "pass some"),
        (np.zeros((5, 3)), torch.zeros(5, 8, 8), "class_logits is a ndarray"),
        (torch.zeros(5, 3), [[1.0]], "mask_logits is a list"),
    ],
)
def test_logits_of_wrong_shapes_are_refused(class_logits, mask_logits, reason):
    assert_refused(reason, logits=(class_logits, mask_logits))


def test_valid_arguments_pass_unchanged():
    result = unchecked(
        torch.zeros(5, 3),
        torch.zeros(5, 8, 8),
        **USUAL | {"is_thing": np.array([True, False]), "labels": ["cat", "wall"]},
        threshold=0.5,
        top_k=np.int64(3),
    )
    assert result.size == (48, 64)


@pytest.fixture(scope="module")
def model(tiny_model):
    return unimask.load(tiny_model)


@pytest.mark.parametrize("threshold", SHARES, ids=repr)
def test_predict_checks_thresholds_before_reading(model, threshold):
    with pytest.raises((SettingsError, TypeCheckError), match=r"threshold is |Type-check"):
        model.predict("no_such_file.png", threshold=threshold)


@pytest.mark.parametrize("value", [0, -1, None, 1.5, True, "2"], ids=repr)
@pytest.mark.parametrize("name", ["batch_size", "max_pixels"])
def test_predict_checks_counts_before_reading(model, name, value):
    for call in (model, model.predict):
        with pytest.raises((SettingsError, TypeCheckError), match=rf"{name} is |Type-check"):
            call(["no_such_file.png"], **{name: value})


@pytest.mark.parametrize("task", ["parts", "", 3, ["panoptic"], np.zeros(3)], ids=repr)
def test_predict_refuses_unknown_tasks(model, task):
    with pytest.raises((TaskError, TypeCheckError), match=r"unknown task|Type-check"):
        model.predict("no_such_file.png", task)
