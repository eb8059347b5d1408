"""check: may this decision be acted on today? The only place that looks at the clock after the seal."""

from __future__ import annotations

import re
import shlex
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from promotion_gate.base.errors import BundleError, GateError, InputError
from promotion_gate.base.escape import visible
from promotion_gate.base.model import Decision, Status, beside_gates
from promotion_gate.base.times import MAX_CLOCK_SKEW, parse_duration, parse_stamp, stamp, utc_now
from promotion_gate.bundle.fleet import check_of_one_host
from promotion_gate.bundle.history import check_no_link
from promotion_gate.bundle.newest import newest_folder
from promotion_gate.judge.waivers import expired
from promotion_gate.prove.signoff import read_signoff
from promotion_gate.prove.verify import chain_problems, verify_bundle

PROMOTE, HOLD, NO_DECISION = 0, 1, 3
LATEST = "latest"
NEXT = "next"
_DIGEST = re.compile(r"[0-9a-fA-F]{64}", re.ASCII)
_COMMIT = re.compile(r"[0-9a-f]{7,64}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the decision must be about, and what it must come with; None and False require nothing."""

    commit: str | None = None
    vm: str | None = None
    max_age: str | None = None
    ticket: str | None = None
    policy_sha256: str | None = None
    sign_off: bool = False
    signature: bool = False
    allowed_signers: Path | None = None
    newest: bool = False  # the bundle was found as the newest of its evidence root


@dataclass(frozen=True, slots=True)
class Answer:
    """The exit status of `promotion-gate check`, the sentence that explains it, and further facts by name."""

    status: int
    head: str
    facts: tuple[tuple[str, str], ...] = ()

    @property
    def sentence(self) -> str:
        """The whole answer as lines; text from a bundle is made harmless."""
        return "\n".join([visible(self.head), *(line for name, text in self.facts for line in _lines(name, text))])


def _lines(name: str, text: str) -> list[str]:
    """One fact, its further lines indented below the first. A next step is a command, so it is not wrapped."""
    begin, blank = f"  {name + ':':<15}", " " * 17
    if name == NEXT:
        return [begin + visible(text)]
    return textwrap.wrap(visible(text), 80, initial_indent=begin, subsequent_indent=blank, break_on_hyphens=False)


def find_bundle(bundle: str, root: Path | None) -> Path:
    """The bundle to check: a folder, or `latest` of an evidence root.

    Raises InputError for arguments that cannot be used, BundleError if the root is one of several hosts, the newest run
    is a link, or the chain of runs does not hold: an older decision must not replace one that was hidden.
    """
    if bundle != LATEST:
        if root is not None:
            raise InputError("--root goes with `latest` only; a bundle is named by its folder.")
        return Path(bundle)
    if root is None:
        raise InputError("`latest` needs --root DIR, the evidence root of the runs.")
    if not root.is_dir():
        raise InputError(f"--root {root} is not a folder; name the evidence root of the runs.")
    check_of_one_host(root)
    newest = newest_folder(root)
    check_no_link(newest)
    problem = next(chain_problems(root), "")
    if problem:
        raise BundleError(f"No run of {root} is believed, because its chain does not hold: {problem}")
    return newest


def check(bundle: Path, wanted: Wanted, now: datetime | None = None, named: Path | None = None) -> Answer:
    """Answers for one bundle, `named` as the caller named it. Raises InputError for a usage error."""
    moment = now or utc_now()
    age = parse_duration(wanted.max_age, "--max-age") if wanted.max_age is not None else None
    if wanted.commit is not None and not _COMMIT.fullmatch(wanted.commit):
        raise InputError(f'--commit is "{wanted.commit}"; give a commit id of at least 7 hexadecimal digits.')
    if wanted.policy_sha256 is not None and not _DIGEST.fullmatch(wanted.policy_sha256):
        raise InputError(f'--policy-sha256 is "{wanted.policy_sha256}"; give the 64 hexadecimal digits of sha256sum.')
    if wanted.sign_off and wanted.allowed_signers is None:
        raise InputError("--require-sign-off needs --allowed-signers FILE: it says whose key counts as the reviewer's.")
    named = named or bundle
    report = verify_bundle(bundle, wanted.signature, wanted.allowed_signers)
    if not report.holds or report.decision is None:
        steps = ((NEXT, report.advice),) if report.advice else ()
        return Answer(NO_DECISION, f"No decision: {named} does not verify ({report.problem}).", steps)
    decision = report.decision
    if age is None and report.max_age is not None:
        age = parse_duration(report.max_age, "max_age of the checklist")
    problem, step = _not_valid(decision, wanted, age, moment)
    if problem:
        return Answer(NO_DECISION, f"No valid decision: {problem}.", ((NEXT, step),))
    about = _about(decision, report.checklist)
    if decision.decision != "PROMOTE":
        why = "; ".join(_reasons(decision))
        causes = (("unblock", ", ".join(_causes(decision))),) if _causes(decision) else ()
        step = f"`promotion-gate show {shlex.quote(str(named))}` prints how, and the command that re-runs it"
        head = f"HOLD: run {decision.run_id}, because {why}."
        return Answer(HOLD, head, (*causes, *about, (NEXT, step)))
    signed_off, problem = _sign_off(bundle, decision, wanted)
    if problem:
        step = f"let {decision.reviewer} run `promotion-gate sign-off` with --name and --key"
        return Answer(NO_DECISION, f"No valid decision: {problem}", ((NEXT, step),))
    facts = [*about, ("sign-off", signed_off)]
    facts += [("waived", waived)] if (waived := _waived(decision)) else []
    facts += [("signature", f"SHA256SUMS is signed {report.signed}")] if report.signed else []
    if left := _not_looked_at(wanted, age, bool(report.signed)):
        facts += [("not looked at", ", ".join(left)), (NEXT, _question(decision, wanted, age))]
    return Answer(PROMOTE, f"PROMOTE: run {decision.run_id} of {decision.decided_at}.", tuple(facts))


def _question(decision: Decision, wanted: Wanted, age: timedelta | None) -> str:
    """The command that asks again, for those who act on the answer."""
    options = [] if wanted.commit else [f"--commit {(decision.commit or '')[:12]}"]
    options += [] if age else ["--max-age 24h"]
    return f"ask again with what your promotion rests on{', such as ' * bool(options)}{' '.join(options)}"


def _about(decision: Decision, checklist: str) -> tuple[tuple[str, str], ...]:
    """What the decision belongs to: commit, VM, ticket, evidence root and policy."""
    policy = decision.policy
    return (
        ("commit", decision.commit or "unknown"),
        ("VM", decision.vm.name or "unknown"),
        ("ticket", f"{decision.ticket}, evidence root {decision.root_id[:12]}"),
        ("policy", f"{policy.path} ({policy.sha256[:12]}): {checklist}"),
    )


def _causes(decision: Decision) -> list[str]:
    """The checks to unblock: those that failed by themselves."""
    checks = [check for gate in decision.gates for check in gate.checks]
    return [f"{c.id} ({c.status})" for c in checks if c.status is not Status.PASS and not c.waived and not c.cause]


def _not_looked_at(wanted: Wanted, age: timedelta | None, signed: bool) -> list[str]:
    """What was not asked for or could not be seen, so that nobody assumes it was checked."""
    unsigned = wanted.allowed_signers is not None and not signed
    questions = {
        "its age (--max-age)": age,
        "its commit (--commit)": wanted.commit,
        "its VM (--vm)": wanted.vm,
        "its ticket (--ticket)": wanted.ticket,
        "its policy (--policy-sha256)": wanted.policy_sha256,
        "newer runs (latest --root)": wanted.newest or None,
        "who signed it (--allowed-signers)": wanted.allowed_signers,
        "who signed it (SHA256SUMS is not signed)": None if unsigned else True,
        "the sign-off (--require-sign-off)": wanted.sign_off or None,
    }
    return [what for what, asked in questions.items() if asked is None]


_ANOTHER = "name the bundle that is about it, or run the gate there"
_AGAIN = "run the gate again"


def _not_valid(decision: Decision, wanted: Wanted, age: timedelta | None, now: datetime) -> tuple[str, str]:
    """Why a decision, whatever it is, is not the one that was asked for today, and what to do then."""
    found = (_other_subject(decision, wanted), _age_problem(decision, age, now), _waiver_problem(decision, now))
    return next((reason for reason in found if reason[0]), ("", ""))


def _other_subject(decision: Decision, wanted: Wanted) -> tuple[str, str]:
    """Whether the decision is about another commit, VM, ticket or policy than asked for, and what to do then."""
    digest, fingerprint = decision.policy.sha256, decision.vm.fingerprint
    problem = ""
    if wanted.commit is not None and not (decision.commit or "").startswith(wanted.commit):
        problem = f"it is about the commit {decision.commit or 'unknown'}, not {wanted.commit}"
    elif wanted.ticket is not None and decision.ticket != wanted.ticket:
        problem = f"it is about the ticket {decision.ticket}, not {wanted.ticket}"
    elif wanted.policy_sha256 is not None and digest != wanted.policy_sha256.lower():
        problem = f"it was decided by the policy with the SHA-256 {digest}, not {wanted.policy_sha256}"
    elif wanted.vm is not None and fingerprint != wanted.vm:
        named = f"the VM with the fingerprint {fingerprint or 'unknown'}"
        problem = f"it is about {named}, not {wanted.vm} (--vm takes vm.fingerprint of promotion-decision.json)"
    return problem, _ANOTHER


def _age_problem(decision: Decision, age: timedelta | None, now: datetime) -> tuple[str, str]:
    decided = parse_stamp(decision.decided_at)
    if decided is None:
        return f'its time "{decision.decided_at}" cannot be read', _AGAIN
    if decided - now > MAX_CLOCK_SKEW:
        there = f"it was decided at {decision.decided_at}, and here it is only {stamp(now)}"
        return f"{there}; one of the clocks is wrong", "set the clock that is wrong, and run the gate again"
    if age is not None and now - decided > age:
        there = f"it was decided at {decision.decided_at}, more than its max-age of {age} ago"
        return there, _AGAIN
    return "", ""


def _waiver_problem(decision: Decision, now: datetime) -> tuple[str, str]:
    """A PROMOTE counts no longer than the waivers that it rests on."""
    applied = [waiver for waiver in decision.waivers if waiver["state"] == "applied"]
    for entry in expired(applied, now) if decision.decision == "PROMOTE" else ():
        there = f"its waiver of {entry['check']} by {entry['owner']} expired on {entry['expires']}"
        return there, "fix the check or renew the waiver, and run the gate again"
    return "", ""


def _reasons(decision: Decision) -> Iterator[str]:
    failing = [gate for gate in decision.gates if gate.status != "PASS"]
    yield from (f"gate {gate.id} ({gate.name}) is {gate.status}" for gate in failing)
    others = beside_gates(decision.objections)
    if others:
        yield f"{len(others)} objection(s), the first: {others[0].rstrip('.')}"


def _waived(decision: Decision) -> str:
    """The waived checks with their real status: a PROMOTE with waivers is weaker than one without."""
    waived = [f"{check.id} is {check.status}" for gate in decision.gates for check in gate.checks if check.waived]
    return ", ".join(waived)


def _sign_off(bundle: Path, decision: Decision, wanted: Wanted) -> tuple[str, str]:
    """The sign-off in words, and why the decision does not count if a proven one is required."""
    try:
        found = read_signoff(bundle, decision, wanted.allowed_signers)
    except InputError:
        raise
    except GateError as error:
        return str(error).rstrip("."), str(error) if wanted.sign_off else ""
    if found is None:
        message = f"{decision.reviewer} has not signed off"
        return message, f"{message}, and a sign-off is required." if wanted.sign_off else ""
    return found.message, f"{found.message}." if wanted.sign_off and not found.proven else ""
