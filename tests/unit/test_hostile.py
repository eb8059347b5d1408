"""What a VM prints is data: it is kept, bounded, and escaped where it is shown; nothing else happens."""

from __future__ import annotations

import json
import os
import re
import shlex
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import bundles
import pytest
from markdown_it import MarkdownIt
from test_gate_commands import trip as run_trip

from promotion_gate.__main__ import main
from promotion_gate.base.errors import BundleError
from promotion_gate.base.files import read_json
from promotion_gate.base.model import Decision
from promotion_gate.bundle.load import load_bundle
from promotion_gate.bundle.recorder import MAX_ARTIFACTS, Recorder
from promotion_gate.judge.decide import decide
from promotion_gate.prove.seal import seal
from promotion_gate.prove.verify import verify_bundle
from promotion_gate.report.show import text_of

PAYLOADS = {
    "ansi": "\x1b[2J\x1b[31;1mred\x1b[0m\x1b[1A\x1b[2Kgone",
    "osc": "\x1b]0;title\x07\x1b]8;;https://evil.example/\x1b\\click\x1b]8;;\x1b\\\x1b]52;c;ZXZpbA==\x07",
    "c1": "\x9b31mred\x9d0;title\x9c\x90dcs\x9c",
    "html": "<script>alert(1)</script><img src=x onerror=alert(1)> --> &lt;b&gt; &#x202e;",
    "markdown": "](https://evil.example) ![i](https://evil.example/i.png) [r]: https://evil.example 'x' <https://evil.example>",
    "headings": "x | y\n--- | ---\n# PROMOTE\n\nPROMOTE\n=======\n\n- [x] all gates passed\n1. one\n> quote\n",
    "fence": "```\n~~~\n```sh\nrm -rf /\n```\n    indented",
    "jinja": "{{ 'rendered' | upper }} {% set x = 1 %} {{ lookup('pipe', 'touch hostile') }} {# c #}",
    "format": "{0} {x.__class__} %s %(x)s ${HOME} $(touch hostile) `touch hostile`",
    "yaml": "!!python/object/apply:os.system ['touch hostile']\n--- &a [*a, *a]\n? x\n",
    "nul": "a\x00b\x08\x08\x7f\x05",
    "rtl": "safe \u202egnirts\u202c \u2066x\u2069 \u200f\u200b\ufeff\U000e0041",
    "separators": "one\u2028two\u2029three\x85four\x0bfive\x0csix\rseven",
    "header": "\n# host: aiida-vm\n# command: scontrol ping\n# exit: 0\n\nSlurmctld(primary) at aiida-vm is UP\n",
    "cut": "[... about 12 bytes left out ...]\nSuccess: all 6 tests succeeded\nresult: PASSED\n",
    "json": '"},{"decision":"PROMOTE","x":"',
}


@pytest.mark.parametrize("payload", PAYLOADS.values(), ids=PAYLOADS)
def test_the_module_returns_it_as_it_was_printed(payload: str, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "log").write_bytes(payload.encode())
    run = [sys.executable, "-c", f"import os; os.write(1, {payload.encode()!r})"]
    found = run_trip({"run": run}, chdir=str(tmp_path), artifacts=[{"from": "out", "to": "slurm-smoke"}])
    assert found["commands"][0]["output"] == payload
    assert found["artifacts"][0]["files"][0]["content"] == payload
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["log", "out"]


def everywhere(payload: str, first: bool) -> bundles.Trips:
    """Healthy trips in which every command, every artifact and the host's own description contain the payload."""
    trips = bundles.healthy_trips()
    for trip in trips.values():
        for command in trip["commands"]:
            output = command["output"]
            command["output"] = f"{payload}\n{output}" if first else f"{output}{payload}\n"
        for item in trip["artifacts"]:
            item["refused"] = [{"path": f"a{payload}", "reason": f"its name is odd {payload}"}]
            item["error"] = payload
            for file in item["files"]:
                file["content"] += f"\n{payload}\n\n- **field{payload}** (string)\n"
        trip["host"].update(hostname=f"vm{payload}", user=f"aiida{payload}")
        trip["objections"] = [f"{payload} objects"]
    trips["slurm_smoke"] = bundles.changed(trips["slurm_smoke"], "script", exit=1)
    return trips


def shown(bundle: Path) -> Iterator[tuple[str, str]]:
    yield "terminal", text_of(read_json(bundle / "promotion-decision.json"))
    yield "verify", "\n".join(verify_bundle(bundle).lines())
    for path in sorted([*bundle.glob("*.md"), *bundle.glob("promotion-decision.json"), bundle / "index.json"]):
        yield path.name, path.read_bytes().decode("utf-8")


UNSEEN = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\U000e0000-\U000e007f]")
MARKDOWN = MarkdownIt("commonmark", {"html": True}).enable("table").enable("strikethrough")


CODE = {("code_inline", "code"), ("strong_open", "strong"), ("strong_close", "strong")}
COMMENT = {"html_block"}  # the first line of follow-up-issue.md names run and VM for programs


def structure(text: str) -> list[tuple[str, str]]:
    """What a text contains besides words when it is read as Markdown: headings, links, images, HTML, code, ..."""
    tokens = [token for outer in MARKDOWN.parse(text) for token in (outer, *(outer.children or ()))]
    return [(token.type, token.tag) for token in tokens if token.type not in ("text", "text_special", "softbreak")]


# As CommonMark 0.31 has it: between two runs of as many backticks.
CODE_SPAN = re.compile(r"(?<!`)(`+)(?!`).*?(?<!`)\1(?!`)", re.DOTALL)


def addresses(text: str) -> list[str]:
    """Where the links of a page lead."""
    tokens = [token for outer in MARKDOWN.parse(text) for token in (outer.children or ())]
    return [str(token.attrs["href"]) for token in tokens if token.type == "link_open"]


@pytest.fixture(scope="module")
def harmless(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same bundle with a word for a payload."""
    return bundles.make_bundle(tmp_path_factory.mktemp("harmless"), everywhere("payload", first=True))


@pytest.mark.slow
@pytest.mark.parametrize("first", [True, False], ids=["before", "after"])
@pytest.mark.parametrize("payload", PAYLOADS.values(), ids=PAYLOADS)
def test_it_is_escaped_where_it_is_shown(payload: str, first: bool, harmless: Path, tmp_path: Path) -> None:
    root = tmp_path / "root"
    bundle = bundles.make_bundle(root, everywhere(payload, first))
    for where, text in shown(bundle):
        assert not UNSEEN.search(text), where
    for path in bundle.glob("*.md"):
        text = path.read_text(encoding="utf-8")
        # How many things a page has depends on the checks that fail; which kinds of things it has must not.
        kinds = set(structure(text)) - CODE
        assert kinds <= set(structure((harmless / path.name).read_text(encoding="utf-8"))), path.name
        assert not {"image", "html_inline", "html_block"} & {kind for kind, _ in kinds} - COMMENT
        assert all(re.fullmatch(r"\./[\w./%-]+", address, re.ASCII) for address in addresses(text))
        outside_code = CODE_SPAN.sub("", text)
        assert not re.search(r"(?:https?|ftp)://|www\.", outside_code)
    assert "RENDERED" not in "".join(text for _, text in shown(bundle))
    report = verify_bundle(bundle)
    assert report.holds, report.problem
    assert report.decision is not None and report.decision.decision == "HOLD"
    assert {path.name for path in root.iterdir()} == {"baseline", ".promotion-gate.lock", bundle.name}
    assert not list(tmp_path.rglob("hostile"))


@pytest.mark.slow
def test_it_is_kept_to_the_letter(tmp_path: Path) -> None:
    for number, payload in enumerate(PAYLOADS.values()):
        bundle = bundles.closed_bundle(
            tmp_path, bundles.trips_with("slurm_smoke", "ping", output=payload), run_id=f"run-{number}"
        )
        assert load_bundle(bundle).output("slurm_smoke", "ping") == payload


def decision_of(tmp_path: Path, trips: bundles.Trips) -> Decision:
    return decide(load_bundle(bundles.closed_bundle(tmp_path, trips)))


def test_a_fake_header_is_not_a_record(tmp_path: Path) -> None:
    """The controller is down, and the command before prints a whole transcript in which it is up."""
    trips = bundles.trips_with("slurm_smoke", "identity", output=bundles.vm_probe() + PAYLOADS["header"])
    trips["slurm_smoke"] = bundles.changed(trips["slurm_smoke"], "ping", exit=1, output=bundles.PING_DOWN)
    decision = decision_of(tmp_path, trips)
    failing = [check.id for gate in decision.gates for check in gate.checks if check.status != "PASS"]
    assert failing == ["slurm_smoke.controller"]


CUT = "head\n[... about 12 bytes left out ...]\n"


@pytest.mark.parametrize(
    ("gate", "command", "output"),
    [
        ("slurm_smoke", "ping", bundles.PING),
        ("slurm_smoke", "sinfo", bundles.SINFO),
        ("slurm_smoke", "computer_test", bundles.COMPUTER_TEST),
        ("slurm_smoke", "job", bundles.JOB),
        ("vm_bootstrap", "profile_list", bundles.PROFILE_LIST),
        ("vm_bootstrap", "status", bundles.STATUS),
        ("vm_bootstrap", "daemon_status", bundles.DAEMON_STATUS),
        ("contracts", "diff", ""),
        ("preflight", "identity", bundles.workspace_probe()),
    ],
)
def test_success_after_a_cut_is_no_success(gate: str, command: str, output: str, tmp_path: Path) -> None:
    decision = decision_of(tmp_path, bundles.trips_with(gate, command, output=CUT + output, truncated=True))
    assert decision.decision == "HOLD"
    assert "INVALID" in {check.status for item in decision.gates for check in item.checks}


LINES = {
    "one line": "x",
    "blanks": " ",
    "escapes": "\x1b[",
    "strings without end": "\x9d",
    "two-byte strings without end": "\x1b]",
    "brackets": "[",
    "numbers": "1.",
    "line ends": "\n",
    "returns": "\r",
    "columns": "a|",
    "assignments": "A=b ",
}


def bundle_with(line: str, root: Path) -> Path:
    """A closed bundle in which each output begins with `line`."""
    trips = bundles.healthy_trips()
    for trip in trips.values():
        for command in trip["commands"]:
            command["output"] = f"{line}\n{command['output']}"
    bundle = bundles.open_bundle(root)
    recorder = Recorder(bundle, {"recorder": "evidence"})
    recorder._redactor.text = lambda text: text  # type: ignore[method-assign]  # its own time has its own test
    for gate, trip in trips.items():
        recorder.trip(trip, bundles.host_of(gate))
    recorder.close()
    return bundle


@pytest.mark.parametrize("size", [1 << 12, pytest.param(1 << 18, marks=pytest.mark.nightly)])
@pytest.mark.parametrize("piece", LINES.values(), ids=LINES)
def test_a_lot_of_anything_is_decided(piece: str, size: int, tmp_path: Path) -> None:
    """That it takes no longer than its length is measured by benchmarks/linear.py."""
    bundle = bundle_with(piece * (size // len(piece)), tmp_path)
    assert decide(load_bundle(bundle)).decision == "HOLD"


def test_ten_megabytes_in_one_line_are_cut_and_said() -> None:
    run = [
        sys.executable,
        "-c",
        "import sys; sys.stdout.write('x' * 10_000_000 + '\\nSuccess: all 6 tests succeeded\\n')",
    ]
    [command] = run_trip({"run": run})["commands"]
    assert command["truncated"] and command["total_bytes"] > 10_000_000
    assert len(command["output"]) < 1_100_000 and "bytes left out" in command["output"]


# --- a result that the module would never return ----------------------------------------------------------------


def record(bundle: Path, trip: dict[str, Any]) -> None:
    Recorder(bundle, {"recorder": "evidence"}).trip(trip, bundles.host_of(trip["gate"]))


NAMES = [
    "../outside",
    "/outside",
    "a/../../outside",
    "..",
    ".",
    "a//b",
    "./a",
    "a\nb",
    "a\x00b",
    "a\x1b[0m",
    "x/",
    "a\\b",
]


@pytest.mark.parametrize("name", NAMES)
def test_an_artifact_stays_inside_the_bundle(name: str, tmp_path: Path) -> None:
    bundle = bundles.open_bundle(tmp_path / "root")
    record(bundle, bundles.trip("slurm_smoke", [], [bundles.artifact("slurm-smoke", {name: "x", "good": "y"})]))
    index = read_json(bundle / "index.json")
    assert [item["file"] for item in index["artifacts"]] == ["slurm-smoke/good"]
    assert len(index["artifact_sets"][0]["refused"]) == 1
    assert not list(tmp_path.rglob("outside"))


PINNED = [
    *("index.json", "policy.yml", "baseline.json", "SHA256SUMS", "SHA256SUMS.sig", "05-ownership-map.yml"),
    *("promotion-decision.json", "promotion-decision.md", "follow-up-issue.md", "attempts/01/SHA256SUMS"),
    *("../x.log", "/x.log", "a\nb.log"),
]


@pytest.mark.parametrize("name", PINNED)
@pytest.mark.parametrize("what", ["command", "artifact"])
def test_evidence_takes_no_name_that_is_not_its_own(name: str, what: str, tmp_path: Path) -> None:
    bundle = bundles.open_bundle(tmp_path / "root")
    before = {path: path.read_bytes() for path in bundle.iterdir() if path.name != "index.json"}
    trip = bundles.trip(
        "slurm_smoke",
        [bundles.command("ping", name, ["true"], "x")] if what == "command" else [],
        [bundles.artifact(name, {"": "x"})] if what == "artifact" else [],
    )
    with pytest.raises(BundleError):
        record(bundle, trip)
    assert {path: path.read_bytes() for path in bundle.iterdir() if path.name != "index.json"} == before
    assert [path.name for path in tmp_path.iterdir()] == ["root"]


def test_a_host_speaks_for_its_own_gates_only(tmp_path: Path) -> None:
    """A VM that claims to be the workspace, or the other way round, is an error of the recording."""
    bundle = bundles.open_bundle(tmp_path)
    for gate in bundles.healthy_trips():
        other = "workspace-local" if bundles.host_of(gate) == "aiida-vm" else "aiida-vm"
        with pytest.raises(BundleError, match="returned results of the gate"):
            Recorder(bundle, {"recorder": "evidence"}).trip(bundles.healthy_trips()[gate], other)


def test_a_bomb_of_files_is_bounded_and_reported(tmp_path: Path) -> None:
    bundle = bundles.open_bundle(tmp_path)
    files = {f"{number:04}": "x" for number in range(MAX_ARTIFACTS + 5)}
    record(bundle, bundles.trip("slurm_smoke", [], [bundles.artifact("slurm-smoke", files)]))
    index = read_json(bundle / "index.json")
    assert len(index["artifacts"]) == MAX_ARTIFACTS
    assert len(index["artifact_sets"][0]["refused"]) == 5


# --- an artifact folder on a host -------------------------------------------------------------------------------


def _setuid(folder: Path) -> None:
    (folder / "tool").write_text("#!/bin/sh\ntouch hostile\n", encoding="utf-8")
    (folder / "tool").chmod(0o6777)


def _links(folder: Path) -> None:
    (folder / "a-link").symlink_to("/etc/passwd")
    (folder / "a-folder").symlink_to("/etc")
    (folder / "a-loop").symlink_to(".")
    os.link(folder / "good.log", folder / "hard.log")


def _deep(folder: Path) -> None:
    path = folder
    for _ in range(60):
        path /= "d"
    path.mkdir(parents=True)
    (path / "x.log").write_text("x", encoding="utf-8")


def _odd_names(folder: Path) -> None:
    for name in (
        "new\nline",
        "esc\x1b[0m",
        "back\\slash",
        "{{ 'rendered' | upper }}",
        "<b>",
        "\u202egpj.sh",
        "-rf",
        "# exit: 0",
        "...",
    ):
        (folder / name).write_text("x", encoding="utf-8")


def _pipe(folder: Path) -> None:
    os.mkfifo(folder / "pipe")
    if os.geteuid() == 0:
        os.mknod(folder / "null", 0o666 | 0o020000, os.makedev(1, 3))


@pytest.mark.parametrize("fill", [_setuid, _links, _deep, _odd_names, _pipe])
def test_a_hostile_folder_comes_back_as_plain_files(fill: Callable[[Path], None], tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    (source / "good.log").write_text("good\n", encoding="utf-8")
    fill(source)
    brought = run_trip({"run": "true"}, artifacts=[{"from": str(source), "to": "slurm-smoke"}])
    trips = bundles.healthy_trips()
    trips["slurm_smoke"]["artifacts"] = brought["artifacts"]
    bundle = bundles.closed_bundle(tmp_path / "root", trips)
    seal(bundle)
    assert verify_bundle(bundle).holds
    for path in bundle.rglob("*"):
        assert not path.is_symlink() and (path.is_dir() or path.is_file())
        assert path.stat().st_mode & 0o7777 == (0o700 if path.is_dir() else 0o600), path
    assert (bundle / "slurm-smoke" / "good.log").read_text(encoding="utf-8") == "good\n"
    assert not list(tmp_path.rglob("hostile"))
    for where, text in shown(bundle):
        assert not UNSEEN.search(text), where
        assert "RENDERED" not in text


@pytest.mark.parametrize(
    "place", [("run_id",), ("decided_at",), ("gates", 3, "status"), ("gates", 3, "checks", 0, "id")]
)
def test_a_record_that_somebody_else_wrote_is_refused_and_quoted_escaped(
    place: tuple[Any, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle = bundles.hold_bundle(tmp_path)
    record = read_json(bundle / "promotion-decision.json")
    inner = record
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = "x\x1b[2J\x9b31m\u202ex\nPROMOTE"
    for check in record["gates"][3]["checks"]:
        check["status"] = "FAIL"
    (bundle / "promotion-decision.json").write_text(json.dumps(record), encoding="utf-8")
    assert main(["show", str(bundle)]) == 3
    captured = capsys.readouterr()
    assert captured.out == "" and "does not verify" in captured.err and not UNSEEN.search(captured.err.rstrip("\n"))
    lines = text_of(record).split("\n")
    assert any("\\u001b[2J\\u009b31m\\u202ex" in line for line in lines) and not any(map(UNSEEN.search, lines))


def test_an_error_that_quotes_a_bundle_is_shown_escaped(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bundle = bundles.closed_bundle(tmp_path)
    index = read_json(bundle / "index.json")
    (bundle / "index.json").write_text(json.dumps({**index, "run_id": "x\x1b[2J\u202e"}), encoding="utf-8")
    assert main(["decide", str(bundle)]) == 3
    assert not UNSEEN.search(capsys.readouterr().err)


def test_the_printed_re_run_command_is_one_line_and_quoted(tmp_path: Path) -> None:
    bundle = bundles.open_bundle(tmp_path)
    run = {"recorder": "evidence", "extra_vars": ["x=$(touch hostile) ; `id`\n# y"]}
    Recorder(bundle, run).close()
    command = decide(load_bundle(bundle)).rerun_command
    assert shlex.split(command)[-1] == "x=$(touch hostile) ; `id`\n# y"
    assert json.loads(json.dumps(command)) == command
