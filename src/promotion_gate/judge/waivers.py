"""Waivers: a named person answers for a named check for a limited time, if the policy lets it be waived."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Literal

from promotion_gate.base.errors import InputError
from promotion_gate.base.fields import Fields, kind_of, nearest
from promotion_gate.base.model import JudgedWaiver, Waiver
from promotion_gate.base.people import is_person, person, same_person
from promotion_gate.base.policy import Policy
from promotion_gate.base.times import parse_stamp
from promotion_gate.base.typed import keys

Why = Literal["", "expired", "refused", "unowned"]
_REFUSALS = {
    "refused": "the policy does not let it be waived",
    "unowned": "its owner must be a person, and not the operator",
}


@dataclass(frozen=True, slots=True)
class Waivers:
    """The waivers of a run, each with its state at the time of the decision."""

    entries: tuple[Waiver, ...]
    # One per entry: why it has no effect (for example `refused` by the policy), or an empty string.
    void: tuple[Why, ...]

    def covers(self, check_id: str) -> bool:
        return any(not why and entry["check"] == check_id for entry, why in self._pairs())

    @property
    def objections(self) -> tuple[str, ...]:
        """A waiver that cannot count is not a slip: somebody edited the index."""
        return tuple(
            f"The waiver of {entry['check']} counts for nothing: {_REFUSALS[why]}."
            for entry, why in self._pairs()
            if why in _REFUSALS
        )

    def report(self, failed: Iterable[str]) -> tuple[JudgedWaiver, ...]:
        """Each waiver with its `state`: applied, unneeded, expired or refused."""
        failing = set(failed)
        return tuple({**entry, "state": _state(why, entry["check"] in failing)} for entry, why in self._pairs())

    def _pairs(self) -> Iterator[tuple[Waiver, Why]]:
        return zip(self.entries, self.void, strict=True)


def _state(why: Why, failing: bool) -> Literal["applied", "unneeded", "expired", "refused"]:
    if why:
        return "refused" if why in _REFUSALS else "expired"
    return "applied" if failing else "unneeded"


def _expiry(text: object) -> datetime | None:
    """The end of the day that a waiver's expiry date names, UTC."""
    try:
        return datetime.strptime(str(text), "%Y-%m-%d").replace(tzinfo=UTC) + timedelta(days=1)
    except (ValueError, OverflowError):
        return None


def expired(entries: Iterable[Mapping[str, object]], today: datetime) -> list[Mapping[str, object]]:
    """The waivers whose last day has passed."""
    return [entry for entry in entries if (expiry := _expiry(entry["expires"])) is not None and expiry <= today]


def check_waivers(entries: Iterable[object], policy: Policy, operator: str) -> tuple[dict[str, str], ...]:
    """Validates promotion_waivers. Raises InputError naming the waiver and its field."""
    known = {check.id: check.waivable for check in policy.checks()}
    checked = []
    for number, entry in enumerate(entries, start=1):
        fields = Fields(entry, f"promotion_waivers, waiver {number}", InputError)
        fields.only(keys(Waiver))
        waiver = {name: _written(fields, name) for name in keys(Waiver)}
        empty = [name for name, value in waiver.items() if not value]
        if empty:
            raise InputError(f"{fields.where}: {', '.join(empty)} must be set; a waiver names all of them.")
        if waiver["check"] not in known:
            raise InputError(f'{fields.where}: no check is named "{waiver["check"]}"{nearest(waiver["check"], known)}')
        if not known[waiver["check"]]:
            raise InputError(f"{fields.where}: the policy does not let {waiver['check']} be waived.")
        if _expiry(waiver["expires"]) is None:
            raise InputError(f'{fields.where}: expires is "{waiver["expires"]}"; write a date such as 2026-12-31.')
        waiver["owner"] = person(waiver["owner"], f"{fields.where}: owner")
        if same_person(waiver["owner"], operator):
            raise InputError(
                f"{fields.where}: owner is the operator ({operator}); whoever runs the gate cannot waive its checks."
            )
        checked.append(waiver)
    return tuple(checked)


def _written(fields: Fields, name: str) -> str:
    """A field as a string; a ticket may be a number, and YAML turns the expiry into a date."""
    value = fields.raw(name, "")
    if not isinstance(value, (str, date)) and (
        name != "ticket" or isinstance(value, bool) or not isinstance(value, int)
    ):
        raise InputError(f"{fields.where}: {name} must be a string, not {kind_of(value)}.")
    return str(value).strip()


def judge_waivers(entries: Iterable[Waiver], policy: Policy, evaluated_at: str, operator: str) -> Waivers:
    """Which waivers count at `evaluated_at`; if a check has several, each is judged on its own."""
    waivable = {check.id for check in policy.checks() if check.waivable}
    now = parse_stamp(evaluated_at)
    given = tuple(entries)
    return Waivers(given, tuple(_void(entry, waivable, now, operator) for entry in given))


def _void(entry: Waiver, waivable: set[str], now: datetime | None, operator: str) -> Why:
    expiry, owner = _expiry(entry["expires"]), entry["owner"]
    if entry["check"] not in waivable:
        return "refused"
    if not is_person(owner) or same_person(owner, operator):
        return "unowned"
    return "" if now is not None and expiry is not None and now < expiry else "expired"
