"""Gate 1: the tools work, the documents of the spec exist, the worktree is clean and on the target branch."""

from __future__ import annotations

from promotion_gate.base.limits import Limit, word
from promotion_gate.base.model import Status
from promotion_gate.judge.checks.case import Case, Finding, Unproven, check
from promotion_gate.judge.checks.hints import REPLACED
from promotion_gate.judge.identity import identity
from promotion_gate.judge.parsers import git, tools
from promotion_gate.judge.parsers.text import reason
from promotion_gate.judge.ran import not_as_set


@check("tool", "`{tool}` is found, its version command exits 0 and prints a version", word("tool", tools.TOOLS))
def tool(case: Case) -> Finding:
    name = case.limit("tool")
    loop = case.command("tools")  # the spec's own command, which stops at the first missing one
    missing = [line for line in loop.whole.splitlines() if line.startswith("missing: ")]
    if f"missing: {name}" in missing:
        raise Unproven(Status.FAIL, f"missing: {name}", loop.record.file)
    if loop.exit != 0 and not missing:
        raise Unproven(loop.failure, f"the loop that looks for the tools {loop.how}", loop.record.file)
    found = case.command(f"find_{name}")
    if found.exit != 0 or not found.whole.strip():
        raise Unproven(Status.FAIL, f"missing: {name}", found.record.file)
    answer = case.command(f"version_{name}")
    if answer.exit != 0:
        raise Unproven(answer.failure, f"`{answer.record.command}` {answer.how}", answer.record.file)
    version = tools.version(name, answer.whole)
    if version is None:
        raise Unproven(Status.FAIL, f"`{answer.record.command}` printed no version", answer.record.file)
    where = found.text.strip().splitlines()[0]
    return Finding(Status.PASS, f"{name} {version} at {where}", (answer.record.file,), figure=f"{name} {version}")


@check("prepare", "every command of workspace_prepare_commands exits 0", optional=True)
def prepare(case: Case) -> Finding:
    wanted = case.settings.get("workspace_prepare_commands") or []
    if not wanted and case.ran("prepare_1"):
        shown = case.command("prepare_1").record.command
        raise Unproven(Status.INVALID, f"`{shown}` was run, but no command is configured", hint=REPLACED)
    if not wanted:
        return Finding(Status.PASS, "no command is configured (workspace_prepare_commands)")
    for number in range(1, len(wanted) + 1):
        ran = case.command(f"prepare_{number}")
        other = not_as_set(case, wanted[number - 1], ran.record)
        if other:
            raise Unproven(Status.INVALID, other, ran.record.file, REPLACED)
        if ran.exit != 0:
            raise Unproven(Status.BLOCKED, f"`{ran.record.command}` {ran.how}", ran.record.file)
    return Finding(Status.PASS, f"{len(wanted)} commands exited 0", ("01-prepare.log",))


@check("inputs", "all of {files} exist and are not empty", Limit("files", "paths", "more"))
def inputs(case: Case) -> Finding:
    output = case.command("inputs").succeeded()
    found = {line.removeprefix("found ") for line in output.whole.splitlines() if line.startswith("found ")}
    missing = [name for name in case.limit("files") if name not in found]
    if missing:
        raise Unproven(Status.FAIL, "missing: " + ", ".join(missing), output.record.file)
    return Finding(Status.PASS, f"{len(case.limit('files'))} documents found", (output.record.file,))


@check(
    "worktree",
    "every file is as in the commit, and none is untracked, apart from the evidence of runs",
    hints="ownership lfs damaged",
)
def worktree(case: Case) -> Finding:
    output = case.command("identity")
    seen = identity(output.whole)
    if seen.changes is None or seen.untracked is None:
        why = seen.errors.get("checkout") or reason(output.text) or output.ending
        hint = git.refusal(why) or "default"
        raise Unproven(Status.FAIL, f"the worktree cannot be read: {why}", output.record.file, hint)
    if seen.changes != "none" or seen.untracked != "none":
        dirty = [*seen.modified, *seen.untracked_names]
        shown = ", ".join(dirty[:10]) + (f" and {len(dirty) - 10} more" if len(dirty) > 10 else "")
        raise Unproven(Status.FAIL, f"dirty: {shown}", output.record.file)
    return Finding(Status.PASS, "clean", (output.record.file,))


@check("branch", expected="HEAD is the branch {workspace_target_branch}")
def branch(case: Case) -> Finding:
    output = case.command("identity")
    found = identity(output.whole)
    if found.content is None:
        why = found.errors.get("checkout") or reason(output.text) or output.ending
        raise Unproven(Status.FAIL, f"the checkout cannot be read: {why}", output.record.file)
    wanted = str(case.settings.get("workspace_target_branch"))
    if case.settings.get("workspace_checkout") == "worktree":
        if found.commit and found.commit == found.target_commit:
            return Finding(
                Status.PASS, f"a temporary worktree at the head of {wanted}, {found.commit}", (output.record.file,)
            )
        raise Unproven(Status.FAIL, f"the temporary worktree is not at the head of {wanted}", output.record.file)
    if not found.branch:
        raise Unproven(Status.FAIL, f"HEAD is detached at {found.commit or 'an unknown commit'}", output.record.file)
    if found.branch != wanted:
        raise Unproven(Status.FAIL, f"HEAD is the branch {found.branch}", output.record.file)
    return Finding(Status.PASS, f"{found.branch} at {found.commit}", (output.record.file,))
