"""A stranger judges the bundles: CredSweeper, a scanner for credentials, without its machine learning.

`make nightly` installs it. HARMLESS has what it reports in a bundle and what is not a credential, with the reason.
"""

from __future__ import annotations

import importlib.util
import json
import re
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import bundles
import pytest

from promotion_gate.bundle.recorder import Recorder
from promotion_gate.prove.seal import seal

pytestmark = [
    pytest.mark.nightly,
    pytest.mark.skipif(not importlib.util.find_spec("credsweeper"), reason="make nightly installs credsweeper"),
]
CHECK_OR_FILE = re.compile(r"(?:[a-z_]+\.[a-z0-9_]+|[\w-]+\.(?:log|md|xml)|slurm-smoke/)")
HARMLESS: dict[str, Callable[[str, str, str], object]] = {
    "a mask, in Markdown, too": lambda rule, name, value: re.fullmatch(r"[\\*]+", value),
    "an identifier of a boot or of a computer": lambda rule, name, value: rule == "UUID",
    "a digest, of a file whose name has api in it": lambda rule, name, value: re.fullmatch("[0-9a-f]{64}", value),
    "the public half of a host's key": lambda rule, name, value: re.match(r"(?:ssh|ecdsa)-[a-z0-9-]+ AAAA", value),
    "a status in a table, and the evidence beside it": lambda rule, name, value: (
        name.lower().startswith("pass") and CHECK_OR_FILE.fullmatch(value)
    ),
    "the first remedy in the page's description": lambda rule, name, value: (
        name == "pass. First to unblock" and value == "verdi"
    ),
    "prose about an API, and its command": lambda rule, name, value: (
        rule == "API" and re.match("(?:FastAPI|openapi)", name)
    ),
}
KNOWN = "site-value-4fK9qLw2Zx"
PLANTED = f"""
DB_PASSWORD=Hq8rTz3kWm5v
postgresql://aiida:Vw6yPd9sJn2x@localhost:5432/aiida
aws_access_key_id = AKIAQ3EGRD7VLKXTMPWN
ghp_x7Qm2Lp9Wz4Rt6Yv1Bn8Kd3Hs5Jf0Gc2Ta7E
Authorization: Bearer q8ZrT3kWm5vHy7Lp2Xn9Bd4Js6Gc1Fa0
api_token: "{KNOWN}"
curl -u robot:Nf5tRb8cXq1m https://registry.example.org/
-----BEGIN OPENSSH PRIVATE KEY-----
b3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAEbm9uZQAAAAAAAAABAAAAMwAAAAtzc2gtZW
QyNTUxOQAAACBq0Pz7mD3wV8tYx2K9uLrE5nJcHs6Gf1Rb4TaWyQkXvgAAAJgqPzR8Kj80
-----END OPENSSH PRIVATE KEY-----
"""


def found_in(folder: Path, report: Path) -> list[str]:
    """What the scanner takes for a credential in a directory, except what is harmless."""
    call = [sys.executable, "-m", "credsweeper", "--path", str(folder), "--ml_threshold", "0", "--pedantic"]
    subprocess.run([*call, "--no-stdout", "--save-json", str(report)], capture_output=True, check=True)
    found: list[Mapping[str, Any]] = json.loads(report.read_text())
    return [
        f"{entry['rule']}: {line['path']}:{line['line_num']}: {line['variable']} = {line['value']}"
        for entry in found
        for line in entry["line_data_list"]
        if not any(none(entry["rule"], line["variable"] or "", line["value"]) for none in HARMLESS.values())
    ]


def test_a_scanner_finds_nothing_in_a_bundle_of_a_run_that_printed_secrets(tmp_path: Path) -> None:
    (tmp_path / "plain").mkdir()
    (tmp_path / "plain" / "tool.log").write_text(PLANTED)
    plain = found_in(tmp_path / "plain", tmp_path / "plain.json")
    assert len(plain) > 6, "it finds them where nobody masks them"
    trips = bundles.healthy_trips()
    for result in trips.values():
        for command in result["commands"]:
            command["output"] += PLANTED + f"the value is {KNOWN}\n"
    trips["slurm_smoke"]["artifacts"][0]["files"][0]["content"] += PLANTED
    environment = {"SITE_CODE_TOKEN": KNOWN, "BROKER": "amqp://aiida:Kd3Hs5Jf0Gc2@vm/"}
    bundle = bundles.open_bundle(tmp_path / "root", workspace_environment=environment)
    recorder = Recorder(bundle, {"extra_vars": [PLANTED]}, known=[KNOWN])
    for gate, result in trips.items():
        recorder.trip(result, bundles.host_of(gate))
    recorder.close()
    seal(bundle)
    assert (bundle / "promotion-decision.json").is_file()
    left = found_in(bundle, tmp_path / "bundle.json")
    assert not left, "\n".join(left)
    assert not [path for path in bundle.rglob("*") if path.is_file() and KNOWN.encode() in path.read_bytes()]


def test_a_scanner_finds_nothing_in_the_recorded_bundles(tmp_path: Path) -> None:
    left = found_in(bundles.PROJECT / "tests" / "bundles", tmp_path / "found.json")
    assert not left, "\n".join(left)
