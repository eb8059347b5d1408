"""What the index keeps of the settings: everything but the secrets in them; and what a resume makes of it."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import bundles
import pytest

from promotion_gate.__main__ import main
from promotion_gate.base.errors import InputError
from promotion_gate.base.files import to_json
from promotion_gate.bundle.recorder import Recorder
from promotion_gate.prove.verify import verify_bundle
from promotion_gate.run.masking import check_not_masked, masked

SECRET = "Zq-canary'7$x y"
CASES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "an environment": (
        {"workspace_environment": {"NPM_TOKEN": SECRET, "PATH": "/usr/bin:/bin", "UV_FROZEN": "1"}},
        {"workspace_environment": {"NPM_TOKEN": "***", "PATH": "/usr/bin:/bin", "UV_FROZEN": "1"}},
    ),
    "a short one": (
        {"aiida_vm_environment": {"DB_PASSWORD": "abc", "PIN_SECRET": 1234}},
        {"aiida_vm_environment": {"DB_PASSWORD": "***", "PIN_SECRET": "***"}},
    ),
    "a URL": (
        {"aiida_vm_environment": {"BROKER": "amqp://aiida:pw1@vm/"}},
        {"aiida_vm_environment": {"BROKER": "amqp://aiida:***@vm/"}},
    ),
    "a path of a key": (
        {"workspace_environment": {"DEPLOY_SSH_KEY": "/home/me/.ssh/id_ed25519"}, "promotion_signing_key": "key"},
        {"workspace_environment": {"DEPLOY_SSH_KEY": "/home/me/.ssh/id_ed25519"}, "promotion_signing_key": "key"},
    ),
    "a key of a service": (
        {
            "workspace_environment": {"CONVEX_DEPLOY_KEY": "prod:fox|abc", "GPG_KEY": "A035"},
            "words": ["x prod:fox|abc"],
        },
        {"workspace_environment": {"CONVEX_DEPLOY_KEY": "***", "GPG_KEY": "A035"}, "words": ["x ***"]},
    ),
    "a command": (
        {"workspace_sqlite_smoke_command": ["smoke", "--api-token", "a b"], "aiida_vm_verdi": "env X_TOKEN=abc verdi"},
        {"workspace_sqlite_smoke_command": ["smoke", "--api-token", "***"], "aiida_vm_verdi": "env X_TOKEN=*** verdi"},
    ),
    "a secret of an environment elsewhere": (
        {"workspace_environment": {"X_TOKEN": SECRET}, "words": {"verdi": f"run {SECRET} verdi"}},
        {"workspace_environment": {"X_TOKEN": "***"}, "words": {"verdi": "run *** verdi"}},
    ),
    "the secret of an option elsewhere": (
        {"aiida_vm_smoke_args": ["--api-token", SECRET], "words": {"verdi": f"run {SECRET} verdi"}},
        {"aiida_vm_smoke_args": ["--api-token", "***"], "words": {"verdi": "run *** verdi"}},
    ),
    "what the operator marks": (
        {"promotion_secrets": ["plainly-marked", "short"], "words": {"verdi": "run plainly-marked short"}},
        {"promotion_secrets": ["***", "***"], "words": {"verdi": "run *** short"}},
    ),
    "what the inventory marks": (
        {"known_secrets": ["out-of-a-vault"], "workspace_sqlite_smoke_command": "smoke --site out-of-a-vault"},
        {"workspace_sqlite_smoke_command": "smoke --site ***"},
    ),
    "a list of mappings": (
        {"promotion_risks": [{"risk": "a known one", "mitigation": "password: abc"}]},
        {"promotion_risks": [{"risk": "a known one", "mitigation": "password: ***"}]},
    ),
    "a secret that equals a name": (
        {"aiida_vm_environment": {"DB_PASSWORD": "production"}, "vm": "production", "words": {"vm": "production"}},
        {"aiida_vm_environment": {"DB_PASSWORD": "***"}, "vm": "production", "words": {"vm": "production"}},
    ),
    "what is not a secret": (
        {"aiida_vm_first_run": False, "evidence_max_age_seconds": 86400, "promotion_gates": None, "inventory": ["x"]},
        {"aiida_vm_first_run": False, "evidence_max_age_seconds": 86400, "promotion_gates": None, "inventory": ["x"]},
    ),
    "what is empty": (
        {"workspace_environment": {"NPM_TOKEN": "", "X_SECRET": None}},
        {"workspace_environment": {"NPM_TOKEN": "", "X_SECRET": None}},
    ),
}


@pytest.mark.parametrize(("settings", "kept"), CASES.values(), ids=CASES)
def test_what_is_kept(settings: dict[str, Any], kept: dict[str, Any]) -> None:
    assert masked(settings) == kept
    assert masked(kept) == kept


@pytest.mark.stranger("16.12", "a value of a vault, of no telling name, in the index of an open run")
def test_what_the_inventory_marks_is_masked_from_the_first_write_on(tmp_path: Path) -> None:
    asked = bundles.request(tmp_path, workspace_sqlite_smoke_command="smoke --site out-of-a-vault")
    asked["hosts"]["aiida_vm"]["secrets"] = ["out-of-a-vault"]
    run = bundles.opened(asked)
    assert "out-of-a-vault" in run["settings"]["known_secrets"], "the recorder is handed it"
    assert run["settings"]["workspace_sqlite_smoke_command"] == "smoke --site out-of-a-vault"
    index = Path(run["bundle"]) / "index.json"
    assert "out-of-a-vault" not in index.read_text() and "known_secrets" not in index.read_text()
    called = {"extra_vars": ["site=out-of-a-vault"], "options": ["--ssh-extra-args=-o X=out-of-a-vault"]}
    Recorder(Path(run["bundle"]), called, run["settings"]["known_secrets"])
    assert json.loads(index.read_text())["run"] == {
        "extra_vars": ["site=***"],
        "options": ["--ssh-extra-args=-o X=***"],
    }


def test_an_input_error_does_not_quote_what_the_inventory_marks(tmp_path: Path) -> None:
    asked = bundles.request(tmp_path, promotion_ticket="no ticket: out-of-a-vault")
    asked["hosts"]["workspace"]["secrets"] = ["out-of-a-vault"]
    with pytest.raises(InputError, match=r'promotion_ticket names a folder.*not "no ticket: \*\*\*"'):
        bundles.opened(asked)


def test_a_resume_wants_the_operator_s_marks_again(tmp_path: Path) -> None:
    bundles.hold_bundle(tmp_path, promotion_secrets=["plainly-marked"])
    with pytest.raises(InputError, match=r"^promotion_secrets holds a secret, which .* Set it again"):
        bundles.resume_bundle(tmp_path)
    bundles.resume_bundle(tmp_path, promotion_secrets=["plainly-marked"])


SETTINGS: dict[str, Any] = {
    "workspace_environment": {"NPM_TOKEN": SECRET, "PATH": "/usr/bin"},
    "aiida_vm_smoke_args": ["--api-token", SECRET],
}


def test_no_file_of_a_bundle_has_the_secret_and_the_decision_does_not_need_it(tmp_path: Path) -> None:
    # The resume below also has the smoke script's arguments; here the script ran without any.
    bundle = bundles.make_bundle(tmp_path, workspace_environment=SETTINGS["workspace_environment"])
    report = verify_bundle(bundle)
    assert report.holds and report.decision is not None and report.decision.decision == "PROMOTE"
    for path in bundle.rglob("*"):
        assert path.is_dir() or b"Zq-canary" not in path.read_bytes(), path


def test_a_resume_wants_a_secret_again_and_takes_the_rest_from_the_index(tmp_path: Path) -> None:
    bundle = bundles.hold_bundle(tmp_path, promotion_ticket="gra-7", **SETTINGS)
    with pytest.raises(InputError, match=r"^workspace_environment holds a secret \(NPM_TOKEN\).*Set it again"):
        bundles.resume_bundle(tmp_path)
    with pytest.raises(InputError, match=r"^aiida_vm_smoke_args holds a secret, which"):
        bundles.resume_bundle(tmp_path, workspace_environment=SETTINGS["workspace_environment"])
    assert bundles.resume_bundle(tmp_path, **SETTINGS) == bundle
    index = json.loads((bundle / "index.json").read_text(encoding="utf-8"))
    assert index["ticket"] == "gra-7"
    assert index["settings"]["workspace_environment"] == {"NPM_TOKEN": "***", "PATH": "/usr/bin"}
    for path in bundle.rglob("*"):
        assert path.is_dir() or b"Zq-canary" not in path.read_bytes(), path


@pytest.mark.parametrize("value", [None, "text", 7, [], {"A": "b"}, [{"risk": "x"}]])
def test_a_setting_without_a_mask_is_taken(value: object) -> None:
    check_not_masked("name", value)


def test_the_sentence_of_an_input_error_quotes_no_secret(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    request = bundles.request(tmp_path, workspace_environment="NPM_TOKEN=canary")
    monkeypatch.setattr("sys.stdin", io.StringIO(to_json(request)))
    assert main(["open"]) == 2
    message = capsys.readouterr().err
    assert "workspace_environment must be a mapping" in message and "canary" not in message


@pytest.mark.parametrize(("number", "word"), [(float("nan"), "NaN"), (float("-inf"), "-Infinity")])
def test_a_number_that_json_has_no_word_for_is_reported_with_its_name(
    number: float, word: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    request = bundles.request(tmp_path, workspace_environment={"RATE": number})
    monkeypatch.setattr("sys.stdin", io.StringIO(json.dumps(request)))
    assert main(["open"]) == 2
    assert f"RATE is {word}" in capsys.readouterr().err
