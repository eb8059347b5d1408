"""Gate 4: the smoke script, and what Slurm and verdi themselves report: controller, node, computer test, a real job."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from promotion_gate.base.limits import Limit, flag, whole
from promotion_gate.base.model import Status
from promotion_gate.base.patterns import first_match
from promotion_gate.judge.checks.case import Case, Finding, Output, SwitchedOff, Unproven, check
from promotion_gate.judge.checks.hints import CUT, UNUSABLE
from promotion_gate.judge.parsers import slurm, slurm_jobs, slurm_reservations, verdi
from promotion_gate.judge.parsers.text import key_values, last_line, reason

ARTIFACTS = "slurm-smoke"


@check("smoke_script", "exit status 0 (2 is blocked, 1 a hard failure)", hints="not_executable")
def smoke_script(case: Case) -> Finding:
    output = case.command("script")
    if output.exit == 2:
        raise Unproven(Status.BLOCKED, f"exited 2 (blocked): {_why_blocked(output.text)}", output.record.file)
    if output.exit == 126:
        raise Unproven(Status.BLOCKED, reason(output.text), output.record.file, "not_executable")
    output.succeeded()
    return Finding(Status.PASS, "exited 0", (output.record.file,))


def _why_blocked(text: str) -> str:
    """The line with BLOCKED, or else the one with the reason; after it the script only prints where its logs are."""
    return last_line("\n".join(row for row in text.splitlines() if "BLOCKED" in row)) or reason(text)


@check(
    "smoke_artifacts",
    "the complete artifact directory with its logs, none of them empty except those meant to be",
    Limit("may_be_empty", "patterns"),
)
def smoke_artifacts(case: Case) -> Finding:
    found = case.artifact_set(ARTIFACTS)
    if not found.found:
        raise Unproven(Status.MISSING, f"the script left no artifact directory ({found.error or 'not there'})")
    if found.refused:
        shown = "; ".join(f'"{item.path}": {item.reason}' for item in found.refused[:5])
        raise Unproven(Status.INVALID, f"refused: {shown}", hint=UNUSABLE)
    files = [item for item in case.bundle.index.artifacts if item.file.startswith(f"{ARTIFACTS}/")]
    if not files:
        raise Unproven(Status.MISSING, "the artifact directory is empty")
    empty: list[str] = []
    for item in files:
        content = case.file(item.file)
        if item.truncated or found.truncated:
            raise Unproven(Status.INVALID, f"{item.file} was too large and was truncated", item.file, CUT)
        if not content.strip():
            empty.append(item.file)
    if len(empty) == len(files):
        raise Unproven(Status.MISSING, f"all {len(files)} files are empty", empty[0])
    # A script that was blocked skipped its later steps; what it did not get to is not missing.
    meant = not _passed(case)
    lost = [file for file in empty if not meant and first_match(case.limit("may_be_empty"), file) is None]
    if lost:
        raise Unproven(Status.MISSING, f"empty: {', '.join(lost[:5])}", lost[0])
    observed = f"{len(files)} files, " + (f"{len(empty)} of them empty as intended" if empty else "none empty")
    return Finding(Status.PASS, observed, tuple(item.file for item in files))


def _passed(case: Case) -> bool:
    record = case.bundle.index.command(case.gate.name, "script")
    return record is not None and record.exit == 0


@check("controller", expected="`scontrol ping` reports at least one controller UP")
def controller(case: Case) -> Finding:
    output = case.command("ping")
    found = slurm.ping(output.whole)
    if output.exit != 0 or not any(item.up for item in found):
        shown = ", ".join(f"{item.role} at {item.host} is DOWN" for item in found if not item.up)
        status = output.failure
        raise Unproven(status, shown or f"scontrol {output.how}", output.record.file)
    shown = ", ".join(f"{item.role} at {item.host} is {'UP' if item.up else 'DOWN'}" for item in found)
    return Finding(Status.PASS, shown, (output.record.file,))


@check(
    "schedulable_node",
    "at least {min_schedulable_nodes} schedulable node in a partition that is up",
    whole("min_schedulable_nodes", 1, 100000, "larger"),
    flag("allow_power_saving", "false"),
    hints="resume slurmd invalid partition empty reserved maintenance slurmctld fewer",
    placeholders="node partition reservation",
)
def schedulable_node(case: Case) -> Finding:
    output = case.command("sinfo")
    if output.exit != 0:
        status = output.failure
        observed = f"sinfo {output.how}"
        return Finding(status, observed, (output.record.file,), hint="slurmctld")
    power_saving = bool(case.limit("allow_power_saving"))
    shown = case.command("show_nodes")
    listing = slurm.with_all_flags(slurm.nodes(output.whole), slurm.shown_nodes(shown.whole))
    reservations = case.command("reservations").succeeded("slurmctld")
    if not slurm_reservations.tells_reservations(reservations.whole):
        why = f"`{reservations.record.command}` does not list the reservations: {reason(reservations.text)}"
        raise Unproven(Status.INVALID, why, reservations.record.file, "slurmctld")
    listing = slurm_reservations.with_reservations(listing, slurm_reservations.reservations(reservations.whole))
    partition = str(case.settings.get("gate_slurm_smoke_partition") or "")
    good = slurm.schedulable_nodes(listing, partition, power_saving=power_saving)
    names = sorted({node.name for node in good})
    known = {node.name for node in listing.nodes if partition in ("", node.partition)}
    details = {"covered": (len(names), len(known), "nodes")}
    wanted = int(case.limit("min_schedulable_nodes"))
    if len(names) >= wanted and shown.exit == 0:
        states = ", ".join(f"{node.name} {node.state.lower()} in {node.partition}" for node in good[:5])
        figure = f"{good[0].name} {good[0].state.lower()}" + (f" and {len(names) - 1} more" if len(names) > 1 else "")
        return Finding(Status.PASS, states, (output.record.file,), figure=figure, details=details)
    if shown.exit != 0:
        raise Unproven(shown.failure, f"`{shown.record.command}` {shown.how}", shown.record.file, "slurmctld")
    found = _no_node(case, output, listing, partition, power_saving)
    if not good:
        return replace(found, details=details)
    observed = f"{len(names)} of {wanted} wanted nodes can be scheduled" + (found.observed and f"; {found.observed}")
    return replace(found, observed=observed, hint=found.hint if found.observed else "fewer", details=details)


def _no_node(case: Case, output: Output, listing: slurm.Nodes, partition: str, power_saving: bool) -> Finding:
    mine = [node for node in listing.nodes if partition in ("", node.partition)]
    up = [node for node in mine if node.partition_state == "up"]
    bad = [node for node in up if not slurm.schedulable(node, power_saving=power_saving)[0]]
    node = next(iter(bad or mine), None)
    reasons = [slurm.schedulable(node, power_saving=power_saving)[1] for node in mine]
    reasons += [f"partition {name} has no node" for name in listing.empty if partition in ("", name)]
    if partition and not mine and partition not in listing.empty:
        reasons.append(f"there is no partition {partition}")
    reservation = _reservation(case, node.name if node else "")
    values = {
        "node": node.name if node else "NODE",
        "partition": node.partition if node else partition or "PARTITION",
        "reservation": reservation or "NAME",
    }
    hint = "empty" if node is None else "partition" if not up else _remedy({node.state, *node.flags}, reservation)
    observed = "; ".join(dict.fromkeys(reason for reason in reasons if reason))
    observed = observed or ("" if mine else "sinfo lists no node")
    return Finding(Status.FAIL, observed, (output.record.file,), hint=hint, values=values)


_INVALID = {"INVAL", "INVALID_REG"}
_RESUMABLE = {"DOWN", "DRAIN", "DRAINED", "DRAINING", "FAIL", "FAILING", "ERROR"}


def _remedy(words: set[str], reservation: str) -> str:
    """The hint for a node with these words in its state."""
    if {"MAINTENANCE", "RESERVED"} & words:
        return "reserved" if reservation else "maintenance"
    if _INVALID & words:  # slurmctld also drains such a node and may not know its state; it refuses to resume it
        return "invalid"
    if {"NOT_RESPONDING", "UNKNOWN"} & words:
        return "slurmd"
    return "resume" if _RESUMABLE & words else "default"


def _reservation(case: Case, node: str = "") -> str:
    """The name of a reservation in force, for a node if one is given; an empty string if there is none."""
    try:
        found = slurm_reservations.reservations(case.command("reservations").whole)
    except Unproven:
        return ""
    return next((item.name for item in found if not node or item.covers(node)), "")


@check(
    "computer_test",
    '"Success: all N tests succeeded" for the core.slurm computer, no test failed',
    hints="scheduler unset disabled",
    placeholders="user",
)
def computer_test(case: Case) -> Finding:
    output = case.command("computer_test")
    found = verdi.computer_test(output.whole)
    if output.exit == 0 and found.passed:
        _of_slurm(case, found.computer)
        observed = f"all {found.total} tests succeeded for {found.computer}"
        return Finding(Status.PASS, observed, (output.record.file,), figure=f"{found.total} computer tests")
    if found.disabled_for:
        why = f"the computer is disabled for {found.disabled_for}"
        values = {"user": found.disabled_for}
        return Finding(Status.FAIL, why, (output.record.file,), hint="disabled", values=values)
    why = "; ".join([*found.failures, *found.errors][:5]) or reason(output.text)
    raise Unproven(output.failure, f"no success ({output.ending}): {why}", output.record.file)


def _of_slurm(case: Case, tested: str | None) -> None:
    """The tested computer uses Slurm: one with core.direct passes the same tests."""
    output = case.command("computer_show").succeeded()
    shown = verdi.computer_show(output.text)
    label, scheduler = shown.get("Label"), shown.get("Scheduler type")
    if tested is None or label != tested:
        why = f"{tested or 'no computer'} was tested, but {label or 'none'} is the target"
        raise Unproven(Status.FAIL, why, output.record.file)
    if scheduler != "core.slurm":
        why = f"the scheduler of {label} is {scheduler or 'not known'}, not core.slurm"
        raise Unproven(Status.FAIL, why, output.record.file, "scheduler")


_BUSY_REASONS = {"Resources", "Priority"}


@check(
    "slurm_job",
    "one tiny sbatch job ends COMPLETED within {gate_slurm_smoke_job_limit_seconds} s",
    hints="refused stuck busy reserved failed",
    placeholders="reservation",
    optional=True,
)
def slurm_job(case: Case) -> Finding:
    if not case.settings.get("gate_slurm_smoke_submit_job"):
        raise SwitchedOff("gate_slurm_smoke_submit_job is false")
    output = case.command("job")
    submitted = slurm_jobs.submission(output.whole)
    if submitted.job_id is None:
        why = "; ".join(submitted.errors) or reason(output.text)
        status = output.failure
        hint = "refused" if submitted.errors else "default"
        raise Unproven(status, f"no job was accepted: {why}", output.record.file, hint)
    found = slurm_jobs.job(output.text, submitted.job_id)
    if found.completed and output.exit == 0:
        observed = f"job {submitted.job_id} COMPLETED"
        return Finding(Status.PASS, observed, (output.record.file,), figure=observed)
    waits_for = f", reason {found.reason}" if found.reason else ""
    waiting = "PENDING" in found.states and "RUNNING" not in found.states
    observed = f"job {submitted.job_id} ended {' > '.join(found.states) or 'unseen'}{waits_for}"
    reservation = _reservation(case)
    values = {"reservation": reservation or "NAME"}
    if waiting and found.reason in _BUSY_REASONS:
        return Finding(
            Status.BLOCKED,
            f"{observed}: the cluster is busy; re-run gate {case.gate.id}",
            (output.record.file,),
            hint="reserved" if reservation else "busy",
            values=values,
        )
    # Started and not finished, or waiting for a node that has just stopped responding.
    stuck = found.state in ("RUNNING", "COMPLETING") or "UnavailableNodes" in found.reason
    hint = "stuck" if stuck else "failed" if found.ended else "default"
    if "reserv" in found.reason.lower() and reservation:
        hint = "reserved"
    return Finding(Status.FAIL, observed, (output.record.file,), hint=hint, values=values)


@check("calculation", "Finished [0], sum right, through core.slurm and the daemon", optional=True)
def calculation(case: Case) -> Finding:
    if not case.settings.get("gate_slurm_smoke_submit_calculation"):
        raise SwitchedOff("gate_slurm_smoke_submit_calculation is false")
    output = case.command("calculation")
    values = key_values(output.whole)
    facts = list(_calculation_facts(values))
    if output.exit == 0 and not facts:
        return Finding(
            Status.PASS,
            f"process {values['pk']} Finished [0], {values['x']} + {values['y']} = {values['sum']}",
            (output.record.file,),
        )
    why = "; ".join(facts) or output.how
    raise Unproven(Status.FAIL, why, output.record.file)


def _calculation_facts(values: dict[str, str]) -> Iterator[str]:
    """What is wrong with the calculation, from the lines of roles/gate_slurm_smoke/files/calculation.py."""
    if values.get("process_state") != "finished" or values.get("exit_status") != "0":
        yield (
            f"process {values.get('pk', '?')} is {values.get('process_state', 'in no known state')}"
            f" [{values.get('exit_status', '?')}]"
        )
    if values.get("scheduler") != "core.slurm":
        yield f"the scheduler of the computer is {values.get('scheduler', 'not known')}, not core.slurm"
    try:
        right = int(values["x"]) + int(values["y"]) == int(values["sum"])
    except (KeyError, ValueError):
        yield "no sum was returned"
    else:
        if not right:
            yield f"{values['x']} + {values['y']} gave {values['sum']}"
