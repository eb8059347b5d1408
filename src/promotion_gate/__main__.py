"""The command promotion-gate: run.arguments says what can be written, this what is done. The plays call some of it."""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import re
import sys
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from promotion_gate.base.errors import GateError, InputError
from promotion_gate.base.escape import harmless, visible
from promotion_gate.base.files import parse_json, to_json
from promotion_gate.base.model import Decision
from promotion_gate.base.names import DECISION_JSON, SUMS_FILE
from promotion_gate.base.redact import Redactor
from promotion_gate.base.times import human_seconds
from promotion_gate.bundle.archive import unpacked
from promotion_gate.bundle.history import read_run
from promotion_gate.bundle.load import load_bundle
from promotion_gate.judge.decide import decide
from promotion_gate.prove.believed import believed
from promotion_gate.prove.check import LATEST, Wanted, check, find_bundle
from promotion_gate.prove.envelope import write_envelope
from promotion_gate.prove.seal import seal
from promotion_gate.prove.signoff import make_signoff
from promotion_gate.prove.verify import verify_bundle, verify_history
from promotion_gate.report.tracker import CREATE, UPDATE, Commands, check_issue_commands, hand_over
from promotion_gate.run import checklists, completion, reading
from promotion_gate.run.arguments import Command, parser_of
from promotion_gate.run.fleet import begin_runs, open_runs
from promotion_gate.run.recording import check_request, record_from_promote, record_from_runs
from promotion_gate.run.sharing import share_run

PROMOTE, HOLD, USAGE, NO_DECISION = 0, 1, 2, 3


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command. Exit status: 0 PROMOTE or done, 1 HOLD or not valid, 2 usage, 3 no decision."""
    _speak_utf8()
    parser = parser_of(COMMANDS)
    if "_ARGCOMPLETE" in os.environ:
        completion.complete(parser)
    options = parser.parse_args(arguments)
    run: Command = options.run
    try:
        with contextlib.ExitStack() as archives:
            _unpack(options, archives)
            return run(options)
    except GateError as error:
        # A sentence may quote what was set, and that may hold a secret; or a bundle that comes from anywhere.
        lines = [harmless(line) for line in Redactor().text(str(error)).splitlines()]
        print("promotion-gate: " + "\n".join(lines), file=sys.stderr)
        return USAGE if isinstance(error, InputError) else NO_DECISION
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return NO_DECISION
    except KeyboardInterrupt:
        return 130
    except Exception as error:  # a traceback would end in exit status 1, which reads as HOLD
        return _unforeseen(error, USAGE if options.run in (_open, _begin, _baseline) else NO_DECISION)


def _unpack(options: argparse.Namespace, archives: contextlib.ExitStack) -> None:
    """Lets a command that only reads bundles have the folder where a .zip is named; `named` is what was written."""
    name = getattr(options, "reads", "")
    given = getattr(options, name, None)
    options.named = given
    if isinstance(given, list):
        setattr(options, name, [archives.enter_context(unpacked(path)) for path in given])
    elif given is not None:
        setattr(options, name, type(given)(archives.enter_context(unpacked(Path(given)))))


def _unforeseen(error: Exception, status: int) -> int:
    """One sentence for what no command foresaw; PROMOTION_GATE_TRACEBACK=1 shows where it came from."""
    if os.environ.get("PROMOTION_GATE_TRACEBACK"):
        traceback.print_exc()
    if isinstance(error, OSError) and error.strerror:
        what = f"{error.filename or 'a file'}: {error.strerror}"
    else:
        what = f"the input cannot be used ({type(error).__name__}: {str(error)[:300]})"
    print(f"promotion-gate: {visible(Redactor().text(what))}. Nothing was decided.", file=sys.stderr)
    return status


def _speak_utf8() -> None:
    """Whatever the locale: a name that it cannot spell would end in a traceback, whose exit status reads as HOLD."""
    for stream, errors in ((sys.stdin, "strict"), (sys.stdout, "backslashreplace"), (sys.stderr, "backslashreplace")):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(encoding="utf-8", errors=errors)


def _status(decision: Decision) -> int:
    return PROMOTE if decision.decision == "PROMOTE" else HOLD


def _decide(options: argparse.Namespace) -> int:
    """A HOLD is computed of a closed bundle that is not sealed, too: that is how one looks into a seal that failed."""
    sealed = os.path.lexists(options.bundle / SUMS_FILE)
    decision = believed(options.bundle) if sealed else decide(load_bundle(options.bundle))
    if decision.decision == "PROMOTE" and not sealed:
        decision = believed(options.bundle)
    sys.stdout.write(to_json(decision.as_dict()))
    return _status(decision)


def _seal(options: argparse.Namespace) -> int:
    if not options.of_this_run:  # the run's recorder has looked; the values were in its memory alone
        print("promotion-gate: no secret values are known here; the evidence was not searched for any", file=sys.stderr)
    decision = seal(options.bundle)
    print(f"{decision.decision} {options.bundle / DECISION_JSON}")
    if decision.decision == "PROMOTE":
        with _reported("the decision stands, but its timings are not the new baseline"):
            record_from_promote(options.bundle, load_bundle(options.bundle), decision)
    key = read_run(options.bundle).settings.get("promotion_signing_key")
    if key:
        with _reported("the decision stands, but its statement is not signed"):
            write_envelope(options.bundle, str(key))
    _share(options.bundle)
    return _status(decision)


@contextlib.contextmanager
def _reported(what: str) -> Iterator[None]:
    """Reports an error that does not affect the decision; the exit status stays the same."""
    try:
        yield
    except GateError as error:
        print(f"promotion-gate: {what}: {error}", file=sys.stderr)


def _share(bundle: Path) -> None:
    with _reported("promotion_evidence_group cannot read all of it"):
        share_run(bundle, read_run(bundle).index.settings)


def _issue(options: argparse.Namespace) -> int:
    check_issue_commands({CREATE: options.command, UPDATE: options.update_command})
    believed(options.bundle, lost=True)
    handed = hand_over(options.bundle, Commands(options.command, options.update_command, options.directory))
    _share(options.bundle)
    if not options.command:
        raise InputError("No command is given, so nothing was handed over. Give your team's with --command '...'.")
    if handed.message:
        print(visible(handed.message))
    return int(handed.failed)


def _verify(options: argparse.Namespace) -> int:
    if (options.bundle is None) == (options.history is None):
        raise InputError("verify wants either the folder of a run or --history DIR.")
    if options.history is not None:
        report = verify_history(options.history, options.require_signature, options.allowed_signers)
    else:
        report = verify_bundle(options.bundle, options.require_signature, options.allowed_signers)
        report = replace(report, bundle=str(options.named))
    print(to_json(report.as_dict()) if options.json else "\n".join([*report.lines(), ""]), end="")
    return 0 if report.holds else 1


def _check(options: argparse.Namespace) -> int:
    wanted = Wanted(
        commit=options.commit,
        vm=options.vm,
        max_age=options.max_age,
        ticket=options.ticket,
        policy_sha256=options.policy_sha256,
        sign_off=options.require_sign_off,
        signature=options.require_signature,
        allowed_signers=options.allowed_signers,
        newest=options.bundle == LATEST,
    )
    bundle = find_bundle(options.bundle, options.root)
    answer = check(bundle, wanted, named=bundle if wanted.newest else Path(options.named))
    print(answer.sentence)
    return answer.status


def _sign_off(options: argparse.Namespace) -> int:
    path = make_signoff(options.bundle, options.name, options.key, options.statement)
    print(f"Signed off: {path}" + ("" if options.key else " (recorded, not proven: no --key was given)"))
    _share(options.bundle)
    return 0


def _request() -> object:
    text = sys.stdin.read()
    try:
        return parse_json(text)
    except (ValueError, RecursionError) as error:
        # YAML has .nan and .inf, which Ansible passes on as these words.
        named = re.search(r'"([^"\\]+)": (NaN|-?Infinity)\b', text)
        if named:
            raise InputError(f"{named[1]} is {named[2]}, which no setting may be. Set it to a number.") from None
        raise InputError(f"The request on standard input is not JSON ({error}).") from None


def _open(options: argparse.Namespace) -> int:
    print(json.dumps(open_runs(_request())))
    return 0


def _baseline(options: argparse.Namespace) -> int:
    if options.check:
        check_request(_request())
        return 0
    path, baseline, doubts = record_from_runs(_request())
    times = ", ".join(human_seconds(time) for time in baseline.times_ns)
    print(f"Known-good timings recorded: {times} in {path}")
    for doubt in doubts:
        print(f"Warning: {doubt}.")
    return 0


def _begin(options: argparse.Namespace) -> int:
    print(json.dumps(begin_runs(_request())))
    return 0


COMMANDS = {
    "decide": _decide,
    "show": reading.show,
    "diff": reading.diff,
    "history": reading.history,
    "seal": _seal,
    "verify": _verify,
    "check": _check,
    "sign-off": _sign_off,
    "issue": _issue,
    "policy lint": checklists.lint,
    "policy show": checklists.show,
    "policy diff": checklists.diff,
    "completion": completion.script,
    "open": _open,
    "baseline": _baseline,
    "begin": _begin,
}

if __name__ == "__main__":
    sys.exit(main())
