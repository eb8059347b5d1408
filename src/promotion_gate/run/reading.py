"""The commands `show`, `diff` and `history`, which read sealed bundles and write nothing."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from promotion_gate.base.errors import InputError
from promotion_gate.base.fields import nearest
from promotion_gate.base.files import to_json
from promotion_gate.base.typed import plain
from promotion_gate.bundle.fleet import host_roots, is_fleet
from promotion_gate.bundle.load import load_bundle
from promotion_gate.bundle.overview import History, overview
from promotion_gate.judge.shipped import differences
from promotion_gate.prove.believed import believed
from promotion_gate.report.difference import compared, text_of_difference
from promotion_gate.report.history import page_of_history, text_of_history, text_of_hosts
from promotion_gate.report.issues import message_of
from promotion_gate.report.render import job_summary
from promotion_gate.report.show import coloured, text_of, text_of_checks

PROMOTE, HOLD = 0, 1
SAME, WORSE = 0, 1
HOLDS, BROKEN = 0, 1


def show(options: argparse.Namespace) -> int:
    """Returns 0 for PROMOTE and 1 for HOLD, whatever part of the record is shown."""
    decision = believed(options.bundle)
    record = decision.as_dict()
    whole = options.gate is None and options.check is None
    if options.markdown and not whole:
        raise InputError("--markdown prints the whole decision; leave out --gate and --check.")
    chosen = record if whole else _chosen(record, options.gate, options.check)
    if options.markdown:
        sys.stdout.write(job_summary(decision))
    elif options.json:
        sys.stdout.write(to_json(chosen))
    elif whole:
        print(_painted(text_of(record, message_of(options.bundle, decision.attempt))))
    else:
        print(_painted(text_of_checks(chosen)))
    return PROMOTE if decision.decision == "PROMOTE" else HOLD


def _chosen(record: Mapping[str, Any], gate: str | None, check: str | None) -> Any:
    """The gates with the checks that were asked for. Raises InputError with the nearest name."""
    gates = record["gates"]
    if gate is not None:
        gates = [one for one in gates if gate in (str(one["id"]), one["name"])]
        if not gates:
            names = [one["name"] for one in record["gates"]]
            known = ", ".join(f"{one['id']} {one['name']}" for one in record["gates"])
            raise InputError(f'There is no gate "{gate}"{nearest(gate, names) or f" (there are {known})."}')
    if check is not None:
        ids = [one["id"] for found in gates for one in found["checks"]]
        if check not in ids:
            where = f"gate {gate}" if gate is not None else "this decision"
            hint = nearest(check, ids) or " `show BUNDLE --json` lists all."
            raise InputError(f'There is no check "{check}" in {where}{hint if hint[0] == ";" else "." + hint}')
        gates = [{**found, "checks": [one for one in found["checks"] if one["id"] == check]} for found in gates]
    return {"gates": [found for found in gates if found["checks"]]}


def _painted(text: str) -> str:
    """In colour on a terminal that supports it, unless NO_COLOR is set."""
    on = sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    return coloured(text) if on else text


def diff(options: argparse.Namespace) -> int:
    """Returns 1 if something fails in the second bundle that did not fail in the first, else 0."""
    before, after = (believed(bundle) for bundle in options.bundles)
    old, new = (load_bundle(bundle).policy for bundle in options.bundles)
    found = compared(before, after, differences(new, old))
    print(to_json(found.as_dict()) if options.json else "\n".join([*text_of_difference(found), ""]), end="")
    return WORSE if found.worse else SAME


def history(options: argparse.Namespace) -> int:
    """Returns 1 if the chain of the runs does not hold, else 0, whatever they decided."""
    if options.last is not None and options.last < 1:
        raise InputError("--last must be at least 1.")
    folders = host_roots(options.root) if is_fleet(options.root) else []
    if folders:
        return _history_of_hosts(options, folders)
    found = overview(options.root)
    if options.json:
        sys.stdout.write(to_json(_as_json(found)))
    elif options.html:
        sys.stdout.write(page_of_history(found))
    else:
        print("\n".join(text_of_history(found, options.last)))
    return BROKEN if found.problems else HOLDS


def _history_of_hosts(options: argparse.Namespace, folders: Sequence[Path]) -> int:
    if options.html or options.last is not None:
        option = "--html" if options.html else "--last"
        raise InputError(f"{option} is for the runs of one host. Name its folder: {', '.join(map(str, folders))}.")
    found = [overview(folder) for folder in folders]
    if options.json:
        sys.stdout.write(to_json({"root": str(options.root), "hosts": list(map(_as_json, found))}))
    else:
        print("\n".join(text_of_hosts(found)))
    return BROKEN if any(host.problems for host in found) else HOLDS


def _as_json(found: History) -> dict[str, Any]:
    runs = [{**plain(row), "seconds": row.seconds} for row in found.runs]
    return {"root": found.root, "runs": runs, "problems": list(found.problems)}
