"""Unusual secrets on both hosts and in the operator's settings: none of them shows up anywhere.

They are made up for each run, and the tools print them in the ways in which tools print secrets. Then every file of the
evidence root, the terminal at -vvv, ansible.log and what ansible-runner keeps are searched for each of them.
"""

from __future__ import annotations

import base64
import html
import json
import re
import secrets
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, quote_plus

import pytest
from copies import through_runner
from ground import Ground, Run, git
from test_secrets_handed_in import listening_python

# What is around a random core: quotes, blanks, shell and URL characters, non-ASCII, Jinja, a leading dash.
SHAPES = ("{}$&x y", "p{}'q\"r\\s%", "ü{}ßλ", "{{{{ 7*{} }}}}", "-{}=+/", "#{}:@host?", "{}")


def made_up(number: int) -> str:
    return SHAPES[number % len(SHAPES)].format("Zq" + secrets.token_hex(8))


def printed(secret: str) -> str:
    """A secret in the forms of the issue, one or more per line."""
    half = len(secret) // 2
    return "\n".join(
        (
            f"it is {secret} here",
            f'"{secret}" {shlex.quote(secret)} {json.dumps(secret)} {secret!r}',
            f"GET /x?a=1&v={quote(secret, safe='')}&w={quote_plus(secret)}",
            f"amqp://aiida:{quote(secret, safe='')}@127.0.0.1:5672/aiida",
            f"broker_password: {secret}",
            f"database_password   {json.dumps(secret, ensure_ascii=False)}",
            f"{{'token': {secret!r}}}",
            f"wrapped {secret[:half]}\n    {secret[half:]} here",
            f"coloured {secret[:half]}\x1b[1;31m{secret[half:]}\x1b[0m here",
            f"<td>{html.escape(secret)}</td>",
            f"Authorization: Bearer {secret}",
            "",
        )
    )


@dataclass(frozen=True, slots=True)
class Secrets:
    """The secrets by where they are."""

    vm_file: dict[str, str]  # the VM's environment file
    vm: dict[str, str]  # aiida_vm_environment
    workspace: dict[str, str]  # workspace_environment
    settings: dict[str, str]  # other variables of the inventory, -e, and options of the command line
    inner: dict[str, str]  # inside a DSN, JSON or URLs of the VM's environment file
    key: str  # in the lines of a private key that is tracked in the workspace

    def all(self) -> list[str]:
        groups = (self.vm_file, self.vm, self.workspace, self.settings, self.inner)
        return [*(value for group in groups for value in group.values()), self.key]


def make_secrets() -> Secrets:
    numbers = iter(range(100))
    vm_file = {
        name: made_up(next(numbers))
        for name in ("AIIDA_DB_PASSWORD", "AIIDA_RABBITMQ_PASSWORD", "X_API_TOKEN", "SITE_SECRET", "ODD_PASSWD", "K_PW")
    }
    return Secrets(
        vm_file,
        # Ansible would template {{ }} in the inventory, and a value there never goes through a shell.
        {"SMOKE_TOKEN": made_up(0), "S3_SECRET_ACCESS_KEY": made_up(1)},
        {"NPM_TOKEN": made_up(2), "CONVEX_DEPLOY_SECRET": made_up(5)},
        {
            name: "Zq" + secrets.token_hex(8)
            for name in ("prepare", "smoke_args", "risk", "extra", "url", "marked", "jump_password")
        },
        {name: "Zq" + secrets.token_hex(8) for name in ("dsn", "json", "first_url", "second_url")},
        "Zq" + secrets.token_hex(8),
    )


def key_file(planted: Secrets) -> str:
    """A private key whose every line holds the canary."""
    lines = [f"b3BlbnNzaC1rZXktdjEA{number:02}{planted.key}AAAAB3NzaC1yc2EAAAADAQABAAABgQ" for number in range(12)]
    return "\n".join(["-----BEGIN OPENSSH PRIVATE KEY-----", *lines, "-----END OPENSSH PRIVATE KEY-----", ""])


def plant(ground: Ground, planted: Secrets) -> None:
    with ground.env_file.open("a", encoding="utf-8") as stream:
        stream.writelines(f"{name}={shlex.quote(value)}\n" for name, value in planted.vm_file.items())
        stream.write(f"BROKER_URL=amqp://aiida:{quote(planted.vm_file['SITE_SECRET'], safe='')}@127.0.0.1/\n")
        stream.write(f"SITE_DSN='host=127.0.0.1 user=aiida password={planted.inner['dsn']} dbname=aiida'\n")
        stream.write(f"SITE_CONFIG='{json.dumps({'broker_password': planted.inner['json'], 'port': 5672})}'\n")
        urls = (f"amqp://aiida:{planted.inner[name]}@127.0.0.1/" for name in ("first_url", "second_url"))
        stream.write(f"SITE_HOSTS={','.join(urls)}\n")
    # What looks like a result or an exit status: as secrets they must hide none.
    ground.variables["aiida_vm_environment"] |= {**planted.vm, "A": "1", "DOOR_PASSWORD": "1", "CARD_PIN": "0"}
    ground.variables["workspace_environment"] |= planted.workspace
    ground.variables.update(
        workspace_prepare_commands=[f"echo docker login --password {planted.settings['prepare']}"],
        aiida_vm_smoke_args=["--api-token", planted.settings["smoke_args"]],
        promotion_risks=[{"risk": "rotate it", "mitigation": f"password: {planted.settings['risk']}"}],
        site_registry=f"https://robot:{planted.settings['url']}@registry.example.org/",
    )
    ground.variables["promotion_secrets"] = [planted.settings["marked"]]
    marked = f"the site's code is {planted.settings['marked']}\n"  # only the controller knows this one
    on_vm = marked + "".join(printed(value) for value in {**planted.vm_file, **planted.vm, **planted.inner}.values())
    here = marked + "".join(printed(value) for value in planted.workspace.values())
    for name, text in (("bootstrap", on_vm), ("smoke", on_vm), ("openapi", here), ("generate", here), ("pytest", here)):
        before = (ground.folder / "answers" / name).read_text(encoding="utf-8")
        ground.say_text(name, text + before)
    (ground.folder / "notes").write_text(on_vm, encoding="utf-8")
    key = ground.workspace / "docs" / "deploy.pem"
    key.write_text(key_file(planted), encoding="utf-8")
    git(ground.workspace, "add", ".")
    git(ground.workspace, "commit", "--quiet", "--message=A key that should not be here")
    git(ground.vm, "pull", "--quiet", str(ground.workspace), "main")
    named = shlex.quote(planted.vm["SMOKE_TOKEN"])
    ground.hook(
        "smoke",
        f"cd $PROMOTION_SCRATCH/slurm-smoke/*/ && cp {ground.folder}/notes notes.log && echo x >a-{named}.log\n",
    )


def forms(secret: str) -> set[str]:
    raw = secret.encode()
    return {
        secret,
        quote(secret, safe=""),
        quote_plus(secret),
        json.dumps(secret)[1:-1],
        json.dumps(secret, ensure_ascii=False)[1:-1],
        shlex.quote(secret)[1:-1] if shlex.quote(secret) != secret else secret,
        html.escape(secret),
        secret.replace("\\", "\\\\"),
        base64.b64encode(raw).decode().rstrip("="),
    }


def core(secret: str) -> str:
    """The random part, which no escape changes."""
    found = re.search(r"Zq[0-9a-f]{16}", secret)
    assert found
    return found.group()


def squeezed(text: str) -> str:
    """Without what splits a word: colour codes (also as JSON and YAML write them) and line wraps."""
    return re.sub(r"(?:\x1b|\\u001b|\\e|\\x1b)\[[0-9;]*m|\\?\r?(?:\n|\\n)[ \t]*", "", text)


def found_in(text: str, planted: Secrets) -> list[str]:
    """Which secrets are in a text, whole or just their random part, which is enough to count as a leak."""
    texts = (text, squeezed(text))
    return [
        secret
        for secret in planted.all()
        if any(form in part for part in texts for form in {core(secret), *forms(secret)})
    ]


def files_below(folder: Path) -> Iterator[tuple[str, str]]:
    for path in sorted(folder.rglob("*")):
        yield path.name, f"the name of {path}"
        if path.is_file():
            yield path.read_bytes().decode("utf-8", "replace"), str(path)


def test_the_search_finds_what_the_tools_print() -> None:
    planted = make_secrets()
    for secret in planted.all():
        lines = printed(secret).split("\n")
        wrapped = lines.index(f"wrapped {secret[: len(secret) // 2]}")
        for line in ["\n".join(lines[wrapped : wrapped + 2]), *lines[:wrapped], *lines[wrapped + 2 : -1]]:
            assert found_in(line, planted) == [secret], line
            assert found_in(json.dumps({"stdout": line}), planted) == [secret], line


def test_no_secret_shows_up_anywhere(ground: Ground, tmp_path: Path) -> None:
    planted = make_secrets()
    plant(ground, planted)
    log = tmp_path / "ansible.log"
    ground.settings["ANSIBLE_LOG_PATH"] = str(log)
    broker = f" ✘ broker: Unable to connect to broker: amqp://aiida:{planted.vm['SMOKE_TOKEN']}@127.0.0.1:5672\n"
    ground.say_text("verdi_status", broker, 1)
    # The generator changes a line in the middle of a tracked key, so that a patch would begin inside it.
    ground.hook("generate", "sed -i 's/^\\(b3.*dj\\)EA06/\\1EA66/' docs/deploy.pem\n")
    jump = f"--ssh-extra-args=-o SetEnv=JUMP_PASSWORD={planted.settings['jump_password']}"
    held = ground.gate("-vvvv", "-e", f"site_token={planted.settings['extra']}", jump)
    assert_masked(held)
    assert held.bundle and "docs/deploy.pem" in (held.bundle / "05-worktree.patch").read_text(encoding="utf-8")
    assert "Unable to connect to broker: amqp://aiida:***@127.0.0.1:5672" in held.output

    ground.say("verdi_status", "verdi_status/2.9-healthy")
    (ground.folder / "answers" / "generate.hook").unlink()
    ground.hook("smoke", f"cp {ground.folder}/notes $PROMOTION_SCRATCH/slurm-smoke/*/notes.log\n")
    runner = tmp_path / "runner"
    extravars = {"promotion_resume": "latest", "site_token": planted.settings["extra"]}
    resumed = through_runner(ground, runner, verbosity=3, extravars=extravars)
    assert resumed.status == 0, "masks turn no PASS into something else: " + resumed.output

    places = [
        (held.output, "the terminal at -vvvv"),
        (resumed.output, "ansible-runner's stdout"),
        (log.read_text(encoding="utf-8"), "ansible.log"),
        *files_below(ground.evidence),
        *files_below(runner / "artifacts"),
    ]
    assert len(places) > 200
    assert not [(where, secret) for text, where in places for secret in found_in(text, planted)]


@pytest.mark.nightly
@pytest.mark.stranger("16.10", "from another folder a token is in the VM's journal")
def test_from_another_folder_no_token_is_in_a_journal(ground: Ground, tmp_path: Path) -> None:
    """What a module would write to the syslog of its host goes to a file."""
    planted = make_secrets()
    plant(ground, planted)
    groups = ground.groups()
    journals = []
    for name, host in (("here", "workspace"), ("vm", "aiida_vm")):
        (tmp_path / name).mkdir()
        variables = groups[host]["hosts"][name]
        python, journal = listening_python(tmp_path / name, variables["ansible_python_interpreter"])
        variables["ansible_python_interpreter"] = str(python)
        journals.append(journal)
    ground.inventory(groups)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    held = ground.gate("-vvv", "-e", f"site_token={planted.settings['extra']}", cwd=elsewhere)
    assert held.bundle is not None, held.output
    assert "ServerAliveInterval=3" in held.output, "a VM that stops answering is given up"
    for journal in journals:
        assert not journal.exists(), journal.read_text()
    assert not found_in(held.output, planted)

    loud = ground.gate("-e", "ansible_no_target_syslog=false", cwd=elsewhere)
    assert loud.bundle not in (None, held.bundle), loud.output
    for journal in journals:
        logged = journal.read_text()
        assert "commands=[" in logged
        environment = [*planted.vm.values(), *planted.workspace.values()]
        assert not [secret for secret in found_in(logged, planted) if secret in environment]


def assert_masked(run: Run) -> None:
    """The tools did print, and what they printed is there but for the secrets."""
    assert run.status == 2 and run.bundle is not None, run.output
    for name in ("03-vm-bootstrap.log", "05-api-client-generate.log"):
        assert "it is *** here" in (run.bundle / name).read_text(encoding="utf-8")
    assert "its name holds a secret" in run.check("slurm_smoke.artifacts")["observed"]
    index = json.loads((run.bundle / "index.json").read_text(encoding="utf-8"))
    exits = {command["id"]: command["exit"] for command in index["commands"]}
    assert (exits["status"], exits["profile_list"]) == (1, 0), "a secret of one digit masks no exit status"
    assert index["run"]["options"] == ["--ssh-extra-args=-o SetEnv=JUMP_PASSWORD=***"]
    assert index["settings"]["aiida_vm_environment"]["DOOR_PASSWORD"] == "***"
    assert index["settings"]["workspace_environment"]["NPM_TOKEN"] == "***"
    assert index["settings"]["aiida_vm_smoke_args"] == ["--api-token", "***"]
    assert index["run"]["extra_vars"] == ["site_token=***"]


def test_an_input_error_does_not_quote_a_secret(ground: Ground) -> None:
    ground.variables["workspace_sqlite_smoke_command"] = "uv run smoke --password 'QUOTED"
    run = ground.gate("-vvv")
    assert "workspace_sqlite_smoke_command cannot be read as a command" in run.words
    assert "QUOTED" not in run.output
