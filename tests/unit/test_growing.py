"""An index that grows is written as if it were written whole, and searched for each value that becomes known."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import bundles

from promotion_gate.base.files import to_json
from promotion_gate.base.names import INDEX_FILE
from promotion_gate.base.typed import plain
from promotion_gate.bundle.growing import IndexFile, Search
from promotion_gate.bundle.index import Event, read_index
from promotion_gate.bundle.recorder import Recorder


def test_each_index_is_written_as_if_it_were_written_whole(tmp_path: Path) -> None:
    bundle = bundles.make_bundle(tmp_path)
    index, file = read_index(bundle), IndexFile(bundle)
    for number in range(3):
        event = Event("preflight", "failed", "here", "a task", f"line\n\u202e{number} \U000e0001 Gr\u00fc\u00dfe")
        index = replace(index, events=(*index.events, event), files={**index.files, f"0{number}": "0" * 64})
        assert file.text(index) == to_json(plain(index))
    shorter = replace(index, events=(), commands=index.commands[:-1], evaluated_at=None)
    assert file.text(shorter) == to_json(plain(shorter))


def test_the_recorder_writes_what_it_has(tmp_path: Path) -> None:
    bundle = bundles.open_bundle(tmp_path)
    recorder = Recorder(bundle, {"recorder": "evidence", "check": False, "selection": ""})
    for gate, trip in bundles.healthy_trips().items():
        recorder.trip(trip, bundles.host_of(gate))
        recorder.event("failed", gate, bundles.host_of(gate), "a task", "it failed")
        assert (bundle / INDEX_FILE).read_text(encoding="utf-8") == to_json(plain(recorder.index))
    assert read_index(bundle) == recorder.index


def test_nothing_that_shows_nothing_is_made_again(tmp_path: Path) -> None:
    index = read_index(bundles.make_bundle(tmp_path))
    searched: list[str] = []

    def shows(text: str) -> bool:
        searched.append(text)
        return False

    search = Search(shows)
    assert search.cleaned(index, []) is index
    assert len(searched) > len(index.commands)
    searched.clear()
    search.cleaned(replace(index, events=(Event(None, "failed", "here", "a task", "message"),)), [])
    assert "message" in searched and index.commands[0].command not in searched


def test_what_was_clean_is_searched_again_for_a_value_that_becomes_known(tmp_path: Path) -> None:
    bundle = bundles.open_bundle(tmp_path)
    recorder = Recorder(bundle)
    recorder.event("failed", None, "here", "task tulip-4711", "it failed")
    assert "tulip-4711" in (bundle / INDEX_FILE).read_text(encoding="utf-8")
    recorder.trip(bundles.healthy_trips()["preflight"], bundles.host_of("preflight"), ["tulip-4711"])
    assert "tulip-4711" not in (bundle / INDEX_FILE).read_text(encoding="utf-8")
    assert recorder.index.events[0].task == "[withheld]" and len(recorder.index.withheld) == 1
