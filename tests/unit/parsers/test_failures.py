"""If no module can run on a host, the cause is kept and has its own remedy."""

from __future__ import annotations

import pytest

from promotion_gate.judge.parsers import failures

PING = "ansible -i {inventory} {host} -m ansible.builtin.ping"
CASES = [
    ("no_python", {"msg": "The module interpreter '/usr/bin/python3' was not found.", "rc": 127}),
    ("no_python", {"msg": "MODULE FAILURE", "module_stdout": "/bin/sh: 1: /usr/bin/python3: not found\r\n", "rc": 127}),
    ("no_python", {"msg": "MODULE FAILURE", "module_stderr": "bash: line 1: python3: command not found"}),
    ("no_python", {"msg": "No python interpreters found for host 'vm' (tried ['python3.13'])"}),
    ("old_python", {"msg": "ansible-core requires a minimum of Python version 3.9. Current version: 3.6.8 (default)"}),
    ("old_python", {"msg": "MODULE FAILURE", "module_stderr": "SyntaxError: invalid syntax"}),
    ("expired_password", {"msg": "MODULE FAILURE", "module_stdout": "Your password has expired.\nNo TTY."}),
    ("expired_password", {"msg": "x", "module_stderr": "You are required to change your password immediately"}),
    ("no_login", {"msg": "MODULE FAILURE", "module_stdout": "This account is currently not available."}),
    ("no_login", {"msg": "Failed: System is booting up. Unprivileged users are not permitted to log in yet."}),
    ("host_key", {"msg": "Failed to connect to the host via ssh: Host key verification failed."}),
    ("sshpass", {"msg": "to use the 'ssh' connection type with passwords, you must install the sshpass program"}),
    ("become", {"msg": "Missing sudo password"}),
    ("become", {"msg": "Timeout (12s) waiting for privilege escalation prompt: "}),
    ("login", {"msg": "Failed to connect to the host via ssh: aiida@vm: Permission denied (publickey,password)."}),
    ("name", {"msg": "ssh: Could not resolve hostname vm: Name or service not known"}),
    ("port", {"msg": "ssh: connect to host 127.0.0.1 port 22: Connection refused"}),
    ("network", {"msg": "ssh: connect to host 192.0.2.1 port 22: Connection timed out"}),
    ("network", {"msg": "kex_exchange_identification: Connection closed by remote host"}),
    ("no_checkout", {"msg": "the application is not checked out: there is no folder /home/aiida/app."}),
    ("no_env_file", {"msg": "the environment file /home/aiida/app/ops/aiida-vm.env: there is no such file."}),
    ("env_file", {"msg": "the environment file /home/aiida/app/ops/aiida-vm.env: permission denied."}),
    ("no_space", {"msg": "MODULE FAILURE", "module_stderr": "mkdir: cannot create directory: No space left on device"}),
    ("temporary_directory", {"msg": "Failed to create temporary directory. In some cases, you may have been able to"}),
    ("killed", {"msg": "MODULE FAILURE", "module_stdout": "Killed\r\n", "rc": 137}),
    ("noise", {"msg": "deserialization failed: No start of json char found", "module_stdout": "Welcome!"}),
]  # fmt: skip


@pytest.mark.stranger("15.12", "where no module could run on the VM the cause was lost (no Python, expired password)")
@pytest.mark.parametrize(("kind", "result"), CASES)
def test_the_cause_is_kept_and_has_a_remedy(kind: str, result: dict[str, object]) -> None:
    text = failures.failure_text(result)
    for key in ("msg", "module_stdout", "module_stderr"):
        assert " ".join(str(result.get(key, "")).split()) in text
    found = failures.trouble(text)
    assert found is not None and found.kind == kind
    assert "{host}" in found.remedy and (PING in found.remedy or found.remedy.endswith("re-run."))


def test_what_is_not_known_has_no_kind() -> None:
    assert failures.trouble("the moon is full") is None
    assert failures.failure_text({}) == "no message"
    assert failures.failure_text({"msg": "", "module_stdout": None}) == "no message"


def test_a_long_answer_leaves_room_for_the_message() -> None:
    text = failures.failure_text(
        {"msg": "MODULE FAILURE", "module_stdout": "x" * 10_000, "module_stderr": "python3: not found"}
    )
    assert len(text) < 2100 and text.startswith("MODULE FAILURE | python3: not found | xxx")
