"""Results of several processes come in the order of their jobs."""

from math import hypot

import pytest

from unimask.datasets.rendered_town.parallel import map_in_processes


@pytest.mark.parametrize("workers", [1, 2])
def test_results_are_in_order(workers):
    jobs = ((3.0 * n, 4.0 * n) for n in range(20))
    assert list(map_in_processes(hypot, jobs, workers)) == [5.0 * n for n in range(20)]


@pytest.mark.parametrize("workers", [1, 2])
def test_errors_are_raised(workers):
    with pytest.raises(TypeError):
        list(map_in_processes(hypot, [("a", "b")], workers))
