"""The command that re-runs what did not pass, and the options with which it reaches the hosts as this run did."""

from __future__ import annotations

import shlex

from promotion_gate.bundle.index import Index


def rerun_command(index: Index) -> str:
    """The command that re-runs what did not pass, ready to paste.

    It takes unset variables from the index. What was set with -e is repeated: an inventory may need it, or it overrode
    the inventory, which would win now. So are the options without which no host can be reached.
    """
    words = ["-e", f"promotion_resume={index.run_id}"]
    if index.settings.get("promotion_evidence_root"):
        words += ["-e", f"promotion_evidence_root={index.settings['promotion_evidence_root']}"]
    sources, options = inventory_words(index), option_words(index)
    playbook = index.run.get("playbook") or "promotion-gate.yml"
    return shlex.join(["ansible-playbook", playbook, *sources, *words, *options])


def inventory_words(index: Index) -> list[str]:
    return [word for source in index.settings.get("inventory") or ["inventory/vm"] for word in ("-i", str(source))]


def option_words(index: Index) -> list[str]:
    """What was set with -e, and the options without which no host can be reached."""
    extra = [word for entry in index.run.get("extra_vars", ()) for word in ("-e", entry)]
    return [*extra, *index.run.get("options", ())]
