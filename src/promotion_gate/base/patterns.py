r"""Regular expressions from a checklist. They run over what a VM printed, so matching takes time linear in the output.

Python's own engine backtracks: `^(a+)+$`, or three `.*` in a row, would keep a decision busy for ever on one long line.
Here a pattern becomes a finite automaton, whose states are worked out as they are met. The language is the common
one, in ASCII: literals, `.`, `[a-z]`, `\d \w \s \D \W \S`, `^` and `$` at the ends of each line, `\b \B`, groups, `|`,
`* + ? {m,n}`, and `(?i)` at the start. What needs backtracking (look-arounds, back references) is refused. The
same bundle gives the same decision on every machine, with no library in between.
"""

from __future__ import annotations

import string
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import NoReturn

MAX_PATTERN = 1000
MAX_REPEAT = 100
MAX_STATES = 10_000
MAX_KNOWN = 100_000

Test = Callable[[str], bool]
_WORD = frozenset(string.ascii_letters + string.digits + "_")
_DIGIT = frozenset(string.digits)
_SPACE = frozenset(" \t\n\r\f\v")
_CLASSES = {"d": _DIGIT, "w": _WORD, "s": _SPACE}
_ESCAPES = {"t": "\t", "n": "\n", "r": "\r", "f": "\f", "v": "\v"}
_SIGNS = frozenset(string.punctuation + " ")


class BadPattern(ValueError):
    """A pattern that cannot be used; the message says why."""


class _Automaton:
    """The states of several patterns. A state with a test consumes one character, one with an assertion passes where it
    holds, the others pass always; then it goes on to each of its `outs`."""

    def __init__(self) -> None:
        self.tests: list[Test | None] = []
        self.asserts: list[str] = []
        self.outs: list[list[int]] = []

    def state(self, test: Test | None = None, asserts: str = "") -> int:
        if len(self.outs) >= MAX_STATES:
            raise BadPattern("too large; its repetitions add up")
        self.tests.append(test)
        self.asserts.append(asserts)
        self.outs.append([])
        return len(self.outs) - 1


# A piece of a pattern, as a function that builds it between two states.
Piece = Callable[[_Automaton, int, int], None]


def _consume(test: Test) -> Piece:
    def build(machine: _Automaton, start: int, end: int) -> None:
        here = machine.state(test)
        machine.outs[start].append(here)
        machine.outs[here].append(end)

    return build


def _assertion(name: str) -> Piece:
    def build(machine: _Automaton, start: int, end: int) -> None:
        here = machine.state(asserts=name)
        machine.outs[start].append(here)
        machine.outs[here].append(end)

    return build


def _sequence(pieces: Sequence[Piece]) -> Piece:
    def build(machine: _Automaton, start: int, end: int) -> None:
        for piece in pieces:
            after = machine.state()
            piece(machine, start, after)
            start = after
        machine.outs[start].append(end)

    return build


def _either(branches: Sequence[Piece]) -> Piece:
    def build(machine: _Automaton, start: int, end: int) -> None:
        for branch in branches:
            branch(machine, start, end)

    return build


def _repeated(piece: Piece, low: int, high: int | None) -> Piece:
    def build(machine: _Automaton, start: int, end: int) -> None:
        for _ in range(low):
            after = machine.state()
            piece(machine, start, after)
            start = after
        if high is None:
            loop = machine.state()
            machine.outs[start].append(loop)
            piece(machine, loop, loop)
            machine.outs[loop].append(end)
            return
        for _ in range(high - low):
            machine.outs[start].append(end)
            after = machine.state()
            piece(machine, start, after)
            start = after
        machine.outs[start].append(end)

    return build


class _Parser:
    def __init__(self, pattern: str) -> None:
        self.ignore_case = pattern.startswith("(?i)")
        self.rest = pattern.removeprefix("(?i)")
        self.at = 0

    def fail(self, why: str) -> NoReturn:
        raise BadPattern(why)

    def peek(self) -> str:
        return self.rest[self.at : self.at + 1]

    def take(self) -> str:
        sign = self.peek()
        self.at += 1
        return sign

    def whole(self) -> Piece:
        piece = self.branches()
        if self.peek():
            self.fail("a `)` without its `(`")
        return piece

    def branches(self) -> Piece:
        found = [self.sequence()]
        while self.peek() == "|":
            self.take()
            found.append(self.sequence())
        return _either(found)

    def sequence(self) -> Piece:
        pieces: list[Piece] = []
        while self.peek() not in ("", "|", ")"):
            pieces.append(self.quantified())
        return _sequence(pieces)

    def quantified(self) -> Piece:
        anchor = self.peek() in ("^", "$") or self.rest[self.at : self.at + 2] in ("\\b", "\\B")
        piece = self.atom()
        sign = self.peek()
        if sign not in ("*", "+", "?", "{"):
            return piece
        low, high = self.bounds()
        if anchor or self.peek() in ("*", "+", "{"):
            self.fail("a repetition of nothing that can be repeated")
        if self.peek() == "?":  # the shortest match ends the search as well as the longest
            self.take()
        return _repeated(piece, low, high)

    def bounds(self) -> tuple[int, int | None]:
        sign = self.take()
        if sign in "*+?":
            return (1 if sign == "+" else 0), (1 if sign == "?" else None)
        end = self.rest.find("}", self.at)
        low, comma, high = self.rest[self.at : max(end, self.at)].partition(",")
        self.at = end + 1
        if end < 0 or not low.isdecimal() or not low.isascii() or (high and not (high.isdecimal() and high.isascii())):
            self.fail("a `{` that is not {m}, {m,} or {m,n}; write \\{ for the character")
        least, most = int(low), int(high) if high else None if comma else int(low)
        if least > MAX_REPEAT or (most is not None and (most > MAX_REPEAT or most < least)):
            self.fail(f"a repetition must be from 0 to {MAX_REPEAT}, the smaller number first")
        return least, most

    def atom(self) -> Piece:
        sign = self.take()
        if sign == "(":
            return self.group()
        if sign == "[":
            return _consume(self.cased(self.char_class()))
        if sign == ".":
            return _consume(lambda char: char != "\n")
        if sign in ("^", "$"):
            return _assertion(sign)
        if sign == "\\":
            return self.escape()
        if sign in ("*", "+", "?", "{"):
            self.fail(f"a `{sign}` that repeats nothing")
        return _consume(self.cased(frozenset(sign).__contains__))

    def group(self) -> Piece:
        if self.peek() == "?":
            self.take()
            if self.take() != ":":
                self.fail("a group may begin with (?: and with no other (?; look-arounds and flags are not supported")
        piece = self.branches()
        if self.take() != ")":
            self.fail("a `(` without its `)`")
        return piece

    def escape(self) -> Piece:
        sign = self.take()
        if sign in ("b", "B"):
            return _assertion(sign)
        return _consume(self.cased(self.escaped(sign)))

    def escaped(self, sign: str) -> Test:
        """The characters that a backslash and `sign` stand for."""
        known = _CLASSES.get(sign.lower()) if sign.isalpha() else None
        if known is not None:
            return known.__contains__ if sign.islower() else lambda char: char not in known
        if sign not in _ESCAPES and sign not in _SIGNS:
            self.fail(f"a `\\{sign}` that is not supported" if sign else "a backslash at the end")
        return frozenset(_ESCAPES.get(sign, sign)).__contains__

    def char_class(self) -> Test:
        negated = self.peek() == "^"
        if negated:
            self.take()
        tests: list[Test] = []
        while self.peek() != "]" or not tests:
            sign = self.take()
            if not sign:
                self.fail("a `[` without its `]`")
            if sign == "\\":
                sign = self.take()
                if sign.lower() in _CLASSES or (sign not in _ESCAPES and sign not in _SIGNS):
                    tests.append(self.escaped(sign))
                    continue
                sign = _ESCAPES.get(sign, sign)
            tests.append(self.char_range(sign))
        self.take()
        return lambda char: any(test(char) for test in tests) is not negated

    def char_range(self, first: str) -> Test:
        if self.peek() != "-" or self.rest[self.at + 1 : self.at + 2] in ("]", ""):
            return frozenset(first).__contains__
        self.take()
        last = self.take()
        if last == "\\":
            last = self.take()
        if last < first:
            self.fail(f"the range {first}-{last} is the wrong way round")
        return lambda char: first <= char <= last

    def cased(self, test: Test) -> Test:
        if not self.ignore_case:
            return test
        return lambda char: test(char) or test(char.lower()) or test(char.upper())


class Search:
    """Looks for several patterns at once."""

    def __init__(self, patterns: Sequence[str]) -> None:
        self.machine = _Automaton()
        self.start, self.end = self.machine.state(), self.machine.state()
        for pattern in patterns:
            if len(pattern) > MAX_PATTERN:
                raise BadPattern(f"longer than {MAX_PATTERN} characters")
            _Parser(pattern).whole()(self.machine, self.start, self.end)
        self.sets: list[frozenset[int]] = []
        self.known: dict[tuple[int, str, str], int] = {}
        self.numbers: dict[frozenset[int], int] = {}

    def end_of_match(self, text: str) -> int | None:
        """Where the first match ends, or None."""
        before, now, known = "", self.number(frozenset()), self.known
        for place, char in enumerate(text):
            after = known.get((now, before, char))
            if after is None:
                after = self.step(now, before, char)
            if after < 0:
                return place
            now, before = after, "w" if char in _WORD else "\n" if char == "\n" else " "
        return len(text) if self.step(now, before, "") < 0 else None

    def number(self, states: frozenset[int]) -> int:
        if states not in self.numbers:
            self.numbers[states] = len(self.sets)
            self.sets.append(states)
        return self.numbers[states]

    def step(self, now: int, before: str, char: str) -> int:
        """The states behind `char`, by number; -1 if a match ends before it. `before`: the kind of the last one."""
        machine, waiting, seen = self.machine, [self.start, *self.sets[now]], set[int]()
        after: set[int] = set()
        found = False
        while waiting:
            state = waiting.pop()
            if state in seen or not _holds(machine.asserts[state], before, char):
                continue
            seen.add(state)
            found = found or state == self.end
            test = machine.tests[state]
            if test is None:
                waiting += machine.outs[state]
            elif char and test(char):
                after.update(machine.outs[state])
        if len(self.known) > MAX_KNOWN:  # the states that are in use are found again
            self.known.clear()
        result = -1 if found else self.number(frozenset(after))
        self.known[now, before, char] = result
        return result


def _holds(name: str, before: str, char: str) -> bool:
    """Whether an assertion holds between two characters; an empty one is the begin or the end of the text."""
    if not name:
        return True
    if name == "^":
        return before in ("", "\n")
    if name == "$":
        return char in ("", "\n")
    return ((before == "w") != (char in _WORD)) == (name == "b")


@lru_cache(maxsize=64)
def search_of(patterns: tuple[str, ...]) -> Search:
    """The patterns, ready for use. Raises BadPattern."""
    return Search(patterns)


def check_pattern(pattern: str) -> None:
    """Raises BadPattern for one that cannot be used, or that matches an empty line: it would match anything."""
    if search_of((pattern,)).end_of_match("") is not None:
        raise BadPattern("it matches the empty string, so it matches any output")


def first_match(patterns: Sequence[str], text: str) -> str | None:
    """The line in which the first match of any of the patterns ends, or None."""
    end = search_of(tuple(patterns)).end_of_match(text)
    if end is None:
        return None
    begin = text.rfind("\n", 0, max(0, end - 1)) + 1
    return text[begin:].partition("\n")[0].strip()
