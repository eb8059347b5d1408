"""The last scan of what is returned: whatever still contains a known secret is withheld, and the evidence says so."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

RULE = "known value"


def withhold(evidence: dict[str, Any], remains: Callable[[str], bool]) -> dict[str, Any]:
    """The evidence without any text that still contains a known secret.

    A command or a file that had one has the rule and the digest of the original instead, so that the rest of it is not
    judged.
    """
    commands = [_marked(command, "output", remains) for command in evidence["commands"]]
    artifacts = [
        {**found, "files": [_marked(entry, "content", remains) for entry in found["files"]]}
        for found in evidence["artifacts"]
    ]
    kept = _without({**evidence, "commands": [], "artifacts": [], "objections": []}, remains)
    rest = {**evidence, "commands": [], "artifacts": [], "objections": []}
    objections = [str(_without(text, remains)) for text in evidence["objections"]]
    if kept != rest:
        objections.append("What is recorded of the host or of its environment file showed a secret and was withheld.")
    artifacts = [{**_without({**found, "files": []}, remains), "files": found["files"]} for found in artifacts]
    return {**kept, "commands": commands, "artifacts": artifacts, "objections": objections}


def _marked(entry: dict[str, Any], content: str, remains: Callable[[str], bool]) -> dict[str, Any]:
    kept: dict[str, Any] = _without(entry, remains)
    digest = hashlib.sha256(entry[content].encode("utf-8", "replace")).hexdigest()
    return {**kept, "withheld": None if kept == entry else {"rule": RULE, "sha256": digest}}


def _without(data: Any, remains: Callable[[str], bool]) -> Any:
    if isinstance(data, dict):
        return {key: _without(value, remains) for key, value in data.items()}
    if isinstance(data, (list, tuple)):
        return [_without(value, remains) for value in data]
    return "[withheld]" if isinstance(data, str) and remains(data) else data
