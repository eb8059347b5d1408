"""decide(): precedence of statuses, waivers, objections, and the p95 rule at its boundary."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import bundles
import pytest

from promotion_gate.base.errors import BundleError, InputError
from promotion_gate.base.files import read_json, sha256
from promotion_gate.base.model import CheckResult, Decision, GateResult, Status, Waiver, combined
from promotion_gate.base.policy import Policy
from promotion_gate.bundle import load
from promotion_gate.bundle.baseline import write_baseline
from promotion_gate.bundle.index import Run, parse_index
from promotion_gate.bundle.load import Bundle, load_bundle
from promotion_gate.judge import identity, objections
from promotion_gate.judge.checks.sqlite import p95_ns, regressed
from promotion_gate.judge.decide import decide
from promotion_gate.judge.shipped import read_policy
from promotion_gate.judge.waivers import check_waivers, judge_waivers

STATUSES = list(Status)
WAIVABLE = (
    (bundles.PROJECT / "policies" / "aiida.yml")
    .read_text(encoding="utf-8")
    .replace("        check: branch\n", "        check: branch\n        waivable: true\n", 1)
)
WAIVER: Waiver = {
    "check": "preflight.branch",
    "reason": "r",
    "owner": "ada",
    "ticket": "gra-130",
    "expires": "2099-12-31",
}


# --- precedence -------------------------------------------------------------------------------------------------


def test_the_order_is_that_of_the_architecture() -> None:
    assert [str(status) for status in STATUSES] == ["INVALID", "STALE", "MISSING", "FAIL", "BLOCKED", "SKIPPED", "PASS"]


@pytest.mark.parametrize(("one", "other"), list(itertools.product(STATUSES, STATUSES)))
def test_of_two_statuses_the_first_of_the_order_counts(one: Status, other: Status) -> None:
    assert combined([one, other]) is STATUSES[min(STATUSES.index(one), STATUSES.index(other))]


def test_nothing_is_missing() -> None:
    assert combined([]) is Status.MISSING


def result(status: Status, waived: bool = False) -> CheckResult:
    return CheckResult("a.b", "t", status, "e", "o", (), "", waived)


def gate(*checks: CheckResult) -> GateResult:
    return GateResult(1, "preflight", "t", 1, 1.0, checks)


def test_a_gate_without_checks_is_missing() -> None:
    assert gate().status is Status.MISSING


@pytest.mark.parametrize("status", STATUSES)
def test_a_waived_check_does_not_count_and_keeps_its_status(status: Status) -> None:
    judged = gate(result(Status.PASS), result(status, waived=True))
    assert judged.status is Status.PASS
    assert judged.checks[1].status is status


# --- whole decisions --------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def healthy(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return load_bundle(bundles.closed_bundle(tmp_path_factory.mktemp("healthy")))


def with_index(bundle: Bundle, **fields: Any) -> Decision:
    return decide(replace(bundle, index=replace(bundle.index, **fields)))


def test_a_healthy_bundle_is_promoted_and_decided_the_same_again(healthy: Bundle) -> None:
    decision = decide(healthy)
    assert decision.decision == "PROMOTE"
    assert decide(healthy).as_dict() == decision.as_dict()


def test_a_decision_computes_nothing_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each digest and each identity once for a bundle, however many gates and checks ask for it."""
    folder = bundles.closed_bundle(tmp_path)
    calls: Counter[str] = Counter()

    def counted(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any) -> Any:
            calls[name] += 1
            return function(*arguments)

        return call

    monkeypatch.setattr(load, "sha256", counted("digest", sha256))
    monkeypatch.setattr(identity, "identity", counted("identity", identity.identity))
    monkeypatch.setattr(objections, "same_machine", counted("machines compared", identity.same_machine))
    bundle = load_bundle(folder)
    of_inputs = len(["policy.yml", "policy-shipped.yml", "baseline.json"])
    assert calls == {"digest": len(bundle.files) + of_inputs}
    decide(bundle)
    of_gates = len(["begin", "end"]) * len(bundle.policy.gates)
    assert calls == {"digest": len(bundle.files) + of_inputs, "identity": of_gates, "machines compared": 1}


def test_an_open_bundle_is_not_a_decision(healthy: Bundle) -> None:
    with pytest.raises(BundleError, match="still open"):
        with_index(healthy, state="open")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"reviewer": "alice"}, "The reviewer is the operator (alice)"),
        ({"reviewer": "ALICE"}, "The reviewer is the operator (alice)"),
        ({"reviewer": ""}, "Operator and reviewer must both be named."),
        ({"operator": ""}, "Operator and reviewer must both be named."),
        ({"run": {"check": True}}, "The run was a rehearsal (--check)"),
        ({"collector_errors": ("disk full",)}, "The recorder met an error, so evidence may be missing: disk full"),
    ],
)
def test_an_objection_holds_though_every_check_passes(healthy: Bundle, fields: dict[str, Any], message: str) -> None:
    decision = with_index(healthy, **fields)
    assert all(item.status is Status.PASS for item in decision.gates)
    assert decision.decision == "HOLD"
    assert any(objection.startswith(message) for objection in decision.objections)


@pytest.mark.parametrize("name", bundles.healthy_trips())
def test_each_gate_that_left_nothing_is_missing(tmp_path: Path, name: str) -> None:
    trips = bundles.healthy_trips()
    del trips[name]
    decision = decide(load_bundle(bundles.closed_bundle(tmp_path, trips)))
    assert decision.decision == "HOLD"
    assert decision.gate(name).status is Status.MISSING


# --- waivers ----------------------------------------------------------------------------------------------------


def waivable() -> Policy:
    return read_policy(WAIVABLE, "mine.yml")


def shipped() -> Policy:
    text = (bundles.PROJECT / "policies" / "aiida.yml").read_text(encoding="utf-8")
    return read_policy(text, "aiida.yml")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"check": "preflight.brnch"}, 'no check is named "preflight.brnch"; did you mean "preflight.branch"?'),
        ({"check": "vm_bootstrap.daemon"}, "the policy does not let vm_bootstrap.daemon be waived"),
        ({"check": "slurm_smoke.node"}, "the policy does not let slurm_smoke.node be waived"),
        ({"check": "preflight.evidence"}, 'no check is named "preflight.evidence"'),
        ({"reason": " "}, "reason must be set"),
        ({"owner": ""}, "owner must be set"),
        ({"ticket": None}, "ticket must be set"),
        ({"expires": "next week"}, 'expires is "next week"; write a date'),
        ({"until": "2099-12-31"}, 'unknown key "until"'),
        ({"expires": "9999-12-31"}, "expires is"),
        *[({"owner": owner}, "owner must be a string, not ") for owner in (False, 0, 7, [], ["eve"], {"a": 1})],
        ({"owner": "ev\u200be"}, "owner has a character that cannot be seen (U+200B)"),
        *[({"owner": twin}, "owner is the operator (alice)") for twin in ("alice", " ALICE ", "ａｌｉｃｅ")],
        ({"reason": True}, "reason must be a string"),
    ],
)
def test_a_bad_waiver_is_an_input_error_that_names_it(change: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError) as caught:
        check_waivers([WAIVER, {**WAIVER, **change}], waivable(), "alice")
    assert str(caught.value).startswith("promotion_waivers, waiver 2: ") and message in str(caught.value)


@pytest.mark.stranger("14.9", "a waiver owned by the operator, or by nobody whom people can name, counted")
@pytest.mark.parametrize("owner", ["alice", "ＡＬＩＣＥ", "al\u200bice", ""])
def test_a_waiver_in_the_index_without_its_own_owner_does_not_count(owner: str) -> None:
    waivers = judge_waivers([{**WAIVER, "owner": owner}], waivable(), "2026-12-01T00:00:00Z", "alice")
    assert not waivers.covers("preflight.branch")
    assert waivers.objections == (
        "The waiver of preflight.branch counts for nothing: its owner must be a person, and not the operator.",
    )
    assert waivers.report(["preflight.branch"])[0]["state"] == "refused"


@pytest.mark.parametrize("owner", [None, False, 0, ["eve"]])
def test_an_index_whose_waiver_is_owned_by_no_name_is_not_read(tmp_path: Path, owner: object) -> None:
    index = read_json(bundles.closed_bundle(tmp_path) / "index.json")
    with pytest.raises(BundleError, match=r"waivers\[0\].owner must be a string"):
        parse_index({**index, "waivers": [{**WAIVER, "owner": owner}]})


def test_the_shipped_policy_lets_no_check_be_waived() -> None:
    for check in shipped().checks():
        with pytest.raises(InputError, match="does not let"):
            check_waivers([{**WAIVER, "check": check.id}], shipped(), "alice")


@pytest.mark.parametrize(
    ("now", "counts"),
    [("2026-12-31T23:59:59Z", True), ("2027-01-01T00:00:00Z", False), ("2026-01-01T00:00:00Z", True), ("later", False)],
)
def test_a_waiver_counts_to_the_end_of_its_day(now: str, counts: bool) -> None:
    waivers = judge_waivers([{**WAIVER, "expires": "2026-12-31"}], waivable(), now, "alice")
    assert waivers.covers("preflight.branch") is counts
    [reported] = waivers.report(["preflight.branch"])
    assert reported["state"] == ("applied" if counts else "expired")


def test_a_waiver_of_what_passes_is_reported_as_unneeded() -> None:
    [reported] = judge_waivers([WAIVER], waivable(), "2026-12-01T00:00:00Z", "alice").report([])
    assert reported["state"] == "unneeded"


def on_another_branch(root: Path, expires: str) -> Decision:
    policy = root / "mine.yml"
    policy.write_text(WAIVABLE, encoding="utf-8")
    probe = bundles.workspace_probe().replace("branch: main", "branch: fix")
    folder = bundles.closed_bundle(
        root / "evidence",
        bundles.trips_with("preflight", "identity", output=probe),
        promotion_policy=str(policy),
        promotion_waivers=[{**WAIVER, "expires": expires}],
    )
    return decide(load_bundle(folder))


@pytest.mark.parametrize(("expires", "expected"), [("2099-12-31", "PROMOTE"), ("2020-12-31", "HOLD")])
def test_a_waiver_promotes_only_while_it_is_valid(tmp_path: Path, expires: str, expected: str) -> None:
    decision = on_another_branch(tmp_path, expires)
    assert decision.decision == expected
    check = next(check for check in decision.gate("preflight").checks if check.id == "preflight.branch")
    assert check.status is Status.FAIL
    assert check.waived is (expected == "PROMOTE")


def test_a_waiver_in_the_index_that_the_policy_does_not_allow_counts_for_nothing(healthy: Bundle) -> None:
    decision = with_index(healthy, waivers=({**WAIVER, "check": "vm_bootstrap.daemon"},))
    assert decision.decision == "HOLD"
    assert any("counts for nothing" in objection for objection in decision.objections)


# --- the p95 rule -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("times", "expected"),
    [
        ([1], 1),
        ([2, 1], 2),
        ([3, 1, 2], 3),
        (list(range(1, 20)), 19),
        (list(range(1, 21)), 19),
        (list(range(1, 101)), 95),
    ],
)
def test_p95_is_the_nearest_rank(times: list[int], expected: int) -> None:
    assert p95_ns(times) == expected


@pytest.mark.parametrize(
    ("p95", "median", "expected"),
    [
        (125, 100, False),
        (126, 100, True),
        (1_250_000_000, 1_000_000_000, False),
        (1_250_000_001, 1_000_000_000, True),
        # 5/4 of this median is not a whole number; as floats both sides would be equal.
        (11_258_999_068_426_241, 9_007_199_254_740_993, False),
        (11_258_999_068_426_242, 9_007_199_254_740_993, True),
    ],
)
def test_exactly_25_percent_passes_and_a_nanosecond_more_does_not(p95: int, median: int, expected: bool) -> None:
    assert regressed(p95, median, 25) is expected


@pytest.mark.parametrize(
    ("worst", "status"),
    [
        (bundles.SECOND * 125 // 100, Status.PASS),
        (bundles.SECOND * 125 // 100 + 1, Status.FAIL),
        (bundles.SECOND * 126 // 100, Status.FAIL),
    ],
    ids=["25 percent", "a nanosecond more", "26 percent"],
)
def test_the_boundary_in_a_whole_decision(tmp_path: Path, worst: int, status: Status) -> None:
    second = bundles.SECOND
    write_baseline(tmp_path / "baseline", bundles.known_good((second, second, second)))
    trips = {**bundles.healthy_trips(), "sqlite_smoke": bundles.sqlite_smoke((second, worst, second))}
    decision = decide(load_bundle(bundles.closed_bundle(tmp_path, trips)))
    check = next(check for check in decision.gate("sqlite_smoke").checks if check.id == "sqlite_smoke.p95")
    assert check.status is status
    assert decision.decision == ("PROMOTE" if status is Status.PASS else "HOLD")


# --- unblock commands -------------------------------------------------------------------------------------------


@pytest.mark.stranger("15.11", "unblock commands lacked the options without which no host is reached")
def test_unblock_commands_carry_the_options_of_the_run(tmp_path: Path) -> None:
    trips = bundles.healthy_trips()
    trips["sqlite_smoke"] = bundles.sqlite_smoke([600 * bundles.SECOND] * 3)
    bundle = load_bundle(bundles.closed_bundle(tmp_path, trips))
    run: Run = {**bundle.index.run, "extra_vars": ("@site vars.yml", "demo_vm=b"), "options": ("--user=ada",)}
    decision = decide(replace(bundle, index=replace(bundle.index, run=run)))
    check = next(check for check in decision.gate("sqlite_smoke").checks if check.id == "sqlite_smoke.p95")
    options = "-i inventory/vm -e '@site vars.yml' -e demo_vm=b --user=ada"
    assert f"record-baseline.yml {options} -e promotion_reason=accepted`" in check.unblock
    assert decision.rerun_command.endswith("-e '@site vars.yml' -e demo_vm=b --user=ada")


@pytest.mark.stranger("15.11", "a literal <commit> stood in a command that people paste")
def test_without_a_commit_the_branch_is_named(tmp_path: Path) -> None:
    trips = bundles.healthy_trips()
    trips["vm_bootstrap"] = bundles.changed(
        trips["vm_bootstrap"], "identity", output=bundles.vm_probe("b" * 40, "b" * 64)
    )
    trips["preflight"] = bundles.changed(trips["preflight"], "identity", exit=128, output="fatal: not a repository\n")
    decision = decide(load_bundle(bundles.closed_bundle(tmp_path, trips)))
    unblocks = [check.unblock for gate in decision.gates for check in gate.checks]
    assert not [text for text in unblocks if "<" in text]
