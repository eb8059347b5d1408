"""What AiiDA's ``verdi`` prints: status, profile list, daemon status, computer test, version.

Source: aiida-core 2.6 to 2.9, ``aiida/cmdline/commands/cmd_{status,profile,daemon,computer}.py`` and
``cmdline/utils/echo.py``; recorded with 2.7.5 and 2.9.4. verdi has no machine-readable form of any of these.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from promotion_gate.judge.parsers.text import lines, number, without_ignored_exceptions

Symbol = Literal["up", "warning", "error", "unknown"]

SERVICES = ("version", "config", "profile", "storage", "broker", "daemon")
_SYMBOLS: dict[str, Symbol] = {"✔": "up", "⏺": "warning", "✘": "error"}
# A line that contradicts a good one overrides it.
_BADNESS: dict[Symbol, int] = {"up": 0, "warning": 1, "unknown": 2, "error": 3}

# " ✔ broker:     RabbitMQ v4.0.5 @ amqp://..."; lines indented further continue the one above (2.9).
_STATUS_LINE = re.compile(r" ?(\S{1,16}) (version|config|profile|storage|broker|daemon):(?: +(.*))?")
_CONTINUATION = re.compile(r" {15,16}(\S.*)")
_DAEMON_RUNS = re.compile(r"Daemon is running with PID (\d+)(?:, Broker PID (\d+|\?) \[.*\])?")
_LOGGED = re.compile(r"(Error|Critical): (.*)")
_RABBITMQ_WARNING = re.compile(r"Warning: RabbitMQ v(\S+) is not supported")


@dataclass(frozen=True, slots=True)
class Service:
    """One line of ``verdi status``: a service, the meaning of its symbol, and the text after it."""

    name: str
    symbol: Symbol
    text: str


@dataclass(frozen=True, slots=True)
class VerdiStatus:
    """``verdi [-p NAME] status``.

    ``services`` has one entry per service: the worst one if a service has several lines, and none if it has no line.
    With AiiDA 2.9 and its own (ZeroMQ) broker there is no broker line; its entry then comes from "Broker PID N" in the
    daemon's line. ``profile`` is None unless exactly one name is shown as up.
    """

    services: dict[str, Service]
    lines: tuple[Service, ...]
    profile: str | None
    rabbitmq_unsupported: str | None
    errors: tuple[str, ...]
    exception: str | None

    def is_up(self, name: str) -> bool:
        """Return whether the service has a line and all its lines say that it is up."""
        service = self.services.get(name)
        return service is not None and service.symbol == "up"


def status(text: str) -> VerdiStatus:
    """Read ``verdi status`` (AiiDA 2.6 to 2.9)."""
    rows = lines(text)
    found = [_settled(service) for service in _status_lines(rows)]
    found += [broker for service in found if (broker := _broker_of_daemon(service)) is not None]
    services: dict[str, Service] = {}
    for service in found:
        known = services.get(service.name)
        if known is None or _BADNESS[service.symbol] > _BADNESS[known.symbol]:
            services[service.name] = service
    return VerdiStatus(
        services={name: services[name] for name in SERVICES if name in services},
        lines=tuple(found),
        profile=_profile_of(found),
        rabbitmq_unsupported=next((m[1] for row in rows if (m := _RABBITMQ_WARNING.match(row))), None),
        errors=tuple(m[2] for row in rows if (m := _LOGGED.match(row))),
        exception=_exception(rows),
    )


def _status_lines(rows: list[str]) -> list[Service]:
    found: list[Service] = []
    open_line = False
    for row in rows:
        if match := _STATUS_LINE.fullmatch(row):
            found.append(Service(match[2], _SYMBOLS.get(match[1], "unknown"), (match[3] or "").strip()))
            open_line = True
        elif open_line and (more := _CONTINUATION.fullmatch(row)):
            last = found[-1]
            found[-1] = Service(last.name, last.symbol, f"{last.text}\n{more[1]}")
        else:
            open_line = False
    return found


# How storages and brokers are shown: str() of the classes behind the entry points of aiida.storage, aiida.brokers.
KINDS = {
    "core.psql_dos": re.compile(
        r"Storage for (?P<quote>['\"])(?P<profile>.*?)(?P=quote) \[open\] @ postgresql(?:\+\w+)?://.*", re.DOTALL
    ),
    "core.sqlite_dos": re.compile(r"SqliteDosStorage\[.*", re.DOTALL),
    "core.sqlite_temp": re.compile(r"SqliteTemp storage .*", re.DOTALL),
    "core.sqlite_zip": re.compile(r"SqliteZip storage .*", re.DOTALL),
    "core.rabbitmq": re.compile(r"RabbitMQ v\d\S* @ amqps?://.*", re.DOTALL),
    "core.zeromq": re.compile(r"Broker PID (?:\d+|\?)|ZeroMQ Broker .*", re.DOTALL),
}


def kinds(found: VerdiStatus, name: str) -> tuple[str | None, ...]:
    """The entry points shown in the lines of a storage or broker that is up, each once; None for an unknown one."""
    shown = [service for service in found.lines if service.name == name]
    return tuple(dict.fromkeys(kind(service) for service in shown))


def kind(service: Service) -> str | None:
    """The entry point of a storage or broker that is up (``core.psql_dos``, ``core.rabbitmq``); None if not known."""
    if service.name not in ("storage", "broker") or service.symbol != "up":
        return None
    return next((name for name, pattern in KINDS.items() if pattern.fullmatch(service.text)), None)


def storage_of(found: VerdiStatus) -> tuple[str, ...]:
    """The profiles whose storage the lines show, if they name one."""
    matches = (KINDS["core.psql_dos"].fullmatch(line.text) for line in found.lines if line.name == "storage")
    return tuple(dict.fromkeys(match["profile"] for match in matches if match))


def _settled(service: Service) -> Service:
    """A tick alone is not enough: a line that was cut off before its message says nothing."""
    says_so = bool(service.text) and (service.name != "daemon" or bool(_DAEMON_RUNS.match(service.text)))
    if service.symbol == "up" and not says_so:
        return Service(service.name, "unknown", service.text)
    return service


def _broker_of_daemon(service: Service) -> Service | None:
    """AiiDA 2.9 shows its own broker, which it starts with the daemon, only in the daemon's line."""
    if service.name != "daemon":
        return None
    if "Broker is NOT running" in service.text:
        return Service("broker", "error", "Broker is NOT running")
    runs = _DAEMON_RUNS.match(service.text)
    if runs and runs[2] and service.symbol in ("up", "warning"):
        return Service("broker", "up", f"Broker PID {runs[2]}")
    return None


def _profile_of(found: list[Service]) -> str | None:
    shown = [service for service in found if service.name == "profile"]
    if any(service.symbol != "up" for service in shown):
        return None
    return _only({service.text for service in shown})


def _only(values: set[str]) -> str | None:
    return next(iter(values)) if len(values) == 1 else None


def _exception(rows: list[str]) -> str | None:
    """The last line of the last Python traceback ("TimeoutError: ...") other than those at Python's own exit."""
    inside, last = False, None
    for row in without_ignored_exceptions(rows):
        if row.startswith("Traceback (most recent call last)"):
            inside = True
        elif inside and row and not row[0].isspace():
            inside, last = False, row
    return last


@dataclass(frozen=True, slots=True)
class ProfileList:
    """``verdi profile list``: the exact names, and the directory they were read from."""

    names: tuple[str, ...]
    folder: str | None


_FOLDER = re.compile(r"Report: configuration folder: (/.*)")
_PROFILE = re.compile(r"[* ] (\S+)")


def profile_list(text: str) -> ProfileList:
    """Read ``verdi profile list`` (AiiDA 2.6 to 2.9): "* name" is the default, "  name" another.

    Lines in another form (reports, warnings) are not names.
    """
    rows = lines(text)
    found = [match for row in rows if (match := _PROFILE.fullmatch(row))]
    return ProfileList(
        names=tuple(dict.fromkeys(match[1] for match in found)),
        folder=_only({match[1] for row in rows if (match := _FOLDER.fullmatch(row))}),
    )


@dataclass(frozen=True, slots=True)
class DaemonStatus:
    """``verdi -p NAME daemon status``.

    ``running`` only if "Daemon is running as PID N" is printed and no error is; ``workers`` is the number of rows of
    living processes, at most the smallest count shown, None if no count is shown; ``dead`` are the PIDs of rows whose
    process circus did not find (dashes for its memory, processor and start); ``profile`` is None unless exactly one is
    named.
    """

    running: bool
    profile: str | None
    pid: int | None
    workers: int | None
    dead: tuple[str, ...]
    errors: tuple[str, ...]


_DAEMON_PROFILE = re.compile(r"Profile: (\S+)")
_DAEMON_PID = re.compile(r"Daemon is running as PID (\d+) since .+")
_WORKERS = re.compile(r"Active workers \[(\d+)\]:")
# "N/A" is shown for what may not be read of another user's process; only a living one has a start.
_MEASURED = r"(?:\d+(?:\.\d+)?(?:e[+-]\d+)?|N/A)"
_WORKER = re.compile(rf" *(\d+) +{_MEASURED} +{_MEASURED} +\d{{4}}-\d\d-\d\d \d\d:\d\d:\d\d")
_DEAD_WORKER = re.compile(r" *(\d+) +- +- +-")


def daemon_status(text: str) -> DaemonStatus:
    """Read ``verdi daemon status`` (AiiDA 2.6 to 2.9)."""
    rows = lines(text)
    pids = [m[1] for row in rows if (m := _DAEMON_PID.fullmatch(row))]
    counts = [n for row in rows if (m := _WORKERS.fullmatch(row)) and (n := number(m[1])) is not None]
    alive = {m[1] for row in rows if (m := _WORKER.fullmatch(row))}
    dead = tuple(dict.fromkeys(m[1] for row in rows if (m := _DEAD_WORKER.fullmatch(row))))
    errors = tuple(m[2] for row in rows if (m := _LOGGED.match(row)))
    pid = _only(set(pids))
    return DaemonStatus(
        running=bool(pids) and not errors,
        profile=_only({m[1] for row in rows if (m := _DAEMON_PROFILE.fullmatch(row))}),
        pid=number(pid) if pid else None,
        workers=min([*counts, len(alive.difference(dead))]) if counts else None,
        dead=dead,
        errors=errors,
    )


@dataclass(frozen=True, slots=True)
class ComputerTest:
    """``verdi -p NAME computer test LABEL``, whose exit status is 0 even when tests failed.

    ``passed`` only if "Success: all N tests succeeded" is the only verdict, N tests are shown as [OK] and none as
    failed. ``failures`` are the lines of failed tests. ``disabled_for`` is the user for whom the computer is disabled.
    """

    passed: bool
    computer: str | None
    total: int | None
    failures: tuple[str, ...]
    errors: tuple[str, ...]
    disabled_for: str | None


_DISABLED = re.compile(r"Warning: Computer<.+> is disabled for user<(.+)>")
_TESTED = re.compile(r"Report: Testing computer<(.+?)> for user<.*>\.\.\.")
_ALL_PASSED = re.compile(r"Success: all (\d+) tests succeeded")
_SOME_FAILED = re.compile(r"Warning: \d+ out of (\d+) tests failed")
_FAILED_TEST = re.compile(r"\[failed", re.IGNORECASE)


def computer_test(text: str) -> ComputerTest:
    """Read ``verdi computer test`` (AiiDA 2.6 to 2.9)."""
    rows = lines(text)
    passes = [number(m[1]) for row in rows if (m := _ALL_PASSED.fullmatch(row))]
    fails = [number(m[1]) for row in rows if (m := _SOME_FAILED.match(row))]
    failures = tuple(row for row in rows if _FAILED_TEST.search(row))
    ok = sum("[OK]" in row for row in rows)
    total = (fails or passes or [None])[-1]
    passed = len(passes) == 1 and not fails and not failures and total is not None and 0 < total <= ok
    return ComputerTest(
        passed=passed,
        computer=_only({m[1] for row in rows if (m := _TESTED.fullmatch(row))}),
        total=total,
        failures=failures,
        errors=tuple(m[2] for row in rows if (m := _LOGGED.match(row))),
        disabled_for=_only({m[1] for row in rows if (m := _DISABLED.match(row))}),
    )


_SHOWN = re.compile(r"(\S+(?: \S+)*) {2,}(\S.*)")


def computer_show(text: str) -> dict[str, str]:
    """Read ``verdi computer show`` (AiiDA 2.6 to 2.9): its table, as ``{"Scheduler type": "core.slurm", ...}``.

    A name with different values is left out, and so is one without a value.
    """
    rows = [match for row in lines(text) if (match := _SHOWN.fullmatch(row)) and set(row) - {"-", " "}]
    values: dict[str, set[str]] = {}
    for match in rows:
        values.setdefault(match[1], set()).add(match[2])
    return {name: next(iter(found)) for name, found in values.items() if len(found) == 1}
