"""The bundles of tests/bundles, from the demo's VM: the gate verifies them, and decides and renders as it did then.

`python3 -m demo examples` records those of the current version again. Bytes are compared where the version is the
current one: another version may use other words.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from demo import examples
from demo.console import DemoError
from promotion_gate import __version__
from promotion_gate.base.files import to_json
from promotion_gate.base.names import DECISION_JSON
from promotion_gate.bundle.load import load_bundle
from promotion_gate.judge.decide import decide
from promotion_gate.prove.verify import verify_bundle, verify_history
from promotion_gate.report.render import render

BUNDLES = Path(__file__).parents[1] / "bundles"
# Directory below that of the version: the decision, and the number of the attempt that made it.
EXAMPLES = {"root/healthy": ("PROMOTE", 1), "held/repaired": ("HOLD", 1), "root/repaired": ("PROMOTE", 2)}
VERSIONS = sorted(path.name for path in BUNDLES.iterdir() if path.is_dir())
EVERY = [f"{version}/{name}" for version in VERSIONS for name in EXAMPLES]
CURRENT = [name for name in EVERY if name.startswith(f"{__version__}/")]
MEANT = "If that is meant: make example-records, and look at the diff (CONTRIBUTING.md)."


def test_every_version_has_its_examples() -> None:
    if "CI" in os.environ:  # while records are being changed there may be none
        assert __version__ in VERSIONS, "Record the bundles of this version: commit, then make example-bundles."
    indexes = [path.parent for path in BUNDLES.rglob("index.json") if "attempts" not in path.parts]
    assert sorted(path.relative_to(BUNDLES).as_posix() for path in indexes) == sorted(EVERY)


@pytest.mark.parametrize("name", EVERY)
def test_it_verifies(name: str) -> None:
    report = verify_bundle(BUNDLES / name)
    outdated = set() if name in CURRENT else {"records"}
    assert [finding for finding in report.findings if not finding.holds and finding.name not in outdated] == [], MEANT
    assert report.decision is not None
    assert (report.decision.decision, report.decision.attempt) == EXAMPLES[name.partition("/")[2]]


@pytest.mark.parametrize("name", CURRENT)
def test_the_records_are_the_same_byte_for_byte(name: str) -> None:
    bundle = load_bundle(BUNDLES / name)
    decision = decide(bundle)
    rendered = render(bundle, decision)
    assert rendered[DECISION_JSON] == to_json(decision.as_dict())
    assert len(rendered) > 5
    changed = [file for file, text in rendered.items() if (BUNDLES / name / file).read_bytes() != text.encode()]
    assert changed == [], MEANT


@pytest.mark.parametrize("version", VERSIONS)
def test_the_runs_are_a_chain(version: str) -> None:
    assert verify_history(BUNDLES / version / "root").problem == ""


@pytest.mark.parametrize("name", [name for name in CURRENT if "/held/" in name])
def test_the_fault_is_what_held(name: str) -> None:
    """Two services were broken; the record names both, and no other gate."""
    record = json.loads((BUNDLES / name / DECISION_JSON).read_text(encoding="utf-8"))
    failed = {check["id"] for gate in record["gates"] for check in gate["checks"] if check["status"] == "FAIL"}
    assert {"vm_bootstrap.daemon", "slurm_smoke.node"} <= failed
    assert [gate["name"] for gate in record["gates"] if gate["status"] != "PASS"] == ["vm_bootstrap", "slurm_smoke"]


@pytest.mark.slow
def test_a_bundle_that_names_this_machine_is_not_taken(tmp_path: Path) -> None:
    (tmp_path / "01-preflight.log").write_text(f"# directory: {Path.home()}\n")
    with pytest.raises(DemoError, match=r"name this machine.*01-preflight\.log"):
        examples.check_traces(tmp_path)
