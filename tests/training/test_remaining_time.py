"""Estimates of the remaining time in logs without a progress bar."""

import re

import pytest

from unimask.training.remaining_time import RemainingTime, duration


def measured(every=10, steps=100, **given) -> RemainingTime:
    return RemainingTime(
        steps=steps, every=every, images_per_step=4, images_per_validation=20, **given
    )


def test_times_of_steps_and_validations_are_summed():
    time = measured()
    for seconds in (9.0, 2.0, 2.0):  # the first one is slow
        time.add_step(seconds)
    assert time.estimate(10) == 90 * 2 + 9 * (
        2 / 4 * 20
    )  # not measured yet: the time of a step per image
    time.add_validation(30)
    assert time.estimate(10) == 90 * 2 + 9 * 30
    assert time.estimate(95) == 5 * 2 + 1 * 30


@pytest.mark.parametrize(
    ("every", "steps", "step", "count"),
    [(10, 100, 0, 10), (10, 100, 99, 1), (10, 105, 100, 1), (0, 50, 7, 1), (10, 100, 100, 0)],
)
def test_remaining_validations_are_counted(every, steps, step, count):
    assert measured(every, steps).count_validations(step) == count


def test_log_lines_show_the_remaining_time():
    time = measured()
    time.add_step(1.0)
    words = time.describe(50)
    assert re.fullmatch(r"1 min 15 s left, ends \d\d:\d\d", words)
    assert time.describe(100) == ""
    time.add_step(1e5)
    assert re.search(r"left, ends \d{4}-\d\d-\d\d \d\d:\d\d$", time.describe(1))
    assert measured().describe(0).startswith("0 s left")


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.2, "0 s"), (59.4, "59 s"), (61, "1 min 1 s"), (1500, "25 min"),
        (3_661, "1 h 1 min"), (200_000, "2 d 7 h"),
    ],
)  # fmt: skip
def test_durations_have_two_units(seconds, words):
    assert duration(seconds) == words
