"""`make test-all` fails on skips, except for a missing GPU, network or browser."""

import pytest

pytest_plugins = ["pytester"]

TESTS = """
import pytest

def test_without_a_package():
    pytest.importorskip("no_such_package")

@pytest.mark.gpu
def test_on_a_gpu():
    pytest.skip("no GPU")

@pytest.mark.xfail
def test_of_a_known_fault():
    assert False
"""


@pytest.mark.parametrize(("option", "failed", "skipped"), [("--fail-on-skip", 1, 1), ("-q", 0, 2)])
def test_skips_fail_unless_they_need_a_gpu_or_the_network(pytester, option, failed, skipped):
    pytester.makeini("[pytest]\nmarkers = gpu\n network")
    pytester.makepyfile(TESTS)
    actual = pytester.runpytest("-p", "skips", "-p", "no:xdist", option)
    actual.assert_outcomes(failed=failed, skipped=skipped, xfailed=1)
