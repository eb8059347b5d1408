"""Gate 3: the VM has the same commit, and verdi itself says that the target profile and its services are up.

The bootstrap's sanity check is a dry run that exits 0 on an empty VM (facts, section 6), so its exit status is one
check among many; what counts is what verdi prints about the target profile when asked for it by name.
"""

from __future__ import annotations

from dataclasses import replace

from promotion_gate.base.limits import word
from promotion_gate.base.model import Status
from promotion_gate.base.policy import CheckPolicy
from promotion_gate.judge.by_hand import asked_profile
from promotion_gate.judge.checks.case import Case, Finding, Output, Unproven, check
from promotion_gate.judge.identity import Identity, identity
from promotion_gate.judge.parsers import git, verdi
from promotion_gate.judge.parsers.text import key_values, reason


def target_profile(case: Case) -> str:
    """The profile on the command line that was really run."""
    record = case.bundle.index.command(case.gate.name, "status")
    asked = asked_profile(record) if record and record.not_run is None else None
    return asked or str(case.settings.get("aiida_vm_profile") or "")


def workspace_identity(case: Case) -> Identity | None:
    """The commit of the workspace as the first gate there recorded it."""
    gates = (gate for gate in case.bundle.policy.gates if gate.hosts != case.gate.hosts)
    first = next((gate.name for gate in gates if "checkout" in gate.identity), None)
    text = case.bundle.output(first, "identity") if first else None
    return None if text is None else identity(text)


@check(
    "vm_checkout",
    "the commit of the workspace, no tracked file modified",
    hints="no_checkout modified ownership lfs damaged",
    beyond="the commit of the workspace",
)
def vm_checkout(case: Case) -> Finding:
    output = case.command("identity")
    here, there = workspace_identity(case), identity(output.whole)
    if there.content is None:
        why = there.errors.get("checkout") or reason(output.text) or output.ending
        refused = git.refusal(why)
        what = "Git refuses the checkout" if refused else "no Git checkout"
        raise Unproven(Status.FAIL, f"{what}: {why}", output.record.file, refused or "no_checkout")
    if here is None or not here.content:
        raise Unproven(Status.MISSING, "the workspace's own commit is not known (gate 1 left no evidence)")
    if there.content != here.content:
        raise Unproven(Status.FAIL, f"the VM is at {there.commit}, the workspace at {here.commit}", output.record.file)
    if there.changes != "none":
        dirty = ", ".join(there.modified[:10])
        raise Unproven(Status.FAIL, f"modified on the VM: {dirty}", output.record.file, "modified")
    equal = "" if there.commit == here.commit else f", equal to {here.commit} but for the evidence folder"
    return Finding(Status.PASS, f"{there.commit}{equal}, unmodified", (output.record.file,))


@check(
    "env_file",
    "{aiida_vm_env_file} can be read on the VM and names the target profile",
    hints="other_profile no_profile",
)
def env_file(case: Case) -> Finding:
    record = case.record
    if record is None:
        case.command("status")  # raises with the reason why the gate left nothing
        raise Unproven(Status.MISSING, "the gate left no record")
    if record.env_file_error is not None:
        raise Unproven(Status.BLOCKED, f"{record.env_file}: {record.env_file_error}")
    wanted = case.settings.get("aiida_vm_profile")
    named = case.command("env_profile").whole.strip()
    if not named:
        if wanted:
            return Finding(Status.PASS, f"read; the target is {wanted} (aiida_vm_profile)", ("03-vm-bootstrap.log",))
        raise Unproven(
            Status.BLOCKED, f"{record.env_file} does not set AIIDA_PROFILE", "03-vm-bootstrap.log", "no_profile"
        )
    if wanted and named != wanted:
        raise Unproven(
            Status.FAIL,
            f"{record.env_file} names the profile {named}, the target is {wanted} (aiida_vm_profile)",
            "03-vm-bootstrap.log",
            "other_profile",
        )
    return Finding(Status.PASS, f"{record.env_file} names {named}", ("03-vm-bootstrap.log",))


@check(
    "config_dir",
    "verdi reads the configuration of aiida_vm_config_dir, by default AIIDA_PATH or AIIDA_CONFIG_DIR of the env file",
    hints="not_there other no_verdi",
)
def config_dir(case: Case) -> Finding:
    output = case.command("config_dir")
    answers = key_values(output.whole)
    if output.exit != 0:
        hint = "not_there" if answers.get("config") else "default"
        raise Unproven(Status.BLOCKED, reason(output.text), output.record.file, hint)
    wanted, source = answers.get("config", ""), answers.get("source", "")
    read = _config_read(case)
    if read is None:  # where verdi cannot be run, nothing is known of what it reads
        case.command("profile_list").succeeded("no_verdi")
    if read != wanted:
        why = f"verdi reads {read or 'no configuration that it names'}, but {source} means {wanted}"
        raise Unproven(Status.FAIL, why, output.record.file, "other")
    return Finding(Status.PASS, f"{read} ({source})", (output.record.file, "03-verdi-status.log"))


def _config_read(case: Case) -> str | None:
    """The directory that verdi itself reports: the config line of its status, or else the head of its profile list."""
    record = case.bundle.index.command(case.gate.name, "status")
    line = verdi.status(case.command("status").text).services.get("config") if record and not record.timed_out else None
    if line is not None:
        return line.text
    return verdi.profile_list(case.command("profile_list").text).folder


@check("bootstrap", "the bootstrap command of the spec exits 0", hints="not_executable first_run")
def bootstrap(case: Case) -> Finding:
    output = _bootstrap(case)
    if output.exit == 126:
        raise Unproven(Status.BLOCKED, reason(output.text), output.record.file, "not_executable")
    output.succeeded("first_run" if case.settings.get("aiida_vm_first_run") else "default")
    if not output.text.strip():
        raise Unproven(Status.MISSING, "the script exited 0 and printed nothing", output.record.file)
    how = "--apply path" if case.settings.get("aiida_vm_first_run") else "a dry run: it proves that the script runs"
    return Finding(Status.PASS, f"exited 0 ({how})", (output.record.file,))


@check(
    "first_run",
    "with aiida_vm_first_run, the profile did not exist before; without it, nothing is applied",
    hints="exists",
)
def first_run(case: Case) -> Finding:
    if not case.settings.get("aiida_vm_first_run"):
        output = case.command("bootstrap")
        if "--apply" in output.record.argv:
            raise Unproven(Status.FAIL, "--apply was run without aiida_vm_first_run", output.record.file)
        return Finding(Status.PASS, "not asked for; the sanity check ran without --apply", (output.record.file,))
    profile = target_profile(case)
    there = case.command("config_dir_before")
    if there.exit != 0 and key_values(there.whole).get("config"):
        return Finding(Status.PASS, f"before --apply {reason(there.text)}", (there.record.file,))
    before = case.command("profile_list_before")
    if profile and profile in verdi.profile_list(before.text).names:
        raise Unproven(Status.FAIL, f"the profile {profile} existed before --apply", before.record.file, "exists")
    return Finding(Status.PASS, f"{profile} did not exist before --apply", (before.record.file,))


@check("profile", "the exact name of the target profile in `verdi profile list`", hints="no_verdi")
def profile(case: Case) -> Finding:
    output = case.command("profile_list").succeeded("no_verdi")
    wanted, listed = target_profile(case), verdi.profile_list(output.whole)
    if not wanted:
        raise Unproven(Status.BLOCKED, "the target profile has no name: AIIDA_PROFILE is not set")
    if wanted not in listed.names:
        others = ", ".join(listed.names) or "none"
        where = listed.folder or "a folder that verdi does not name"
        why = f"{wanted} is not there; profiles found in {where}: {others}"
        raise Unproven(Status.FAIL, why, output.record.file)
    return Finding(Status.PASS, f"{wanted} is there", (output.record.file,))


@check(
    "status_service",
    "the {service} line of `verdi -p NAME status` shows it as up",
    word("service", verdi.SERVICES),
    hints="hangs",
)
def status_service(case: Case) -> Finding:
    output, found, service = _service_up(case)
    if service.name == "profile" and found.profile != target_profile(case):
        raise Unproven(Status.FAIL, f"it is about {found.profile}, not {target_profile(case)}", output.record.file)
    return Finding(Status.PASS, service.text, (output.record.file,))


@check(
    "status_backend",
    "the {service} line of `verdi -p NAME status` shows it as up, and it is {kind}",
    word("service", ("storage", "broker")),
    word("kind", tuple(verdi.KINDS)),
    hints="hangs kind schema",
)
def status_backend(case: Case) -> Finding:
    """Storage or broker: the spec requires PostgreSQL and RabbitMQ, and verdi reports other kinds as up, too."""
    output, found, service = _service_up(case)
    wanted = str(case.limit("kind"))
    kinds = verdi.kinds(found, service.name)
    if kinds != (wanted,):
        shown = " and ".join(kind or "of an unknown kind" for kind in kinds)
        raise Unproven(Status.FAIL, f"it is {shown}, not {wanted}: {service.text}", output.record.file, "kind")
    if service.name == "storage" and verdi.storage_of(found) not in ((), (target_profile(case),)):
        others = ", ".join(verdi.storage_of(found))
        raise Unproven(Status.FAIL, f"it is the storage of {others}, not {target_profile(case)}", output.record.file)
    warnings: tuple[str, ...] = ()
    if service.name == "broker" and found.rabbitmq_unsupported:
        warnings = (
            f"verdi warns that RabbitMQ {found.rabbitmq_unsupported} is not supported; see its consumer_timeout.",
        )
    return Finding(Status.PASS, service.text, (output.record.file,), warnings=warnings, figure=str(case.limit("kind")))


def _service_up(case: Case) -> tuple[Output, verdi.VerdiStatus, verdi.Service]:
    """The service of the check's limit, as verdi status shows it; raises Unproven if it is not up."""
    name = str(case.limit("service"))
    output = _status(case)
    found = verdi.status(output.whole)
    service = found.services.get(name)
    if service is None:
        raise _no_line(case, output, found, name)
    if not found.is_up(name):
        text = service.text
        hint = "hangs" if "timed out" in text else "schema" if "verdi storage migrate" in text else "default"
        shown = f"{name}: {service.text or service.symbol} ({service.symbol})"
        raise Unproven(Status.FAIL, shown, output.record.file, hint)
    if output.exit != 0 and not _judged_elsewhere(case, found):
        raise Unproven(Status.FAIL, f"{service.text}, but verdi status {output.ending}", output.record.file)
    return output, found, service


def _bootstrap(case: Case) -> Output:
    """The output of the bootstrap. One that did not finish waited for the service at which verdi status stopped."""
    try:
        return case.command("bootstrap")
    except Unproven as late:
        records = [case.bundle.index.command(case.gate.name, name) for name in ("bootstrap", "status")]
        first = _first_missing(case, verdi.status(case.bundle.output(case.gate.name, "status") or ""))
        if first and all(record and record.timed_out for record in records):
            late.finding = replace(late.finding, because=first.id)
        raise


def _first_missing(case: Case, found: verdi.VerdiStatus) -> CheckPolicy | None:
    """The check of the first service without a line, in verdi's order: verdi stopped there."""
    judged = {str(entry.limits["service"]): entry for entry in case.gate.checks if "service" in entry.limits}
    return next((judged[name] for name in verdi.SERVICES if name in judged and name not in found.services), None)


def _status(case: Case) -> Output:
    """The output of verdi status. It asks one service after another: if it was killed at one that does not answer, the
    lines before that one count; if it printed all of them and did not finish, nothing is known."""
    record, text = case.bundle.index.command(case.gate.name, "status"), case.bundle.output(case.gate.name, "status")
    if record is None or not record.timed_out or text is None or _first_missing(case, verdi.status(text)) is None:
        return case.command("status", timeout_hint="hangs")
    return Output(record, text)


def _no_line(case: Case, output: Output, found: verdi.VerdiStatus, name: str) -> Unproven:
    """Why a service has no line: it is the first without one, or verdi did not get to it."""
    record, first = output.record, _first_missing(case, found)
    if first is not None and first.limits["service"] != name:
        return Unproven(
            Status.BLOCKED if record.timed_out else Status.FAIL,
            f"`{record.command}` did not get past {first.limits['service']}",
            record.file,
            because=first.id,
        )
    if record.timed_out:
        case.command("status", timeout_hint="hangs")
    why = found.exception or (found.errors[0] if found.errors else reason(output.text))
    # With a broker that accepts connections but never answers, verdi prints a traceback and no broker line.
    slow = record.duration_ns > 15_000_000_000
    hint = "hangs" if name in ("broker", "storage") and slow else "default"
    return Unproven(Status.FAIL, f"there is no {name} line" + (f": {why}" if why else ""), record.file, hint)


def _judged_elsewhere(case: Case, found: verdi.VerdiStatus) -> bool:
    """Whether another check of this gate fails because of the service that made verdi status exit non-zero."""
    judged = {str(check.limits["service"]) for check in case.gate.checks if "service" in check.limits}
    return any(not found.is_up(name) for name in judged)
