"""Everything that is wrong with one file, said at once: each mistake with its place, in the order of the file."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from promotion_gate.base.errors import InputError
from promotion_gate.base.yaml_lines import Marks, Path


class Mistake(NamedTuple):
    """What is wrong, and where in the file: the keys and numbers that lead to it."""

    path: Path
    sentence: str


class FileMistakes:
    """The mistakes of one file.

    `unread` are the places whose value could not be read, so that something stands in for it: nothing is said of what
    lies there or below.
    """

    def __init__(self, found: Iterable[Mistake] = (), unread: Iterable[Path] = ()) -> None:
        self.found = list(found)
        self.unread = set(unread)

    def add(self, mistake: Mistake, unread: bool = False) -> None:
        if not any(mistake.path[:length] in self.unread for length in range(1, len(mistake.path) + 1)):
            self.found += [] if mistake in self.found else [mistake]
        if unread:
            self.unread.add(mistake.path)

    def add_all(self, mistakes: Iterable[Mistake]) -> None:
        for mistake in mistakes:
            self.add(mistake)

    def sentences(self, marks: Marks) -> list[str]:
        """One for each mistake, with file, line and column, in the order of the file."""
        found = sorted(self.found, key=lambda mistake: marks.place(mistake.path))
        return [f"{marks.at(path)}: {sentence}" for path, sentence in found]

    def stop(self, marks: Marks) -> None:
        """Raises InputError with all of them, if there are any."""
        if self.found:
            raise InputError(*self.sentences(marks))
