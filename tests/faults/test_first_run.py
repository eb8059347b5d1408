"""docs/first-run.md, followed to the letter: what it says the gate says, the gate says, and at its end is a PROMOTE."""

from __future__ import annotations

import itertools
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from ground import git
from live import LiveVm
from matrix import PROJECT

PAGE = PROJECT / "docs" / "first-run.md"
# How the demo's hosts are reached; the gate does not know these.
OF_THE_DEMO = ("demo_dir", "demo_vm", "ansible_ssh_common_args")


def blocks() -> list[tuple[str, str]]:
    """The fenced blocks of the page in their order: (language, text)."""
    return re.findall(r"^```(\w+)\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


def test_the_gate_names_each_variable_before_the_page_sets_it() -> None:
    output = ""
    page = re.split(r"^```yaml\n", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    for before, after in itertools.pairwise(page):
        output += before
        for name in yaml.safe_load(after.split("\n```")[0]):
            assert name in OF_THE_DEMO or name in output, f"nothing on the way to it names {name}"


@pytest.mark.stranger("13.10", "ten obstacles before the first PROMOTE, cleared with what only the makers knew")
def test_the_way_from_the_template_to_a_promote(grown_vm: LiveVm, tmp_path: Path) -> None:
    # As the demo leaves it; the baseline of the other tests was recorded in it, by a smoke that rewrites the lock.
    git(grown_vm.workspace, "checkout", "--quiet", ".")
    mine, output, status = tmp_path / "mine", "", 1
    evidence = ["-e", f"promotion_evidence_root={tmp_path / 'evidence'}", "-e", f"promotion_policy={grown_vm.policy}"]
    for language, text in blocks():
        if language == "yaml":
            name, content = text.split("\n", 1)
            with (mine / name.removeprefix("# ")).open("a", encoding="utf-8") as stream:
                stream.write(_here(content, grown_vm))
        elif language == "text":
            for line in text.splitlines():
                assert " ".join(line.split()) in " ".join(output.split()), f"the gate does not say: {line}\n{output}"
        for command in text.splitlines() if language == "sh" else ():
            words = shlex.split(command.replace("inventory/mine", str(mine)))
            if words[0] == "cp":
                shutil.copytree(PROJECT / words[2], words[3])
            elif words[0] == "ansible-playbook":
                program = str(Path(sys.executable).with_name("ansible-playbook"))
                status, output = _run(grown_vm, [program, *words[1:], *evidence])
    assert status == 0, output


def _here(content: str, live: LiveVm) -> str:
    """The page's values for this VM and its workspace."""
    demo = f'demo_dir: "{live.vm.directory.parents[1]}"'
    content = re.sub(r"^demo_dir: .*$", demo, content, flags=re.MULTILINE)
    content = content.replace("demo_vm: aiida-vm", f"demo_vm: {live.vm.name}")
    return content.replace('"{{ demo_dir }}/workspace-grown"', str(live.workspace))


def _run(live: LiveVm, command: list[str]) -> tuple[int, str]:
    done = subprocess.run(
        command, cwd=PROJECT, env=live.environment(),
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
    )  # fmt: skip
    return done.returncode, done.stdout
