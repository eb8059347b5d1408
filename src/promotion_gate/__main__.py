"""The command line: promotion-gate decide|seal|verify|show|check, and what the plays call (open, begin)."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from promotion_gate.bundle import load_bundle
from promotion_gate.decide import decide
from promotion_gate.errors import BundleError, GateError, InputError
from promotion_gate.files import read_json, to_json
from promotion_gate.model import Decision
from promotion_gate.opening import open_run
from promotion_gate.render import DECISION_JSON
from promotion_gate.resume import begin_resume
from promotion_gate.seal import seal
from promotion_gate.show import text_of

PROMOTE, HOLD, USAGE, NO_DECISION = 0, 1, 2, 3


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command. Exit status: 0 PROMOTE or done, 1 HOLD or not valid, 2 usage, 3 no decision."""
    parser = _parser()
    options = parser.parse_args(arguments)
    run: Callable[[argparse.Namespace], int] = options.run
    try:
        return run(options)
    except InputError as error:
        print(f"promotion-gate: {error}", file=sys.stderr)
        return USAGE
    except (BundleError, GateError) as error:
        print(f"promotion-gate: {error}", file=sys.stderr)
        return NO_DECISION
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return NO_DECISION
    except OSError as error:
        print(f"promotion-gate: {error.filename or 'a file'}: {error.strerror}.", file=sys.stderr)
        return NO_DECISION


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="promotion-gate", description="Decides PROMOTE or HOLD from a bundle.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def add(name: str, run: Callable[[argparse.Namespace], int], help_: str) -> argparse.ArgumentParser:
        command = commands.add_parser(name, help=help_, description=help_)
        command.set_defaults(run=run)
        return command

    for name, run, help_ in (
        ("decide", _decide, "compute the decision of a closed bundle and print it as JSON; writes nothing"),
        ("seal", _seal, "decide a closed bundle, write the records, and seal it with SHA256SUMS"),
        ("show", _show, "print the decision of a sealed bundle for people"),
    ):
        add(name, run, help_).add_argument("bundle", type=Path, help="the folder of a run")
    add("open", _open, "open a run; reads the request of roles/gate_common as JSON from standard input")
    add("begin", _begin, "reopen a bundle for a resume; reads its request as JSON from standard input")
    return parser


def _status(decision: Decision) -> int:
    return PROMOTE if decision.decision == "PROMOTE" else HOLD


def _decide(options: argparse.Namespace) -> int:
    decision = decide(load_bundle(options.bundle))
    sys.stdout.write(to_json(decision.as_dict()))
    return _status(decision)


def _seal(options: argparse.Namespace) -> int:
    decision = seal(options.bundle)
    print(f"{decision.decision} {options.bundle / DECISION_JSON}")
    return _status(decision)


def _show(options: argparse.Namespace) -> int:
    record = read_json(options.bundle / DECISION_JSON)
    print(text_of(record))
    return PROMOTE if record.get("decision") == "PROMOTE" else HOLD


def _request() -> object:
    try:
        return json.load(sys.stdin)
    except ValueError as error:
        raise InputError(f"The request on standard input is not JSON ({error}).") from None


def _open(options: argparse.Namespace) -> int:
    print(json.dumps(open_run(_request())))
    return 0


def _begin(options: argparse.Namespace) -> int:
    print(json.dumps(begin_resume(_request())))
    return 0


if __name__ == "__main__":
    sys.exit(main())
