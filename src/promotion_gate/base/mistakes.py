"""Everything that is wrong with one file, reported together: each mistake with its place, in the order of the file."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from promotion_gate.base.errors import InputError
from promotion_gate.base.yaml_lines import Marks, Path


class Mistake(NamedTuple):
    """What is wrong, and where in the file: the keys and numbers that lead to it."""

    path: Path
    sentence: str


# If every line of a file is wrong, the first ones show it; looking for the nearest names takes time.
MOST = 100


def sentences(marks: Marks, mistakes: Iterable[Mistake]) -> list[str]:
    """One for each mistake, with file, line and column, in the order of the file."""
    found = sorted(mistakes, key=lambda mistake: marks.place(mistake.path))
    return [f"{marks.at(path)}: {sentence}" for path, sentence in found]


class FileMistakes:
    """The mistakes of one file.

    `unread` are the places whose value could not be read and was replaced by an empty one: nothing is reported there or
    below. More than MOST raise InputError at once.
    """

    def __init__(self, marks: Marks, found: Iterable[Mistake] = (), unread: Iterable[Path] = ()) -> None:
        self.marks = marks
        self.found: list[Mistake] = []
        self.unread: set[Path] = set()
        self.add_all(found)
        self.unread.update(unread)

    def add(self, mistake: Mistake, unread: bool = False) -> None:
        covered = any(mistake.path[:length] in self.unread for length in range(1, len(mistake.path) + 1))
        if not covered and mistake not in self.found:
            if len(self.found) == MOST:
                raise InputError(*self.sentences(), f"{self.marks.name} has more mistakes; these are the first {MOST}.")
            self.found.append(mistake)
        if unread:
            self.unread.add(mistake.path)

    def add_all(self, mistakes: Iterable[Mistake]) -> None:
        for mistake in mistakes:
            self.add(mistake)

    def sentences(self) -> list[str]:
        return sentences(self.marks, self.found)

    def stop(self) -> None:
        """Raises InputError with all of them, if there are any."""
        if self.found:
            raise InputError(*self.sentences())
