"""The hints that any check may give, and the remedy for each; a check's own hints have theirs in the checklist."""

from __future__ import annotations

from promotion_gate.judge.masks import MASKED

# A command other than the checklist's; evidence that is not what was recorded; that was truncated; that has no value
# where the checklist looks for one; a file system that is full.
REPLACED, UNUSABLE, CUT, UNREAD, FULL = "another_command", "unusable", "cut", "unread", "full"
REMEDIES = {
    REPLACED: "Remove what replaces the command, from the inventory or from -e, then re-run.",
    UNUSABLE: "Re-run the gate; its evidence was changed or cannot be read.",
    CUT: "Make the command print less, or the file smaller, then re-run.",
    UNREAD: "Correct where the checklist looks for the value, or what the command prints, then re-run.",
    FULL: "A file system of {host} is full. Find it there with `df -h`, free space, then re-run.",
    MASKED: (
        "The secret must not be printed; if it is a word that tools print, change it where it is set and where it is "
        "used. Then re-run."
    ),
}
