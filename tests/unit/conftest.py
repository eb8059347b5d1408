"""What all unit tests run under: how many examples Hypothesis tries, and no disk that is waited for."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from hypothesis import settings

# Hypothesis' own profile "ci": the same examples every time, no deadline. `make nightly` takes another one each night.
settings.register_profile("ci", settings.get_profile("ci"), max_examples=50)
settings.register_profile("nightly", settings.get_profile("ci"), max_examples=1000, derandomize=False)


@pytest.fixture(autouse=True, scope="session")
def no_disk_is_waited_for() -> Iterator[None]:
    """A killed process loses nothing that it wrote; only a machine that goes down does, and no test is one."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda _: None)
        yield
