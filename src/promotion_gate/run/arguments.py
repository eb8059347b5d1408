"""What can be written on the command line of promotion-gate: commands, arguments, and what --help says of them."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from pathlib import Path

from promotion_gate import __version__
from promotion_gate.base.escape import harmless
from promotion_gate.base.names import is_path
from promotion_gate.prove.signoff import STATEMENT

Command = Callable[[argparse.Namespace], int]


def parser_of(run: Mapping[str, Command]) -> argparse.ArgumentParser:
    """The parser whose result has the function to `run`, by its name: `decide`, `policy lint`."""
    parser = argparse.ArgumentParser(prog="promotion-gate", description="Decides PROMOTE or HOLD from a bundle.")
    parser.add_argument("--version", action="version", version=f"promotion-gate {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def add(name: str, help_: str) -> argparse.ArgumentParser:
        command = commands.add_parser(name, help=help_, description=help_)
        command.set_defaults(run=run.get(name))
        return command

    deciding = add("decide", "compute the decision of a closed bundle and print it as JSON; writes nothing")
    deciding.add_argument("bundle", type=_path, help="the folder of a run")
    showing = add("show", "print the decision of a sealed bundle for people")
    showing.add_argument("bundle", type=_path, help="the folder of a run")
    showing.add_argument("--gate", metavar="N", help="one gate, by its number or name, with the checks that pass, too")
    showing.add_argument("--check", metavar="ID", help="one check, such as slurm_smoke.node")
    _one_of(showing, json="as JSON: promotion-decision.json, or the part that is asked for",
            markdown="as Markdown, for the summary of a CI job")  # fmt: skip
    _add_diff(add("diff", "say what is different between two decisions: what fails newly, what was fixed"))
    _add_history(add("history", "list the runs of an evidence root: decisions, causes, times, the trend of the smoke"))
    sealing = add("seal", "decide a closed bundle, write the records, and seal it with SHA256SUMS")
    sealing.add_argument("bundle", type=_path, help="the folder of a run")
    sealing.add_argument("--of-this-run", action="store_true", help="the plays say so: the recorder looked for secrets")
    _add_verify(add("verify", "check a sealed bundle, or the chain of all runs, without VM and network"))
    _add_check(add("check", "say whether a decision counts today: 0 PROMOTE, 1 HOLD, 3 no valid decision"))
    _add_sign_off(add("sign-off", "sign off a bundle as the reviewer that its record names"))
    _add_issue(add("issue", "hand the follow-up issue of a HOLD to your tracker's own tool"))
    _add_policy(add("policy", "look at checklists: lint, show, diff"), run)
    add("open", "open a run; reads the request of roles/gate_common as JSON from standard input")
    add("baseline", "record known-good timings; reads its request as JSON from standard input").add_argument(
        "--check", action="store_true", help="only check what is set"
    )
    add("begin", "reopen a bundle for a resume; reads its request as JSON from standard input")
    return parser


def _path(text: str) -> Path:
    """A file or folder that is named on the command line; what can be none is a mistake of usage."""
    if not is_path(text):
        raise argparse.ArgumentTypeError(f'"{harmless(text[:120])}" cannot be the name of a file or folder')
    return Path(text)


def _name(text: str) -> str:
    _path(text)
    return text


def _one_of(command: argparse.ArgumentParser, **forms: str) -> None:
    """Options of which at most one is given."""
    group = command.add_mutually_exclusive_group()
    for name, help_ in forms.items():
        group.add_argument(f"--{name}", action="store_true", help=help_)


def _add_diff(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "bundles", type=_path, nargs=2, metavar="BUNDLE", help="the folder of a run, the earlier first"
    )
    command.add_argument("--json", action="store_true", help="as JSON")


def _add_history(command: argparse.ArgumentParser) -> None:
    command.add_argument("root", type=_path, metavar="ROOT", help="the evidence root: the folder that holds the runs")
    command.add_argument("--last", type=int, metavar="N", help="in the list only the newest N runs")
    _one_of(command, json="as JSON", html="as one HTML page that needs nothing else")


def _add_verify(command: argparse.ArgumentParser) -> None:
    command.add_argument("bundle", type=_path, nargs="?", help="the folder of a run")
    command.add_argument("--history", type=_path, metavar="DIR", help="check the chain of an evidence root")
    command.add_argument("--json", action="store_true", help="print the report as JSON")
    _add_signature(command)


def _add_check(command: argparse.ArgumentParser) -> None:
    command.add_argument("bundle", type=_name, help="the folder of a run, or `latest` with --root")
    command.add_argument("--root", type=_path, metavar="DIR", help="the evidence root for `latest`")
    command.add_argument("--commit", metavar="SHA", help="the commit that the decision must be about")
    command.add_argument("--vm", metavar="FINGERPRINT", help="the fingerprint of the VM that it must be about")
    command.add_argument("--ticket", metavar="NAME", help="the ticket that it must be about")
    command.add_argument("--policy-sha256", metavar="DIGEST", help="the SHA-256 of the policy that it was decided by")
    command.add_argument("--max-age", metavar="24h", help="how old the decision may be today")
    command.add_argument("--require-sign-off", action="store_true", help="want one signed by the reviewer's key")
    _add_signature(command)


def _add_issue(command: argparse.ArgumentParser) -> None:
    command.add_argument("bundle", type=_path, help="the folder of a run")
    command.add_argument("--command", help="your promotion_issue_command; one that only the bundle names is not run")
    command.add_argument("--update-command", help="your promotion_issue_update_command, likewise")
    command.add_argument("--directory", type=_path, default=Path(), help="where it runs, by default here")


def _add_signature(command: argparse.ArgumentParser) -> None:
    command.add_argument("--require-signature", action="store_true", help="want SHA256SUMS to be signed")
    command.add_argument("--allowed-signers", type=_path, metavar="FILE", help="whose keys count, as in ssh-keygen(1)")


def _add_sign_off(command: argparse.ArgumentParser) -> None:
    command.add_argument("bundle", type=_path, help="the folder of a run")
    command.add_argument("--name", required=True, help="the reviewer, as the record names them")
    command.add_argument("--key", help="an SSH key, or its public half with the key in the agent; signs the sign-off")
    command.add_argument("--statement", default=STATEMENT, help="what is signed off, in the reviewer's words")


def _add_policy(command: argparse.ArgumentParser, run: Mapping[str, Command]) -> None:
    actions = command.add_subparsers(required=True, metavar="ACTION")
    help_ = "say what a run would refuse, with file, line and column; exit status 0 or 2"
    lint = actions.add_parser("lint", help=help_, description=help_)
    lint.set_defaults(run=run["policy lint"])
    lint.add_argument("files", type=_path, nargs="+", metavar="FILE", help="a checklist, such as policies/aiida.yml")
    lint.add_argument("--waivers", type=_path, metavar="VARS", help="a file of variables: its promotion_waivers, too")
    help_ = "print a checklist for people: gates, checks, limits, remedies"
    show = actions.add_parser("show", help=help_, description=help_)
    show.set_defaults(run=run["policy show"])
    show.add_argument("file", type=_path, metavar="FILE")
    show.add_argument("--markdown", action="store_true", help="as a Markdown page")
    help_ = "say what the second checklist drops, adds, tightens, loosens or changes against the first"
    diff = actions.add_parser("diff", help=help_, description=help_)
    diff.set_defaults(run=run["policy diff"])
    diff.add_argument("files", type=_path, nargs=2, metavar="FILE")
