"""Gate 5: no drift of the OpenAPI document and the generated client, the relay suite passes, fields have owners."""

from __future__ import annotations

from pathlib import PurePosixPath

from promotion_gate.base.errors import InputError
from promotion_gate.base.files import sha256
from promotion_gate.base.limits import Limit, whole
from promotion_gate.base.model import Status
from promotion_gate.base.names import MAP_FILE
from promotion_gate.base.policy import OWNERSHIP
from promotion_gate.judge import masks
from promotion_gate.judge.checks.case import Case, Finding, Unproven, check
from promotion_gate.judge.checks.hints import CUT
from promotion_gate.judge.checks.tracked import restored
from promotion_gate.judge.ownership import Outcome, OwnershipMap, analyse, load_map
from promotion_gate.judge.ownership.map import SHIPPED
from promotion_gate.judge.parsers import git, junit, pytest_output
from promotion_gate.judge.parsers.text import key_values, reason

RELAY_REPORT = "05-relay-junit.xml"
DOCUMENTS = "05-contracts"


@check("openapi", "export_openapi.py --check exits 0", hints="tool no_export")
def openapi(case: Case) -> Finding:
    output = case.command("openapi")
    if output.exit == 0:
        _ = output.whole
        return Finding(Status.PASS, "no drift", (output.record.file,))
    if output.failure is Status.BLOCKED:
        raise Unproven(Status.BLOCKED, output.how, output.record.file, "tool")
    hint = "default" if output.record.command.endswith(" --check") else "no_export"
    raise Unproven(Status.FAIL, f"drift ({output.ending}): {reason(output.text)}", output.record.file, hint)


@check("client_generate", "the generation exits 0", hints="not_installed")
def client_generate(case: Case) -> Finding:
    output = case.command("generate")
    if output.exit == 0:
        _ = output.whole
        return Finding(Status.PASS, "generated", (output.record.file,))
    no_modules = case.command("generated_before").exit != 0
    if no_modules:
        why = f"node_modules is not there; {output.how}"
        raise Unproven(Status.BLOCKED, why, output.record.file, "not_installed")
    hint = "not_installed" if output.failure is Status.BLOCKED else "default"
    raise Unproven(output.failure, output.how, output.record.file, hint)


@check(
    "client_drift",
    "after a successful generation, an empty git diff against the index and HEAD, and HEAD's content",
    hints="not_generated not_seen",
)
def client_drift(case: Case) -> Finding:
    generated = case.command("generate")
    if generated.exit != 0:
        raise Unproven(
            Status.MISSING,
            f"nothing was generated ({generated.ending}), so an empty diff would prove nothing",
            generated.record.file,
            "not_generated",
        )
    for command in ("diff", "diff_head"):
        output = case.command(command)
        found = git.diff(output.whole)
        if output.exit not in (0, 1):
            raise Unproven(Status.BLOCKED, f"git diff {output.how}", output.record.file)
        if output.exit == 1 or found.differs:
            kind = "drift" if command == "diff" else "drift against HEAD (staged)"
            raise Unproven(Status.FAIL, f"{kind}: {found.changed_lines} changed lines", output.record.file)
    _same_content(case)
    if beside := _restored_beside(case):
        why = f"drift: the generation also changed {', '.join(beside[:5])}, which was restored"
        raise Unproven(Status.FAIL, why, generated.record.file)
    return Finding(Status.PASS, "no drift, staged or not", (generated.record.file,))


def _restored_beside(case: Case) -> list[str]:
    """What the gate put back in the folder of the generated file: a generation may write several files there."""
    folder = PurePosixPath(str(case.settings.get("gate_contracts_generated_file") or "")).parent
    return [name for name in restored(case) if folder.name and folder in PurePosixPath(name).parents]


def _same_content(case: Case) -> None:
    """git diff does not show files that Git does not track or was told to ignore: the content must be that of HEAD."""
    there, committed = case.command("hash_file"), case.command("hash_head")
    wanted, found = git.commit(committed.whole), git.commit(there.whole)
    if committed.exit != 0 or wanted is None:
        why = f"the generated file is not in the commit ({reason(committed.text)})"
        raise Unproven(Status.FAIL, why, committed.record.file, "not_seen")
    if there.exit != 0 or found is None:
        raise Unproven(Status.FAIL, f"the generated file cannot be read ({reason(there.text)})", there.record.file)
    if found != wanted:
        why = "drift: the generated file differs from HEAD, but git diff ignores it (git ls-files -v shows why)"
        raise Unproven(Status.FAIL, why, there.record.file, "not_seen")


@check(
    "relay_tests",
    "at least {min_passed} test passed; none failed, in error, skipped or deselected",
    whole("min_passed", 1, 100000, "larger"),
    hints="tool summary",
)
def relay_tests(case: Case) -> Finding:
    output = case.command("relay")
    files = (output.record.file, RELAY_REPORT)
    report = case.artifact_set(RELAY_REPORT)
    if not report.found or not any(item.file == RELAY_REPORT for item in case.bundle.index.artifacts):
        # A pytest that could not work leaves no report; one that exits 0 without a report left evidence out.
        status = Status.MISSING if output.exit == 0 else Status.BLOCKED
        raise Unproven(status, f"pytest wrote no report ({output.how})", output.record.file, "tool")
    if report.truncated or any(a.truncated for a in case.bundle.index.artifacts if a.file == RELAY_REPORT):
        raise Unproven(Status.INVALID, "the JUnit report is truncated", RELAY_REPORT, CUT)
    found = junit.parse(case.text(RELAY_REPORT))
    if found.problem:
        raise Unproven(Status.INVALID, found.problem, RELAY_REPORT)
    counts = f"{found.passed} passed, {found.failures} failed, {found.errors} in error, {found.skipped} skipped"
    bad = found.failures or found.errors or found.skipped or found.passed < int(case.limit("min_passed"))
    if left := pytest_output.not_run(output.whole, found.cases):
        counts, bad = f"{counts}, {left}", True
    if not bad and output.exit == 0 and (doubt := pytest_output.doubt(output.whole, found.cases)):
        raise Unproven(Status.FAIL, f"{counts}; {doubt}", output.record.file, "summary")
    if bad or output.exit != 0:
        names = ", ".join(found.failing[:5])
        # Where no test is to blame, pytest's own last words say why it exited non-zero.
        observed = f"{counts} ({output.ending if bad else output.how})" + (f": {names}" if names else "")
        nothing_ran = not found.passed and not found.failures and output.failure is Status.BLOCKED
        if nothing_ran:
            return Finding(Status.BLOCKED, f"{counts} ({output.how})", files, hint="tool")
        return Finding(Status.FAIL, observed, files)
    return Finding(Status.PASS, counts, files, figure=counts.partition(",")[0])


@check(
    OWNERSHIP,
    "each field of the three contracts has exactly one owner that may own it",
    Limit("map", "path", required=False),
    hints="unreadable",
)
def ownership(case: Case) -> Finding:
    name = str(case.limit("map") or "")
    collected = key_values(case.command("documents").succeeded().whole)
    files = tuple(item.file for item in case.bundle.index.artifacts if item.file.startswith(f"{DOCUMENTS}/"))
    try:
        shipped = _text(case, MAP_FILE)
        owners = load_map(_text(case, f"{DOCUMENTS}/{name}"), name, shipped) if name else load_map(shipped, SHIPPED)
    except InputError as error:
        raise Unproven(Status.INVALID, str(error), f"{DOCUMENTS}/{name}", "unreadable") from None
    outcome = _analysed(case, owners, collected, files)
    details = {
        "ownership": outcome.as_dict(),
        "map": name or "the default of the gate",
        "digests": {file.removeprefix(f"{DOCUMENTS}/"): sha256(case.file(file)) for file in files},
        "base": collected.get("base", ""),
    }
    if outcome.unreadable:
        observed = "; ".join(outcome.unreadable[:5])
        return Finding(Status.INVALID, observed, files, hint="unreadable", details=details)
    if outcome.faults:
        shown = "; ".join(fault.sentence for fault in outcome.faults[:5])
        more = f" and {len(outcome.faults) - 5} more" if len(outcome.faults) > 5 else ""
        return Finding(Status.FAIL, f"{len(outcome.faults)} faults: {shown}{more}", files, details=details)
    count = f"{len(outcome.fields)} fields"
    return Finding(Status.PASS, f"{count}, each with one owner", files, details=details, figure=count)


def _text(case: Case, file: str) -> str:
    text = case.file(file).decode("utf-8")
    if masks.hides(text):
        raise Unproven(Status.INVALID, f"{file} has masked text: it contains a known secret", file, masks.MASKED)
    return text


def _analysed(case: Case, owners: OwnershipMap, collected: dict[str, str], files: tuple[str, ...]) -> Outcome:
    cut = [item.file for item in case.bundle.index.artifacts if item.file in files and item.truncated]
    if cut:
        raise Unproven(Status.INVALID, f"{cut[0]} was too large and was truncated", cut[0], CUT)

    def read(folder: str) -> dict[str, str | None]:
        names = [surface.document for surface in owners.surfaces]
        texts: dict[str, str | None] = {}
        for document in names:
            file = f"{DOCUMENTS}/{folder}{document}"
            try:
                texts[document] = _text(case, file) if file in files else None
            except UnicodeDecodeError:
                texts[document] = "\0"  # the analysis reports this as unreadable
        return texts

    adrs = {
        name: sha256(case.file(f"{DOCUMENTS}/{name}")) for name in owners.adr_digests
        if f"{DOCUMENTS}/{name}" in files
    }  # fmt: skip
    base = read("base/") if collected.get("base") else None
    return analyse(owners, read(""), base, adrs)
