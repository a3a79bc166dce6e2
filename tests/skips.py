"""The option `--fail-on-skip`: skips fail, except for a missing GPU, network or browser."""

from collections.abc import Generator

import pytest

ALLOWED = ("gpu", "network", "browser")
"""Markers of tests that may skip."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--fail-on-skip",
        action="store_true",
        help=f"fail tests that are skipped, unless they are marked {' or '.join(ALLOWED)}",
    )


def may_skip(node: pytest.Item | pytest.Collector) -> bool:
    return any(node.get_closest_marker(name) for name in ALLOWED)


def fail_if_skipped(
    report: pytest.TestReport | pytest.CollectReport, node: pytest.Item | pytest.Collector
) -> None:
    """Turn the report of a skip into that of a failure, if the option is set."""
    skipped = report.skipped and not hasattr(report, "wasxfail")
    if skipped and node.config.getoption("--fail-on-skip") and not may_skip(node):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
        report.outcome = "failed"
        report.longrepr = f"{node.nodeid} must run here, but was skipped: {reason}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport]:
    report = yield
    fail_if_skipped(report, item)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport]:
    report = yield
    fail_if_skipped(report, collector)
    return report
