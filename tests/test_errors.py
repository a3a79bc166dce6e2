"""Errors are one readable line, whatever files contain."""

import pickle

import pytest

from unimask import errors

KINDS = [
    kind
    for kind in vars(errors).values()
    if isinstance(kind, type)
    and issubclass(kind, errors.UnimaskError)
    and kind is not errors.MissingExtraError
]


@pytest.mark.parametrize("kind", KINDS)
def test_messages_stay_on_one_line_and_send_nothing_to_the_terminal(kind):
    error = kind("a.pkl holds 'sem\nseg\x1b[2J\u2028\udc80' \N{EM DASH} größer")
    assert str(error) == "a.pkl holds 'sem\\nseg\\x1b[2J\\u2028\\udc80' \N{EM DASH} größer"


@pytest.mark.parametrize("kind", KINDS)
def test_errors_pass_between_processes(kind):
    error = pickle.loads(pickle.dumps(kind("a.png: cut off")))
    assert type(error) is kind and str(error) == "a.png: cut off"


def test_warnings_are_safe_to_print_too():
    from unimask.datasets.interface import DataWarning
    from unimask.processing.value_ranges import ImageWarning

    for kind in (DataWarning, ImageWarning):
        assert str(kind("red\x1b[31m \ud800\nline")) == "red\\x1b[31m \\ud800\\nline"


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (KeyError("settings"), "'settings' is missing"),
        (KeyError(174812789), "entry 174812789, to which it refers, is missing"),
        (ValueError("two\nlines "), "two lines"),
        (AttributeError("no 'items'"), "a value has the wrong type: no 'items'"),
        (EOFError(), "EOFError"),
        (ValueError("a" * 200), "a" * 120),
    ],
    ids=["missing key", "missing reference", "two lines", "wrong type", "no message", "too long"],
)
def test_library_errors_are_described_in_one_line(error, text):
    assert errors.one_line(error) == text
