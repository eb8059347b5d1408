"""Escapes what a reader would not see: control characters, marks that reorder text, characters without a glyph.

The ranges are written out here. Python's own tables (unicodedata, isprintable, repr) change with its version, but a
bundle must give the same bytes on all versions.
"""

from __future__ import annotations

import json
import re

_BEYOND_ASCII = (
    "\x7f-\x9f\xad\u0600-\u0605\u061c\u06dd\u070f\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ud800-\uf8ff\ufeff"
    "\ufff0-\ufffb\ufffe\uffff\U000110bd\U000110cd\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U0010ffff"
)
_UNSEEN = re.compile(f"[\x00-\x1f{_BEYOND_ASCII}]")
_UNSEEN_IN_JSON = re.compile(f"[{_BEYOND_ASCII}]")


def visible(text: object) -> str:
    """One line of text in which everything invisible or reordering is escaped."""
    return harmless(" ".join(str(text).split()))


def harmless(line: str) -> str:
    """The same, but blanks are kept: for a line of ours that quotes untrusted text."""
    return _UNSEEN.sub(_escape, line)


def described(error: Exception) -> str:
    """The type and the message of an exception, as one line of visible text."""
    return visible(f"{type(error).__name__}: {error}")


def visible_json(text: str) -> str:
    """The same for a JSON document: its line ends stay, and so does its meaning."""
    return _UNSEEN_IN_JSON.sub(_escape, text)


def _escape(found: re.Match[str]) -> str:
    code = ord(found.group())
    return f"\\u{code:04x}" if code < 0x10000 else json.dumps(found.group())[1:-1]
