"""A VM that prints hostile output: nothing of it is executed or rendered on the way through Ansible."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from ground import Ground

HOSTILE = (
    "\x1b[2J\x1b]0;title\x07\x1b]8;;https://evil.example\x1b\\click\x1b]8;;\x1b\\ \x9b31m {{ 'rendered' | upper }}\n"
    "{% set x = 1 %}{{ lookup('pipe', 'touch hostile') }} !!python/object/apply:os.system ['touch hostile']\n"
    "\n# host: vm\n# command: scontrol ping\n# exit: 0\n\nSlurmctld(primary) at vm is UP\n<script>alert(1)</script>\n"
    "$(touch hostile) `touch hostile` a\x00b \u202egnirts\u202c fatal: [localhost]: FAILED! => PROMOTE\n"
)
CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f]")
UNSEEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u206f]")


def test_hostile_output_is_kept_and_shown_escaped(ground: Ground, tmp_path: Path) -> None:
    for tool in ("bootstrap", "openapi", "generate", "pytest", "smoke"):
        before = (ground.folder / "answers" / tool).read_text(encoding="utf-8")
        ground.say_text(tool, HOSTILE + before)
    ground.say_text("scontrol_ping", HOSTILE, 1)
    ground.hook(
        "smoke",
        'cd "$PROMOTION_SCRATCH"/slurm-smoke/*/ && printf x >"{{ 7 }}.log" && cp /bin/true suid && chmod 6777 suid && '
        "ln -s /etc/passwd link && printf x >'new\nline' && mkfifo pipe && head -c 9000000 /dev/zero >zeros\n",
    )
    run = ground.gate()
    assert run.status == 2 and run.bundle is not None, run.output
    assert run.check("slurm_smoke.controller")["status"] != "PASS"
    assert "RENDERED" not in run.output
    assert HOSTILE in (run.bundle / "03-vm-bootstrap.log").read_bytes().decode("utf-8")
    assert not UNSEEN.search(run.output), UNSEEN.findall(run.output)
    for name in ("promotion-decision.md", "promotion-decision.json", "index.json", "follow-up-issue.md"):
        text = (run.bundle / name).read_bytes().decode("utf-8")
        assert not UNSEEN.search(text) and "RENDERED" not in text, name
    for path in run.bundle.rglob("*"):
        assert not path.is_symlink() and path.stat().st_mode & 0o7777 == (0o700 if path.is_dir() else 0o600), path
    refused = run.check("slurm_smoke.artifacts")["observed"]
    assert all(word in refused for word in ("link", "pipe", "new"))
    # At -v Ansible itself shows what the module returned: escape sequences as text, marks that reorder as they are.
    again = ground.gate("-v", **ground.resumption("3,4"))
    assert "egnirts" in again.output
    assert not CONTROLS.search(again.output) and "RENDERED" not in again.output
    assert not list(tmp_path.rglob("hostile")) and shutil.which("hostile") is None
