"""What all unit tests run under: how many examples Hypothesis tries, and no disk that is waited for."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator

import pytest
from hypothesis import settings

# Hypothesis' own profile "ci": the same examples every time, no deadline. `make nightly` takes another one each night.
settings.register_profile("ci", settings.get_profile("ci"), max_examples=50)
settings.register_profile("nightly", settings.get_profile("ci"), max_examples=1000, derandomize=False)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--one-in", type=int, default=1, metavar="N", help="of each test only every Nth case")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """`make unit` runs every test, and of one with many cases a sample; `make test` runs them all."""
    step, seen = config.getoption("--one-in"), Counter[str]()
    kept: list[pytest.Item] = []
    left_out: list[pytest.Item] = []
    for item in items:
        test = item.nodeid.partition("[")[0]
        (left_out if seen[test] % step else kept).append(item)
        seen[test] += 1
    config.hook.pytest_deselected(items=left_out)
    items[:] = kept


@pytest.fixture(autouse=True, scope="session")
def no_disk_is_waited_for() -> Iterator[None]:
    """A killed process loses nothing that it wrote; only a machine that goes down does, and no test is one."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda _: None)
        yield
