"""The bundle: each required file of a real PROMOTE missing, emptied, cut, or replaced; and a broken index.

Before the seal, the decision must be HOLD (or there must be none); after it, `verify` and `check` must say no. One
row stands for one damage to all files of a kind, each damaged by itself in a copy of its own: the row counts once.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import bundles
import matrix
import pytest
from ground import Run

from promotion_gate.__main__ import main
from promotion_gate.base.files import read_json, sha256, to_json
from promotion_gate.bundle.load import load_bundle
from promotion_gate.judge.decide import decide
from promotion_gate.report.render import render

SUMS, INDEX, DECISION = "SHA256SUMS", "index.json", "promotion-decision.json"
NO_DECISION = 3


# --- what is damaged, and how -----------------------------------------------------------------------------------


def _missing(bundle: Path, name: str) -> None:
    (bundle / name).unlink()


def _empty(bundle: Path, name: str) -> None:
    (bundle / name).write_bytes(b"")


def _cut(bundle: Path, name: str) -> None:
    data = (bundle / name).read_bytes()
    (bundle / name).write_bytes(data[: len(data) // 2])


def _folder(bundle: Path, name: str) -> None:
    (bundle / name).unlink()
    (bundle / name).mkdir()


def _link(bundle: Path, name: str) -> None:
    """The same bytes behind a link: somebody else decides what they are tomorrow."""
    target = bundle.parent / "elsewhere"
    (bundle / name).rename(target)
    (bundle / name).symlink_to(target)


DAMAGES: Mapping[str, tuple[Callable[[Path, str], None], str, str]] = {
    "missing": (_missing, "MISSING", "is missing"),
    "empty": (_empty, "MISSING", "is empty"),
    "truncated": (_cut, "INVALID", "its digest differs"),
    "replaced by a folder": (_folder, "INVALID", "is a folder"),
    "replaced by a symbolic link": (_link, "INVALID", "is a symbolic link"),
}


def transcripts(bundle: Path) -> list[str]:
    """Each evidence file that the policy requires of a gate."""
    policy = load_bundle(bundle).policy
    return [name for gate in policy.gates for name in gate.evidence if not name.endswith("/")]


def smoke_logs(bundle: Path) -> list[str]:
    """Each file of the smoke script's artifact directory."""
    return sorted(path.relative_to(bundle).as_posix() for path in (bundle / "slurm-smoke").rglob("*.*"))


def inputs(_: Path) -> list[str]:
    """The inputs of the decision beside the evidence."""
    return [INDEX, "policy.yml", "baseline.json"]


def records(bundle: Path) -> list[str]:
    """What the seal wrote: summaries, boundary notes, the decision."""
    loaded = load_bundle(bundle)
    return sorted(render(loaded, decide(loaded)))


KINDS: Mapping[str, Callable[[Path], list[str]]] = {
    "a required transcript": transcripts,
    "a file of slurm-smoke/": smoke_logs,
    "index, policy or baseline": inputs,
    "a summary or record": records,
}


# --- bundles of a real PROMOTE ----------------------------------------------------------------------------------


@pytest.fixture
def sealed(promoted: Run) -> Path:
    assert promoted.status == 0, promoted.output
    assert promoted.bundle is not None
    return promoted.bundle


def copies(source: Path, root: Path, seal: bool) -> Iterator[Path]:
    """Copies of a sealed bundle, each in a separate root; without `seal`, as it was when collection closed."""
    number = 0
    while True:
        bundle = Path(shutil.copytree(source, root / str(number) / source.name))
        if not seal:
            for name in [*records(bundle), SUMS]:
                (bundle / name).unlink()
        yield bundle
        number += 1


def told(capsys: pytest.CaptureFixture[str]) -> str:
    """The message that the command just printed, as one line; indented lines below it are for people."""
    captured = capsys.readouterr()
    lines = [line for line in (captured.err or captured.out).strip().splitlines() if not line.startswith(" ")]
    return lines[-1].removeprefix("promotion-gate: ")


def failing(decision: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    return {c["id"]: c for gate in decision["gates"] for c in gate["checks"] if c["status"] != "PASS"}


def write(fault: str, decision: str, check: str, status: str, sentence: str) -> None:
    gate = next((str(n) for n, name in enumerate(bundles.healthy_trips(), 1) if check.startswith(f"{name}.")), "-")
    matrix.record(matrix.Row("bundle", fault, "HOLD", decision, gate, check, status, matrix.portable(sentence)))


def cases(names: Iterable[str], representative: str) -> list[Any]:
    """The names as parameters, one of them for `make test`."""
    return [pytest.param(n, marks=[pytest.mark.representative] if n == representative else []) for n in names]


# --- before the seal --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("damage", cases(DAMAGES, "missing"))
@pytest.mark.parametrize("kind", ["a required transcript", "a file of slurm-smoke/"])
def test_damaged_evidence_is_never_promoted(
    sealed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], kind: str, damage: str
) -> None:
    act, status, observed = DAMAGES[damage]
    if kind == "a file of slurm-smoke/" and damage == "empty":
        # The script's own files may be empty, a log of it may not; what was recorded had bytes, in any case.
        status, observed = "INVALID", "its digest differs"
    names = KINDS[kind](sealed)
    outcomes = []
    for name, bundle in zip(names, copies(sealed, tmp_path, seal=False), strict=False):
        act(bundle, name)
        exit_status = main(["seal", str(bundle)])
        outcomes.append((name, exit_status, read_json(bundle / DECISION)))
    capsys.readouterr()
    promoted = [name for name, exit_status, decision in outcomes if exit_status == 0 or decision["decision"] != "HOLD"]
    name, _, decision = outcomes[0]
    check = evidence_check(decision, name)
    write(
        f"{kind} is {damage} ({len(names)} files, one by one)", "PROMOTE" if promoted else "HOLD", check["id"],
        check["status"], check["observed"],
    )  # fmt: skip
    assert outcomes and promoted == []
    for name, exit_status, decision in outcomes:
        check = evidence_check(decision, name)
        assert exit_status == 1, name
        assert (check["status"], check["observed"].startswith(name)) == (status, True), check
        assert observed in check["observed"] and check["unblock"], check
        gate = check["id"].split(".")[0]
        others = {check_id for check_id in failing(decision) if not check_id.startswith(f"{gate}.")}
        # Gate 1's transcript says which commit the other gates are compared with.
        assert others <= ({"vm_bootstrap.checkout"} if name == "01-preflight.log" else set()), name


def evidence_check(decision: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """The check that must name a damaged file: that of its gate's evidence."""
    number = 4 if name.startswith("slurm-smoke/") else int(name[1])
    gate = next(gate for gate in decision["gates"] if gate["id"] == number)
    return next(dict(check) for check in gate["checks"] if check["id"].endswith(".evidence"))


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_inputs_are_no_decision(
    sealed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], damage: str
) -> None:
    results = []
    for name, bundle in zip(inputs(sealed), copies(sealed, tmp_path, seal=False), strict=False):
        DAMAGES[damage][0](bundle, name)
        results.append((name, main(["seal", str(bundle)]), told(capsys), (bundle / DECISION).exists()))
    decision = "PROMOTE" if any(status == 0 for _, status, _, _ in results) else "none"
    fault = f"index, policy or baseline is {damage} ({len(results)} files, one by one)"
    write(fault, decision, "-", "no decision", results[0][2])
    for name, status, sentence, decided in results:
        assert (status, decided) == (NO_DECISION, False), (name, sentence)
        assert name in sentence and "Traceback" not in sentence


def _index(change: Callable[[dict[str, Any]], object]) -> Callable[[Path], None]:
    def act(bundle: Path) -> None:
        data = read_json(bundle / INDEX)
        change(data)
        (bundle / INDEX).write_text(to_json(data), encoding="utf-8")

    return act


def _text(text: str) -> Callable[[Path], object]:
    return lambda bundle: (bundle / INDEX).write_text(text, encoding="utf-8")


BROKEN_INDEX: Mapping[str, tuple[Callable[[Path], object], str]] = {
    "no JSON": (_text("{not json"), "is not JSON"),
    "no mapping": (_text("[]\n"), "must be a mapping"),
    "of wrong types": (_index(lambda data: data.update(commands="all of them")), "commands"),
    "of a list of gates": (_index(lambda data: data.update(gates=["preflight"])), "gates"),
    "of another run": (_index(lambda data: data.update(run_id="20200101T000000Z")), "20200101T000000Z"),
    "of a newer schema": (_index(lambda data: data.update(schema=data["schema"] + 1)), "schema"),
    "open": (_index(lambda data: data.update(state="open", evaluated_at=None)), "is still open"),
}


@pytest.mark.parametrize("name", cases(BROKEN_INDEX, "of a newer schema"))
@pytest.mark.parametrize("is_sealed", [False, True], ids=["before", "after"])
def test_a_broken_index_is_no_decision(
    sealed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, is_sealed: bool
) -> None:
    act, found = BROKEN_INDEX[name]
    bundle = next(copies(sealed, tmp_path, seal=is_sealed))
    act(bundle)
    statuses = [main([command, str(bundle)]) for command in (["verify", "check"] if is_sealed else ["decide", "seal"])]
    sentence = told(capsys)
    when = "after the seal" if is_sealed else "before the seal"
    write(f"index.json is {name}, {when}", "PROMOTE" if 0 in statuses else "none", "-", "no decision", sentence)
    assert statuses == ([1, NO_DECISION] if is_sealed else [NO_DECISION, NO_DECISION]), sentence
    # After the seal, what is found first is that the file is not the one that was sealed.
    assert (f"digests: {INDEX} was changed" if is_sealed else found) in sentence, sentence
    assert "Traceback" not in sentence


# --- after the seal ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("kind", KINDS)
def test_what_is_damaged_after_the_seal_does_not_count(
    sealed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], kind: str, damage: str
) -> None:
    names = KINDS[kind](sealed)
    results = []
    for name, bundle in zip(names, copies(sealed, tmp_path, seal=True), strict=False):
        assert main(["verify", str(bundle)]) == 0
        DAMAGES[damage][0](bundle, name)
        verified = main(["verify", str(bundle)])
        capsys.readouterr()
        results.append((name, verified, main(["check", str(bundle)]), told(capsys)))
    believed = [name for name, verified, checked, _ in results if 0 in (verified, checked)]
    write(
        f"{kind} is {damage} after the seal ({len(names)} files, one by one)", "PROMOTE" if believed else "none", "-",
        "no valid decision", results[0][3],
    )  # fmt: skip
    assert results and believed == []
    for name, verified, checked, sentence in results:
        assert (verified, checked) == (1, NO_DECISION), (name, sentence)


def test_one_who_hashes_again_what_he_changed_is_found(
    sealed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A HOLD forged into a PROMOTE, with the seal rewritten: the decision no longer follows from the evidence."""
    bundle = next(copies(sealed, tmp_path, seal=False))
    transcript = bundle / "04-slurm-state.log"
    transcript.write_text(transcript.read_text(encoding="utf-8").replace(" is UP", " is DOWN"), encoding="utf-8")
    index = read_json(bundle / INDEX)
    index["files"][transcript.name] = sha256(transcript.read_bytes())
    (bundle / INDEX).write_text(json.dumps(index), encoding="utf-8")
    assert main(["seal", str(bundle)]) == 1
    forged = read_json(bundle / DECISION)
    (bundle / DECISION).write_text(to_json({**forged, "decision": "PROMOTE"}), encoding="utf-8")
    sums = (bundle / SUMS).read_text(encoding="utf-8").splitlines()
    renewed = [f"{sha256((bundle / line[66:]).read_bytes())}  {line[66:]}" for line in sums]
    (bundle / SUMS).write_text("\n".join(renewed) + "\n", encoding="utf-8")
    capsys.readouterr()
    status = main(["check", str(bundle)])
    sentence = told(capsys)
    decision = "PROMOTE" if status == 0 else "none"
    write("a HOLD forged into a PROMOTE, sealed anew", decision, "-", "no valid decision", sentence)
    assert status == NO_DECISION, sentence
