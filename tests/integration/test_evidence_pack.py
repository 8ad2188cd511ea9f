"""A pack is reproducible, verifies with Guardian, verify.py and openssl, and no byte of it may change."""

from __future__ import annotations

import hashlib
import random
import re
import shutil
import subprocess
import sys
import zipfile
from typing import TYPE_CHECKING

import pytest

from evidence import dsse, keyring, pack, pack_verify, statement
from evidence.errors import EvidenceError, InvalidEvidenceError
from evidence.packfile import INDEX, BadMemberError
from evidence.verify import verify_members, verify_pack
from tests.evidence_support import (
    LOG,
    OTHER_KEY,
    RECORD,
    RECORD_KEY,
    ROOT,
    Place,
    blamed,
    export,
    key_event,
    make_keyring,
    members_of,
    reader,
    record,
    rewrite,
    sqlite_place,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from evidence.verify import Report


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    found = sqlite_place(tmp_path_factory.mktemp("log"))
    found.fill(5)
    return found


@pytest.fixture(scope="module")
def packed(place: Place, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return export(place, tmp_path_factory.mktemp("pack") / "pack.zip")


@pytest.fixture
def members(packed: Path) -> dict[str, bytes]:
    return members_of(packed)


class Memory:
    """Members of a pack without a zip around them, for tests that change thousands."""

    def __init__(self, members: Mapping[str, bytes]) -> None:
        self._reader = members

    def names(self) -> list[str]:
        return list(self._reader)

    def size(self, name: str) -> int:
        return len(self._reader[name])

    def read(self, name: str) -> bytes:
        return self._reader[name]

    def sha256(self, name: str) -> str:
        return hashlib.sha256(self._reader[name]).hexdigest()


def judged(path: Path) -> tuple[Report, str | None]:
    """Return the library's report and the member that verify.py blames, None if it accepts."""
    report = verify_pack(path, ROOT)
    try:
        pack_verify.verify(path, ROOT.to_json())
    except pack_verify.Refused as refused:
        return report, refused.member
    return report, None


def test_a_pack_verifies_against_its_root_and_says_what_it_cannot_prove(packed: Path) -> None:
    report = verify_pack(packed, ROOT)
    assert (report.ok, report.size, report.records, report.complete, report.self_asserted) == (True, 5, 5, True, False)
    assert report.fingerprint == ROOT.fingerprint
    assert "no witness" in report.independence
    assert "no timestamp" in report.independence


def test_without_a_root_the_report_says_that_the_pack_vouches_for_itself(packed: Path) -> None:
    report = verify_pack(packed, None)
    assert (report.ok, report.self_asserted, report.fingerprint) == (True, True, ROOT.fingerprint)


def test_two_packs_of_one_log_state_are_the_same_bytes(place: Place, packed: Path, tmp_path: Path) -> None:
    assert export(place, tmp_path / "again.zip").read_bytes() == packed.read_bytes()


def test_a_pack_is_a_zip_for_everyone_and_private_on_disk(packed: Path) -> None:
    with zipfile.ZipFile(packed) as archive:
        assert archive.testzip() is None
        assert {info.date_time for info in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}
    assert packed.stat().st_mode & 0o777 == 0o600


def test_exporting_again_replaces_the_pack_and_leaves_nothing_else(place: Place, tmp_path: Path) -> None:
    export(place, tmp_path / "pack.zip")
    export(place, tmp_path / "pack.zip", coverage=b"{}")
    assert [path.name for path in tmp_path.iterdir()] == ["pack.zip"]


def test_progress_counts_every_member(place: Place, tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    path = export(place, tmp_path / "pack.zip", progress=lambda done, total: seen.append((done, total)))
    assert seen[-1] == (len(members_of(path)), len(members_of(path)))


def changes(data: bytes) -> Iterator[bytes]:
    """Yield `data` with each byte changed, in another bit each time."""
    for at in range(len(data)):
        yield data[:at] + bytes([data[at] ^ (1 << at % 8)]) + data[at + 1 :]


def test_every_byte_of_every_member_is_covered(members: dict[str, bytes]) -> None:
    assert verify_members(Memory(members), ROOT).ok
    for name, data in members.items():
        for number, changed in enumerate(changes(data)):
            report = verify_members(Memory({**members, name: changed}), ROOT)
            assert blamed(report) == {name}, f"byte {number} of {name}: {report.problems}"


def test_every_bit_of_the_index_is_covered(members: dict[str, bytes]) -> None:
    data = members[INDEX]
    for at in range(len(data)):
        for bit in range(8):
            changed = data[:at] + bytes([data[at] ^ (1 << bit)]) + data[at + 1 :]
            assert blamed(verify_members(Memory({**members, INDEX: changed}), ROOT)) == {INDEX}, (at, bit)


def test_a_changed_byte_in_a_rightly_rewritten_zip_is_refused_by_both_verifiers(
    members: dict[str, bytes], tmp_path: Path
) -> None:
    for name, data in members.items():
        for at in {0, len(data) // 3, len(data) // 2, len(data) - 1}:
            changed = data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]
            report, member = judged(rewrite(tmp_path / "pack.zip", {**members, name: changed}))
            assert (blamed(report), member) == ({name}, name), at


def test_a_changed_member_is_named_also_when_an_ordinary_zip_program_rewrote_the_pack(
    members: dict[str, bytes], tmp_path: Path
) -> None:
    path = tmp_path / "pack.zip"

    def rezipped(changed: dict[str, bytes], method: int) -> set[str]:
        with zipfile.ZipFile(path, "w", method) as archive:
            for name in reversed(changed):
                archive.writestr(name, changed[name])
        return blamed(verify_pack(path, ROOT))

    for method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        assert rezipped(members, method) == {"(zip)"}
        for name, data in members.items():
            assert rezipped({**members, name: bytes([data[0] ^ 1]) + data[1:]}, method) == {name, "(zip)"}
            assert rezipped({other: data for other, data in members.items() if other != name}, method) == {
                name,
                "(zip)",
            }
        assert rezipped({**members, "views/new.html": b"{}"}, method) == {"views/new.html", "(zip)"}


def test_without_a_root_every_changed_member_is_refused_too(members: dict[str, bytes]) -> None:
    for name, data in members.items():
        for changed in (data[:-1], data + b"\n", data[:-1] + bytes([data[-1] ^ 1])):
            assert blamed(verify_members(Memory({**members, name: changed}), None)) == {name}


def test_a_member_removed_added_renamed_or_swapped_is_refused_by_name(
    members: dict[str, bytes], tmp_path: Path
) -> None:
    path = tmp_path / "pack.zip"
    for name in members:
        report, member = judged(rewrite(path, {other: data for other, data in members.items() if other != name}))
        assert (blamed(report), member) == ({name}, name)
    for added in ("views/new.html", "records/5.dsse.json", "attachments/" + "0" * 64, "proofs/9.json"):
        report, member = judged(rewrite(path, {**members, added: b"{}"}))
        assert (blamed(report), member) == ({added}, added)
    renamed = {**members, "views/other.html": members["views/report.html"]}
    del renamed["views/report.html"]
    report, member = judged(rewrite(path, renamed))
    assert blamed(report) == {"views/report.html", "views/other.html"}
    assert member in blamed(report)
    for folder, suffix in (("records", ".dsse.json"), ("entries", ".json"), ("proofs", ".json")):
        one, other = f"{folder}/2{suffix}", f"{folder}/3{suffix}"
        report, member = judged(rewrite(path, {**members, one: members[other], other: members[one]}))
        assert blamed(report) == {one, other}
        assert member in {one, other}


def test_every_byte_of_the_zip_between_members_is_refused(packed: Path, tmp_path: Path) -> None:
    data, path = packed.read_bytes(), tmp_path / "pack.zip"
    chosen = random.Random(7).sample(range(len(data)), 3000)
    end = data.index(b"PK\1\2")
    for at in [*chosen, *range(end, len(data))]:
        path.write_bytes(data[:at] + bytes([data[at] ^ 0x10]) + data[at + 1 :])
        assert not verify_pack(path, ROOT).ok, at


def test_two_thousand_damaged_zips_are_refused_and_crash_no_verifier(
    packed: Path, members: dict[str, bytes], tmp_path: Path
) -> None:
    rng = random.Random(31)
    path, packedtight = tmp_path / "x.zip", tmp_path / "tight.zip"
    with zipfile.ZipFile(packedtight, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    for whole in (packed.read_bytes(), packedtight.read_bytes()):
        directory = whole.index(b"PK\1\2")
        for _ in range(1000):
            damaged = bytearray(whole)
            for _ in range(rng.randint(1, 3)):
                at = rng.randrange(rng.choice([0, directory]), len(damaged))
                damaged[at] = (damaged[at] + rng.choice([1, 128, rng.randrange(1, 256)])) % 256
            path.write_bytes(damaged if rng.random() < 0.9 else damaged[: rng.randrange(len(damaged))])
            report, member = judged(path)
            assert not report.ok
            assert member is not None


@pytest.mark.parametrize("extra", [b"x", b"\0" * 100], ids=["one byte", "many bytes"])
def test_bytes_before_or_after_the_zip_are_refused(packed: Path, tmp_path: Path, extra: bytes) -> None:
    for data in (
        extra + packed.read_bytes(),
        packed.read_bytes() + extra,
        packed.read_bytes()[: -len(extra)],
        extra,
        b"",
    ):
        path = tmp_path / "pack.zip"
        path.write_bytes(data)
        report, member = judged(path)
        assert blamed(report) == {"(zip)"}
        assert member is not None


def test_ten_thousand_random_mutations_are_refused_by_both_verifiers(members: dict[str, bytes], tmp_path: Path) -> None:
    """Signed again by nobody: envelopes, entries, proofs, keyring, checkpoint and index, mutated in every rough way."""
    rng = random.Random(20261123)
    targets = [name for name in members if name not in ("README.md", "verify.py")]
    tried = agreed = 0
    while tried < 10_000:
        name = rng.choice(targets)
        changed = mutated(rng, members[name])
        if changed == members[name]:
            continue
        tried += 1
        report = verify_members(Memory({**members, name: changed}), ROOT)
        assert not report.ok, (name, changed)
        assert blamed(report) == {name}
        if tried % 10 == 0:
            agreed += 1
            assert judged(rewrite(tmp_path / "pack.zip", {**members, name: changed}))[1] == name
    assert agreed == 1000


def mutated(rng: random.Random, data: bytes) -> bytes:
    at, other = sorted((rng.randrange(len(data) + 1), rng.randrange(len(data) + 1)))
    piece = bytes(rng.choice(b'AQz09+/=",:{}[] \n\\u0061') for _ in range(rng.randint(1, 8)))
    return rng.choice(
        [
            data[:at] + data[other:],
            data[:at] + piece + data[at:],
            data[:at] + piece + data[at + len(piece) :],
            data[:at] + data[at:other] * 2 + data[other:],
            data[:at] + data[at:other][::-1] + data[other:],
            data + piece,
            data.replace(b'"', b"'", 1),
            data.replace(b",", b", ", 1),
            data.swapcase(),
        ]
    )


def test_two_parsers_agree_on_ten_thousand_mutated_envelopes(members: dict[str, bytes]) -> None:
    """What one accepts and the other refuses would be a hole: duplicate keys, escapes, numbers, Unicode."""
    rng = random.Random(4)
    accepted = 0
    for _ in range(10_000):
        payload = dsse.open_envelope(members["records/1.dsse.json"]).payload
        envelope = dsse.sign(mutated(rng, payload), RECORD_KEY) if rng.random() < 0.7 else mutated(rng, members[INDEX])
        try:
            opened = dsse.open_envelope(envelope)
            statement.open_statement(opened.payload, "it")
            library = True
        except InvalidEvidenceError:
            library = False
        try:
            pack_verify.open_envelope(envelope, "it")
            alone = True
        except pack_verify.Refused:
            alone = False
        assert library == alone, envelope
        accepted += library
    assert 100 < accepted < 9_000  # so that both answers were met


def test_a_selection_says_that_it_is_partial_and_keeps_the_keyrings(place: Place, tmp_path: Path) -> None:
    path = export(place, tmp_path / "pack.zip", records=[2, 4])
    report, member = judged(path)
    assert (report.problems, member, report.records, report.size, report.complete) == ((), None, 3, 5, False)
    assert "records/0.dsse.json" in members_of(path)
    with pytest.raises(EvidenceError, match="between 0 and 4"):
        export(place, tmp_path / "other.zip", records=[5])


def test_an_empty_log_has_no_pack(tmp_path: Path) -> None:
    place = sqlite_place(tmp_path)
    place.open().close()
    with pytest.raises(EvidenceError, match="nothing to export"):
        export(place, tmp_path / "pack.zip")


def test_a_pack_over_rotated_keys_verifies(tmp_path: Path) -> None:
    place = sqlite_place(tmp_path)
    new = keyring.KeyEntry.of(OTHER_KEY, role="record", not_before=RECORD.not_before)
    revoked = keyring.KeyEntry("record", RECORD.public, RECORD.not_before, None, RECORD.not_before)
    with place.open() as log:
        log.append([key_event(), record()])
        log.append([key_event(make_keyring(2, RECORD, LOG, new)), record(), record(key=OTHER_KEY)])
        log.append([key_event(make_keyring(3, revoked, LOG, new), key=OTHER_KEY), record(key=OTHER_KEY)])
        path = tmp_path / "pack.zip"
        pack.write_pack(path, log, record_key=OTHER_KEY, views={}, coverage=b"{}")
    report, member = judged(path)
    assert (report.problems, member, report.records) == ((), None, 7)
    assert [name for name in members_of(path) if name.startswith("keyring/")] == [
        f"keyring/{version}.dsse.json" for version in (1, 2, 3)
    ]


def test_verify_py_of_the_pack_runs_alone(packed: Path, tmp_path: Path) -> None:
    (tmp_path / "verify.py").write_bytes(members_of(packed)["verify.py"])
    (tmp_path / "root.json").write_bytes(ROOT.to_json())
    other = keyring.Root(ROOT.origin, 1, (OTHER_KEY.public,))
    (tmp_path / "other.json").write_bytes(other.to_json())
    broken = tmp_path / "broken.zip"
    rewrite(broken, {**members_of(packed), "views/report.html": b"all is well"})

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-I", "verify.py", *arguments]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)

    assert run(str(packed), "--root", "root.json").returncode == 0
    assert "every record" in run(str(packed), "--root", "root.json").stdout
    assert run(str(packed)).returncode == 3
    assert ROOT.fingerprint in run(str(packed)).stdout
    assert run(str(packed), "--root", "other.json").returncode == 1
    assert "views/report.html" in run(str(broken), "--root", "root.json").stdout
    assert run(str(broken)).returncode == 1
    assert run().returncode == run(str(tmp_path / "none.zip")).returncode == 2


def test_the_openssl_commands_of_the_readme_verify_the_pack_and_catch_a_change(packed: Path, tmp_path: Path) -> None:
    bash = shutil.which("bash")
    assert bash is not None
    folder = tmp_path / "unzipped"
    with zipfile.ZipFile(packed) as archive:
        archive.extractall(folder)
    readme = (folder / "README.md").read_text()
    script = "\n".join(["set -eo pipefail", *re.findall(r"```bash\n(.*?)```", readme, re.DOTALL)])

    def run() -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [bash, "-c", script], cwd=folder, capture_output=True, text=True, timeout=120, check=False
        )

    ran = run()
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.count("Signature Verified Successfully") == 3
    assert keyring.key_id(ROOT.roots[0]) in ran.stdout
    assert "does not hold" not in ran.stdout
    view = folder / "views" / "report.html"
    view.write_text("forged")
    assert run().returncode != 0
    view.write_bytes(members_of(packed)["views/report.html"])
    checkpoint = folder / "checkpoint"
    checkpoint.write_bytes(checkpoint.read_bytes().replace(b"\n5\n", b"\n6\n"))
    assert run().returncode != 0


def test_names_that_leave_the_folder_are_refused(members: dict[str, bytes]) -> None:
    for name in (
        "../x",
        "/etc/passwd",
        "views/../x",
        "views/a/../../x",
        "views\\x",
        "views/.x",
        "views/",
        "x",
        "views/a b",
    ):
        with pytest.raises(BadMemberError, match="may have this name"):
            reader({**members, name: b""})
    assert reader(members).names() == sorted(members)


def test_a_zip_with_more_members_than_16_bits_count_is_read_by_all(members: dict[str, bytes], tmp_path: Path) -> None:
    many = {**members, **{f"views/{number}": b"" for number in range(66_000)}}
    path = rewrite(tmp_path / "pack.zip", many)
    with zipfile.ZipFile(path) as archive:
        assert len(archive.namelist()) == len(many)
    report, member = judged(path)
    assert report.problems[0] == ("views/0", "is not listed in the index: it was added or renamed")
    assert member is not None
    assert member.startswith("views/")
