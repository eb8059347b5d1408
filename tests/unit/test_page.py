"""report.html: one file that shows the whole decision, and in which nothing from a host is more than text."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
from collections import Counter
from dataclasses import replace
from importlib import resources
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as xml

import bundles
import html5lib
import pytest
from test_hostile import PAYLOADS, UNSEEN, everywhere

import promotion_gate.report
from promotion_gate.base.escape import visible
from promotion_gate.base.files import Content
from promotion_gate.bundle.load import Bundle, load_bundle
from promotion_gate.judge.decide import decide
from promotion_gate.report.page import MAX_BYTES, page
from promotion_gate.report.transcripts import transcripts

EXAMPLES = bundles.PROJECT / "tests" / "bundles" / "0.1.0"
HEALTHY, HELD, RESUMED = EXAMPLES / "root/healthy", EXAMPLES / "held/repaired", EXAMPLES / "root/repaired"
CHROMIUM = shutil.which("chromium")
in_chromium = pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium")


def parsed(text: str) -> xml.Element:
    """The page as a browser reads it; a page that is not HTML as it should be is an error."""
    parser = html5lib.HTMLParser(strict=True, namespaceHTMLElements=False)
    root: xml.Element = parser.parse(text)
    return root


def rendered(folder: Path) -> str:
    bundle = load_bundle(folder)
    return page(bundle, decide(bundle))


def words(root: xml.Element) -> str:
    return visible(" ".join(root.itertext()))


def kinds(root: xml.Element) -> set[tuple[str, str]]:
    """Every element, and every attribute of it, by name."""
    return {(str(item.tag), name) for item in root.iter() for name in ("", *item.keys())}


@pytest.mark.parametrize("folder", [HEALTHY, HELD, RESUMED], ids=["PROMOTE", "HOLD", "resumed"])
def test_the_page_has_the_whole_decision(folder: Path) -> None:
    bundle = load_bundle(folder)
    decision = decide(bundle)
    text = (folder / "report.html").read_text(encoding="utf-8")
    shown = words(parsed(text))
    assert shown.count(decision.decision) >= 1 and text == page(bundle, decision)
    for gate in decision.gates:
        assert visible(gate.title) in shown
        for check in gate.checks:
            for message in (check.id, check.title, check.observed, check.figure, *check.warnings):
                assert visible(message) in shown
    for name, digest in bundle.index.files.items():
        assert name in shown and digest in shown
    for message in (decision.operator, decision.reviewer, str(decision.commit), str(decision.vm.fingerprint)):
        assert message in shown
    for digest in (decision.policy.sha256, bundle.index_sha256):
        assert digest in shown
    if decision.decision == "HOLD":
        assert visible(decision.rerun_command) in shown


@pytest.mark.parametrize("folder", [HEALTHY, HELD, RESUMED], ids=["PROMOTE", "HOLD", "resumed"])
def test_the_page_stands_alone(folder: Path) -> None:
    """No script, no network, no address but of a place in it or of a file beside it; each anchor is there, once."""
    root = parsed(rendered(folder))
    assert not {"script", "link", "img", "iframe", "object", "form", "base"} & {str(item.tag) for item in root.iter()}
    assert not {"src", "srcset", "style"} & {name for item in root.iter() for name in item.attrib}
    ids = Counter(item.get("id") for item in root.iter() if item.get("id"))
    assert set(ids.values()) == {1}
    for item in root.iter("a"):
        address = item.get("href", "")
        assert (address.startswith("#") and address[1:] in ids) or (folder / address).is_file(), address
    css = "".join(item.text or "" for item in root.iter("style"))
    assert "url(" not in css and "@import" not in css


def test_what_failed_comes_first_and_open() -> None:
    root = parsed(rendered(HELD))
    sections = [item for item in root.iter("details") if item.get("class") == "gate"]
    assert [("open" in item.attrib, words(item).split()[0]) for item in sections] == [
        (True, "FAIL"),
        (True, "FAIL"),
        (False, "PASS"),
        (False, "PASS"),
        (False, "PASS"),
    ]
    assert "FAIL sinfo shows" in words(root) and "because of vm_bootstrap.daemon" in words(root)


def test_the_judged_line_is_marked() -> None:
    marks = {words(item): item.get("title") for item in parsed(rendered(HELD)).iter("mark")}
    assert [name for line, name in marks.items() if "The daemon is not running" in line]
    assert any("Reason=maintenance" in line for line in marks)


@pytest.mark.parametrize(("folder", "nodes"), [(HEALTHY, "1 of 1 nodes"), (HELD, "0 of 1 nodes")])
def test_the_banner_says_how_much_was_looked_at(folder: Path, nodes: str) -> None:
    checks = sum(len(gate.checks) for gate in decide(load_bundle(folder)).gates)
    [banner] = [words(item) for item in parsed(rendered(folder)).iter("ul") if item.get("class") == "coverage"]
    for message in (f"{checks} of {checks} checks judged", "3 of 3 runs", nodes):
        assert message in banner


def test_a_resumed_run_says_what_it_kept() -> None:
    shown = words(parsed(rendered(RESUMED)))
    assert "Kept from them: gate 1, gate 2, gate 5" in shown
    assert "Timeline of attempt 1" in shown and "Timeline of attempt 2" in shown


def test_a_waiver_shows_the_days_that_are_left() -> None:
    bundle = load_bundle(HEALTHY)
    decision = decide(bundle)
    waiver: Any = {"check": "contracts.relay", "reason": "r", "owner": "carol", "ticket": "T-1", "state": "unneeded"}
    waivers: Any = ({**waiver, "expires": "2026-12-05"}, {**waiver, "expires": "soon"})
    risks: Any = ({"risk": "no standby <b>", "mitigation": "a backup"},)
    shown = words(parsed(page(bundle, replace(decision, waivers=waivers, risks=risks))))
    assert "2026-12-05, 10 days left" in shown and "soon" in shown
    assert "no standby <b>; mitigation: a backup" in shown


def grown(bundle: Bundle, files: dict[str, bytes]) -> Bundle:
    return replace(bundle, files={**bundle.files, **{name: Content(data) for name, data in files.items()}})


def test_large_transcripts_are_named_by_their_digest() -> None:
    """What explains a failure has the first place; the page stays below its bound, whatever was printed."""
    bundle = load_bundle(HELD)
    decision = decide(bundle)
    large = b"<&'\"> nothing\n" * 20_000
    huge = grown(bundle, {name: large for name in bundle.index.files if not name.startswith("03-verdi-status")})
    text = page(huge, decision)
    assert len(text.encode()) <= MAX_BYTES
    assert "there was no room for it here" in text and "The daemon is not running" in text
    assert bundle.index.files["05-workspace.log"] in text
    shown = {item.name for item in transcripts(huge, decision, 10_000) if item.html is not None}
    assert shown == {"03-verdi-status.log"}


@pytest.fixture(scope="module")
def plain_page(tmp_path_factory: pytest.TempPathFactory) -> set[tuple[str, str]]:
    """What the page of the same run is made of, where a host prints a word for a payload."""
    bundle = bundles.make_bundle(tmp_path_factory.mktemp("plain"), everywhere("payload", first=True))
    return kinds(parsed(rendered(bundle)))


@pytest.mark.parametrize("payload", PAYLOADS.values(), ids=PAYLOADS)
def test_what_a_host_prints_is_text(payload: str, plain_page: set[tuple[str, str]], tmp_path: Path) -> None:
    bundle = load_bundle(bundles.closed_bundle(tmp_path, everywhere(payload, first=True)))
    decision = decide(bundle)
    people: Any = {"operator": payload, "reviewer": payload, "ticket": payload, "objections": (payload,)}
    message: Any = {"risks": ({"risk": payload, "mitigation": payload},), "versions": {payload: payload}}
    text = page(bundle, replace(decision, **people, **message))
    assert not UNSEEN.search(text.replace("\n", ""))
    root = parsed(text)
    assert kinds(root) <= plain_page | {("mark", ""), ("mark", "title")}
    assert visible(payload) in words(root)
    for item in root.iter("a"):
        assert re.fullmatch(r"(#|\./)[\w./%-]+", item.get("href", ""), re.ASCII)


@pytest.mark.nightly
@in_chromium
def test_a_browser_makes_nothing_else_of_it(plain_page: set[tuple[str, str]], tmp_path: Path) -> None:
    """The same in Chromium: what it makes of the page, serialized, with all payloads at once."""
    bundle = load_bundle(bundles.closed_bundle(tmp_path / "root", everywhere("\n".join(PAYLOADS.values()), first=True)))
    root: xml.Element = html5lib.parse(browsed(page(bundle, decide(bundle)), tmp_path), namespaceHTMLElements=False)
    assert kinds(root) <= plain_page | {("mark", ""), ("mark", "title")}


def browsed(text: str, folder: Path, *options: str) -> str:
    """What Chromium makes of a page, serialized, once its scripts have ended."""
    path = folder / "page.html"
    path.write_text(text, encoding="utf-8")
    words_ = [str(CHROMIUM), "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={folder / 'profile'}"]
    run = subprocess.run([*words_, *options, "--dump-dom", path.as_uri()], capture_output=True, text=True, check=True)
    return run.stdout


AXE = """
axe.run(document, {resultTypes: ["violations", "incomplete"]}).then(found => {
  const told = found.violations.filter(rule => ["serious", "critical"].includes(rule.impact));
  const nodes = rule => rule.nodes.map(node => node.target.join(" ") + ": " + node.failureSummary);
  const result = document.createElement("pre");
  result.id = "axe";
  result.textContent = JSON.stringify({passes: found.passes.length, faults: told.map(rule => [rule.id, nodes(rule)])});
  document.body.append(result);
});
"""
# As it is read: light and dark, and on a screen as narrow as Chromium's window can be.
LOOKS = {
    "light": (),
    "dark": ("--force-dark-mode", "--blink-settings=preferredColorScheme=0"),
    "narrow": ("--window-size=400,900",),
}


def faults_for_axe(text: str, folder: Path, *look: str) -> list[Any]:
    """What axe-core finds that is serious, with everything unfolded.

    A page of ours allows no script, so a copy that allows them is looked at.
    """
    axe = resources.files("axe_playwright_python").joinpath("axe.min.js").read_text(encoding="utf-8")
    allowed = re.sub('<meta http-equiv="Content-Security-Policy".*?>', "", text)
    unfolded = re.sub("<details(?! open)(?=[^>]*>)", "<details open", allowed)
    scripted = unfolded.replace("</body>", f"<script>{axe}</script><script>{AXE}</script></body>")
    told = re.search('<pre id="axe">(.*?)</pre>', browsed(scripted, folder, "--virtual-time-budget=60000", *look), re.S)
    assert told, "axe did not come to its end"
    found = json.loads(html.unescape(told[1]))
    assert found["passes"]
    return list(found["faults"])


@pytest.mark.nightly
@in_chromium
@pytest.mark.parametrize("look", LOOKS.values(), ids=LOOKS)
@pytest.mark.parametrize("folder", [HEALTHY, HELD, RESUMED], ids=["PROMOTE", "HOLD", "resumed"])
def test_axe_finds_nothing_serious(folder: Path, look: tuple[str, ...], tmp_path: Path) -> None:
    assert faults_for_axe(rendered(folder), tmp_path, *look) == []


@pytest.mark.nightly
@in_chromium
def test_axe_sees_a_fault(tmp_path: Path) -> None:
    """An image without alternative text, and words with too little contrast, in a collapsed section."""
    text = rendered(HEALTHY).replace(
        "<pre tabindex", '<p style="color: #eee; background: #fff">pale</p><pre tabindex', 1
    )
    text = text.replace("</main>", '<img src="nothing.png"></main>')
    assert {rule for rule, _ in faults_for_axe(text, tmp_path)} == {"color-contrast", "image-alt"}


def test_the_templates_name_no_gate() -> None:
    """Gates come from the checklist: a page of another team's has its own."""
    names = [gate.name for gate in load_bundle(HEALTHY).policy.gates]
    for path in (Path(promotion_gate.report.__file__).parent / "templates").glob("report*"):
        text = path.read_text(encoding="utf-8")
        assert not [name for name in names if name in text], path
