"""The errors of this package. Each carries one or more sentences for people: what, where, what to do next."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator


class GateError(Exception):
    """Anything the gate refuses to do; the text is shown to the operator unchanged."""

    def __str__(self) -> str:
        return "\n".join(map(str, self.args))


class InputError(GateError):
    """What an operator wrote (a variable, a policy, an ownership map) cannot be used."""


class BundleError(GateError):
    """A bundle on disk cannot be read; it never counts as a decision."""


@contextlib.contextmanager
def of_a_bundle() -> Iterator[None]:
    """Turns an InputError into a BundleError: an operator's mistake before a run is an unusable bundle after it."""
    try:
        yield
    except InputError as error:
        raise BundleError(*error.args) from None
