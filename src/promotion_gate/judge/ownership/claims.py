"""What a text says about owners, in a few forms. An owner word in any other form is not interpreted.

The forms (docs/contract-documents.md), with `tenant_id` for one or several field names and Convex for an owner's name:

- beside or below a field: `owner: Convex`, `owner is Convex`, `SoR: Convex`, `owned by Convex`, `Convex SoR`,
  `Convex owns it`, `Convex is the owner`, or just `Convex` as a separate clause;
- in a cell of a column Owner: `Convex`, `Convex SoR`, `AiiDA/Postgres + Slurm`, or a dash for nobody;
- in a sentence: `tenant_id`: Convex; Convex SoR: `tenant_id`; Convex owns `tenant_id`; owner of `tenant_id`: Convex;
  what users see (`tenant_id`) is Convex SoR; FastAPI does not own `tenant_id` (of an owner that may own nothing).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

from promotion_gate.judge.ownership.map import Owner
from promotion_gate.judge.ownership.text import IDENTIFIER, OWNER_WORD, SYSTEM, TYPE_WORD

_JOINER = re.compile(r"\s*(?:[/+&,;\n]|\band\b)\s*", re.IGNORECASE)
_NAME = rf"(?:`{IDENTIFIER}`|\b{IDENTIFIER}\b)"
_NAMES = rf"(?P<names>{_NAME}(?:\s*(?:,\s*and\b|,|/|&|\band\b)\s*{_NAME})*)"
_NOUN = r"(?:\s+(?:ids?|joins?|events?|data|facts?|fields?|states?))?"
_IS = r"\s*(?::|=|[-–—]+>?|→)\s*"
_NEGATION = re.compile(r"\b(?:not|never|no|nor|neither|nothing|cannot|\w+n't)\b", re.IGNORECASE)
_EXCEPTION = re.compile(r"\b(?:but|except|only|unless|until|besides)\b", re.IGNORECASE)
_REFERENCE = re.compile(r"\bADR[ -]?\d+|^see\b|:$", re.IGNORECASE)
_WHOLE = re.compile(r"\b(?:fields?|everything|every|all|each)\b", re.IGNORECASE)
_STATED = re.compile(
    rf"(?:^|(?<=[;,()\[\]\n|:–—.-]))\s*(?:(?:the|its)\s+)?"
    rf"(?:(?:durable\s+|field\s+)?(?:owners?|{SYSTEM})\s*(?:[:=]|\b(?:is|are)\b)|owned\s+by\b)\s*"
    r"(?P<owner>(?:[^.;()\[\]|\n–—]|\.(?=\S))+)",
    re.IGNORECASE,
)
_CLAUSE_END = re.compile(r"[;,()\[\]\n|:–—]|\.(?=\s|$)|\s-\s")
_DROPPED = re.compile(rf"(?:{TYPE_WORD}|required|mandatory|optional|not required)\b.*", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Claim:
    """Fields and who owns them, with the owners as the map names them. Without fields it heads a list of them."""

    names: tuple[str, ...]
    owners: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Said:
    """What a text says about one field: the owners it names, and a clause that is in none of the forms."""

    owners: tuple[str, ...] = ()
    unclear: str = ""


@lru_cache(maxsize=4)
def claims_of(owners: tuple[Owner, ...]) -> Claims:
    """The reader for the names of a map's owners."""
    return Claims(owners)


class Claims:
    """Reads the forms with the names of one map's owners."""

    def __init__(self, known: tuple[Owner, ...]) -> None:
        self._names = {name.casefold(): owner.name for owner in known for name in owner.names}
        self._own_nothing = {owner.name for owner in known if owner.owns == "nothing"}
        words = "|".join(re.escape(name).replace(r"\ ", r"\s+") for name in sorted(self._names, key=len, reverse=True))
        one = rf"(?<!\w)(?:{words})(?!\w)"
        several = rf"{one}(?:\s*(?:[/+&,]|\band\b)\s*{one})*"
        owner = rf"(?:the\s+)?(?P<owner>{several})"
        self._mention = re.compile(one, re.IGNORECASE)
        self._code = re.compile(rf"`({several})`", re.IGNORECASE)
        self._of_field = re.compile(
            rf"{owner}(?:\s+{SYSTEM})?{_NOUN}"
            rf"|(?:the\s+)?(?P<subject>{several})\s+(?:(?:owns|keeps)\s+(?:it|this|the)(?:\s+field)?"
            rf"|is\s+(?:the\s+)?(?:durable\s+)?(?:owner|{SYSTEM}))",
            re.IGNORECASE,
        )
        self._head = re.compile(rf"{owner}(?:\s+\(?{SYSTEM}\)?)?(?:\s+owns)?\s*:?", re.IGNORECASE)
        ends = rf"(?:\s+{SYSTEM})?(?:\s*\((?P<again>{several})\))?{_NOUN}"
        self._sentences = [
            re.compile(pattern, re.IGNORECASE)
            for pattern in (
                rf"{_NAMES}{_IS}(?:owner(?:\s*[:=]|\s+is)?\s+|owned\s+by\s+)?{owner}{ends}",
                rf"{owner}(?:\s+\(?{SYSTEM}\)?)?(?:\s*\((?P<again>{several})\))?{_IS}{_NAMES}",
                rf"{owner}\s+(?:(?:owns?|keeps?)|(?:is\s+(?:the\s+)?(?:durable\s+)?)?(?:owner|{SYSTEM})\s+(?:of|for))\s+"
                rf"{_NAMES}(?:\s+while\s+[\w\s-]+)?",
                rf"(?:the\s+)?owner\s+of\s+{_NAMES}(?:{_IS}|\s+is\s+){owner}{ends}",
                rf"(?P<about>.*\S)\s+(?:is|are|remains?|stays?|(?:is|are)\s+(?:owned\s+by|derived\s+from))\s+{owner}{ends}",
            )
        ]

    def cell(self, text: str) -> tuple[str, ...]:
        """The owners of a cell, an unknown one as written; none for a dash or an empty cell."""
        text = _bare(text).strip(" -–—")
        return tuple(dict.fromkeys(self._one(part) for part in _JOINER.split(text) if part))

    def _one(self, part: str) -> str:
        part = re.sub(rf"\s+\(?{SYSTEM}\)?$|^the\s+", "", part.strip(), flags=re.IGNORECASE)
        return self._names.get(re.sub(r"\s+", " ", part).casefold(), part)

    def of_field(self, text: str) -> Said:
        """What the text after or below a field's name says about its owner."""
        text = _bare(text)
        owners: list[str] = []
        for match in _STATED.finditer(text):
            owners += [owner for owner in self.cell(match["owner"]) if not _DROPPED.fullmatch(owner)]
        left = []
        for clause in _CLAUSE_END.split(_STATED.sub(";", text)):
            clause = clause.strip(" -=")
            if found := self._of_field.fullmatch(clause):
                owners += self.cell(found["owner"] or found["subject"])
            else:
                left.append(clause)
        # Beside an owner, another one may only be named in one of the forms as well.
        unclear = (c for c in left if OWNER_WORD.search(c) or (owners and not self._mentioned(c) <= set(owners)))
        return Said(tuple(dict.fromkeys(owners)), next(unclear, ""))

    def heads(self, text: str) -> tuple[str, ...]:
        """The owners that a heading or a line names for the fields below it; none if it is any other line."""
        match = self._head.fullmatch(_bare(text))
        return self.cell(match["owner"]) if match else ()

    def sentence(self, text: str) -> Claim | None:
        """The claim of a sentence, without names if it claims nothing; None if it is in none of the forms."""
        text = self._code.sub(r"\1", text.replace("*", "")).strip().rstrip(".;").strip()
        for form in self._sentences:
            if (match := form.fullmatch(text)) and (claim := self._claim(match.groupdict())):
                return claim
        owners = self._mentioned(text)
        denial = _NEGATION.search(text) and not _EXCEPTION.search(text)
        if denial and owners and owners <= self._own_nothing:
            return Claim((), ())
        if not owners and not _names_in(text) and _REFERENCE.search(text):
            return Claim((), ())
        return None

    def _mentioned(self, text: str) -> set[str]:
        return {self._names[re.sub(r"\s+", " ", word).casefold()] for word in self._mention.findall(text)}

    def _claim(self, groups: dict[str, str | None]) -> Claim | None:
        about = groups.get("about")
        owners = self.cell(groups["owner"] or "")
        if any(owner not in owners for owner in self.cell(groups.get("again") or "")):
            return None
        if about is not None:
            if OWNER_WORD.search(about) or _NEGATION.search(about) or not self._mentioned(about) <= set(owners):
                return None
            names = _names_in(about)
            return None if not names and set(owners) & self._own_nothing else Claim(names, owners)
        names = tuple(name.strip("` ") for name in re.findall(_NAME, groups["names"] or "") if name.lower() != "and")
        return None if any(name.casefold() in self._names for name in names) else Claim(names, owners)

    def concerns(self, text: str, fields: Iterable[str]) -> bool:
        """Whether a sentence outside the sections of fields and owners is about the owner of a field."""
        if not OWNER_WORD.search(text):
            return False
        names, known = _names_in(text), set(fields)
        of_fields = any(name in known or re.search(r"[_.]", name) for name in names)
        return of_fields or bool(self._mention.search(text) and _WHOLE.search(text))


def _bare(text: str) -> str:
    return re.sub(r"[`*~]", "", text).strip()


def _names_in(text: str) -> tuple[str, ...]:
    """The names in a text: in code, or with an underscore."""
    found = re.findall(rf"`({IDENTIFIER})`|(?<![\w.`/-])(\w+_\w[\w.]*\w)(?![\w`/])", text)
    return tuple(dict.fromkeys(code or word for code, word in found))
