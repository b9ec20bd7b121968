"""In continuous integration (``CI=true``) a skipped test has failed: a test that must run may not vanish quietly."""

from __future__ import annotations

import os
from collections.abc import Generator

import pytest

TRUTH = {"1", "true", "yes"}


def _forbidden(report: pytest.TestReport | pytest.CollectReport) -> bool:
    in_ci = os.environ.get("CI", "").lower() in TRUTH
    return in_ci and report.skipped and not hasattr(report, "wasxfail")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Turns a test's skip into a failure."""
    report = yield
    if _forbidden(report):
        report.outcome = "failed"
        report.longrepr = f"Skipped, which is not allowed in CI: {report.longrepr}"
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Turns the skip of a whole module into a failure."""
    report = yield
    if _forbidden(report):
        report.outcome = "failed"
        report.longrepr = f"Skipped, which is not allowed in CI: {report.longrepr}"
    return report
