"""Time stamps as the records have them: UTC, whole seconds, `2026-11-23T23:35:14Z`."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from promotion_gate.base.errors import InputError

RUN_ID_FORMAT = "%Y%m%dT%H%M%SZ"
# What lies this far ahead was written with a wrong clock; less is ordinary skew.
MAX_CLOCK_SKEW = timedelta(minutes=5)
_STAMP_FORMAT = "%Y-%m-%dT%H:%M:%SZ"
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}


def utc_now() -> datetime:
    return datetime.now(UTC)


def stamp(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime(_STAMP_FORMAT)


def parse_stamp(text: str) -> datetime | None:
    """The moment of a stamp, or None for anything else."""
    try:
        return datetime.strptime(text, _STAMP_FORMAT).replace(tzinfo=UTC)
    except (ValueError, TypeError):
        return None


def parse_duration(text: object, name: str) -> timedelta:
    """`24h`, `90m`, `2d`, or plain seconds. Raises InputError naming the variable."""
    match = re.fullmatch(r"\s*(\d{1,9})\s*([smhdw]?)\s*", str(text), re.ASCII)
    if isinstance(text, bool) or not match or int(match[1]) == 0:
        raise InputError(f'{name} is "{text}"; write a duration such as 24h, 90m or 2d.')
    return timedelta(seconds=int(match[1]) * _UNITS[match[2] or "s"])


def human_seconds(nanoseconds: int) -> str:
    return f"{nanoseconds / 1e9:.3f} s"
