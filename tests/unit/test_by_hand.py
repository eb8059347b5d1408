"""The commands of unblock sentences are those of the gate: a shell that is given one does what the gate did."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from collections.abc import Iterator, Mapping
from itertools import groupby
from pathlib import Path
from typing import Any

import bundles
import pytest

from promotion_gate.bundle.load import load_bundle
from promotion_gate.judge.by_hand import words
from promotion_gate.judge.shipped import read_policy

# Stands in for uv and verdi: says what it was given, and where.
TOOL = '#!/bin/sh\necho "$PWD|$AIIDA_PATH|$AIIDA_PROFILE|$AIIDA_DB_PASSWORD|$EXTRA|$UV_NO_SYNC|$(basename "$0") $*"\n'


def of(root: Path, trips: bundles.Trips | None = None, **variables: Any) -> Mapping[str, str]:
    return words(load_bundle(bundles.closed_bundle(root / "evidence", trips, **variables)))


def without_gates() -> bundles.Trips:
    """A run that was stopped before it asked anything."""
    return {}


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout with an environment file, and tools that say what they were given."""
    repo = tmp_path / "it's a checkout"
    (repo / "ops").mkdir(parents=True)
    (repo / "ops" / "env").write_text(
        "AIIDA_PROFILE=vm-psql\nAIIDA_CONFIG_DIR=.run/config\nAIIDA_DB_PASSWORD='a b'\n", encoding="utf-8"
    )
    for name in ("bin/uv", "apps/verdi"):
        tool = repo / name
        tool.parent.mkdir(exist_ok=True)
        tool.write_text(TOOL, encoding="utf-8")
        tool.chmod(0o700)
    return repo


def pasted(command: str, repo: Path) -> str:
    """What a plain shell prints for it; neither its directory nor its variables may change."""
    script = f'before=$(set | grep -v "^_=\\|^BASH_\\|^PIPESTATUS"); {command}\n' + (
        'test "$before" = "$(set | grep -v "^_=\\|^before=\\|^BASH_\\|^PIPESTATUS")" || echo CHANGED'
    )
    environment = {"PATH": f"{repo / 'bin'}:{os.environ['PATH']}", "HOME": "/nonexistent"}
    done = subprocess.run(["bash", "-c", script], cwd="/", env=environment, capture_output=True, text=True, check=False)
    return (done.stdout + done.stderr).strip()


@pytest.mark.stranger("13.2", "5 of 5 commands about verdi failed when pasted: they lacked the configuration's folder")
def test_verdi_by_hand_has_the_environment_of_the_gate(tmp_path: Path, checkout: Path) -> None:
    message = of(
        tmp_path, without_gates(), aiida_vm_repo_dir=str(checkout), aiida_vm_env_file="ops/env",
        aiida_vm_environment={"EXTRA": "{env:HOME}/x y"},
    )  # fmt: skip
    printed = pasted(f"{message['verdi']} daemon start 1", checkout)
    folder = f"{checkout}/.run/config"
    call = "uv run --project apps/api --group aiida verdi -p vm-psql daemon start 1"
    assert printed == f"{checkout}|{folder}|vm-psql|a b|/nonexistent/x y|1|{call}"


def test_several_commands_of_verdi_have_that_environment_once(tmp_path: Path, checkout: Path) -> None:
    message = of(tmp_path, without_gates(), aiida_vm_repo_dir=str(checkout), aiida_vm_env_file="ops/env")
    printed = pasted(f"{message['verdi_each']} 'daemon stop' 'daemon start 1'", checkout).splitlines()
    ended, started = (pasted(f"{message['verdi']} daemon {word}", checkout) for word in ("stop", "start 1"))
    assert printed == [ended, started]
    both = f"{message['verdi']} daemon stop ; {message['verdi']} daemon start 1"
    assert len(f"{message['verdi_each']} 'daemon stop' 'daemon start 1'") < 0.6 * len(both)


def test_what_the_run_found_is_filled_in(tmp_path: Path) -> None:
    message = of(tmp_path)
    assert "AIIDA_PATH=/home/aiida && " in message["verdi"]
    assert "verdi -p vm-psql" in message["verdi"]
    assert message["computer"] == "vm-slurm"
    assert message["kill_daemon"] == "pkill -KILL -f '[v]erdi -p vm-psql daemon (start-circus|worker)'"


def test_a_verdi_of_the_checkout_is_found_by_what_it_starts(tmp_path: Path, checkout: Path) -> None:
    message = of(
        tmp_path, without_gates(), aiida_vm_repo_dir=str(checkout), aiida_vm_env_file="ops/env",
        aiida_vm_verdi="apps/verdi", aiida_vm_config_dir="/srv/config",
    )  # fmt: skip
    assert pasted(f"{message['verdi']} status", checkout).endswith(
        "|/srv/config|vm-psql|a b||1|verdi -p vm-psql status"
    )


def test_a_secret_of_the_environment_is_asked_for(tmp_path: Path, checkout: Path) -> None:
    message = of(
        tmp_path, without_gates(), aiida_vm_repo_dir=str(checkout), aiida_vm_env_file="ops/env",
        aiida_vm_environment={"API_TOKEN": "s3cr3t-value"},
    )  # fmt: skip
    assert "s3cr3t" not in str(message)
    assert "API_TOKEN: set it first, as aiida_vm_environment does" in pasted(f"{message['verdi']} status", checkout)


def test_without_a_configuration_verdi_is_not_called(tmp_path: Path, checkout: Path) -> None:
    (checkout / "ops" / "env").write_text("AIIDA_PROFILE=vm-psql\n", encoding="utf-8")
    message = of(tmp_path, without_gates(), aiida_vm_repo_dir=str(checkout), aiida_vm_env_file="ops/env")
    printed = pasted(f"{message['verdi']} status", checkout)
    assert "set aiida_vm_config_dir" in printed
    assert "|" not in printed


@pytest.mark.stranger("13.5", "sentences of gate 5 named paths of the example application")
def test_the_commands_of_gate_5_are_those_that_ran(tmp_path: Path) -> None:
    trips = bundles.trips_with("contracts", "openapi", command="python tools/openapi.py --check")
    trips["contracts"] = bundles.changed(trips["contracts"], "relay", command="uv run --project apps/api pytest tests")
    message = of(tmp_path, trips, workspace_environment={"CI": "true"})
    assert message["export_by_hand"] == "bash -c 'cd /srv/app && export CI=true && python tools/openapi.py'"
    assert (
        message["relay_by_hand"] == "bash -c 'cd /srv/app && export CI=true && uv run --project apps/api pytest tests'"
    )


def test_no_sentence_of_the_checklist_names_a_path_of_the_example() -> None:
    text = (bundles.PROJECT / "policies" / "aiida.yml").read_text(encoding="utf-8")
    sentences = re.findall(r"(?:unblock|default|[a-z_]+): (.*(?:On|Set) .*)", text)
    assert len(sentences) > 30
    for path in ("openapi.json", "packages/api-client", "export_openapi", "test_convex_event_relay"):
        assert not [sentence for sentence in sentences if path in sentence]


# --- what is in back quotes -------------------------------------------------------------------------------------

# What a sentence may call: programs, placeholders that stand for a command, and the commands of verdi.
PROGRAMS = """
    ansible-playbook cd chmod corepack df dmesg du git grep journalctl node npm nvidia-smi pg_isready pip pnpm scontrol
    sinfo slurmd sleep squeue systemctl timedatectl timeout uv scripts/aiida-vm-bootstrap.sh {kill_daemon}
    {apply_by_hand} {sanity_by_hand} {smoke_by_hand} {export_by_hand} {generate_by_hand} {openapi_by_hand}
    {relay_by_hand} {install_by_hand}
"""
OF_VERDI = {"computer", "config", "daemon", "process", "profile", "status"}


def calls(command: str) -> Iterator[list[str]]:
    """The words of each program that a shell calls for `command`, one list for each."""
    lexer = shlex.shlex(command, posix=True, punctuation_chars=True)
    lexer.wordchars += "{}"
    for operator, found in groupby(lexer, lambda word: set(word) <= set(";&|")):
        if not operator:
            called = list(found)
            yield called[called[0] == "sudo" :]


@pytest.mark.stranger("13.2", "a remedy had `process report` in back quotes, which no shell knows")
@pytest.mark.parametrize("checklist", ["policies/aiida.yml", "examples/other-team/checklist.yml"])
def test_what_a_sentence_has_in_back_quotes_is_a_command(checklist: str) -> None:
    policy = read_policy((bundles.PROJECT / checklist).read_text(encoding="utf-8"), checklist)
    sentences = [text for check in policy.checks() for text in check.unblock.values()]
    assert not [text for text in sentences if text.count("`") % 2]
    quoted = [command for text in sentences for command in re.findall("`([^`]*)`", text)]
    assert len(quoted) > 9
    for command in quoted:
        for program, *words_ in calls(command):
            of_verdi = program in ("{verdi}", "{verdi_each}") and {word.split()[0] for word in words_[:1]} <= OF_VERDI
            assert program in PROGRAMS.split() or of_verdi, command
