"""Defaults are chosen from the data, the network and the machine."""

from dataclasses import replace

import pytest
import torch

from unimask.datasets.transforms import Augmentation
from unimask.errors import SettingsError
from unimask.inference.dtypes import FastestDtype
from unimask.label_sides import one_sided_names
from unimask.labels import LabelSet
from unimask.training.plan.choices import (
    Basis,
    choose_course,
    crop_side,
    for_length,
    images_at_once,
)
from unimask.training.plan.facts import Schedule
from unimask.training.plan.hardware import Machine
from unimask.training.plan.plan import CHOSEN_OPTIONS, find_sides
from unimask.training.plan.words import sentence
from unimask.training.settings import TrainingSettings, with_changes

CPU = Machine(device="cpu", memory_gb=None, cores=2, processes=1)
GPU = Machine(device="cuda", memory_gb=12.0, cores=16, processes=1)


def choose(
    machine,
    *,
    images=1000,
    validation_images=5,
    trained=True,
    pretrained=True,
    parameters=47e6,
    one_sided=(),
    **options,
):
    """Return the chosen settings for images of 600 x 800, and the sentence about them."""
    requested = with_changes(TrainingSettings(), options)
    fixed = {"size", "augmentation"} & set(options)
    crop = requested.augmentation.crop if fixed else crop_side([(600, 800)] * 3, machine)
    basis = Basis(
        machine=machine,
        images=images,
        validation_images=validation_images,
        elements=int(parameters),
        trained=trained,
        pretrained=pretrained,
        fastest=FastestDtype(torch.float32 if machine.kind == "cpu" else torch.bfloat16),
        one_sided=one_sided,
    )
    settings = replace(requested, **choose_course(requested, options, crop, basis))
    schedule = Schedule(
        images=images,
        validation_images=validation_images,
        processes=machine.processes,
        settings=settings,
        chosen=tuple(name for name in CHOSEN_OPTIONS if name not in options),
    )
    return settings, sentence(schedule)


def test_one_gpu_reaches_the_papers_batch_and_rate():
    settings, summary = choose(GPU)
    assert settings.batch_size * settings.accumulate == 16
    assert settings.learning_rate == 1e-4 and settings.precision == "bfloat16"
    assert settings.augmentation.crop == 512
    assert settings.steps == 50 * 1000 // 16 and settings.evaluate_every == settings.steps // 10
    assert "3125 steps of 16 images" in summary and "--learning-rate" in summary


def test_eight_processes_share_the_papers_batch():
    settings, _ = choose(replace(GPU, processes=8))
    assert settings.batch_size * settings.accumulate * 8 == 16


def test_cpu_defaults_are_small_crops_and_batches():
    settings, _ = choose(CPU, trained=False, pretrained=False)
    assert (settings.batch_size, settings.accumulate) == (4, 1)
    assert settings.augmentation.crop == 256 and settings.precision == "float32"
    assert settings.learning_rate == 5e-4 and settings.steps == 3000
    assert settings.workers <= 2


def test_small_data_make_small_batches_and_enough_steps():
    settings, _ = choose(GPU, images=20)
    assert settings.batch_size * settings.accumulate == 5
    assert settings.steps == 1000


@pytest.mark.parametrize(
    ("parameters", "trained", "pretrained", "rates"),
    [
        (47e6, True, True, (1e-4, 0.1)),
        (47e6, False, True, (1e-4, 0.1)),  # the papers' start
        (47e6, False, False, (5e-4, 0.1)),
        (4.6e6, True, True, (5e-4, 1.0)),  # not pretrained on larger data
        (4.6e6, False, True, (6e-4, 0.1)),  # a new decoder on a pretrained backbone
        (4.6e6, False, False, (5e-4, 1.0)),
    ],
)
def test_rates_depend_on_what_is_pretrained(parameters, trained, pretrained, rates):
    settings, _ = choose(CPU, parameters=parameters, trained=trained, pretrained=pretrained)
    assert (settings.learning_rate, settings.backbone_rate) == rates


@pytest.mark.parametrize(("validation_images", "every"), [(5, 30), (30, 30), (80, 80), (900, 300)])
def test_short_runs_validate_on_a_quarter_as_many_images_as_they_train_on(validation_images, every):
    settings, _ = choose(CPU, images=320, validation_images=validation_images, steps=300)
    assert settings.evaluate_every == every
    assert settings.batch_size == 4


def test_a_large_batch_raises_the_rate_by_its_root():
    settings, _ = choose(GPU, batch_size=64, accumulate=1)
    assert settings.learning_rate == pytest.approx(2e-4)


@pytest.mark.parametrize(
    ("memory", "side", "parameters", "least", "most"),
    [
        (8, 512, 47e6, 2, 4),
        (16, 512, 47e6, 8, 16),
        (16, 1024, 216e6, 1, 1),
        (80, 1024, 216e6, 4, 8),
    ],
)
def test_memory_bounds_the_images_of_a_pass(memory, side, parameters, least, most):
    machine = replace(GPU, memory_gb=float(memory))
    assert least <= images_at_once(side, int(parameters), machine) <= most


def test_squares_are_as_large_as_the_images():
    assert crop_side([(96, 128)] * 3, CPU) == 96
    assert crop_side([(97, 128)] * 3, CPU) == 128
    assert crop_side([(20, 30)], CPU) == 64
    assert crop_side([(3000, 4000)], GPU) == 512
    assert crop_side([], GPU) == 512  # Pillow can read no file


@pytest.mark.parametrize(
    ("least", "most", "words"),
    [
        (1.0, 1.0, "crops of 64 pixels at the size of prediction;"),
        (0.5, 0.5, "crops of 64 pixels at 0.5 times the size of prediction;"),
        (0.5, 2.0, "crops of 64 pixels at 0.5 to 2 times the size of prediction;"),
    ],
)
def test_one_scale_is_described_as_one(least, most, words):
    augmentation = Augmentation(crop=64, min_scale=least, max_scale=most)
    assert words in choose(CPU, augmentation=augmentation)[1]


def test_given_options_are_not_overridden():
    options = {
        "steps": 7, "batch_size": 3, "accumulate": 2, "learning_rate": 3e-3, "size": 64,
        "precision": "float32", "workers": 0, "warmup_steps": 5, "evaluate_every": 4,
    }  # fmt: skip
    settings, summary = choose(GPU, **options)
    for name, value in options.items():
        assert (settings.augmentation.crop if name == "size" else getattr(settings, name)) == value
    assert "to change" not in summary


def test_epochs_become_steps():
    settings, _ = choose(GPU, epochs=8)
    assert settings.steps == 500


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"steps": 1, "epochs": 2}, "--steps or --epochs, not both"),
        ({"size": 64, "augmentation": Augmentation()}, "--augmentation or --size, not both"),
        ({"learning_rats": 1}, "'learning_rats' is no setting"),
    ],
)
def test_implausible_options_are_refused(options, message):
    with pytest.raises(SettingsError, match=message):
        choose(CPU, **options)


@pytest.mark.parametrize(
    ("steps", "passes", "scale", "colour"),
    [
        (9000, 3, 1.0, 0.1),
        (9000, 15, 1.0, 0.1),
        (1000, 50, 2.0, 0.3),
        (9000, 500, 2.0, 0.3),
        (300, 500, 1.0, 0.1),
        (700, 500, 2**0.5, 0.2),
    ],
)
def test_short_runs_have_weaker_augmentation(steps, passes, scale, colour):
    found = for_length(Augmentation(), steps, passes)
    assert found.max_scale == pytest.approx(scale) and found.min_scale == pytest.approx(1 / scale)
    assert found.colour == pytest.approx(colour)


def test_augmentation_grows_with_the_epochs():
    found = [for_length(Augmentation(), 3000, passes) for passes in range(15, 51)]
    assert [each.max_scale for each in found] == sorted({each.max_scale for each in found})


@pytest.mark.parametrize(
    ("names", "flip", "text"),
    [
        (("road", "car"), True, None),
        (("l_eye", "r_eye"), True, "exchange the classes l_eye and r_eye"),
        (("left a", "right a", "left b", "right b"), True, "left a and right a and 1 more pairs"),
        (("turn left", "road"), False, "no mirrored images: the class turn left names a side"),
    ],
)
def test_mirrored_images_suit_the_classes(names, flip, text):
    one_sided = one_sided_names(names)
    settings, _ = choose(CPU, one_sided=one_sided)
    assert settings.augmentation.flip is flip
    labels = LabelSet(names, (True,) * len(names))
    sentences = [sentence(fact) for fact in find_sides(labels, settings.augmentation, one_sided)]
    assert len(sentences) == (text is not None)
    assert all(str(text) in each for each in sentences)


def test_mirrored_images_can_be_demanded():
    settings, _ = choose(CPU, one_sided=("turn left",), augmentation=Augmentation())
    assert settings.augmentation.flip
