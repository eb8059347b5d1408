"""history, diff and show: what they say of sound runs, of damaged ones, and of hostile ones."""

from __future__ import annotations

import json
import re
import shutil
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import bundles
import pytest

from promotion_gate.__main__ import main
from promotion_gate.base.files import sha256
from promotion_gate.base.times import stamp
from promotion_gate.report.show import coloured

EXAMPLES = bundles.PROJECT / "tests" / "bundles" / "0.1.0"
HEALTHY, HELD, REPAIRED = EXAMPLES / "root" / "healthy", EXAMPLES / "held" / "repaired", EXAMPLES / "root" / "repaired"
FILES = ("index.json", "promotion-decision.json")


def many_runs(root: Path, count: int, apart: timedelta = timedelta(hours=1)) -> list[Path]:
    """Runs with what the history reads of them: every third is HOLD, and each names the one before it."""
    content = {one: {name: json.loads((one / name).read_bytes()) for name in FILES} for one in (HEALTHY, HELD)}
    previous = None
    made = []
    for number in range(count):
        source = HELD if number % 3 == 2 else HEALTHY
        index, record = (content[source][name] for name in FILES)
        moment = datetime(2026, 1, 1, tzinfo=UTC) + number * apart
        name = f"run{number:04}"
        index |= {"run_id": name, "root_id": "r", "ticket": "t", "previous": previous}
        index |= {"opened_at": stamp(moment), "evaluated_at": stamp(moment + timedelta(minutes=5))}
        record |= {"run_id": name, "decided_at": index["evaluated_at"]}
        folder = root / name
        folder.mkdir(parents=True)
        for file, data in zip(FILES, (index, record), strict=True):
            (folder / file).write_text(json.dumps(data), encoding="utf-8")
        seal(folder)
        previous = {"run_id": name, "sha256": sha256((folder / "SHA256SUMS").read_bytes())}
        made.append(folder)
    return made


def seal(folder: Path) -> None:
    lines = [f"{sha256((folder / file).read_bytes())}  {file}\n" for file in FILES]
    (folder / "SHA256SUMS").write_text("".join(lines), encoding="utf-8")


def asked(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    status = main(list(map(str, arguments)))
    message = capsys.readouterr()
    return status, message.out, message.err


Capture = pytest.CaptureFixture[str]


# --- history ------------------------------------------------------------------------------------------------------


def test_the_history_has_each_run_with_its_causes(tmp_path: Path, capsys: Capture) -> None:
    many_runs(tmp_path, 6)
    status, out, _ = asked(capsys, "history", tmp_path)
    lines = out.splitlines()
    assert status == 0
    assert [line.split()[:2] for line in lines[1:7]] == [
        [f"run{number:04}", "HOLD" if number % 3 == 2 else "PROMOTE"] for number in range(6)
    ]
    assert "slurm_smoke.node FAIL" in lines[3] and "slurm_smoke.job" not in lines[3], "a consequence is no cause"
    assert lines[8] == "6 runs: 4 PROMOTE, 2 HOLD."
    assert "slurm_smoke.node (2)" in lines[9] and "Slowest smoke of each run, 24.5" in lines[10]
    assert len(lines) == 11
    status, out, _ = asked(capsys, "history", tmp_path, "--last", 2)
    assert [line.split()[0] for line in out.splitlines()[1:3]] == ["run0004", "run0005"] and "6 runs" in out


def test_the_history_as_json(tmp_path: Path, capsys: Capture) -> None:
    many_runs(tmp_path, 3)
    status, out, _ = asked(capsys, "history", tmp_path, "--json")
    found = json.loads(out)
    assert status == 0 and found["problems"] == [] and [run["decision"] for run in found["runs"]][2] == "HOLD"
    first = found["runs"][0]
    assert first["gates"].keys() == {"preflight", "sqlite_smoke", "vm_bootstrap", "slurm_smoke", "contracts"}
    assert first["seconds"] == pytest.approx(sum(first["gates"].values())) and len(first["smoke_ns"]) == 3


def rewritten(runs: list[Path]) -> str:
    (runs[1] / "promotion-decision.json").write_text('{"decision": "PROMOTE"}', encoding="utf-8")
    return "run0001: promotion-decision.json has changed since it was sealed."


def sealed_again(runs: list[Path]) -> str:
    record = json.loads((runs[2] / "promotion-decision.json").read_bytes())
    (runs[2] / "promotion-decision.json").write_text(json.dumps({**record, "decision": "PROMOTE"}), encoding="utf-8")
    seal(runs[2])
    return "run0003 follows run run0002 with another SHA256SUMS"


def removed(runs: list[Path]) -> str:
    shutil.rmtree(runs[1])
    return "run0002 follows run run0001, which no longer exists"


def broken_index(runs: list[Path]) -> str:
    (runs[1] / "index.json").write_text("[", encoding="utf-8")
    return "run0001: index.json is not JSON."


def a_link(runs: list[Path]) -> str:
    shutil.move(runs[1], runs[1].parent.parent / "elsewhere")
    runs[1].symlink_to(runs[1].parent.parent / "elsewhere")
    return "run0001 is a symbolic link"


def a_list(runs: list[Path]) -> str:
    (runs[1] / "promotion-decision.json").write_text('{"gates": 3, "decision": "PROMOTE"}', encoding="utf-8")
    seal(runs[1])
    return "run0001: promotion-decision.json or SHA256SUMS is not one of a run."


def renamed(runs: list[Path]) -> str:
    runs[1].rename(runs[1].with_name("run0001b"))
    return "run0001b: its index is of run run0001."


@pytest.mark.parametrize("damage", [renamed, rewritten, sealed_again, removed, broken_index, a_link, a_list])
def test_a_root_that_does_not_hold_is_reported(tmp_path: Path, capsys: Capture, damage: Any) -> None:
    sentence = damage(many_runs(tmp_path / "root", 4))
    for options in ([], ["--json"], ["--html"]):
        status, out, err = asked(capsys, "history", tmp_path / "root", *options)
        assert status == 1 and sentence in out and err == ""
    if damage is not sealed_again:  # which is only seen from the run behind it
        assert not re.search(r"run0001b? +PROMOTE", out)


def test_a_run_without_a_seal_decides_nothing(tmp_path: Path, capsys: Capture) -> None:
    runs = many_runs(tmp_path, 3)
    (runs[2] / "SHA256SUMS").unlink()
    status, out, _ = asked(capsys, "history", tmp_path)
    assert status == 0 and re.search(r"run0002 +- .*not sealed: it is open or was cut off", out)
    assert "3 runs: 2 PROMOTE, 1 without a decision." in out


def test_the_page_needs_nothing_else_and_escapes_what_a_host_said(tmp_path: Path, capsys: Capture) -> None:
    runs = many_runs(tmp_path, 2)
    record = json.loads((runs[1] / "promotion-decision.json").read_bytes())
    record["gates"][0]["checks"][0] |= {"id": "<script>alert(1)</script>\x1b[31m", "status": "FAIL", "cause": None}
    (runs[1] / "promotion-decision.json").write_text(json.dumps(record), encoding="utf-8")
    seal(runs[1])
    _, out, _ = asked(capsys, "history", tmp_path, "--html")
    assert out.startswith("<!DOCTYPE html>") and "<polyline points=" in out
    assert "<script" not in out and "&lt;script&gt;" in out and "\x1b" not in out
    assert "http" not in out and "src=" not in out
    _, out, _ = asked(capsys, "history", tmp_path)
    assert "\x1b" not in out


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["nowhere"], "nowhere is not a folder"),
        (["."], "has no run"),
        ([".", "--json", "--html"], "not allowed with argument"),
        ([".", "--last", "0"], "--last must be at least 1"),
    ],
)
def test_history_without_a_root_is_a_usage_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture, arguments: list[str], sentence: str
) -> None:
    monkeypatch.chdir(tmp_path)
    try:
        status = main(["history", *arguments])
    except SystemExit as ended:
        status = int(ended.code or 0)
    assert status == 2 and sentence in capsys.readouterr().err


def test_verify_of_a_history_has_the_decisions(capsys: Capture) -> None:
    status, out, _ = asked(capsys, "verify", "--history", EXAMPLES / "root")
    assert status == 0
    assert re.search(r"^ok +healthy: PROMOTE, [0-9]+ files as sealed", out, re.M)


# --- diff ---------------------------------------------------------------------------------------------------------


def test_diff_says_what_fails_now_and_what_was_fixed(capsys: Capture) -> None:
    status, out, _ = asked(capsys, "diff", HEALTHY, HELD)
    assert status == 1
    assert out.index("newly failing:\n") < out.index(
        "  slurm_smoke.node: PASS -> FAIL\n    B: node aiida-vm is drained"
    )
    assert "  sqlite_smoke.p95: p95 24.55 of 68.45 s -> p95 24.92 of 97.83 s" in out
    assert out.splitlines()[-1].startswith("Checks: 5 newly failing, ")
    status, out, _ = asked(capsys, "diff", HELD, REPAIRED)
    assert status == 0 and "fixed:\n  vm_bootstrap.daemon: FAIL -> PASS\n    A: daemon" in out
    status, out, _ = asked(capsys, "diff", HELD, HELD)
    assert status == 0 and re.search(r"^still failing:\n(.*\n)*Checks: 5 still failing, [0-9]+ same\.$", out, re.M)
    status, out, _ = asked(capsys, "diff", HEALTHY, HEALTHY)
    assert status == 0 and re.fullmatch(r"(.*\n){2}\nChecks: [0-9]+ same\.\n", out)


def test_diff_names_the_limits_and_the_commit_that_moved(tmp_path: Path, capsys: Capture) -> None:
    looser = tmp_path / "looser.yml"
    text = (bundles.PROJECT / "policies" / "aiida.yml").read_text(encoding="utf-8")
    looser.write_text(text.replace("max_regression_percent: 25", "max_regression_percent: 30"), encoding="utf-8")
    one = bundles.make_bundle(tmp_path / "one")
    other = bundles.make_bundle(tmp_path / "other", promotion_policy=str(looser))
    status, out, _ = asked(capsys, "diff", one, other)
    assert status == 0
    assert "\nlooser   sqlite_smoke.p95 max_regression_percent: was 25, is now 30\n" in out
    assert re.search(r"^policy: [0-9a-f]{40} -> [0-9a-f]{40}$", out, re.M)
    status, out, _ = asked(capsys, "diff", one, HEALTHY, "--json")
    found = json.loads(out)
    assert found["moved"]["commit"]["before"] != found["moved"]["commit"]["after"]
    assert {check["kind"] for check in found["checks"]} >= {"same"}


def test_diff_refuses_a_bundle_that_does_not_verify(tmp_path: Path, capsys: Capture) -> None:
    copy = Path(shutil.copytree(HEALTHY, tmp_path / "healthy"))
    (copy / "01-preflight.log").write_text("changed\n", encoding="utf-8")
    for order in ((copy, HEALTHY), (HEALTHY, copy)):
        status, out, err = asked(capsys, "diff", *order)
        assert (status, out) == (3, "") and "does not verify" in err and "Next: copy the bundle again" in err


# --- show ---------------------------------------------------------------------------------------------------------


def test_show_of_a_gate_also_has_its_passed_checks(capsys: Capture) -> None:
    for name in ("4", "slurm_smoke"):
        status, out, _ = asked(capsys, "show", HELD, "--gate", name)
        assert status == 1
        assert "gate 4: PASS The Slurm smoke script exits 0 (slurm_smoke.script)" in out
        assert "  figure:   6 computer tests" in out and "(preflight.node)" not in out
        assert "  because:  slurm_smoke.node" in out


def test_show_of_a_check_has_that_alone(capsys: Capture) -> None:
    status, out, _ = asked(capsys, "show", HELD, "--check", "slurm_smoke.node")
    assert status == 1 and out.count("expected:") == 1 and "state=resume" in out
    status, out, _ = asked(capsys, "show", HELD, "--check", "slurm_smoke.node", "--json")
    [gate] = json.loads(out)["gates"]
    assert status == 1 and [check["id"] for check in gate["checks"]] == ["slurm_smoke.node"]
    status, out, _ = asked(capsys, "show", HELD, "--json")
    assert json.loads(out) == json.loads((HELD / "promotion-decision.json").read_bytes())


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (
            ["--check", "slurm_smoke.nod"],
            'no check "slurm_smoke.nod" in this decision; did you mean "slurm_smoke.node"?',
        ),
        (["--check", "zzz"], 'no check "zzz" in this decision. `show BUNDLE --json` lists all.'),
        (["--gate", "3", "--check", "slurm_smoke.node"], 'no check "slurm_smoke.node" in gate 3'),
        (["--gate", "slurm"], 'no gate "slurm"; did you mean "slurm_smoke"?'),
        (["--gate", "9"], 'no gate "9" (there are 1 preflight, 2 sqlite_smoke, '),
        (["--gate", "1", "--markdown"], "--markdown prints the whole decision"),
    ],
)
def test_a_name_that_is_not_there_gets_the_nearest(capsys: Capture, options: list[str], sentence: str) -> None:
    status, out, err = asked(capsys, "show", HELD, *options)
    assert (status, out) == (2, "") and sentence in err


def test_colour_is_for_a_terminal_that_wants_it(monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    _, plain, _ = asked(capsys, "show", HELD)
    assert "\x1b" not in plain
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    _, painted, _ = asked(capsys, "show", HELD)
    assert painted != plain and re.sub(r"\x1b\[[0-9]+m", "", painted) == plain
    for variable, value in (("NO_COLOR", "1"), ("TERM", "dumb")):
        with monkeypatch.context() as patch:
            patch.setenv(variable, value)
            assert asked(capsys, "show", HELD)[1] == plain


def test_what_a_host_printed_is_not_painted() -> None:
    line = "  observed: PASS and FAIL"
    assert coloured(line) == line
    assert coloured("gate 4: FAIL x FAIL") == "gate 4: \x1b[31mFAIL\x1b[0m x FAIL"
