import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from unimask.metrics.overlaps import count_overlaps


@settings(max_examples=60)
@given(st.integers(0, 100_000), st.integers(0, 7), st.integers(1, 9))
def test_equals_the_reference_implementation(seed, height, width):
    random = np.random.default_rng(seed)
    first = random.integers(-1, 4, (height, width)) * random.choice([1, 2**20])
    second = np.sort(random.integers(0, 3, (height, width)), axis=1)
    first_ids, second_ids, counts = count_overlaps(first, second)
    np.testing.assert_array_equal(first_ids, np.unique(first))
    np.testing.assert_array_equal(second_ids, np.unique(second))
    for row, one in enumerate(first_ids):
        for column, other in enumerate(second_ids):
            assert counts[row, column] == ((first == one) & (second == other)).sum()
