"""Several hosts with a decision each in one run: ordinary runs, opened together or not at all."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import bundles
import pytest
from fleets import BY_HOST, CALLED, HOSTS, answers, followed, on_host, played, request

from promotion_gate.__main__ import main
from promotion_gate.base.errors import BundleError, GateError, InputError
from promotion_gate.base.files import list_files
from promotion_gate.base.names import FLEET_FILE
from promotion_gate.bundle.baseline import write_baseline
from promotion_gate.bundle.fleet import read_fleet
from promotion_gate.bundle.index import read_index
from promotion_gate.prove.seal import seal
from promotion_gate.prove.verify import verify_bundle
from promotion_gate.run.backstop import End
from promotion_gate.run.fleet import begin_runs, open_runs
from promotion_gate.run.following import Following
from promotion_gate.run.lock import RunLock
from promotion_gate.run.watching import left_behind


def ping_down(host: str) -> dict[tuple[str, str], bundles.Trip]:
    down = bundles.changed(on_host("slurm_smoke", host), "ping", exit=1, output=bundles.PING_DOWN)
    return {("slurm_smoke", host): down}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write_baseline(tmp_path / "root" / "baseline", bundles.known_good())
    return tmp_path / "root"


def decisions(root: Path) -> dict[str, str | None]:
    return {item.host: item.decision for item in read_fleet(root).hosts}


def test_each_host_has_an_ordinary_bundle_and_a_decision(root: Path) -> None:
    run = open_runs(request(root, *HOSTS, promotion_run_id="r1"))
    assert decisions(root) == {"vm-a": None, "vm-b": None}, "until they are sealed"
    end = played(run, answers(*HOSTS), ping_down("vm-b"))
    assert decisions(root) == {"vm-a": "PROMOTE", "vm-b": "HOLD"}
    assert not end.promotes
    for host, decision in decisions(root).items():
        report = verify_bundle(root / host / "r1")
        assert report.holds, report.problem
        assert report.decision and (report.decision.decision, report.decision.vm.name) == (decision, host)
    gates = {host: set(read_index(root / host / "r1").gates) for host in HOSTS}
    assert gates == {host: set(bundles.GATES) for host in HOSTS}
    assert [entry.cause for entry in read_fleet(root).hosts] == ["", "slurm_smoke.controller FAIL"]


def test_the_end_has_a_line_for_each_host_and_one_command(root: Path) -> None:
    end = played(open_runs(request(root, *HOSTS, promotion_run_id="r1")), answers(*HOSTS), ping_down("vm-b"))
    lines = end.text.splitlines()
    assert lines[0] == "HOLD  1 of 2 hosts promote"
    assert lines[1].split() == ["vm-a", "PROMOTE", "vm-a/r1"]
    assert lines[2].split() == ["vm-b", "HOLD", "slurm_smoke.controller", "FAIL", "vm-b/r1"]
    assert sum(line.startswith("re-run:") for line in lines) == 1
    assert f"-e promotion_resume=r1 -e promotion_evidence_root={root}" in lines[-1]
    assert f"fleet:    {root / FLEET_FILE}" in lines
    assert all(len(line) <= 80 for line in lines[:3])


def test_all_promote_is_a_success_and_the_timings_are_recorded_once(root: Path) -> None:
    end = played(open_runs(request(root, *HOSTS, promotion_run_id="r1")), answers(*HOSTS))
    assert end.promotes
    assert end.text.startswith("PROMOTE  2 of 2 hosts promote\n")
    for host in HOSTS:
        assert main(["check", str(root / host / "r1")]) == 0


def test_a_host_that_cannot_be_reached_holds_and_the_others_promote(root: Path) -> None:
    end = played(open_runs(request(root, *HOSTS)), answers("vm-a", **{"vm-b": ""}))
    assert decisions(root) == {"vm-a": "PROMOTE", "vm-b": "HOLD"}
    assert not end.promotes
    assert "vm_bootstrap.host BLOCKED" in read_fleet(root).hosts[1].cause


def test_two_names_of_one_machine_never_promote(root: Path) -> None:
    same = {"vm-b": BY_HOST["vm-a"]}
    changes = {(gate, "vm-b"): on_host(gate, "vm-a") for gate in ("vm_bootstrap", "slurm_smoke")}
    played(open_runs(request(root, *HOSTS, promotion_run_id="r1")), answers("vm-a", **same), changes)
    assert decisions(root) == {"vm-a": "HOLD", "vm-b": "HOLD"}
    for host, other in (HOSTS, HOSTS[::-1]):
        decision = verify_bundle(root / host / "r1").decision
        assert decision and f"{host} and {other} are the same machine, and this run decides about both" in str(
            decision.objections
        )


def test_clones_of_one_image_are_a_warning(root: Path) -> None:
    clone = BY_HOST["vm-a"].replace("5e0f1c52", "6f0f1c52")
    changes = {
        (gate, "vm-b"): bundles.elsewhere({gate: on_host(gate, "vm-a")}, gate, output=clone)[gate]
        for gate in ("vm_bootstrap", "slurm_smoke")
    }
    end = played(open_runs(request(root, *HOSTS)), answers("vm-a", **{"vm-b": clone}), changes)
    assert end.promotes
    for host, other in (HOSTS, HOSTS[::-1]):
        decision = verify_bundle(next((root / host).glob("2*"))).decision
        assert decision and f"{host} has the same machine id as {other} but is another machine" in str(
            decision.as_dict()
        )


# --- what an operator set -------------------------------------------------------------------------------------


def refused(asked: Any) -> list[str]:
    with pytest.raises(InputError) as caught:
        open_runs(asked)
    return str(caught.value).splitlines()


def test_all_mistakes_are_reported_at_once_and_those_of_one_host_with_its_name(root: Path) -> None:
    of = {"vm-b": {"aiida_vm_first_run": "perhaps"}}
    assert refused(request(root, *HOSTS, of=of, promotion_reviewer=None, promotion_reviewr="x")) == [
        "promotion_reviewer is not set. Set it in the inventory's group_vars or with -e promotion_reviewer=....",
        'There is no variable "promotion_reviewr"; did you mean "promotion_reviewer"? Correct or remove it where '
        "it is set.",
        'vm-b: aiida_vm_first_run must be true or false, not "perhaps".',
    ]
    assert not (root / "vm-a").exists()


def test_a_host_has_its_own_variables_and_what_is_shared_is_the_same(root: Path) -> None:
    of = {"vm-b": {"aiida_vm_repo_dir": "/opt/app", "gate_slurm_smoke_partition": "debug"}}
    run = open_runs(request(root, *HOSTS, of=of))
    handed = {host: run["handed"][host]["slurm_smoke"] for host in HOSTS}
    assert [handed[host]["gate_slurm_smoke_repo_dir"] for host in HOSTS] == ["/srv/app", "/opt/app"]
    assert handed["vm-b"]["gate_slurm_smoke_partition"] == "debug"
    assert run["asked"]["vm-b"]["chdir"] == "/opt/app"
    assert [entry["name"] for entry in run["plan"] if entry["host"] == "workspace-local"] == [
        "preflight", "sqlite_smoke", "contracts"
    ]  # fmt: skip


NAMES = [
    ("20261124T002930Z", "is named like a run"),
    ("baseline", "has a name that the gate itself uses"),
    ("Fleet.JSON", "has a name that the gate itself uses"),
    ("index.json", "has a name that the gate itself uses"),
    ("a/b", "has a path separator in its name"),
    (".vm", "begins with a dot"),
    ("VM-A", "differs from vm-a by case alone"),
    ("vm\u202e", "has a character that is invisible"),
]


@pytest.mark.parametrize(("name", "problem"), NAMES, ids=[ascii(name) for name, _ in NAMES])
def test_a_name_that_cannot_name_a_folder_is_refused(root: Path, name: str, problem: str) -> None:
    [sentence] = refused(request(root, "vm-a", name))
    assert problem in sentence
    assert not (root / "vm-a").exists()


def test_another_group_has_one_host(root: Path) -> None:
    asked = request(root, *HOSTS)
    asked["groups"]["workspace"] = ["here", "there"]
    assert 'The group "workspace" must have exactly one host' in refused(asked)[0]


# --- all or none ----------------------------------------------------------------------------------------------


def test_where_one_cannot_be_opened_none_is(root: Path) -> None:
    (root / "vm-b" / "r1").mkdir(parents=True)
    assert "There is a run r1 in" in refused(request(root, *HOSTS, promotion_run_id="r1"))[0]
    assert not (root / "vm-a" / "r1").exists()
    assert not (root / FLEET_FILE).exists()


@pytest.mark.parametrize("place", ["", "vm-b"], ids=["the-root", "a-host"])
def test_one_run_at_a_time(root: Path, place: str) -> None:
    (root / place).mkdir(exist_ok=True)
    lock = RunLock(root / place, "another")
    with pytest.raises(GateError, match="Another run is under way"):
        open_runs(request(root, *HOSTS))
    lock.release()
    assert not list(root.glob("*/*/index.json"))


# --- what is told -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("forks", "told"), [(1, True), (2, True), (3, False), (32, False)])
def test_fewer_forks_than_hosts_are_told(root: Path, forks: int, told: bool) -> None:
    run = open_runs({**request(root, *HOSTS), "forks": forks})
    sentence = (
        f"Ansible works on {forks} of the 3 hosts at once (forks), so hosts wait for one another, and one that hangs "
        "delays others. Run with -f 3, or set forks = 3 in ansible.cfg."
    )
    assert run["message"] == (sentence if told else "")


def test_every_bundle_that_an_interrupted_run_leaves_is_named(root: Path) -> None:
    with followed() as following:
        bundle, other = half_played(following, root)
    assert list(left_behind([bundle, other])) == [
        f"HOLD: the decision was not shown; ask: promotion-gate check {bundle}",
        f"HOLD: interrupted; {other} is open and decides nothing. Resume it with: -e promotion_resume=latest",
    ]
    (bundle / "SHA256SUMS").unlink()
    assert [line.partition(". ")[0] for line in left_behind([bundle, other])] == [
        f"HOLD: interrupted; {bundle} is open and decides nothing.",
        f"HOLD: interrupted; {other} is open and decides nothing",
    ]
    assert list(left_behind([])) == []


# --- resume ---------------------------------------------------------------------------------------------------


def test_a_resume_runs_what_each_host_needs(root: Path) -> None:
    played(open_runs(request(root, *HOSTS, promotion_run_id="r1")), answers(*HOSTS), ping_down("vm-b"))
    sealed = (root / "vm-a" / "r1" / "SHA256SUMS").read_bytes()
    run = open_runs(request(root, *HOSTS, promotion_resume="latest"))
    assert decisions(root) == {"vm-a": None, "vm-b": None}, "revoked"
    end = played(run, answers(*HOSTS))
    assert end.promotes
    assert (root / "vm-a" / "r1" / "SHA256SUMS").read_bytes() == sealed, "it stays as it is"
    index = read_index(root / "vm-b" / "r1")
    assert {name: gate.attempt for name, gate in index.gates.items() if gate.attempt == 2} == {"slurm_smoke": 2}
    assert [(item.attempt, item.decision) for item in read_fleet(root).hosts] == [(1, "PROMOTE"), (2, "PROMOTE")]


def test_where_nothing_is_to_be_re_run_all_decisions_stay(root: Path) -> None:
    played(open_runs(request(root, *HOSTS, promotion_run_id="r1")), answers(*HOSTS))
    run = open_runs(request(root, *HOSTS, promotion_resume="latest"))
    with pytest.raises(InputError, match="Nothing of run r1 needs a re-run on any host"):
        begin_runs({"plan": run, "probes": answers(*HOSTS)})
    assert decisions(root) == {"vm-a": "PROMOTE", "vm-b": "PROMOTE"}
    assert all(verify_bundle(root / host / "r1").holds for host in HOSTS)


def test_a_host_that_has_come_since_is_run_whole_and_one_that_has_gone_is_named(root: Path) -> None:
    played(open_runs(request(root, *HOSTS, promotion_run_id="r1")), answers(*HOSTS), ping_down("vm-b"))
    run = open_runs(request(root, "vm-b", "vm-c", promotion_resume="latest"))
    assert "vm-a is no longer in the inventory" in run["message"]
    assert "vm-c has no part in the run that is resumed yet" in run["message"]
    end = played(run, answers("vm-b", "vm-c"))
    assert end.promotes, end.text
    assert decisions(root) == {"vm-b": "PROMOTE", "vm-c": "PROMOTE"}
    assert set(read_index(root / "vm-c" / "r1").gates) == set(bundles.GATES)
    shared = {host: read_index(root / host / "r1").gates["contracts"] for host in ("vm-b", "vm-c")}
    assert [gate.attempt for gate in shared.values()] == [1, 1], "run for vm-c, and kept by vm-b"
    assert (root / "vm-a" / "r1" / "SHA256SUMS").exists()


def test_a_root_of_several_hosts_stays_one(root: Path) -> None:
    played(open_runs(request(root, *HOSTS, promotion_run_id="r1")), answers(*HOSTS))
    run = open_runs(request(root, "vm-a", promotion_run_id="r2"))
    assert [one["bundle"] for one in run["runs"]] == [str(root / "vm-a" / "r2")]
    assert decisions(root) == {"vm-a": None}
    assert played(run, answers("vm-a")).promotes
    again = open_runs(request(root, "vm-a", promotion_resume="r2", promotion_gates="4"))
    assert played(again, answers("vm-a")).promotes
    [sentence] = refused(request(root / "vm-a", "vm-a"))
    assert f"Set it to {root}" in sentence


def test_a_resume_of_nothing_is_an_input_error(root: Path) -> None:
    assert "has no run" in refused(request(root, *HOSTS, promotion_resume="latest"))[0]
    played(open_runs(request(root, *HOSTS, promotion_run_id="r1")), answers(*HOSTS))
    assert "is not a run of" in refused(request(root, *HOSTS, promotion_resume="r0"))[0]


# --- reading --------------------------------------------------------------------------------------------------


def test_latest_of_several_hosts_is_not_a_decision_and_names_their_directories(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    played(open_runs(request(root, *HOSTS)), answers(*HOSTS))
    assert main(["check", "latest", "--root", str(root)]) == 3
    assert f"{root / 'vm-a'}, {root / 'vm-b'}" in capsys.readouterr().err
    assert main(["verify", "--history", str(root)]) == 1
    for host in HOSTS:
        assert main(["check", "latest", "--root", str(root / host)]) == 0
        assert main(["history", str(root / host)]) == 0


def test_the_history_of_several_hosts_has_the_newest_run_of_each(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    played(open_runs(request(root, "vm-a", "vm-b", promotion_run_id="r1")), answers("vm-a", "vm-b"))
    played(open_runs(request(root, *HOSTS, promotion_run_id="r2")), answers(*HOSTS), ping_down("vm-b"))
    assert main(["history", str(root)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split() for line in lines[1:3]] == [
        ["vm-a", "2", "r2", "PROMOTE"],
        ["vm-b", "2", "r2", "HOLD", "slurm_smoke.controller", "FAIL"],
    ]
    assert lines[-1] == f"All runs of a host: promotion-gate history {root / 'vm-a'}"
    assert main(["history", str(root), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [(host["root"], len(host["runs"])) for host in found["hosts"]] == [(str(root / host), 2) for host in HOSTS]
    for option in (["--html"], ["--last", "1"]):
        assert main(["history", str(root), *option]) == 2
        assert f"{root / 'vm-a'}, {root / 'vm-b'}" in capsys.readouterr().err
    (root / "vm-b" / "r1" / "SHA256SUMS").unlink()
    assert main(["history", str(root)]) == 1
    assert "The chain of vm-b does not hold" in capsys.readouterr().out


@pytest.mark.parametrize("text", ["", "{}", "[1]", '{"hosts": []}', "\x00"], ids=ascii)
def test_a_fleet_file_is_read_strictly_and_decides_nothing(root: Path, text: str) -> None:
    played(open_runs(request(root, *HOSTS)), answers(*HOSTS))
    (root / FLEET_FILE).write_text(text, encoding="utf-8")
    with pytest.raises(BundleError):
        read_fleet(root)
    assert main(["check", "latest", "--root", str(root)]) == 3
    assert played(open_runs(request(root, *HOSTS)), answers(*HOSTS)).promotes


def all_but_gate_4(following: Following, run: Mapping[str, Any]) -> tuple[Path, Path]:
    """Collects all gates of two hosts but gate 4 of the second one; returns both bundles, which are still open."""
    bundle, other = (Path(one["bundle"]) for one in run["runs"])
    for one in (bundle, other):
        following.open(one, CALLED, ())
    for host, answer in answers(*HOSTS).items():
        following.probe(host, answer)
    for entry in run["plan"]:
        if (entry["name"], entry["host"]) != ("slurm_smoke", "vm-b"):
            following.trip(on_host(entry["name"], entry["host"]), entry["host"], ())
    return bundle, other


def test_a_host_that_was_never_closed_does_not_promote(root: Path) -> None:
    run = open_runs(request(root, *HOSTS, promotion_run_id="r1"))
    with followed() as following:
        following.open(Path(run["runs"][0]["bundle"]), CALLED, ())
        end = following.end()
    assert end is not None and not end.promotes
    assert decisions(root) == {"vm-a": None, "vm-b": None}


def test_a_host_on_hold_holds_the_run_whatever_becomes_of_the_list_of_hosts(root: Path) -> None:
    with followed() as following:
        run = open_runs(request(root, *HOSTS, promotion_run_id="r1"))
        (root / FLEET_FILE).unlink()
        for bundle in all_but_gate_4(following, run):
            following.close(bundle)
            seal(bundle)
        end = following.end()
    assert decisions(root) == {"vm-a": "PROMOTE", "vm-b": "HOLD"}
    assert end is not None and not end.promotes and "vm-b" in end.text


# --- one that is decided while others are collected into ----------------------------------------------------------


def half_played(following: Following, root: Path) -> tuple[Path, Path]:
    """Opens two runs and does all of the first one, of the other one all but gate 4; returns both bundles."""
    bundle, other = all_but_gate_4(following, open_runs(request(root, *HOSTS, promotion_run_id="r1")))
    assert not following.close(bundle), "the other one is still collected into"
    seal(bundle)
    return bundle, other


def finished(following: Following, other: Path) -> End:
    following.trip(on_host("slurm_smoke", "vm-b"), "vm-b", ())
    assert following.close(other)
    seal(other)
    end = following.end()
    assert end is not None
    return end


def files(bundle: Path) -> dict[str, bytes]:
    return {name: (bundle / name).read_bytes() for name in list_files(bundle)}


def test_one_is_decided_while_the_other_is_collected_into(root: Path) -> None:
    with followed() as following:
        bundle, other = half_played(following, root)
        sealed = files(bundle)
        assert main(["check", str(bundle)]) == 0
        assert main(["check", str(other)]) == 3
        assert not following.close(bundle), "closed once"
        assert finished(following, other).promotes
    assert files(bundle) == sealed


@pytest.mark.parametrize("host", ["vm-a", "vm-b", "workspace-local", "localhost"])
def test_what_fails_later_is_no_evidence_of_one_that_is_decided(root: Path, host: str) -> None:
    with followed() as following:
        bundle, other = half_played(following, root)
        sealed = files(bundle)
        following.event("failed", None, host, "a task", "it failed")
        finished(following, other)
    assert files(bundle) == sealed
    # A host of the decided run alone is not about the other one.
    assert decisions(root) == {"vm-a": "PROMOTE", "vm-b": "PROMOTE" if host == "vm-a" else "HOLD"}


def test_a_recorder_that_fails_later_counts_against_the_other_one(root: Path) -> None:
    with followed() as following:
        _, other = half_played(following, root)
        following.failed("ValueError: no result")
        end = finished(following, other)
    assert not end.promotes
    assert decisions(root) == {"vm-a": "PROMOTE", "vm-b": None}


def test_a_recorder_that_fails_last_counts_against_all(root: Path) -> None:
    with followed() as following:
        _, other = half_played(following, root)
        finished(following, other)
        following.failed("ValueError: no result")
        end = following.end()
    assert end is not None and not end.promotes
    assert decisions(root) == {"vm-a": None, "vm-b": None}
