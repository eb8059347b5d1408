"""promotion_evidence_group: the group may read what is sealed, and by default nobody else may."""

from __future__ import annotations

import errno
import grp
import os
import stat
from pathlib import Path

import bundles
import pytest

from promotion_gate.__main__ import main
from promotion_gate.base.errors import BundleError, InputError
from promotion_gate.bundle import newest
from promotion_gate.bundle.history import run_folders
from promotion_gate.bundle.newest import newest_folder
from promotion_gate.prove.signoff import make_signoff
from promotion_gate.prove.verify import verify_bundle


@pytest.fixture
def group() -> grp.struct_group:
    """A group that we may give files to; another one than ours where there is one."""
    ours = [grp.getgrgid(number) for number in os.getgroups()]
    others = [entry for entry in grp.getgrall() if entry.gr_gid != os.getegid()]
    found = others if os.geteuid() == 0 else [entry for entry in ours if entry.gr_gid != os.getegid()] or ours
    return found[0]


def access(path: Path) -> tuple[int, int]:
    found = path.stat()
    return found.st_gid, stat.S_IMODE(found.st_mode)


def below(folder: Path) -> list[Path]:
    return [folder, *folder.rglob("*")]


def seal(bundle: Path) -> None:
    main(["seal", str(bundle)])


def test_by_default_only_the_owner_reads(tmp_path: Path) -> None:
    bundle = bundles.closed_bundle(tmp_path / "root")
    seal(bundle)
    assert access(bundle)[1] == 0o700
    for path in bundle.rglob("*"):
        assert path.is_dir() or access(path)[1] == 0o600, path


def test_what_is_sealed_is_the_groups_to_read(tmp_path: Path, group: grp.struct_group) -> None:
    root = tmp_path / "made" / "by-the-gate"
    trips = bundles.trips_with("slurm_smoke", "ping", exit=1, output=bundles.PING_DOWN)
    given = {"promotion_evidence_group": group.gr_name, "promotion_issue_command": "echo https://t.example.org/7"}
    before = access(tmp_path)
    bundle = bundles.open_bundle(root, **given)
    bundles.record(bundle, trips)
    assert access(bundle / "index.json")[1] == 0o600, "evidence is private while it is collected"
    seal(bundle)
    main(["issue", str(bundle), "--command", given["promotion_issue_command"]])
    main(["sign-off", str(bundle), "--name", "bob"])
    assert access(tmp_path) == before
    beside = {path.name for path in root.iterdir()} - {bundle.name, ".promotion-gate.lock"}
    assert beside == {f"{bundle.name}.issue.json", f"{bundle.name}.signoff.json"}
    paths = [root, root.parent, *below(bundle), *(root / name for name in beside)]
    for path in paths:
        assert access(path) == (group.gr_gid, 0o750 if path.is_dir() else 0o640), path
    assert verify_bundle(bundle).holds


def test_a_resume_and_its_attempts_are_shared_again(tmp_path: Path, group: grp.struct_group) -> None:
    root = tmp_path / "root"
    trips = bundles.trips_with("slurm_smoke", "ping", exit=1, output=bundles.PING_DOWN)
    seal(bundles.closed_bundle(root, trips, promotion_evidence_group=group.gr_name))
    bundle = bundles.resume_bundle(root, sealed=False)
    seal(bundle)
    assert (bundle / "attempts" / "01" / "SHA256SUMS").is_file()
    for path in [*below(bundle), *below(root / "baseline")]:
        assert access(path) == (group.gr_gid, 0o750 if path.is_dir() else 0o640), path
    assert verify_bundle(bundle).holds


@pytest.mark.parametrize(
    ("before", "after"), [(0o755, 0o755), (0o700, 0o750), (0o2770, 0o2770), (0o2700, 0o2750)], ids=oct
)
def test_a_root_that_was_there_only_lets_the_group_in(
    tmp_path: Path, group: grp.struct_group, before: int, after: int
) -> None:
    root = tmp_path / "root"
    root.mkdir()
    os.chown(root, -1, group.gr_gid if before & 0o070 else -1)
    root.chmod(before)
    bundles.open_bundle(root, promotion_evidence_group=group.gr_name)
    assert access(root)[1] == after
    assert after & 0o005 or access(root)[0] == group.gr_gid


def test_a_link_is_left_alone(tmp_path: Path, group: grp.struct_group) -> None:
    outside = tmp_path / "outside"
    outside.write_text("mine", encoding="utf-8")
    outside.chmod(0o600)
    bundle = bundles.closed_bundle(tmp_path / "root", promotion_evidence_group=group.gr_name)
    (bundle / "link").symlink_to(outside)
    seal(bundle)
    assert access(outside)[1] == 0o600


def test_a_group_that_is_not_there_is_an_input_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match='promotion_evidence_group is "no-such-group", and this machine has no such'):
        bundles.open_bundle(tmp_path / "root", promotion_evidence_group="no-such-group")
    assert not (tmp_path / "root").exists()


def test_a_group_that_we_may_not_give_to_is_an_input_error(
    tmp_path: Path, group: grp.struct_group, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(path: object, user: int, number: int) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "chown", refused)
    with pytest.raises(InputError, match=r"cannot be given to it .* a group that you are a member of"):
        bundles.open_bundle(tmp_path / "root", promotion_evidence_group=group.gr_name)
    assert not (tmp_path / "root").exists()


def test_a_group_that_is_gone_when_it_is_sealed_changes_no_decision(
    tmp_path: Path, group: grp.struct_group, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def gone(name: str) -> None:
        raise KeyError(name)

    bundle = bundles.closed_bundle(tmp_path / "root", promotion_evidence_group=group.gr_name)
    monkeypatch.setattr(grp, "getgrnam", gone)
    assert main(["seal", str(bundle)]) == 0
    assert "promotion_evidence_group cannot read all of it" in capsys.readouterr().err
    assert verify_bundle(bundle).holds


def test_a_run_that_may_not_be_looked_into_counts_as_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """To a reviewer the newest run may be closed: an older decision must not speak for it."""
    older, newer = (bundles.make_bundle(tmp_path, run_id=f"2026110{day}T000000Z") for day in (1, 2))
    make_signoff(older, "bob")

    class Closed(type(tmp_path)):  # type: ignore[misc]
        def lstat(self) -> os.stat_result:
            if newer in self.parents:
                raise PermissionError(errno.EACCES, "Permission denied")
            return os.lstat(self)

    def closed(path: Path) -> object:
        raise BundleError("closed")

    monkeypatch.setattr(newest, "read_json", closed)
    root = Closed(tmp_path)
    assert [folder.name for folder in run_folders(root)] == [older.name, newer.name]
    os.utime(older, (0, 0))
    assert newest_folder(root).name == newer.name
