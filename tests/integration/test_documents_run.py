"""Every fenced `console` block of README and docs does what it says: its commands are run as they are printed.

In the order of the table below, on one ground: placeholders stand for the ground's own places and people.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from ground import HEALTHY, PROJECT, Ground

DOCUMENTS = [PROJECT / "README.md", PROJECT / "CONTRIBUTING.md", *sorted((PROJECT / "docs").glob("*.md"))]
BLOCK = re.compile(r"^```console\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def commands() -> list[str]:
    """Each command once, continued lines joined, without the comment behind it; a copy of the template is as good."""
    found: dict[str, None] = {}
    for document in DOCUMENTS:
        for block in BLOCK.findall(document.read_text(encoding="utf-8")):
            for line in block.replace("\\\n", " ").splitlines():
                command = " ".join(line.partition(" # ")[0].split())
                found[command.replace("-i inventory/mine", "-i inventory/vm")] = None
    return [command for command in found if command]


def drain(ground: Ground) -> None:
    ground.sqlite(0.05)  # far below the baseline: a busy machine does not make the test fail
    ground.say("sinfo", "sinfo/drained")
    ground.say("scontrol_nodes", "scontrol_nodes/drained")


def resume_node(ground: Ground) -> None:
    for name in ("sinfo", "scontrol_nodes"):
        ground.say(name, HEALTHY[name])


def slow(ground: Ground) -> None:
    ground.sqlite(0.8)


def nothing(_ground: Ground) -> None:
    pass


# What is run, in this order: the beginning of a command, its exit status, and what has happened before.
STEPS: list[tuple[str, int, Callable[[Ground], None]]] = [
    (r"ansible-playbook playbooks/record-baseline\.yml ", 0, slow),
    (r"ansible-playbook promotion-gate\.yml -i inventory/vm$", 2, drain),
    (r"promotion-gate show ", 1, nothing),
    (r"ansible-playbook promotion-gate\.yml .* promotion_resume=latest$", 0, resume_node),
    (r"ansible-playbook promotion-gate\.yml .* promotion_gates=", 0, nothing),
    (r"promotion-gate (?:verify|history|check (?!.*--require-sign-off))", 0, nothing),
    (r"(?:ansible-playbook playbooks/sign-off\.yml|promotion-gate sign-off) ", 0, nothing),
    (r"promotion-gate check .*--require-sign-off", 0, nothing),
]
# Not run here: what makes, installs or removes whole environments; its targets have to be there.
MAKE = re.compile(r"make ([a-z-]+)")
INSTALL = (
    "cp -r inventory/vm inventory/mine",
    "python3 -m venv .venv && . .venv/bin/activate",
    "pip install -e '.[ansible]'",
    "pip install .",
)


def step_of(command: str) -> int | None:
    return next((number for number, (start, _, _) in enumerate(STEPS) if re.match(start, command)), None)


def test_there_are_blocks_and_each_command_is_known() -> None:
    found = commands()
    unknown = [c for c in found if step_of(c) is None and not MAKE.fullmatch(c) and c not in INSTALL]
    assert unknown == []
    assert {step_of(command) for command in found} >= set(range(len(STEPS))), "each step of the table is in a document"


@pytest.mark.stranger("15.9", "README's own line recorded the reason `known-good`")
def test_targets_of_make_are_there() -> None:
    makefile = (PROJECT / "Makefile").read_text(encoding="utf-8")
    named = {match[1] for command in commands() if (match := MAKE.fullmatch(command))}
    assert named and {target for target in named if not re.search(rf"^{target}:", makefile, re.MULTILINE)} == set()
    assert (PROJECT / "pyproject.toml").is_file()


def filled_in(command: str, ground: Ground) -> str:
    run, key = ground.bundles()[-1] if ground.bundles() else ground.evidence, ground.sshd.folder / "user_key"
    for placeholder, value in (
        (r"-i inventory/vm\b", f"-i {ground.inventory()}"),
        (r"\$RUN\b|\bBUNDLE\b", str(run)),
        (r"\bEVIDENCE_ROOT\b|\$ROOT\b", str(ground.evidence)),
        (r"\bpromotion_run_id=\S+", f"promotion_run_id={run.name}"),
        (r"\bpromotion_operator=ada\b", "promotion_operator=test-reviewer"),
        (r"\bpromotion_signing_key=\S+", f"promotion_signing_key={key}"),
        (r"\bREVIEWER\b", "test-reviewer"),
        (r"\bKEY\b", str(key)),
        (r"\bFILE\b", str(ground.folder / "allowed_signers")),
    ):
        command = re.sub(placeholder, value, command)
    # Without an inventory the reviewer is the user who runs it.
    needs_name = "sign-off.yml" in command and "promotion_operator" not in command
    return f"{command} -e promotion_operator=test-reviewer" if needs_name else command


@pytest.mark.nightly
def test_the_commands_of_the_documents_run_as_printed(ground: Ground) -> None:
    public = (ground.sshd.folder / "user_key.pub").read_text(encoding="utf-8")
    (ground.folder / "allowed_signers").write_text(f'test-reviewer namespaces="promotion-gate" {public}', "utf-8")
    environment = ground.environment()
    environment["PATH"] = f"{Path(sys.executable).parent}:{environment['PATH']}"
    for number, (_, status, before) in enumerate(STEPS):
        before(ground)
        for command in (command for command in commands() if step_of(command) == number):
            done = subprocess.run(
                ["sh", "-c", filled_in(command, ground)],
                cwd=PROJECT if command.startswith("ansible") else ground.workspace,
                env=environment,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=300,
                check=False,
            )
            assert done.returncode == status, f"{command}\n{done.stdout}{done.stderr}"
    reasons = [path.read_text(encoding="utf-8") for path in (ground.evidence / "baseline").glob("*-recorded*.json")]
    assert sum("known-good sqlite smoke" in text for text in reasons) == 1, "the whole reason, not its first word"
