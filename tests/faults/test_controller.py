"""The controller: each way in which ansible-core ends in 0 without a decision (ARCHITECTURE, "How it must not fail").

And full disks, and signals. Where a test resumes a promoted run (`decided`), the gates that it re-runs are run whole.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import bundles
import matrix
import outcomes
import pytest
from copies import checkout, through_runner
from ground import PROJECT, Ground, Run, free_port
from waiting import wait_until

from promotion_gate.__main__ import main


def edited(folder: Path, name: str, old: str, new: str) -> Path:
    """A copy of this checkout in which one file differs."""
    path = checkout(folder) / name
    text = path.read_text(encoding="utf-8")
    assert old in text, f"{name} has no {old!r}"
    path.write_text(text.replace(old, new, 1), encoding="utf-8")
    return folder


def assert_no_promote(run: Run) -> None:
    assert run.status != 0, run.output
    assert run.decision is None or run.decision["decision"] == "HOLD"
    assert "PROMOTE. The record is" not in run.output
    assert "Traceback" not in run.output


# --- none of this succeeds silently -----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Trap:
    """`run` must end in HOLD (`held`) or in no decision, with `sentence` in what the operator reads."""

    name: str
    run: Callable[[Ground, Path], Run]
    sentence: str
    held: bool = False
    check: str = ""
    representative: bool = False


def _no_vm_group(ground: Ground, _: Path) -> Run:
    ground.inventory({"workspace": ground.groups()["workspace"]})
    return ground.gate()


def _no_gates(ground: Ground, folder: Path) -> Run:
    policy = folder / "policy.yml"
    policy.write_text("schema: 2\nname: none\ntitle: none\nsupported_versions: {}\ngates: []\n", encoding="utf-8")
    return ground.gate(promotion_policy=str(policy))


def _bounded(bounds: str) -> Callable[[Ground, Path], Run]:
    def run(ground: Ground, folder: Path) -> Run:
        text = Path(ground.variables["promotion_policy"]).read_text(encoding="utf-8")
        policy = folder / "policy.yml"
        policy.write_text(text.replace("supported_versions: {}", f"supported_versions: {{{bounds}}}"), encoding="utf-8")
        return ground.gate(promotion_policy=str(policy))

    return run


def _without_callback(ground: Ground, folder: Path) -> Run:
    return ground.gate(project=checkout(folder / "checkout", without="callback_plugins/evidence.py"))


def _callback_is_broken(ground: Ground, folder: Path) -> Run:
    return ground.gate(
        project=edited(folder / "checkout", "callback_plugins/evidence.py", "class CallbackModule", "class Callback")
    )


def _callback_raises(event: str) -> Callable[[Ground, Path], Run]:
    def run(ground: Ground, folder: Path) -> Run:
        old = f'event == "{event}"'
        raising = f"{old} and 1 / 0"
        return ground.gate(project=edited(folder / "checkout", "callback_plugins/evidence.py", old, raising))

    return run


def _stats_raise(ground: Ground, folder: Path) -> Run:
    """The last hook, in a run that holds."""
    ground.say("sinfo", "sinfo/drained")
    old = "end = self._following.end()"
    return ground.gate(project=edited(folder / "checkout", "callback_plugins/evidence.py", old, "end = 1 / 0"))


def _hook_raises(hook: str, run: Callable[..., Run]) -> Callable[[Ground, Path], Run]:
    """`run` with a callback whose `hook` does nothing but raise."""

    def raising(ground: Ground, folder: Path) -> Run:
        name, signature = "callback_plugins/evidence.py", f"    def v2_{hook}(self, "
        source = (PROJECT / name).read_text(encoding="utf-8")
        head = next(line for line in source.splitlines() if line.startswith(signature))
        return run(ground, project=edited(folder / "checkout", name, head, f"{head}\n        1 / 0"))

    return raising


def _limited_to_the_vm(ground: Ground, **where: Any) -> Run:
    return ground.gate("--limit", "aiida_vm", **where)


def _a_task_breaks_off(ground: Ground, project: Path, more: str = "") -> Run:
    """The gate of `project` with a task in gate 5 that fails; `more` are keywords of that task."""
    task = f"- name: Break off\n  ansible.builtin.fail:\n    msg: broken off\n{more}"
    (project / "roles" / "gate_contracts" / "tasks" / "main.yml").write_text(task, encoding="utf-8")
    return ground.gate(project=project)


def _task_fails(ground: Ground, folder: Path) -> Run:
    return _a_task_breaks_off(ground, checkout(folder / "checkout"), "  ignore_errors: true\n")


def _unreachable(ground: Ground, **where: Any) -> Run:
    ground.ssh(port=free_port())
    return ground.gate(**where)


def _vm_is_gone(ground: Ground, _: Path) -> Run:
    return _unreachable(ground)


def _all_hosts_fail(ground: Ground, _: Path) -> Run:
    groups = ground.groups()
    groups["workspace"]["hosts"]["here"]["ansible_python_interpreter"] = "/nonexistent/python3"
    ground.inventory(groups)
    return _vm_is_gone(ground, _)


TRAPS = [
    Trap("--limit to the VM drops the plays that decide", lambda ground, _: ground.gate("--limit", "aiida_vm"),
         "HOLD: --limit aiida_vm leaves out localhost", representative=True),
    Trap("--limit to the workspace", lambda ground, _: ground.gate("--limit", "workspace,localhost"),
         "--limit workspace,localhost", True, "vm_bootstrap.checkout"),
    Trap("--limit to the VM, through ansible-runner",
         lambda ground, folder: through_runner(ground, folder / "runner", limit="aiida_vm"),
         "HOLD: --limit aiida_vm leaves out localhost"),
    Trap("--tags", lambda ground, _: ground.gate("--tags", "gate3"), "HOLD: --tags gate3: tags choose no gates."),
    Trap("--skip-tags", lambda ground, _: ground.gate("--skip-tags", "gate4"),
         "HOLD: --skip-tags gate4: tags choose no gates."),
    Trap("a first run of chosen gates", lambda ground, _: ground.gate(promotion_gates="3"),
         "was not chosen (promotion_gates)", True, "slurm_smoke.script"),
    Trap("--check: a skipped command registers 0", lambda ground, _: ground.gate("--check"), "rehearsal (--check)",
         True, "slurm_smoke.script"),
    Trap("a group that does not exist is skipped", _no_vm_group, 'The inventory has no group "aiida_vm".'),
    Trap("a policy with no gates", _no_gates, "gates is empty"),
    Trap("a version bound that nobody understands", _bounded("aiida-core: '2.9'"),
         'supported_versions bounds aiida-core by "2.9"'),
    Trap("a component outside the bounds of the policy", _bounded("aiida-core: '<2.9'"),
         "on the VM is outside <2.9, the range that the policy supports.", True),
    Trap("a component whose version is not known", _bounded("rabbitmq: '>=0'"),
         "The policy limits rabbitmq to >=0, but its version on the VM is not known.", True),
    Trap("the callback is missing", _without_callback, "The evidence callback is not recording", representative=True),
    Trap("the callback cannot be loaded", _callback_is_broken, "The evidence callback is not recording"),
    Trap("the callback raises when the bundle is opened", _callback_raises("open"),
         "The evidence callback is not recording"),
    Trap("the callback raises at each trip", _callback_raises("commands"),
         "The recorder met an error, so evidence may be missing: ZeroDivisionError", True, "preflight.node"),
    Trap("the callback raises when the bundle is closed", _callback_raises("close"), "is still open"),
    Trap("the callback raises in the last hook", _stats_raise,
         "the decision was not shown; ask: promotion-gate check", True, "slurm_smoke.node"),
    Trap("the callback raises in its last hook, and no play decides",
         _hook_raises("playbook_on_stats", _limited_to_the_vm), "leaves out localhost"),
    Trap("the callback raises in its first hook, and no play decides",
         _hook_raises("playbook_on_start", _limited_to_the_vm), "gate_common_run"),
    Trap("the callback raises when a host is unreachable", _hook_raises("runner_on_unreachable", _unreachable),
         "there is no record of", True, "vm_bootstrap.checkout"),
    Trap("the callback raises when a task fails", _hook_raises("runner_on_failed", _a_task_breaks_off),
         "there is no record of", True, "contracts.openapi"),
    Trap("a task of a gate fails, with ignore_errors", _task_fails,
         'the task "Break off" failed on here: broken off', True, "contracts.openapi"),
    Trap("the VM is unreachable, and ignore_unreachable goes on", _vm_is_gone,
         "vm could not be reached", True, "vm_bootstrap.checkout"),
    Trap("every host of the plays fails", _all_hosts_fail, "here cannot be used", True,
         "preflight.node", representative=True),
]  # fmt: skip


@pytest.mark.parametrize(
    "trap",
    [
        pytest.param(trap, id=trap.name, marks=[pytest.mark.representative] if trap.representative else [])
        for trap in TRAPS
    ],
)
def test_it_is_no_silent_success(ground: Ground, tmp_path: Path, trap: Trap) -> None:
    run = outcomes.record("controller", trap.name, trap.run(ground, tmp_path), trap.check)
    assert_no_promote(run)
    assert trap.sentence in run.words, run.output
    assert (run.decision is not None) is trap.held, run.output
    if trap.check:
        check = run.check(trap.check)
        assert check["status"] != "PASS" and check["unblock"], check
        assert run.bundle is not None and (run.bundle / "SHA256SUMS").is_file()


def test_an_unreachable_vm_leaves_no_evidence_of_its_gates(ground: Ground) -> None:
    """Tasks that continue on the controller past a dead VM record nothing in its name."""
    run = outcomes.record("controller", "nothing is recorded for an unreachable VM", _vm_is_gone(ground, ground.folder))
    assert_no_promote(run)
    assert run.bundle is not None
    evidence = [path.name for path in run.bundle.iterdir() if path.name[:2] in ("03", "04", "sl")]
    assert [name for name in evidence if not name.endswith("-summary.md")] == []


def test_a_resume_that_selects_nothing_is_an_error(decided: Ground) -> None:
    resumption = {**decided.resumption(""), "promotion_gates": None}
    run = decided.gate(**resumption)
    outcomes.record("controller", "a resume that selects nothing", run, kept=True)
    assert run.status != 0, run.output
    assert "Nothing of run" in run.words and "needs a re-run" in run.words


@pytest.mark.parametrize(
    ("name", "then", "sentence"),
    [
        ("the recorder cannot write any more", "touch", "HOLD: the evidence recorder failed"),
        ("the bundle is removed in the middle", "true", "has no decision"),
    ],
    ids=["recorder-raises", "bundle-removed"],
)
def test_a_bundle_that_is_lost_in_the_middle_holds(decided: Ground, name: str, then: str, sentence: str) -> None:
    """A file in place of the bundle's directory, so the recorder cannot write: an exception in a callback."""
    bundle = decided.bundles()[-1]
    decided.hook("generate", f"rm -r {bundle} && {then} {bundle}\n")
    run = outcomes.record("controller", name, decided.again("5"))
    assert_no_promote(run)
    assert sentence in run.words, run.output


# --- what must not keep it from deciding ------------------------------------------------------------------------


def _foreign_directory(ground: Ground, folder: Path) -> Run:
    return ground.again("1,4", project=checkout(folder / "checkout"), cwd=folder)


def _world_writable(ground: Ground, folder: Path) -> Run:
    project = checkout(folder / "checkout")
    project.chmod(0o777)
    run = ground.again("1,4", project=project)
    assert "world writable directory" in run.words
    return run


def _callbacks_enabled_typo(ground: Ground, folder: Path) -> Run:
    """The callback needs no such line, so a wrong one takes nothing away."""
    project = edited(folder / "checkout", "ansible.cfg", "[defaults]", "[defaults]\ncallbacks_enabled = evidenc")
    return ground.again("1,4", project=project)


def _through_runner(ground: Ground, folder: Path) -> Run:
    return through_runner(ground, folder / "runner", extravars=ground.resumption("1,4"))


@pytest.mark.parametrize(
    ("name", "again"),
    [
        ("ansible.cfg is not read: a foreign directory", _foreign_directory),
        ("ansible.cfg is not read: a world-writable checkout", _world_writable),
        ("a typo in callbacks_enabled", _callbacks_enabled_typo),
        ("ansible-runner replaces the callback path", _through_runner),
    ],
    ids=["foreign-directory", "world-writable", "callbacks-enabled", "ansible-runner"],
)
def test_it_still_decides(decided: Ground, tmp_path: Path, name: str, again: Callable[[Ground, Path], Run]) -> None:
    """The plugins beside the playbook are found all the same; 0 comes only with a decision of this attempt."""
    run = outcomes.record("controller", name, again(decided, tmp_path), wanted="PROMOTE")
    assert run.status == 0, run.output
    assert run.decision is not None
    assert run.decision["decision"] == "PROMOTE"
    attempts = {"preflight": 2, "sqlite_smoke": 1, "vm_bootstrap": 1, "slurm_smoke": 2, "contracts": 1}
    assert run.attempts() == attempts


# --- disks ------------------------------------------------------------------------------------------------------

DISK_KB = 2048


@pytest.fixture
def disk(ground: Ground) -> Iterator[Path]:
    """A small separate file system as the evidence root."""
    if os.geteuid() != 0:
        pytest.skip("mounting a tmpfs needs root")
    folder = ground.folder / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={DISK_KB}k,mode=0700", "tmpfs", str(folder)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if mounted.returncode != 0:
        pytest.skip(f"a tmpfs cannot be mounted here: {mounted.stderr.strip()}")
    # The baseline as well: in the workspace it would not be under the evidence root and would make the checkout dirty.
    shutil.move(ground.evidence / "baseline", folder / "baseline")
    shutil.rmtree(ground.workspace / "investigations")
    ground.variables["promotion_evidence_root"] = str(folder)
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def filling(disk: Path, leave_kb: int) -> str:
    """A command that fills the disk and leaves so much."""
    fill = disk / "fill"
    return f"dd if=/dev/zero of={fill} bs=4k 2>/dev/null; truncate --size=-{leave_kb}K {fill}"


def on_disk(ground: Ground, disk: Path, run: Run) -> Run:
    """The run, with its bundle looked for on the disk."""
    bundles = sorted(path.parent for path in disk.glob("*/index.json"))
    record = bundles[-1] / "promotion-decision.json" if bundles else None
    decision = json.loads(record.read_text(encoding="utf-8")) if record and record.is_file() else None
    return Run(run.status, run.output, bundles[-1] if bundles else None, decision)


def test_no_room_to_open_a_bundle_is_one_sentence(ground: Ground, disk: Path) -> None:
    subprocess.run(["sh", "-c", filling(disk, 8)], check=True)
    run = outcomes.record("controller", "the disk of the evidence is full from the start", ground.gate())
    assert_no_promote(run)
    assert "cannot be written (No space left on device)" in run.words, run.output
    (disk / "fill").unlink()
    assert ground.gate().status == 0


@pytest.mark.parametrize(
    "leave_kb",
    [pytest.param(0, marks=pytest.mark.representative), 48, 96, 128],
)
def test_a_disk_that_fills_in_the_middle_holds_until_there_is_room(ground: Ground, disk: Path, leave_kb: int) -> None:
    """From "not one byte more" in the middle of gate 3 to "all of the evidence, and no room for the records"."""
    ground.hook("bootstrap", filling(disk, leave_kb))
    run = on_disk(ground, disk, ground.gate())
    outcomes.record("controller", f"the disk of the evidence fills in gate 3, {leave_kb} kB are left", run)
    assert_no_promote(run)
    assert "No space left on device" in run.words, run.output
    (disk / "fill").unlink()
    ground.hook("bootstrap", "")
    repaired = ground.gate(promotion_resume="latest")
    assert repaired.status == 0, repaired.output
    assert repaired.output.count("PROMOTE  run ") == 1


def test_a_disk_that_fills_while_the_decision_is_written_leaves_none(
    disk: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """However many records still fit: without the seal, which is written last, there is no decision."""
    bundle = bundles.closed_bundle(disk / "runs")
    statuses, sentences = [], []
    for leave_kb in range(0, 512, 16):
        subprocess.run(["sh", "-c", filling(disk, leave_kb)], check=True)
        statuses.append(main(["seal", str(bundle)]))
        sentences.append(capsys.readouterr().err)
        assert (statuses[-1] == 0) == (bundle / "SHA256SUMS").exists()
        if statuses[-1] == 0:
            break
        assert main(["check", str(bundle)]) == 3
        capsys.readouterr()
        (disk / "fill").unlink()
    message = matrix.portable(sentences[0].strip().removeprefix("promotion-gate: "))
    fault = "the disk of the evidence fills while the decision is written"
    decision = "PROMOTE" if statuses[0] == 0 else "none"
    matrix.record(matrix.Row("controller", fault, "HOLD", decision, "-", "-", "no decision", message))
    assert statuses[:3] == [3, 3, 3] and statuses[-1] == 0, statuses
    assert all("No space left on device" in sentence for sentence in sentences[: len(statuses) - 1])
    (disk / "fill").unlink()
    assert main(["verify", str(bundle)]) == 0


def test_an_evidence_root_that_cannot_be_written_is_an_input_error(ground: Ground, disk: Path) -> None:
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    run = outcomes.record("controller", "the evidence root cannot be written", ground.gate())
    assert_no_promote(run)
    assert f"promotion_evidence_root {disk} cannot be written (Read-only file system)" in run.words, run.output


# --- signals ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "number", "to_group"),
    [
        pytest.param("Ctrl-C in the middle of gate 5", signal.SIGINT, True, marks=pytest.mark.representative),
        ("SIGINT to ansible-playbook alone", signal.SIGINT, False),
        ("SIGTERM in the middle of gate 5", signal.SIGTERM, False),
        ("SIGKILL in the middle of gate 5", signal.SIGKILL, True),
    ],
    ids=["ctrl-c", "sigint", "sigterm", "sigkill"],
)
def test_a_run_that_is_cut_off_is_no_decision_and_is_resumed(
    ground: Ground, name: str, number: int, to_group: bool
) -> None:
    # Ansible's workers survive only a SIGKILL of the playbook: then the command runs to its end and keeps the lock.
    seconds = f"{25 if number == signal.SIGKILL else 86400}.{os.getpid()}"
    reached = ground.folder / "reached"
    ground.hook("generate", f"touch {reached}; exec sleep {seconds}\n")
    process = ground.start("promotion-gate.yml")
    wait_until(reached.exists, "the run is in gate 5")
    (os.killpg if to_group else os.kill)(process.pid, number)
    output, _ = process.communicate(timeout=60)
    run = outcomes.record("controller", name, ground.outcome(process.returncode, output))
    assert_no_promote(run)
    assert run.decision is None and run.bundle is not None
    assert json.loads((run.bundle / "index.json").read_text(encoding="utf-8"))["state"] == "open"
    wait_until(lambda: not _running(seconds), "the command has ended")

    ground.hook("generate", "")
    repaired = ground.gate(promotion_resume="latest")
    assert repaired.status == 0, repaired.output
    assert repaired.bundle == run.bundle


def _running(word: str) -> list[str]:
    """The command lines on this machine that have a word."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            words = path.read_bytes().decode("utf-8", "replace").split("\0")
            found += [" ".join(words)] if word in words else []
    return found
