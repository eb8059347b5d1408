"""The evidence callback: turns events into plain calls on the recorder, and decides the exit status."""

from __future__ import annotations

DOCUMENTATION = """
name: evidence
type: aggregate
short_description: Records the evidence of the promotion gate on the controller
description:
  - Writes what the module gate_commands returns into the bundle, at once and redacted.
  - Arms itself in a playbook with a play that has the variable promotion_gate_decides. At its end the sealed record of
    this run is read from disk, verified and computed again; unless it says PROMOTE, ansible-playbook ends with 2.
options: {}
"""

import base64
import json
import re
import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ansible import constants as C
from ansible import context
from ansible.errors import AnsibleParserError
from ansible.parsing.splitter import split_args
from ansible.plugins.callback import CallbackBase
from ansible.utils.vars import load_extra_vars

from promotion_gate import __version__
from promotion_gate.base.escape import described, harmless, visible
from promotion_gate.base.redact import Redactor, secrets_of
from promotion_gate.judge.parsers.failures import failure_text
from promotion_gate.run.backstop import claim
from promotion_gate.run.extra_vars import repeated_extra_vars, stray_words
from promotion_gate.run.following import Following
from promotion_gate.run.orphans import end_with_killed_children, tie_children_to_us
from promotion_gate.run.roles import name_mistakes
from promotion_gate.run.watching import decides, is_deciding, planned, tell

# Ansible has these in each run; no task of ours does.
_SKIPPED_BY_MOLECULE = ("molecule-notest", "notest")


class CallbackModule(CallbackBase):
    """Hooks of a few lines each; what they do is in promotion_gate.run.following."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "evidence"

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._following = Following(self._lost)
        self._known: set[str] = set()  # secret values that tasks were given
        self._redactor = Redactor()
        self._mask_what_is_shown()
        # It is beside the collection's playbooks; if callbacks_enabled names it as well, only one of the two records.
        self.disabled = not claim()

    def v2_playbook_on_start(self, playbook: Any) -> None:
        promised = decides(playbook)
        if promised:
            self._following.arm()
        replaced = _replaced_checks(load_extra_vars(playbook._loader))
        self._stop_on([*_dropped_words(), *replaced, *(_of_no_use() if promised else [])])

    def v2_playbook_on_no_hosts_matched(self) -> None:
        limit = context.CLIARGS.get("subset")
        if limit and self._following.is_waiting:
            self._stop_on(
                [
                    f"--limit {limit} leaves out localhost, where a run is opened and decided. Run without --limit; "
                    "-e promotion_gates=3,4 runs chosen gates."
                ]
            )

    def v2_playbook_on_task_start(self, task: Any, is_conditional: bool) -> None:
        # After a probe: all hosts have answered, or have been given up.
        self._guarded(self._following.record_probes)

    def v2_runner_on_ok(self, result: Any) -> None:
        self._guarded(lambda: self._result(result))

    def v2_runner_on_failed(self, result: Any, ignore_errors: bool = False) -> None:
        self._guarded(lambda: self._event("failed", result))

    def v2_runner_on_unreachable(self, result: Any) -> None:
        self._guarded(lambda: self._event("unreachable", result))

    def v2_playbook_on_stats(self, stats: Any) -> None:
        # Ansible turns an exception into a warning and still exits 0; SystemExit sets the status.
        try:
            end = self._following.end()
            if end is None:
                return
            self._display.display(end.text, color=C.COLOR_OK if end.promotes else C.COLOR_ERROR)
            tell(lambda watcher: watcher.ended())
        except BaseException as error:
            self._display.display(f"HOLD: the record could not be verified: {visible(str(error))}", color=C.COLOR_ERROR)
            raise SystemExit(2) from error
        if not end.promotes:
            raise SystemExit(2)

    def _stop_on(self, sentences: list[str]) -> None:
        """Stops the run before it has done anything; an exception would only be a warning."""
        for sentence in sentences:
            self._display.display(f"HOLD: {visible(sentence)}", color=C.COLOR_ERROR)
        if sentences:
            raise SystemExit(2)

    def _result(self, result: Any) -> None:
        evidence, host = result.result.get("gate_evidence"), result.host.get_name()
        if _is_probe(result.task):
            self._following.probe(host, result.result)
            return
        if not isinstance(evidence, dict):
            return
        # What the task asked for, not what its result claims: that may come from a VM.
        event = result.task_fields.get("args", {}).get("event", "commands")
        handed = _handed_in(result)
        self._learn(handed)
        if evidence.get("event") != event:
            problem = f"its result is of the kind {evidence.get('event')!r}, and {event!r} was asked for"
            self._following.event("failed", _gate_of(result.task), host, result.task_name, problem)
            return
        if event == "open":
            self._open(Path(evidence["bundle"]))
        elif event == "close":
            if self._following.close(Path(evidence["bundle"])):
                tell(lambda watcher: watcher.closed())
        elif event == "commands":
            gate = str(evidence.get("gate"))
            bundle = self._following.trip(evidence, host, handed)
            tell(lambda watcher: bundle and watcher.recorded(bundle, gate, host))

    def _learn(self, values: Iterable[str]) -> None:
        if not self._known.issuperset(values):
            self._known.update(values)
            self._redactor = Redactor(self._known)

    def _mask_what_is_shown(self) -> None:
        """On the terminal and in Ansible's log: results with -v, options of the command line with -vvvv."""
        show = self._display.display
        self._display.display = lambda msg, *args, **kwargs: show(self._redactor.text(str(msg)), *args, **kwargs)

    def _open(self, bundle: Path) -> None:
        first = self._following.open(bundle, _run_options(), self._known)
        if first:
            tie_children_to_us()
            end_with_killed_children()
        tell(lambda watcher: watcher.opened(bundle))

    def _event(self, kind: str, result: Any) -> None:
        host = result.host.get_name()
        if _is_probe(result.task):
            self._following.probe(host, result.result)
        elif not is_deciding(result.task):
            self._following.event(kind, _gate_of(result.task), host, result.task_name, failure_text(result.result))

    def _guarded(self, action: Callable[[], None]) -> None:
        """Ansible turns an exception in a callback into a warning; here it counts against the decision."""
        try:
            action()
        except Exception as error:
            message = described(error)
            self._lost(message, error)
            self._following.failed(message)

    def _lost(self, message: str, error: Exception) -> None:
        self._display.warning(f"The evidence recorder failed: {message}")
        self._display.vvv("\n".join(map(harmless, "".join(traceback.format_exception(error)).splitlines())))


def _handed_in(result: Any) -> list[str]:
    """The secret values that a task of gate_commands was given."""
    text = result.task_fields.get("args", {}).get("secrets")
    given = json.loads(base64.b64decode(str(text))) if text else {}
    environment = {str(name): str(value) for name, value in given.get("environment", {}).items()}
    return [value for _, value in secrets_of(environment)] + list(map(str, given.get("known", ())))


def _gate_of(task: Any) -> str | None:
    """The gate that a task belongs to."""
    entry = planned(task)
    return str(entry["name"]) if entry is not None else None


def _dropped_words() -> list[str]:
    """The words of -e that Ansible drops."""
    found = []
    for entry in map(str, context.CLIARGS.get("extra_vars") or ()):
        try:
            found.append(stray_words(entry, split_args(entry)))
        except AnsibleParserError:
            continue  # Ansible has already reported it
    return [sentence for sentence in found if sentence]


def _replaced_checks(extra_vars: Mapping[str, Any]) -> list[str]:
    """The variables of -e that would replace the request of roles/gate_common, which all others are checked with."""
    return name_mistakes((name for name in extra_vars if re.match("(?:__)?gate_common_", name)), ())


def _of_no_use() -> list[str]:
    """Options that would prevent a decision, or that would not have the intended effect."""
    options = context.CLIARGS
    tags = [tag for tag in options.get("tags") or () if tag != "all"]
    skipped = [tag for tag in options.get("skip_tags") or () if tag not in _SKIPPED_BY_MOLECULE]
    chosen = [f"--tags {','.join(tags)}"] if tags else []
    chosen += [f"--skip-tags {','.join(skipped)}"] if skipped else []
    found = [f"{option}: tags choose no gates. Use -e promotion_gates=3,4 instead." for option in chosen]
    if C.DEFAULT_NO_LOG:
        found.append(
            "ANSIBLE_NO_LOG (no_log in ansible.cfg) hides every result, so nothing could be recorded. Unset it."
        )
    return found


def _is_probe(task: Any) -> bool:
    """Whether a task probes a host before anything runs there."""
    return task.args.get("event") == "probe" and bool(task.args.get("identity"))


def _playbook(named: Sequence[str]) -> str:
    """The playbook that a re-run names: promotion-gate.yml, in its own directory, or what was named instead."""
    if len(named) != 1 or Path(named[0]).name == "promotion-gate.yml":
        return "promotion-gate.yml"
    return str(Path(named[0]).resolve()) if Path(named[0]).is_file() else named[0]


def _run_options() -> dict[str, Any]:
    """The options of ansible-playbook that explain why a gate did not run."""
    options = context.CLIARGS
    chosen = [f"--limit {options['subset']}"] if options.get("subset") else []
    return {
        "recorder": "evidence",
        "gate_version": __version__,
        "check": bool(options.get("check")),
        "selection": " ".join(chosen),
        "playbook": _playbook(options.get("args") or ()),
        "extra_vars": repeated_extra_vars(options.get("extra_vars") or ()),
        "options": _connection_options(options),
    }


# The options that a re-run needs to reach the hosts and to read the inventory, each with its value if not given.
_WITH_VALUE = (
    ("--user", "remote_user", C.DEFAULT_REMOTE_USER),
    ("--private-key", "private_key_file", C.DEFAULT_PRIVATE_KEY_FILE),
    ("--connection", "connection", C.DEFAULT_TRANSPORT),
    ("--timeout", "timeout", None),
    ("--ssh-common-args", "ssh_common_args", None),
    ("--ssh-extra-args", "ssh_extra_args", None),
    ("--sftp-extra-args", "sftp_extra_args", None),
    ("--scp-extra-args", "scp_extra_args", None),
    ("--connection-password-file", "connection_password_file", C.CONNECTION_PASSWORD_FILE),
    ("--become-method", "become_method", C.DEFAULT_BECOME_METHOD),
    ("--become-user", "become_user", None),
    ("--become-password-file", "become_password_file", C.BECOME_PASSWORD_FILE),
)
_FLAGS = (
    ("--become", "become", C.DEFAULT_BECOME),
    ("--ask-pass", "ask_pass", C.DEFAULT_ASK_PASS),
    ("--ask-become-pass", "become_ask_pass", C.DEFAULT_BECOME_ASK_PASS),
    ("--ask-vault-pass", "ask_vault_pass", C.DEFAULT_ASK_VAULT_PASS),
)
_LISTS = (("--vault-id", "vault_ids"), ("--vault-password-file", "vault_password_files"))


def _connection_options(options: Mapping[str, Any]) -> list[str]:
    """`--name=value` for each that was given; a value may begin with a dash."""
    given = [(name, options.get(key), unset) for name, key, unset in _WITH_VALUE]
    words = [f"{name}={value}" for name, value, unset in given if value is not None and value != unset]
    words += [name for name, key, unset in _FLAGS if options.get(key) and not unset]
    return words + [f"{name}={value}" for name, key in _LISTS for value in options.get(key) or ()]
