"""JUnit XML as pytest writes it (``--junit-xml``, families xunit1 and xunit2; pytest 6 and newer).

The file comes from the tested repository, so it is not trusted: no document type, hence no entities; bounded size and
depth. The test cases are counted, not the suite's totals: the suite's number of tests includes subtests (pytest 9),
which have no case, and lacks the attempts of pytest-rerunfailures, which have one each. If the suite counts more
failures than its cases show, the suite is believed.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from xml.parsers import expat

MAX_CHARACTERS = 16 * 1024 * 1024
_MAX_DEPTH = 32
_OUTCOMES = ("failure", "error", "skipped")
# What is counted -> the suite's attribute for it.
_COUNTS = {"failure": "failures", "error": "errors", "skipped": "skipped"}


@dataclass(frozen=True, slots=True)
class JUnit:
    """Counts of a test run. ``problem`` says in one sentence why the file cannot be trusted, else None.

    ``passed`` counts names, so that all attempts of a rerun test are one test; ``failing`` names the tests that failed
    or had an error, as "classname::name"; ``cases`` is how many there are, one at least for each test that ran.
    """

    cases: int
    passed: int
    failures: int
    errors: int
    skipped: int
    failing: tuple[str, ...]
    problem: str | None


@dataclass(slots=True)
class _Case:
    name: str
    outcomes: set[str] = field(default_factory=set)


class _Refused(Exception):
    """The file is not in a form that is read."""


@dataclass(slots=True)
class _Reader:
    """Receives expat's events."""

    path: list[str] = field(default_factory=list)
    cases: list[_Case] = field(default_factory=list)
    claimed: dict[str, int] = field(default_factory=lambda: dict.fromkeys(_COUNTS, 0))

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        parent = self.path[-1] if self.path else None
        if parent is None and tag not in ("testsuites", "testsuite"):
            raise _Refused(f"its root element is '{tag}', not testsuites or testsuite")
        if len(self.path) >= _MAX_DEPTH:
            raise _Refused("its elements are nested too deeply")
        if tag == "testsuite":
            self._claims(attributes)
        elif tag == "testcase":
            if parent != "testsuite":
                raise _Refused("a test case is outside a suite")
            if not attributes.get("name"):  # pytest was stopped in the middle of a test
                raise _Refused("a test case has no name")
            self.cases.append(_Case("::".join(filter(None, map(attributes.get, ("classname", "name"))))))
        elif tag in _OUTCOMES:
            if parent != "testcase":
                raise _Refused(f"a '{tag}' element is outside a test case")
            self.cases[-1].outcomes.add(tag)
        self.path.append(tag)

    def end(self, _tag: str) -> None:
        self.path.pop()

    def _claims(self, attributes: dict[str, str]) -> None:
        for outcome, name in _COUNTS.items():
            value = attributes.get(name, "")
            if not (value.isascii() and value.isdigit() and len(value) <= 9):
                raise _Refused(f"its suite has no count of {name}")
            self.claimed[outcome] += int(value)


def _refuse_doctype(*_: object) -> None:
    raise _Refused("it has a document type declaration, which is refused")


def parse(text: str) -> JUnit:
    """Read a JUnit XML file; one that cannot be trusted has ``problem`` set and no passed tests."""
    reader = _Reader()
    try:
        _read(text, reader)
    except _Refused as refused:
        return _unbelievable(reader, f"the JUnit file is not readable: {refused}")
    except expat.ExpatError as error:  # its message depends on the expat that Python was built with
        return _unbelievable(reader, f"the JUnit file is not well-formed XML (line {error.lineno})")
    except UnicodeError:
        return _unbelievable(reader, "the JUnit file is not well-formed XML")
    return _counted(reader)


def _read(text: str, reader: _Reader) -> None:
    if len(text) > MAX_CHARACTERS:
        raise _Refused(f"it has more than {MAX_CHARACTERS} characters")
    parser = expat.ParserCreate("utf-8")
    parser.StartDoctypeDeclHandler = _refuse_doctype
    parser.EntityDeclHandler = _refuse_doctype
    parser.StartElementHandler = reader.start
    parser.EndElementHandler = reader.end
    parser.Parse(text.encode("utf-8"), True)


def _counted(reader: _Reader) -> JUnit:
    counts = {outcome: sum(outcome in case.outcomes for case in reader.cases) for outcome in _OUTCOMES}
    bad = {outcome: max(count, reader.claimed[outcome]) for outcome, count in counts.items()}
    names = {case.name for case in reader.cases}
    return JUnit(
        cases=len(reader.cases),
        passed=len(names.difference(case.name for case in reader.cases if case.outcomes)),
        failures=bad["failure"],
        errors=bad["error"],
        skipped=bad["skipped"],
        failing=_failing(reader),
        problem=None,
    )


def _failing(reader: _Reader) -> tuple[str, ...]:
    return tuple(dict.fromkeys(case.name for case in reader.cases if case.outcomes & {"failure", "error"}))


def _unbelievable(reader: _Reader, problem: str) -> JUnit:
    return JUnit(0, 0, 0, 0, 0, _failing(reader), problem)
