"""Time stamps as the records have them: UTC, whole seconds, `2026-11-23T23:35:14Z`."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from promotion_gate.base.errors import InputError

RUN_ID_FORMAT = "%Y%m%dT%H%M%SZ"
# A time this far in the future was written with a wrong clock; less is ordinary skew.
MAX_CLOCK_SKEW = timedelta(minutes=5)
_STAMP_FORMAT = "%Y-%m-%dT%H:%M:%SZ"
_STAMP = re.compile(r"2\d{3}-\d\d-\d\dT\d\d:\d\d:\d\dZ", re.ASCII)
MAX_DURATION_SECONDS = 10 * 366 * 86400
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}


def utc_now() -> datetime:
    return datetime.now(UTC)


def stamp(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime(_STAMP_FORMAT)


def parse_stamp(text: str) -> datetime | None:
    """The moment of a stamp in the years 2000 to 2999, to which a duration can be added; None for anything else."""
    if not isinstance(text, str) or not _STAMP.fullmatch(text):
        return None
    try:
        return datetime.strptime(text, _STAMP_FORMAT).replace(tzinfo=UTC)
    except ValueError:
        return None


def parse_duration(text: object, name: str) -> timedelta:
    """`24h`, `90m`, `2d`, or plain seconds. Raises InputError naming the variable."""
    match = re.fullmatch(r"\s*(\d{1,9})\s*([smhdw]?)\s*", str(text), re.ASCII)
    seconds = int(match[1]) * _UNITS[match[2] or "s"] if match else 0
    if isinstance(text, bool) or not 0 < seconds <= MAX_DURATION_SECONDS:
        raise InputError(f'{name} is "{text}"; write a duration such as 24h, 90m or 2d, of at most ten years.')
    return timedelta(seconds=seconds)


def epoch(text: str) -> int:
    """The seconds of a stamp since 1970; 0 if it is not a stamp."""
    moment = parse_stamp(text)
    return int(moment.timestamp()) if moment else 0


def took(seconds: float | None) -> str:
    """How long a gate took."""
    return "not run" if seconds is None else f"{seconds:.1f} s"


def human_seconds(nanoseconds: int) -> str:
    return f"{nanoseconds / 1e9:.3f} s"
