"""Who owns which field of the contract documents, and what is wrong with it. Pure: from texts to an Outcome."""

from promotion_gate.judge.ownership.analysis import analyse
from promotion_gate.judge.ownership.map import OwnershipMap, load_map, shipped_map
from promotion_gate.judge.ownership.outcome import Change, Fault, FaultKind, Field, Outcome

__all__ = [
    "Change",
    "Fault",
    "FaultKind",
    "Field",
    "Outcome",
    "OwnershipMap",
    "analyse",
    "load_map",
    "shipped_map",
]
