"""What a person sees on a terminal: the output of a program, drawn by an emulator, with what scrolled off above."""

from __future__ import annotations

import codecs

import pyte


class Seen:
    def __init__(self, columns: int, rows: int = 50) -> None:
        self._screen = pyte.HistoryScreen(columns, rows, history=10_000)
        self._stream = pyte.Stream(self._screen)
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def feed(self, data: bytes) -> None:
        self._stream.feed(self._decoder.decode(data))

    def resize(self, columns: int, rows: int = 50) -> None:
        self._screen.resize(rows, columns)

    @property
    def lines(self) -> list[str]:
        """Every line from the first on, without the colours; the empty ones below the last are not there."""
        above = ["".join(line[at].data for at in sorted(line)).rstrip() for line in self._screen.history.top]
        return "\n".join([*above, *(line.rstrip() for line in self._screen.display)]).rstrip().split("\n")

    @property
    def text(self) -> str:
        return "\n".join(self.lines)
