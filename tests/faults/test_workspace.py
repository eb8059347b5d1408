"""The workspace: what breaks in the real example application leads to a HOLD, and its unblock sentence fixes it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import bundles
import matrix
import outcomes
import pytest
from application import ALL_GATES, CLIENT, commit, edit, follow, generate, replace_tool
from ground import WORKSPACE_TOOLS, Ground, git

from promotion_gate.__main__ import main
from promotion_gate.base.files import read_json
from promotion_gate.bundle.baseline import write_baseline

RELAY = "apps/api/tests/test_convex_event_relay.py"
TOOL_OF_CLIENT = {"contracts.client_generate", "contracts.client_drift"}
# What else cannot work without a tool; pnpm may bring its own node.
NEEDS = {
    "node": {"preflight.corepack", "preflight.pnpm", *TOOL_OF_CLIENT},
    "corepack": set[str](),
    "pnpm": TOOL_OF_CLIENT,
    "uv": {"sqlite_smoke.runs", "contracts.openapi", "contracts.relay"},
}


@dataclass(frozen=True, slots=True)
class Fault:
    """`check` must hold with `status`; besides it only checks of `also` may.

    `by_commands`: the commands of its sentence bring the PASS back.
    """

    name: str
    inject: Callable[[Ground], None]
    check: str
    status: str = "FAIL"
    gates: str = ALL_GATES
    also: frozenset[str] = frozenset()
    by_commands: bool = False
    representative: bool = False


def _without(tool: str) -> Callable[[Ground], None]:
    return lambda ground: (ground.folder / "workspace-bin" / tool).unlink()


def _exits_1(tool: str) -> Callable[[Ground], None]:
    return lambda ground: replace_tool(ground, tool, f"#!/bin/sh\necho '{tool}: broken' >&2\nexit 1\n")


def _smoke_fails_in(number: int) -> Callable[[Ground], None]:
    script = f"""#!/bin/sh
case "$*" in
  *aiida-sqlite-smoke.py)
    echo run >>"$0.runs"
    [ "$(wc -l <"$0.runs")" != {number} ] || {{ echo "Critical: run {number} of the smoke failed"; exit 1; }}
    ;;
esac
{{real}}
"""
    return lambda ground: replace_tool(ground, "uv", script)


def _openapi_drift(ground: Ground) -> None:
    edit(ground, "apps/api/app/main.py", "    status: str\n", "    status: str\n    since: str = ''\n")
    commit(ground, "The health answer says since when")


def _client_drift(ground: Ground) -> None:
    with (ground.workspace / CLIENT).open("a", encoding="utf-8") as stream:
        stream.write("export type EditedByHand = string;\n")
    commit(ground, "The client, edited by hand")


def _client_drift_staged(ground: Ground) -> None:
    _client_drift(ground)
    generate(ground)
    git(ground.workspace, "add", CLIENT)


def _client_drift_unseen(ground: Ground) -> None:
    """The commit has another client than the generator makes, and neither git diff nor git status says so."""
    _client_drift(ground)
    git(ground.workspace, "update-index", "--skip-worktree", CLIENT)


def _relay_fails(ground: Ground) -> None:
    with (ground.workspace / RELAY).open("a", encoding="utf-8") as stream:
        stream.write("\n\ndef test_a_regression() -> None:\n    assert project(event()) is None\n")
    commit(ground, "A relay test that fails")


def _no_tests(ground: Ground) -> None:
    edit(ground, RELAY, "\ndef test_", "\ndef tset_")
    commit(ground, "No test is collected any more")


def _no_node_modules(ground: Ground) -> None:
    (ground.workspace / "packages/api-client/node_modules").rename(ground.folder / "node_modules")


def _modified(ground: Ground) -> None:
    with (ground.workspace / "README.md").open("a", encoding="utf-8") as stream:
        stream.write("not committed\n")


def _untracked(ground: Ground) -> None:
    (ground.workspace / "notes.txt").write_text("not committed\n", encoding="utf-8")


FAULTS = [
    *(
        Fault(
            f"{tool} is missing", _without(tool), f"preflight.{tool}", gates="1,2,5", also=frozenset(NEEDS[tool])
        )
        for tool in WORKSPACE_TOOLS
    ),
    *(
        Fault(f"{tool} exits 1", _exits_1(tool), f"preflight.{tool}", gates="1,2,5", also=frozenset(NEEDS[tool]))
        for tool in WORKSPACE_TOOLS
    ),
    *(
        Fault(f"the sqlite smoke fails in run {n}", _smoke_fails_in(n), "sqlite_smoke.runs", gates="2",
              representative=n == 2)
        for n in (1, 2, 3)
    ),
    Fault("the OpenAPI document drifted", _openapi_drift, "contracts.openapi", by_commands=True),
    Fault("the API client drifted", _client_drift, "contracts.client_drift", by_commands=True),
    Fault("the API client drifted, and the generated one is only staged", _client_drift_staged,
          "contracts.client_drift", also=frozenset(["preflight.worktree"]), by_commands=True),
    Fault("a relay test fails", _relay_fails, "contracts.relay"),
    Fault("the API client drifted in a file that Git was told to pass over", _client_drift_unseen,
          "contracts.client_drift", also=frozenset(["contracts.tracked"]), by_commands=True),
    Fault("no relay test is collected", _no_tests, "contracts.relay"),
    Fault("node_modules is missing, so nothing was generated", _no_node_modules, "contracts.client_generate", "BLOCKED",
          "5", frozenset(["contracts.client_drift"]), by_commands=True, representative=True),
    Fault("a tracked file is modified", _modified, "preflight.worktree", gates="1,2,5"),
    Fault("an untracked file lies in the worktree", _untracked, "preflight.worktree", gates="1,2,5"),
    Fault("another branch is checked out", lambda ground: _switch(ground, "--create", "topic"), "preflight.branch",
          gates="1,2,5", by_commands=True),
    Fault("HEAD is detached", lambda ground: _switch(ground, "--detach"), "preflight.branch", gates="1,2,5",
          by_commands=True),
]  # fmt: skip


def _switch(ground: Ground, *arguments: str) -> None:
    git(ground.workspace, "switch", "--quiet", *arguments)


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(fault, id=fault.name, marks=[pytest.mark.representative] if fault.representative else [])
        for fault in FAULTS
    ],
)
def test_it_holds_and_its_sentence_mends_it(application: Ground, fault: Fault) -> None:
    fault.inject(application)
    held = outcomes.record("workspace", fault.name, application.again(fault.gates), fault.check)
    assert held.status == 2, held.output
    assert held.decision is not None and held.decision["decision"] == "HOLD", held.output
    check = held.check(fault.check)
    assert check["status"] == fault.status, check
    assert check["unblock"] and fault.check in held.output
    assert "Traceback" not in held.output
    assert fault.check in held.failing() and set(held.failing()) <= {fault.check, *fault.also}, held.output

    if fault.by_commands:
        repaired = follow(application, held)
        by = matrix.BY_COMMANDS if repaired.status == 0 else matrix.NOT_TRIED
        outcomes.record("workspace", fault.name, held, fault.check, unblocked=by)
        assert repaired.status == 0, repaired.output
        assert repaired.decision is not None and repaired.decision["decision"] == "PROMOTE"


# --- the time of the smoke, exactly ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "percent", "wanted"),
    [
        ("the sqlite smoke is 26 % slower than the known-good median", 126, "HOLD"),
        ("the sqlite smoke is exactly 25 % slower than the known-good median", 125, "PROMOTE"),
    ],
    ids=["26-percent", "25-percent"],
)
@pytest.mark.representative
def test_25_percent_passes_and_26_do_not(tmp_path: Path, name: str, percent: int, wanted: str) -> None:
    """Times that nobody slept: a bundle with these very nanoseconds, decided by the real command."""
    median = 3_333_333_300
    write_baseline(tmp_path / "baseline", bundles.known_good((median - 1, median, median + 1)))
    times = (median, median * percent // 100, median)
    trips: Any = {**bundles.healthy_trips(), "sqlite_smoke": bundles.sqlite_smoke(times)}
    bundle = bundles.closed_bundle(tmp_path, trips)
    status = main(["seal", str(bundle)])
    decision = read_json(bundle / "promotion-decision.json")
    matrix.record(matrix.row_of("workspace", name, wanted, decision))
    failing = [c["id"] for gate in decision["gates"] for c in gate["checks"] if c["status"] != "PASS"]
    assert (decision["decision"], status) == (wanted, 0 if wanted == "PROMOTE" else 1)
    assert failing == ([] if wanted == "PROMOTE" else ["sqlite_smoke.p95"])
    assert main(["verify", str(bundle)]) == 0
