"""The entries of fleet.json: for each host the decision, the first cause of a HOLD, and where the bundle is."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from promotion_gate.base.errors import GateError
from promotion_gate.base.model import Decision, Status, beside_gates
from promotion_gate.base.names import FLEET_FILE
from promotion_gate.base.times import stamp, utc_now
from promotion_gate.bundle.fleet import Fleet, FleetHost, write_fleet
from promotion_gate.prove.verify import verify_bundle
from promotion_gate.run.sharing import share


def first_cause(decision: Decision) -> str:
    """The first check that failed by itself, else the first objection; empty for a PROMOTE."""
    checks = [check for gate in decision.gates for check in gate.checks if not check.waived and not check.cause]
    causes = [f"{check.id} {check.status}" for check in checks if check.status is not Status.PASS]
    return next(iter([*causes, *beside_gates(decision.objections), *decision.objections]), "")


def host_entry(bundle: Path, decision: Decision | None, problem: str) -> FleetHost:
    """The entry of a host. `problem` says why its decision is not valid, or why there is none."""
    valid = decision if decision and not problem else None
    return FleetHost(
        host=bundle.parent.name,
        run_id=bundle.name,
        attempt=valid.attempt if valid else None,
        decision=valid.decision if valid else None,
        decided_at=valid.decided_at if valid else None,
        cause=first_cause(valid) if valid else problem,
        bundle=f"{bundle.parent.name}/{bundle.name}",
    )


def entry_as_verified(bundle: Path) -> FleetHost:
    """The entry of a host whose run is as an earlier one left it."""
    report = verify_bundle(bundle)
    return host_entry(bundle, report.decision, "" if report.holds else f"it does not verify: {report.problem}")


def note_fleet(root: Path, entries: Iterable[FleetHost], group: str | None) -> None:
    """Writes fleet.json. Raises GateError if that is not possible."""
    try:
        write_fleet(root, Fleet(written_at=stamp(utc_now()), hosts=tuple(entries)))
    except OSError as error:
        raise GateError(f"{root / FLEET_FILE} cannot be written ({error.strerror}).") from None
    share(group, root / FLEET_FILE)
