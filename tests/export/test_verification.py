"""Comparison of logits: the order of queries does not matter, their values do."""

import pytest
import torch

from unimask.export.verification import align_queries, logit_errors
from unimask.outputs import SegmenterOutput


def output(seed=0):
    generator = torch.Generator().manual_seed(seed)
    return SegmenterOutput(
        torch.randn(1, 30, 4, generator=generator), torch.randn(1, 30, 24, 32, generator=generator)
    )


def test_queries_in_another_order_are_equal():
    ours = output()
    order = torch.randperm(30, generator=torch.Generator().manual_seed(1))
    theirs = SegmenterOutput(*(part[:, order] + 1e-6 for part in ours[:2]))
    for expected, actual in zip(ours[:2], align_queries(ours, theirs)[:2], strict=True):
        torch.testing.assert_close(actual, expected, atol=1e-5, rtol=0)
    assert max(greatest for _, greatest in logit_errors(ours, theirs)) < 1e-5


@pytest.mark.parametrize("part", [0, 1])
def test_other_values_of_one_query_are_an_error(part):
    ours, theirs = output(), output()
    theirs[part][0, 3] += 0.5
    errors = logit_errors(ours, theirs)
    assert errors[part][1] > 0.05
    assert errors[1 - part][1] == 0


def test_values_that_are_no_numbers_are_an_error():
    ours, theirs = output(), output()
    theirs.mask_logits[0, 3, 0, 0] = torch.nan
    assert logit_errors(ours, theirs)[1][1] == float("inf")
