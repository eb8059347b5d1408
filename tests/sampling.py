"""`--one-in N` runs every test, and of a test with many cases the first and every Nth after it.

The loops that are run all day take such samples; `make nightly` runs all cases.
"""

from __future__ import annotations

from collections import Counter

import pytest


def add_option(parser: pytest.Parser) -> None:
    parser.addoption("--one-in", type=int, default=1, metavar="N", help="of each test only every Nth case")


def leave_out(config: pytest.Config, items: list[pytest.Item]) -> None:
    step, seen = config.getoption("--one-in"), Counter[str]()
    kept: list[pytest.Item] = []
    left_out: list[pytest.Item] = []
    for item in items:
        test = item.nodeid.partition("[")[0]
        (left_out if seen[test] % step else kept).append(item)
        seen[test] += 1
    config.hook.pytest_deselected(items=left_out)
    items[:] = kept
