"""The command line of promotion-gate: its commands, their arguments, and the help texts."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

from promotion_gate import __version__
from promotion_gate.base.escape import harmless
from promotion_gate.base.fields import nearest
from promotion_gate.base.names import is_path
from promotion_gate.prove.signoff import STATEMENT

Command = Callable[[argparse.Namespace], int]
# Commands that the plays call, with a request on standard input. --help does not list them.
INTERNAL = ("open", "baseline", "begin")
SHELLS = ("bash", "zsh", "fish")
BUNDLE = "the folder of a run, or a .zip of it"
_STATUS = "exit status: "
_DECIDED = "0 PROMOTE, 1 HOLD, 2 usage, 3 no decision"


_EXAMPLES: Mapping[str, Sequence[str]] = {
    "": (
        "promotion-gate show BUNDLE",
        "promotion-gate check latest --root EVIDENCE_ROOT --max-age 24h",
        "promotion-gate COMMAND --help",
    ),
    "show": (
        "promotion-gate show BUNDLE",
        "promotion-gate show BUNDLE --gate 4",
        "promotion-gate show BUNDLE --check slurm_smoke.node --json",
    ),
    "diff": ("promotion-gate diff EARLIER_BUNDLE BUNDLE",),
    "history": (
        "promotion-gate history EVIDENCE_ROOT --last 20",
        "promotion-gate history EVIDENCE_ROOT --html > runs.html",
    ),
    "verify": (
        "promotion-gate verify BUNDLE",
        "promotion-gate verify --history EVIDENCE_ROOT",
        "promotion-gate verify BUNDLE --require-signature --allowed-signers FILE",
    ),
    "decide": ("promotion-gate decide BUNDLE",),
    "check": (
        "promotion-gate check latest --root EVIDENCE_ROOT --max-age 24h",
        "promotion-gate check BUNDLE --commit $(git rev-parse HEAD)",
        "promotion-gate check BUNDLE --require-sign-off --allowed-signers FILE",
    ),
    "seal": ("promotion-gate seal BUNDLE",),
    "sign-off": ("promotion-gate sign-off BUNDLE --name bob --key ~/.ssh/id_ed25519",),
    "issue": ("promotion-gate issue BUNDLE --command 'gh issue create --title {title} -F {file}'",),
    "policy": ("promotion-gate policy lint mine.yml", "promotion-gate policy diff policies/aiida.yml mine.yml"),
    "policy lint": (
        "promotion-gate policy lint policies/aiida.yml",
        "promotion-gate policy lint mine.yml --waivers inventory/vm/group_vars/all.yml",
    ),
    "policy show": (
        "promotion-gate policy show policies/aiida.yml",
        "promotion-gate policy show --markdown mine.yml > checklist.md",
    ),
    "policy diff": ("promotion-gate policy diff policies/aiida.yml mine.yml",),
    "completion": (
        "source <(promotion-gate completion bash)",
        "promotion-gate completion zsh > ~/.zfunc/_promotion-gate",
        "promotion-gate completion fish > ~/.config/fish/completions/promotion-gate.fish",
    ),
}


class _Parser(argparse.ArgumentParser):
    """A parser whose errors suggest the nearest command or option, and whose --help ends with examples."""

    def __init__(self, **options: Any) -> None:
        super().__init__(formatter_class=argparse.RawDescriptionHelpFormatter, **options)

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Rejects unknown arguments here: the parser of a command knows its options, the parser above it does not."""
        found, rest = super().parse_known_args(args, namespace)
        if rest:
            named = [word.partition("=")[0] for word in rest if word.startswith("-")]
            known = [name for action in self._actions for name in action.option_strings if name.startswith("--")]
            hints = [hint for word in named if (hint := nearest(word, known))]
            self.error(f"there is no argument {' '.join(rest)}{hints[0] if hints else ''}")
        return found, rest

    def error(self, message: str) -> NoReturn:
        wrong = re.match(r"argument (COMMAND|ACTION): invalid choice: '(.*?)' \(choose", message, re.DOTALL)
        choices = [name for action in self._actions for name in action.choices or () if name not in INTERNAL]
        if wrong:
            hint = nearest(wrong[2], choices) or f" (there are {', '.join(choices)})"
            message = f'there is no {wrong[1].lower()} "{wrong[2]}"{hint}'
        super().error(harmless(message))


def _end(name: str, status: str) -> str:
    """The end of a --help."""
    shown = "".join(f"\n  {example}" for example in _EXAMPLES[name])
    return f"example{'s' if len(_EXAMPLES[name]) > 1 else ''}:{shown}\n\n{_STATUS}{status}"


def parser_of(run: Mapping[str, Command]) -> argparse.ArgumentParser:
    """The parser. `run` of its result names the function to run: `decide`, `policy lint`.

    `reads` of the result names the arguments that are bundles and are only read.
    """
    parser = _Parser(
        prog="promotion-gate",
        description="Decides PROMOTE or HOLD from a bundle: the folder that a run of the promotion gate leaves.",
        epilog=_end("", f"{_DECIDED}; each command says its own"),
    )
    parser.add_argument("--version", action="version", version=f"promotion-gate {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    add = _Adder(commands, run)
    _add_reading(add)
    _add_check(add)
    _add_acting(add)
    policy = add("policy", "look at checklists: lint, show, diff", "0 done, 2 usage, or a run would refuse it")
    _add_policy(_Adder(policy.add_subparsers(required=True, metavar="ACTION"), run, "policy "))
    completion = add("completion", "print what a shell needs to complete commands and options", "0 done, 2 usage")
    completion.add_argument("shell", choices=SHELLS)
    for name in INTERNAL:
        commands.add_parser(name, description="For the plays: reads its request as JSON from standard input.")
        commands.choices[name].set_defaults(run=run.get(name))
    commands.choices["baseline"].add_argument("--check", action="store_true", help="only check what is set")
    return parser


class _Adder:
    """Adds a command with its name, a description, and its exit statuses."""

    def __init__(self, commands: Any, run: Mapping[str, Command], above: str = "") -> None:
        self._commands, self._run, self._above = commands, run, above

    def __call__(self, name: str, does: str, status: str) -> argparse.ArgumentParser:
        sentence = f"{does[:1].upper()}{does[1:]}."
        added: argparse.ArgumentParser = self._commands.add_parser(
            name, help=does, description=sentence, epilog=_end(self._above + name, status)
        )
        added.set_defaults(run=self._run.get(self._above + name))
        return added


def _path(text: str) -> Path:
    """A file or folder named on the command line; a value that cannot be a path is a usage error."""
    if not is_path(text):
        raise argparse.ArgumentTypeError(f'"{harmless(text[:120])}" cannot be the name of a file or folder')
    return Path(text)


def _folder(text: str) -> Path:
    """The folder of a run that the command writes into or beside."""
    path = _path(text)
    if path.suffix.lower() == ".zip" and path.is_file():
        raise argparse.ArgumentTypeError(f"{harmless(text)} is an archive; unpack it first and name the folder")
    return path


def _name(text: str) -> str:
    _path(text)
    return text


def _one_of(command: argparse.ArgumentParser, **forms: str) -> None:
    """Options that exclude one another."""
    group = command.add_mutually_exclusive_group()
    for name, help_ in forms.items():
        group.add_argument(f"--{name}", action="store_true", help=help_)


def _add_reading(add: _Adder) -> None:
    show = add("show", "print the decision of a sealed bundle for people", _DECIDED)
    show.add_argument("bundle", type=_path, help=BUNDLE)
    show.add_argument("--gate", metavar="N", help="one gate, by its number or name, with the checks that pass, too")
    show.add_argument("--check", metavar="ID", help="one check, such as slurm_smoke.node")
    _one_of(show, json="as JSON: promotion-decision.json, or the part that is asked for",
            markdown="as Markdown, for the summary of a CI job")  # fmt: skip
    diff = add(
        "diff",
        "compare two decisions: what newly fails, what was fixed, what changed",
        "0 nothing fails newly, 1 something does, 2 usage, 3 one of them does not verify",
    )
    diff.add_argument("bundles", type=_path, nargs=2, metavar="BUNDLE", help=f"{BUNDLE}, the earlier first")
    diff.add_argument("--json", action="store_true", help="as JSON")
    history = add(
        "history",
        "list the runs of an evidence root, or of several hosts the newest of each: decisions, causes, times",
        "0 the chain of the runs holds, 1 it does not, 2 usage or no run, 3 no run of any VM",
    )
    history.add_argument("root", type=_path, metavar="ROOT", help="the evidence root: the folder that holds the runs")
    history.add_argument("--last", type=int, metavar="N", help="list only the newest N runs")
    _one_of(history, json="as JSON", html="as one self-contained HTML page")
    verify = add(
        "verify",
        "check a sealed bundle, or the chain of all runs, without VM and network",
        "0 it verifies (PROMOTE or HOLD), 1 it does not, 2 usage",
    )
    verify.add_argument("bundle", type=_path, nargs="?", help=BUNDLE)
    verify.add_argument("--history", type=_path, metavar="DIR", help="check the chain of an evidence root")
    verify.add_argument("--json", action="store_true", help="print the report as JSON")
    _add_signature(verify)
    decide = add("decide", "compute the decision of a closed bundle and print it as JSON; writes nothing", _DECIDED)
    decide.add_argument("bundle", type=_path, help=BUNDLE)
    for command, reads in ((show, "bundle"), (diff, "bundles"), (verify, "bundle"), (decide, "bundle")):
        command.set_defaults(reads=reads)


def _add_check(add: _Adder) -> None:
    check = add("check", "say whether a decision counts today", "0 PROMOTE, 1 HOLD, 2 usage, 3 no valid decision")
    check.add_argument("bundle", type=_name, help=f"{BUNDLE}, or `latest` with --root")
    check.add_argument("--root", type=_path, metavar="DIR", help="the evidence root for `latest`")
    check.add_argument("--commit", metavar="SHA", help="the commit that the decision must be about")
    check.add_argument("--vm", metavar="FINGERPRINT", help="the fingerprint of the VM that it must be about")
    check.add_argument("--ticket", metavar="NAME", help="the ticket that it must be about")
    check.add_argument("--policy-sha256", metavar="DIGEST", help="the SHA-256 of the policy that it was decided by")
    check.add_argument("--max-age", metavar="24h", help="how old the decision may be today")
    check.add_argument("--require-sign-off", action="store_true", help="require one signed by the reviewer's key")
    check.set_defaults(reads="bundle")
    _add_signature(check)


def _add_signature(command: argparse.ArgumentParser) -> None:
    command.add_argument("--require-signature", action="store_true", help="require SHA256SUMS to be signed")
    command.add_argument("--allowed-signers", type=_path, metavar="FILE", help="whose keys count, as in ssh-keygen(1)")


def _add_acting(add: _Adder) -> None:
    seal = add("seal", "decide a closed bundle, write the records, and seal it with SHA256SUMS", _DECIDED)
    seal.add_argument("bundle", type=_folder, help="the folder of a run")
    seal.add_argument("--of-this-run", action="store_true", help="the plays say so: the recorder looked for secrets")
    sign = add(
        "sign-off",
        "sign off a bundle as the reviewer that its record names",
        "0 signed off, 2 wrong name or usage, 3 nothing to sign off, or signing failed",
    )
    sign.add_argument("bundle", type=_folder, help="the folder of a run")
    sign.add_argument("--name", required=True, help="the reviewer, as the record names them")
    sign.add_argument("--key", help="an SSH key, or its public half with the key in the agent; signs the sign-off")
    sign.add_argument("--statement", default=STATEMENT, help="what is signed off, in the reviewer's words")
    issue = add(
        "issue",
        "hand the follow-up issue of a HOLD to your tracker's own tool",
        "0 handed over, or nothing to hand over, 1 the tool failed, 2 usage, 3 no decision",
    )
    issue.add_argument("bundle", type=_folder, help="the folder of a run")
    issue.add_argument("--command", help="your promotion_issue_command; one that only the bundle names is not run")
    issue.add_argument("--update-command", help="your promotion_issue_update_command, likewise")
    issue.add_argument("--directory", type=_path, default=Path(), help="where it runs, by default here")


def _add_policy(add: _Adder) -> None:
    lint = add(
        "lint",
        "report all that a run would refuse, with file, line and column, and checks that can never fail",
        "0 a run would accept all of them, 2 it would not",
    )
    lint.add_argument("files", type=_path, nargs="+", metavar="FILE", help="a checklist, such as policies/aiida.yml")
    lint.add_argument("--waivers", type=_path, metavar="VARS", help="a file of variables: its promotion_waivers, too")
    show = add(
        "show", "print a checklist for people: gates, checks, limits, remedies", "0 done, 2 a run would refuse it"
    )
    show.add_argument("file", type=_path, metavar="FILE")
    show.add_argument("--markdown", action="store_true", help="as a Markdown page")
    diff = add(
        "diff",
        "report what the second checklist loosens, drops, changes, adds or tightens",
        "0 done, 2 a run would refuse one of them",
    )
    diff.add_argument("files", type=_path, nargs=2, metavar="FILE")
