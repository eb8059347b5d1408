"""Reads one check of a checklist: each mistake is reported with its place, and reading continues."""

from __future__ import annotations

import re
import shlex
import string
from collections.abc import Mapping

from promotion_gate.base.fields import Fields, nearest
from promotion_gate.base.policy import ID, CheckPolicy
from promotion_gate.base.typed import Text, keys

RAN_WORDS = ("verdi", "in_env", "env_file", "profile", "computer", "smoke_args", "scratch")


def plain(fields: Fields, key: str, form: Text) -> str:
    """A string of a given form."""
    value = fields.text(key)
    if not re.fullmatch(form.pattern, value):
        fields.refuse(f'{key} must be {form.what}, not "{value[:60]}".', key)
    return value


def check_entry(fields: Fields) -> CheckPolicy:
    fields.only(keys(CheckPolicy))
    raw = fields.raw("unblock")
    unblock = {"default": raw} if isinstance(raw, str) else fields.mapping("unblock")
    if not unblock.get("default"):
        fields.refuse("unblock needs a sentence that says what to do.", "unblock")
    for hint, sentence in unblock.items():
        _check_format(fields, sentence, *(() if isinstance(raw, str) else (hint,)))
    return CheckPolicy(
        id=plain(fields, "id", ID),
        check=fields.text("check"),
        title=fields.text("title"),
        limits=fields.mapping("limits"),
        needs=fields.texts("needs"),
        ran=_ran(fields),
        replaceable=_replaceable(fields),
        spec=fields.boolean("spec", False),
        unblock={hint: sentence for hint, sentence in unblock.items() if isinstance(sentence, str)},
        waivable=fields.boolean("waivable", False),
        path=fields.path,
    )


def _replaceable(fields: Fields) -> bool:
    if fields.boolean("replaceable", False) and not fields.has("ran"):
        fields.refuse("replaceable has no effect without ran.", "replaceable")
    return fields.boolean("replaceable", False)


def _ran(fields: Fields) -> Mapping[str, tuple[str, ...]]:
    """The text of each command of the spec by its id: one, or several alternatives."""
    found = {}
    for command_id, texts in fields.mapping("ran").items():
        found[command_id] = (texts,) if isinstance(texts, str) else fields.below("ran").texts(command_id)
        for text in found[command_id]:
            try:
                shlex.split(text)
            except ValueError as error:
                fields.refuse(f'ran: "{text[:60]}" is not a command ({error}).', "ran", command_id)
            for name in re.findall(r"\{([^}]*)\}", text):
                if name not in RAN_WORDS:
                    hint = nearest(name, RAN_WORDS) or f" (known: {', '.join(RAN_WORDS)})."
                    fields.refuse(f'ran: "{name[:60]}" is not known{hint}', "ran", command_id)
        if not all(found[command_id]) or not found[command_id]:
            fields.refuse(f"ran: {command_id} has no text.", "ran", command_id)
    return found


def _check_format(fields: Fields, sentence: object, *keys: str) -> None:
    if not isinstance(sentence, str):
        fields.refuse("unblock must hold strings only.", "unblock", *keys)
        return
    try:
        parsed = list(string.Formatter().parse(sentence))
    except ValueError as error:
        fields.refuse(f'unblock "{sentence[:60]}" has a stray brace ({error}).', "unblock", *keys, unread=True)
        return
    for _, name, width, conversion in parsed:
        if name is None:  # text after the last word
            continue
        if width or conversion:  # a large width could fill the memory of whoever verifies the bundle
            asked = f"{name}{f'!{conversion}' if conversion else ''}{f':{width}' if width else ''}"
            fields.refuse(f'unblock has the format "{asked[:60]}"; write {{{name[:60]}}} alone.', "unblock", *keys)
