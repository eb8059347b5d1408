"""What unblock sentences can name. Its commands run unchanged when pasted into a login shell of their host.

A command by hand is composed of the same parts as the gate's own command: the directory, the environment file, the
environment that the operator set, verdi's configuration, the profile and the computer. What this run found out is
filled in from its evidence; the rest is left to the shell, and so are secrets: their values are not in the bundle.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath
from typing import Any

from promotion_gate.bundle.index import Command
from promotion_gate.bundle.load import Bundle, once
from promotion_gate.judge.parsers.text import key_values

MASKED = "***"
_PLACEHOLDER = re.compile(r"\{env:([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\}")
_PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,200}", re.ASCII)
_PLAIN_PATHS = re.compile(r"/[A-Za-z0-9._@/:-]{0,1000}", re.ASCII)
# The commands of gate 5 as they ran; a sentence may name them.
CONTRACT_COMMANDS = ("openapi", "generate", "relay")
# Every word that a sentence may name without a check's help.
WORDS = frozenset((
    "host", "vm", "repo", "env_file", "env_path", "profile", "verdi", "verdi_each", "kill_daemon", "workspace",
    "workspace_dir", "branch", "commit", "inventory", "computer", "smoke_by_hand", "sanity_by_hand", "apply_by_hand",
    "openapi_by_hand", "export_by_hand", "generate_by_hand", "relay_by_hand", "install_by_hand", "generated_file",
))  # fmt: skip


@once
def words(bundle: Bundle) -> Mapping[str, str]:
    """The value of each of WORDS, except those that decide() itself knows (`commit`, `host`, `inventory`)."""
    settings = bundle.index.settings
    return {**_names(settings), **_on_vm(bundle, settings), **_on_workspace(bundle, settings)}


def _names(settings: Mapping[str, Any]) -> dict[str, str]:
    repo, env_file = str(settings.get("aiida_vm_repo_dir") or ""), str(settings.get("aiida_vm_env_file") or "")
    return {
        "vm": str(settings.get("vm")),
        "repo": repo,
        "env_file": env_file,
        "env_path": env_file if PurePosixPath(env_file).is_absolute() else f"{repo}/{env_file}",
        "workspace": str(settings.get("workspace")),
        "workspace_dir": str(settings.get("workspace_dir")),
        "branch": str(settings.get("workspace_target_branch")),
    }


def _on_vm(bundle: Bundle, settings: Mapping[str, Any]) -> dict[str, str]:
    names = _names(settings)
    call = settings.get("aiida_vm_verdi") or "verdi"
    verdi = shlex.split(call) if isinstance(call, str) else [str(word) for word in call]
    profile = _profile(bundle)
    target = shlex.quote(profile) if profile else '"$AIIDA_PROFILE"'
    folder = _config(bundle)
    # What `identity.py --verdi-folder` does, for a run that did not get that far.
    given = str(settings.get("aiida_vm_config_dir") or "")
    named = shlex.quote(given) if given else '"${AIIDA_PATH:-${AIIDA_CONFIG_DIR:?set aiida_vm_config_dir}}"'
    configured = folder or f"$(realpath -ms -- {named})"
    exports = [*_exports(settings, "aiida_vm_environment")]
    if "/" in verdi[-1]:  # `verdi daemon start` and the smoke script look for verdi on PATH
        exports.append(f'export PATH={_absolute(PurePosixPath(verdi[-1]).parent, names["repo"])}:"$PATH"')
    enter = " && ".join(
        [
            f"cd {shlex.quote(names['repo'])}",
            f"set -a && . {shlex.quote(names['env_path'])} && set +a",
            *exports,
            f"AIIDA_PATH={configured} && export AIIDA_PATH UV_NO_SYNC=1",
        ]
    )
    kill = f"pkill -KILL -f '[v]erdi -p {profile} daemon (start-circus|worker)'"
    if not profile:  # [v]: the pattern must not match the command line of the shell that runs this
        kill = _shell(f'{enter} && pkill -KILL -f "[v]erdi -p $AIIDA_PROFILE daemon (start-circus|worker)"')
    bare = " && ".join([f"cd {shlex.quote(names['repo'])}", *_exports(settings, "aiida_vm_environment")])
    bootstrap = f"{bare} && exec scripts/aiida-vm-bootstrap.sh --env-file {shlex.quote(names['env_file'])}"
    return {
        "sanity_by_hand": _shell(f"{bootstrap} --sanity-check"),
        "apply_by_hand": _shell(f"{bootstrap} --apply --init-profile --sanity-check"),
        "profile": profile or "the AIIDA_PROFILE of the environment file",
        "verdi": _shell(f'{enter} && exec {shlex.join(verdi)} -p {target} "$@"') + " verdi",
        # Its arguments are commands of verdi, one after the other, so the environment is set up once.
        "verdi_each": _shell(f"{enter} && for words; do {shlex.join(verdi)} -p {target} $words; done") + " verdi",
        "kill_daemon": kill,
        "smoke_by_hand": _shell(f"{enter} && exec {_smoke(settings, verdi[:-1], target)}"),
        "computer": shlex.quote(_computer(bundle) or "LABEL"),
    }


def _smoke(settings: Mapping[str, Any], wrapper: list[str], target: str) -> str:
    """The command line of the smoke script as in gate 4."""
    script = ["scripts/aiida-slurm-smoke-vm.sh", '--artifact-dir "$(mktemp -d)"', f"--profile {target}"]
    label = settings.get("gate_slurm_smoke_computer_label")
    named = [f"--computer-label {shlex.quote(str(label))}"] if label else []
    more = (shlex.quote(str(word)) for word in settings.get("aiida_vm_smoke_args") or ())
    return " ".join([*([shlex.join(wrapper)] if wrapper else []), *script, *named, *more])


def _on_workspace(bundle: Bundle, settings: Mapping[str, Any]) -> dict[str, str]:
    enter = " && ".join(
        [f"cd {shlex.quote(str(settings.get('workspace_dir')))}", *_exports(settings, "workspace_environment")]
    )
    found = {"generated_file": shlex.quote(str(settings.get("gate_contracts_generated_file") or "GENERATED_FILE"))}
    for name in CONTRACT_COMMANDS:
        record = bundle.index.of_any_gate(name)
        command = record.command if record else f"$gate_contracts_{name}_command"
        found[f"{name}_by_hand"] = _shell(f"{enter} && {command}")
        if name == "openapi":
            export = command.removesuffix(" --check")
            found["export_by_hand"] = _shell(f"{enter} && {export}")
    looked_for = bundle.index.of_any_gate("generated_before")
    modules = looked_for.argv[-1] if looked_for and looked_for.argv else "gate_contracts_client_dir/node_modules"
    client = PurePosixPath(modules).parent
    found["install_by_hand"] = _shell(f"{enter} && pnpm -C {shlex.quote(str(client))} install --frozen-lockfile")
    return found


def _shell(script: str) -> str:
    """A command that does not change the shell that it is pasted into, neither its directory nor its variables."""
    return f"bash -c {shlex.quote(script)}"


def _absolute(path: PurePosixPath, folder: str) -> str:
    return shlex.quote(str(path if path.is_absolute() else PurePosixPath(folder) / path))


def _exports(settings: Mapping[str, Any], name: str) -> Iterator[str]:
    """What the operator added to the environment; a secret is asked for, since its value is not in the bundle."""
    plain = {}
    for key, value in dict(settings.get(name) or {}).items():
        if MASKED in str(value):
            yield f': "${{{key}:?set it first, as {name} does}}" && export {key}'
        else:
            plain[str(key)] = _value(str(value))
    if plain:
        yield "export " + " ".join(f"{key}={value}" for key, value in plain.items())


def _value(text: str) -> str:
    """A value quoted for the shell, with the module's placeholders filled in."""
    parts, place = [], 0
    for match in _PLACEHOLDER.finditer(text):
        parts.append(shlex.quote(text[place : match.start()]) if text[place : match.start()] else "")
        default = f":-{match[2]}" if match[2] else ""
        parts.append(f'"${{{match[1]}{default}}}"')
        place = match.end()
    rest = text[place:]
    return "".join(parts) + (shlex.quote(rest) if rest or not parts else "")


# What the run found out. It comes from the VM and goes into commands that people paste: plain names only.


def asked_profile(record: Command) -> str | None:
    """The profile on a command line of verdi: the last -p; aiida_vm_verdi may have one, too (uv run -p 3.11)."""
    places = [place for place, word in enumerate(record.argv[:-1]) if word == "-p"]
    return record.argv[places[-1] + 1] if places else None


def _profile(bundle: Bundle) -> str | None:
    """The profile that verdi was asked about, or the one that the operator set."""
    for record in (bundle.index.of_any_gate("status"), bundle.index.of_any_gate("computer_test")):
        found = asked_profile(record) if record else None
        if found:
            return found if _PLAIN.fullmatch(found) else None
    given = str(bundle.index.settings.get("aiida_vm_profile") or "")
    return given if _PLAIN.fullmatch(given) else None


def _computer(bundle: Bundle) -> str | None:
    record = bundle.index.of_any_gate("computer_test")
    found = (
        record.argv[-1] if record and record.argv else str(bundle.index.settings.get("gate_slurm_smoke_computer_label"))
    )
    return found if _PLAIN.fullmatch(found) and found != "None" else None


def _config(bundle: Bundle) -> str | None:
    """The AIIDA_PATH that verdi was given."""
    for gate in bundle.policy.gates:
        found = key_values(bundle.output(gate.name, "config_dir") or "").get("aiida_path", "")
        if _PLAIN_PATHS.fullmatch(found):
            return found
    return None
