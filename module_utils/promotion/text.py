"""The bytes that a command printed, as text: decoded without loss, bounded, and redacted before anything is cut."""

from __future__ import annotations

import contextlib

from .redact import Redactor

CUT_CHARACTERS = 4096  # longer than any secret


def decoded(data: bytes, encoding: str = "utf-8") -> tuple[str, str]:
    """(text, encoding). Bytes that are not UTF-8 are escaped without loss."""
    if encoding == "utf-8":
        with contextlib.suppress(UnicodeDecodeError):
            return data.decode("utf-8"), "utf-8"
    return data.replace(b"\\", b"\\\\").decode("utf-8", "backslashreplace"), "utf-8+backslash"


def plain(text: object) -> str:
    """Text that can be sent as JSON: undecodable bytes from the file system become \\xNN."""
    return str(text).encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def without_broken_edges(data: bytes, at_start: bool, at_end: bool) -> bytes:
    """Bytes without the UTF-8 character that a cut has split, so that the rest is still valid."""
    if at_start:
        for _ in range(3):
            if data and 0x80 <= data[0] < 0xC0:
                data = data[1:]
    if at_end:
        for back in range(1, min(4, len(data) + 1)):
            if data[-back] >= 0xC0:
                return data[:-back]
    return data


# Text is redacted before it is cut: half a secret would not be recognised. The edge of the buffer may still have such a
# half, so a piece longer than any secret is dropped there, up to the end of its line.


def before_cut(text: str) -> str:
    """Redacted text without the piece before a cut."""
    reach = min(CUT_CHARACTERS, len(text) // 2)
    text = text[: len(text) - reach]
    return text[: text.rfind("\n", len(text) - reach) + 1] or text


def after_cut(text: str) -> str:
    """Redacted text without the piece after a cut."""
    reach = min(CUT_CHARACTERS, len(text) // 2)
    return text[max(reach, text.find("\n", reach, 2 * reach) + 1) :]


class Capture:
    """Keeps the head and the tail of a stream in bounded memory."""

    def __init__(self, limit: int) -> None:
        self.half = max(limit // 2, 1)
        self.head, self.tail, self.total = bytearray(), bytearray(), 0

    def add(self, data: bytes) -> None:
        """Takes the next piece of the stream."""
        self.total += len(data)
        room = self.half - len(self.head)
        if room > 0:
            self.head += data[:room]
            data = data[room:]
        self.tail += data
        if len(self.tail) > 4 * self.half:
            del self.tail[: -self.half]

    def result(self) -> tuple[bytes, bytes | None]:
        """(everything, None), or (head, tail) with something left out between them."""
        if self.total <= 2 * self.half:
            return bytes(self.head + self.tail), None
        return bytes(self.head), bytes(self.tail[-self.half :])

    def shown(self, redactor: Redactor) -> tuple[str, str, bool]:
        """(text, encoding, truncated). The text is redacted; a cut in the middle is marked."""
        head_bytes, tail_bytes = self.result()
        if tail_bytes is None:
            text, encoding = decoded(head_bytes)
            return redactor.text(text), encoding, False
        head_bytes = without_broken_edges(head_bytes, False, True)
        tail_bytes = without_broken_edges(tail_bytes, True, False)
        encoding = decoded(head_bytes + b"\n" + tail_bytes)[1]
        head = before_cut(redactor.text(decoded(head_bytes, encoding)[0]))
        tail = after_cut(redactor.text(decoded(tail_bytes, encoding)[0]))
        left_out = self.total - len(head.encode()) - len(tail.encode())
        return f"{head}\n[... about {left_out} bytes left out ...]\n{tail}", encoding, True
