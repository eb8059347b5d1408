"""Masks secrets in text: on the target before anything is returned, and again where it is recorded.

The same source is used on both sides: it runs on the target's Python 3.9 with only the standard library (the module in
library/ finds it as ansible.module_utils.promotion.redact).

First by value: a known secret is masked wherever it occurs, however it is encoded, quoted or split (known.py;
collect.py extracts the values from an environment). Then, for secrets that are not known, by a name that indicates one
(named.py, names.py) and by well-known shapes (shapes.py).

Each rule is a function from a text to the spans that must be masked; Redactor.text() masks their union.
"""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import suppress

from .collect import secrets_in, secrets_of, secrets_that_are_names
from .known import Known, Span
from .named import named_values
from .names import MASK, is_no_secret, is_secret_name
from .shapes import known_shapes, private_keys, url_passwords

__all__ = ["MASK", "Redactor", "is_no_secret", "is_secret_name", "secrets_in", "secrets_of", "secrets_that_are_names"]

_RULES = {
    "private key": private_keys,
    "password in a URL": url_passwords,
    "value of a secret name": named_values,
    "word of a command, or a token": known_shapes,
}
_KNOWN = "known value"


class Redactor:
    """Masks secrets in text and counts the masks by rule."""

    def __init__(self, secrets: Mapping[str, str] | Iterable[str] = ()) -> None:
        """Take the known secret values, by variable name or as a plain list."""
        self.masks: Counter[str] = Counter()
        self._known = Known(secrets.values() if isinstance(secrets, Mapping) else secrets)

    def text(self, text: str) -> str:
        """Return the text with every secret masked; text(text(x)) == text(x)."""
        for _ in range(8):  # a mask can complete another rule's pattern; two passes are usual
            masked = self._mask(text)
            if masked == text:
                break
            text = masked
        return text

    def argv(self, argv: Iterable[str]) -> list[str]:
        """Return the words of a command with every secret masked, including a word that follows its option."""
        words = list(argv)
        with suppress(ValueError):  # a mask took a quote with it
            masked = shlex.split(self.text(shlex.join(words)))
            words = masked if len(masked) == len(words) else words
        return [self.text(word) for word in words]

    def remains(self, text: str) -> bool:
        """Return whether a known value can still be read in a masked text, in some form that the rules do not know."""
        return self._known.remains(text)

    def seen(self, text: str) -> list[str]:
        """The values in a text that a name or a shape gives away: known values for all other texts."""
        return [text[start:end] for rule in _RULES.values() for start, end in rule(text) if start < end]

    def _mask(self, text: str) -> str:
        spans = [(span, _KNOWN) for span in self._known.spans(text)]
        spans += [(span, name) for name, rule in _RULES.items() for span in rule(text)]
        pieces = []
        done = 0
        for (start, end), rule_name in _merged(spans):
            if text[start:end] != MASK:
                pieces += [text[done:start], MASK]
                done = end
                self.masks[rule_name] += 1
        return "".join(pieces) + text[done:]


def _merged(spans: Iterable[tuple[Span, str]]) -> list[tuple[Span, str]]:
    """The union of the spans, in order; touching spans are merged and get the name of the first."""
    merged: list[tuple[Span, str]] = []
    for (start, end), rule in sorted(spans):
        if merged and start <= merged[-1][0][1] and start < end:
            (first, last), rule = merged[-1]
            merged[-1] = ((first, max(last, end)), rule)
        elif start < end:
            merged.append(((start, end), rule))
    return merged
