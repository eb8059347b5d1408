"""What Ansible reports when no module could run on a host: what kind of trouble it is, and what to do about it.

Source: ansible-core 2.19 (``executor/interpreter_discovery.py``, ``plugins/connection/ssh.py``, ``plugins/action``),
OpenSSH 9, PAM, sudo. The message itself is often only "MODULE FAILURE": the cause is in what the host printed instead
of an answer.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

MAX_TEXT = 2000


@dataclass(frozen=True, slots=True)
class Trouble:
    """A kind of trouble and its remedy, in which {host} and {inventory} are filled in."""

    kind: str
    remedy: str


_PING = "Make {host} answer `ansible -i {inventory} {host} -m ansible.builtin.ping`, then re-run."
# The order matters: the first match wins, so the more specific patterns come first.
_KINDS: tuple[tuple[str, str, str], ...] = (
    (
        "no_checkout",
        r"the application is not checked out: ",
        "Check the application out there on {host}, or correct in the inventory where it is (aiida_vm_repo_dir for a "
        "VM, workspace_dir for the workspace), then re-run.",
    ),
    (
        "no_env_file",
        r"the environment file .{1,1000}: there is no such file",
        "Create that file on {host} (the bootstrap's --copy-env creates a first one), or set aiida_vm_env_file to one "
        "that is there, then re-run.",
    ),
    (
        "env_file",
        r"the environment file .{1,1000}: ",
        "On {host}, correct that file as the message says, or set aiida_vm_env_file to another one, then re-run.",
    ),
    (
        "old_python",
        r"requires a minimum of Python|future feature annotations is not defined|SyntaxError: invalid syntax"
        r"|Python (?:2\.\d|3\.[0-8])\b.{0,60}not supported",
        "Install Python 3.9 or newer on {host} and set ansible_python_interpreter to it in the inventory. " + _PING,
    ),
    (
        "no_python",
        r"module interpreter .{0,200}was not found|No python interpreters found"
        r"|python[\d.]*(?:'|\")?: (?:command )?not found|python[\d.]*(?:'|\")?: No such file or directory"
        r"|Failed to (?:discover|find) (?:a )?Python interpreter",
        "Install Python 3.9 or newer on {host}, or set ansible_python_interpreter to where it is. " + _PING,
    ),
    (
        "expired_password",
        r"password has expired|Password change required|required to change your password|account has expired"
        r"|Your account has expired",
        "Log in to {host} by hand and change the expired password (or have the account extended). " + _PING,
    ),
    (
        "no_login",
        r"account is currently not available|System is (?:booting up|going down)|pam_nologin|nologin",
        "Let the account on {host} log in (no nologin shell, no /run/nologin). " + _PING,
    ),
    (
        "host_key",
        r"Host key verification failed|REMOTE HOST IDENTIFICATION HAS CHANGED|host key .{0,80}(?:is not|isn't) known",
        "Compare the host key of {host} with what its administrator says, and put the right one into known_hosts. "
        + _PING,
    ),
    (
        "sshpass",
        r"install the sshpass program",
        "Use an SSH key for {host}, or install sshpass on this machine. " + _PING,
    ),
    (
        "become",
        r"Missing sudo password|sudo: a password is required|sudo: a terminal is required|not in the sudoers file"
        r"|Incorrect sudo password|waiting for privilege escalation prompt|sudo: command not found",
        "The gate needs no other user: remove ansible_become for {host}, or let sudo ask for no password. " + _PING,
    ),
    (
        "login",
        r"Permission denied \((?:publickey|password|keyboard|gssapi|hostbased)|Too many authentication failures"
        r"|Invalid/incorrect password|Authentication failed",
        "Give this machine's SSH key access to the account on {host} (ansible_ssh_private_key_file), or correct "
        "ansible_user. " + _PING,
    ),
    (
        "name",
        r"Could not resolve hostname|Name or service not known|Temporary failure in name resolution",
        "Correct ansible_host of {host} in the inventory, or its name's entry in DNS. " + _PING,
    ),
    (
        "port",
        r"Connection refused",
        "Correct ansible_port of {host} in the inventory, or start the SSH server there. " + _PING,
    ),
    (
        "network",
        r"Connection timed out|No route to host|Network is unreachable|Connection reset by"
        r"|Connection closed by|kex_exchange_identification|Operation timed out|banner exchange",
        "Start {host}, correct its ansible_host in the inventory, or open its port in the firewall. " + _PING,
    ),
    (
        "silent",
        r"Timed out after [\d.]+ second",
        "Something on {host} does not answer: a start-up file of the shell or a file system that hangs, perhaps. Make "
        "`ssh {host} true` return, then re-run.",
    ),
    (
        "no_space",
        r"No space left on device|Disk quota exceeded",
        "Free space on {host} (`df -h /tmp ~`), then re-run.",
    ),
    (
        "temporary_directory",
        r"Failed to create temporary directory|Read-only file system|could not create .{0,80}temporary"
        r"|(?:\.ansible|/tmp|/var/tmp)/\S*: Permission denied",
        "Let the account on {host} write and run files in ~/.ansible/tmp (or set ansible_remote_tmp). " + _PING,
    ),
    (
        "killed",
        r"\bKilled\b|MemoryError|Cannot allocate memory|Out of memory",
        "Free memory on {host}: what the gate started there was killed. Then re-run.",
    ),
    (
        "noise",
        r"No start of json char found|deserialization failed|JSON(?:Decode)?Error|junk after the JSON|Extra data:",
        "A start-up file on {host} prints something; `ssh {host} true` must print nothing, then re-run.",
    ),
)
_PATTERNS = tuple((re.compile(pattern, re.IGNORECASE), Trouble(kind, remedy)) for kind, pattern, remedy in _KINDS)


def failure_text(result: Mapping[str, Any]) -> str:
    """The report of a failed or unreachable task: its message, and what the host printed instead of an answer."""
    parts = [result.get("msg"), result.get("module_stderr"), result.get("module_stdout"), result.get("stderr")]
    messages = [" ".join(part.split()) for part in map(str, filter(None, parts)) if part.strip()]
    kept = [part for number, part in enumerate(messages) if not any(part in other for other in messages[:number])]
    return " | ".join(part[: MAX_TEXT // len(kept)] for part in kept) or "no message"


def trouble(text: str) -> Trouble | None:
    """The kind of trouble that the text of a failure indicates; None if it is not a known one."""
    return next((found for pattern, found in _PATTERNS if pattern.search(text)), None)
