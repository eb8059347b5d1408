"""Options and marks of all tests: samples of tests with many cases, and the table of faults that strangers found."""

from __future__ import annotations

import pytest
import sampling
import strangers
from strangers import pytest_configure  # noqa: F401


def pytest_addoption(parser: pytest.Parser) -> None:
    sampling.add_option(parser)
    strangers.add_option(parser)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    sampling.leave_out(config, items)
    strangers.put_marks_on_reports(items)
