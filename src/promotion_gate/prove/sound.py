"""What must hold for a bundle before it can be decided.

seal() checks this before it writes a decision and verify checks it afterwards, with the same functions: a bundle that
verify would refuse is never sealed.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from promotion_gate.base.errors import BundleError, InputError
from promotion_gate.base.files import read_file
from promotion_gate.base.names import (
    ATTEMPTS,
    BASELINE_FILE,
    INDEX_FILE,
    SIGNATURE_FILE,
    SUMS_FILE,
    archived_by,
    name_problem,
)
from promotion_gate.base.times import MAX_CLOCK_SKEW, parse_duration, parse_stamp
from promotion_gate.bundle.index import Index
from promotion_gate.bundle.load import Bundle, load_bundle

_LINE = re.compile(r"([0-9a-f]{64})  ([^\n]+)", re.ASCII)
_ARCHIVED_SEAL = re.compile(rf"{ATTEMPTS}/[^/]*/{SUMS_FILE}")
# Room for 50,000 names of the usual length.
MAX_SUMS_BYTES = 8 * 1024 * 1024
_SHOWN = 5


def shown(names: list[str]) -> str:
    """The first few names, and how many more there are."""
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more


def load_sound(folder: Path) -> Bundle:
    """The bundle, if the index is consistent and no baseline is newer than the decision.

    Raises BundleError naming the problem. An open bundle may be sound too; it just has no decision yet.
    """
    bundle = load_bundle(folder)
    found = [f"{INDEX_FILE}: {problem}" for problem in contradictions(bundle.index)]
    found += [f"{BASELINE_FILE}: {problem}" for problem in _from_the_future(bundle)]
    if found:
        raise BundleError(shown(found))
    return bundle


def _from_the_future(bundle: Bundle) -> Iterator[str]:
    """Baselines that did not exist yet when the decision was made."""
    evaluated = parse_stamp(bundle.index.evaluated_at or "")
    for baseline in bundle.baselines:
        recorded = parse_stamp(baseline.recorded_at)
        if evaluated and recorded and recorded - evaluated > MAX_CLOCK_SKEW:
            yield f"the baseline of run {baseline.run_id} is dated {baseline.recorded_at}, after the decision"


def contradictions(index: Index) -> Iterator[str]:
    """Checks what a schema cannot express: times are valid and in order, and settings and record agree."""
    opened, evaluated = parse_stamp(index.opened_at), parse_stamp(index.evaluated_at or "")
    if opened is None:
        yield f'opened_at is "{index.opened_at}", which is not a time'
    if index.evaluated_at is not None and evaluated is None:
        yield f'evaluated_at is "{index.evaluated_at}", which is not a time'
    if opened and evaluated and opened > evaluated:
        yield (
            f"the run was opened at {index.opened_at}, after its decision at {index.evaluated_at}; if the controller's "
            "clock was set back, start a new run"
        )
    if [item.number for item in index.attempts] != list(range(1, index.attempt)):
        yield "the index does not name each attempt before this one"
    gates = {*index.gates, *(item.gate for item in index.commands), *(item.gate for item in index.artifacts)}
    gates |= {*(item.gate for item in index.artifact_sets), *(event.gate for event in index.events if event.gate)}
    for name in sorted(gates - {planned.gate for planned in index.plan}):
        yield f'the plan has no gate "{name}", of which something is recorded'
    settings = index.settings
    for name, recorded in (
        ("promotion_operator", index.operator),
        ("promotion_reviewer", index.reviewer),
        ("promotion_ticket", index.ticket),
        ("promotion_risks", list(index.risks)),
        ("promotion_waivers", list(index.waivers)),
    ):
        if settings.get(name) != recorded:
            yield f"settings.{name} is not what the record names"
    seconds = settings.get("evidence_max_age_seconds")
    try:
        meant = parse_duration(settings.get("promotion_evidence_max_age"), "promotion_evidence_max_age")
        if not isinstance(seconds, int) or isinstance(seconds, bool) or seconds != int(meant.total_seconds()):
            yield f"settings.evidence_max_age_seconds is {seconds!r}, not promotion_evidence_max_age in seconds"
    except InputError as error:
        yield f"settings.{str(error).rstrip('.')}"


def attempts_problem(folder: Path, sums: Mapping[str, str], bundle: Bundle) -> str:
    """What is wrong with the earlier attempts, or an empty string.

    Exactly the replaced seals that the index names must be there, and so must the files that each of them names.
    """
    named = {f"{ATTEMPTS}/{item.number:02d}/{SUMS_FILE}": item.sha256 for item in bundle.index.attempts if item.sha256}
    there = {name: digest for name, digest in sums.items() if _ARCHIVED_SEAL.fullmatch(name)}
    if named.items() - there.items():
        return f"a seal that the index names is gone from {ATTEMPTS}/"
    if there.items() - named.items():
        return f"{ATTEMPTS}/ has a seal that the index does not name"
    places = _places(sums)
    return shown([problem for name in sorted(named) for problem in _lost(folder, places, name)])


def _places(sums: Mapping[str, str]) -> dict[tuple[str, str], float]:
    """For each name and digest, the newest archive that has it; the bundle itself is newer than every archive."""
    places: dict[tuple[str, str], float] = dict.fromkeys(sums.items(), math.inf)
    for place, digest in sums.items():
        number = archived_by(place)
        if number is not None:
            name = place.split("/", 2)[2]
            places[name, digest] = max(number, places.get((name, digest), 0))
    return places


def _lost(folder: Path, places: Mapping[tuple[str, str], float], seal: str) -> Iterator[str]:
    """What an earlier seal names but the bundle no longer has as it was sealed then.

    A file stays where it is until a resume replaces it, so it is in the bundle or in an archive from that attempt on.
    An attempt that was cut off has no seal, so there is nothing to compare its archive with.
    """
    entries, problem = parse_sums(read_file(folder / seal, MAX_SUMS_BYTES).data)
    if problem:
        yield f"{seal}: {problem}"
    first = archived_by(seal) or 1
    for name, digest in entries.items():
        if places.get((name, digest), 0) < first:
            yield f"{name} is not what {seal} lists"


def parse_sums(data: bytes) -> tuple[dict[str, str], str]:
    """Like read_sums(), from the bytes of the file.

    The grammar is strict: lines of 64 lower-case hex digits, two spaces and a name, sorted by the bytes of the
    name, no name twice, and LF at the end of every line.
    """
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        return {}, "it is not UTF-8"
    if not text.endswith("\n"):
        return {}, "it does not end with a newline; it was truncated"
    entries: dict[str, str] = {}
    last = b""
    for number, line in enumerate(text[:-1].split("\n"), start=1):
        match = _LINE.fullmatch(line)
        if not match:
            return entries, f"line {number} is not a digest, two spaces and a name"
        digest, name = match.groups()
        problem = "cannot be listed in itself" if name in (SUMS_FILE, SIGNATURE_FILE) else name_problem(name)
        if problem:
            return entries, f"line {number}: {name!r} {problem}"
        if name in entries:
            return entries, f"line {number}: {name} is listed twice"
        if name.encode() < last:
            return entries, f"line {number}: {name} is out of order"
        entries[name], last = digest, name.encode()
    return entries, ""
