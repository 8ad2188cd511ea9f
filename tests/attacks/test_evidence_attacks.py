"""Each test is an attack on the evidence, named and numbered as in evidence/FORMAT.md; each must be caught."""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import sqlite3
import struct
import zipfile
import zlib
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest

from evidence import checkpoint, dsse, entry, keyring, merkle, pack_verify, packfile, statement
from evidence.errors import EvidenceError, InvalidEvidenceError, LogRolledBackError
from evidence.packfile import INDEX
from evidence.verify import verified_records, verify_log, verify_pack
from tests.evidence_support import (
    LOG,
    LOG_KEY,
    ORIGIN,
    OTHER_KEY,
    RECORD,
    RECORD_KEY,
    ROOT,
    ROOT_KEY,
    Place,
    blamed,
    export,
    fixed_key,
    key_event,
    make_keyring,
    members_of,
    record,
    rewrite,
    sqlite_place,
)

if TYPE_CHECKING:
    from pathlib import Path

    from evidence.keys import PrivateKey


@pytest.fixture
def place(tmp_path: Path) -> Place:
    found = sqlite_place(tmp_path)
    found.fill(6)
    return found


def sql(place: Place, *statements: tuple[str, tuple[Any, ...]]) -> None:
    """Change the database behind Guardian's back, its constraints switched off."""
    with closing(sqlite3.connect(place.database)) as connection, connection:
        connection.execute("PRAGMA ignore_check_constraints = ON")
        for text, values in statements:
            connection.execute(text, values)


def rows(place: Place) -> list[tuple[int, bytes, bytes]]:
    with closing(sqlite3.connect(place.database)) as connection:
        return list(connection.execute("SELECT idx, entry, envelope FROM log_entry ORDER BY idx"))


def rebuild(place: Place, envelopes: list[bytes]) -> None:
    """Replace the whole log by these records, with a head that fits: all that someone who owns the database can do."""
    entries = [entry.entry_of(one, statement.parse_statement(dsse.open_envelope(one).payload)) for one in envelopes]
    head = merkle.CompactRange().append([merkle.leaf_hash(one) for one in entries])
    sql(place, ("DELETE FROM log_entry", ()))
    for index, pair in enumerate(zip(entries, envelopes, strict=True)):
        sql(place, ("INSERT INTO log_entry VALUES (?, ?, ?)", (index, *pair)))
    sql(place, ("UPDATE log_head SET size = ?, peaks = ?", (head.size, head.to_bytes())))


def sign_checkpoint_of(place: Place, key: PrivateKey = LOG_KEY) -> None:
    """Sign the head as it is now and put that in place of the remembered checkpoint."""
    entries = [merkle.leaf_hash(data) for _, data, _ in rows(place)]
    note = checkpoint.sign(ORIGIN, len(entries), merkle.CompactRange().append(entries).root(), key)
    (place.objects.parent / "checkpoint").write_bytes(note)


def problems(place: Place, root: keyring.Root = ROOT) -> dict[str, str]:
    with place.open(writable=False) as log:
        report = verify_log(log, root)
        if any("attachment" not in message for _, message in report.problems):
            with pytest.raises(InvalidEvidenceError):
                list(verified_records(log, root))
        return dict(report.problems)


def forged_payload(envelope: bytes) -> bytes:
    """Return the envelope with another payload under the old signature."""
    opened = dsse.open_envelope(envelope)
    payload = opened.payload.replace(b'"PASSED"', b'"FAILED"')
    assert payload != opened.payload
    return dsse._encode(payload, opened.signatures)


def test_01_payload_edited_in_the_database(place: Place) -> None:
    sql(place, ("UPDATE log_entry SET envelope = ? WHERE idx = 3", (forged_payload(rows(place)[3][2]),)))
    found = problems(place)
    assert found.keys() == {"record 3"}
    assert "SHA-256 differs" in found["record 3"]


def test_01_payload_edited_together_with_entry_and_head(place: Place) -> None:
    envelopes = [envelope for _, _, envelope in rows(place)]
    envelopes[3] = forged_payload(envelopes[3])
    rebuild(place, envelopes)
    with pytest.raises(LogRolledBackError, match="replaced, reordered or edited"):
        place.open(writable=False)
    sign_checkpoint_of(place)  # even with the log key
    assert "does not hold" in problems(place)["record 3"]


def test_02_index_column_edited(place: Place) -> None:
    sql(place, ("UPDATE log_entry SET idx = 50 WHERE idx = 3", ()))
    found = problems(place)
    assert found["record 3"] == "is missing from the log"
    assert "0 to 50" in found["head"]


def test_03_middle_record_deleted(place: Place) -> None:
    sql(place, ("DELETE FROM log_entry WHERE idx = 3", ()))
    assert problems(place)["record 3"] == "is missing from the log"


def test_03_middle_record_deleted_and_the_rest_moved_up(place: Place) -> None:
    envelopes = [envelope for _, _, envelope in rows(place)]
    rebuild(place, envelopes[:3] + envelopes[4:])
    with pytest.raises(LogRolledBackError, match="5 records"):
        place.open(writable=False)
    sign_checkpoint_of(place)  # even with the log key: the beacons of later records remember
    assert "beacon" in problems(place)["record 4"]


def test_04_tail_cut_and_shorter_tree_re_signed(place: Place) -> None:
    envelopes = [envelope for _, _, envelope in rows(place)]
    rebuild(place, envelopes[:4])
    for writable in (True, False):
        with pytest.raises(LogRolledBackError, match="had 6"):
            place.open(writable=writable)


def test_04_tail_cut_while_a_process_has_the_log_open(place: Place) -> None:
    with place.open() as log:
        envelopes = [envelope for _, _, envelope in rows(place)]
        rebuild(place, envelopes[:4])
        with pytest.raises(LogRolledBackError, match="nothing was written"):
            log.append([record()])
        assert not verify_log(log, ROOT).ok
    assert len(rows(place)) == 4


def test_05_old_database_restored(place: Place, tmp_path: Path) -> None:
    old = tmp_path / "old.db"
    with closing(sqlite3.connect(place.database)) as source, closing(sqlite3.connect(old)) as target:
        source.backup(target)
    with place.open() as log:
        log.append([record()])
    with closing(sqlite3.connect(old)) as source, closing(sqlite3.connect(place.database)) as target:
        source.backup(target)
    with pytest.raises(LogRolledBackError, match="old database was restored"):
        place.open()


def test_05_old_database_restored_and_written_on(place: Place) -> None:
    """The database goes back, another installation appends: as many records as before, but other ones."""
    envelopes = [envelope for _, _, envelope in rows(place)]
    rebuild(place, [*envelopes[:5], record()])
    with pytest.raises(LogRolledBackError, match="not those"):
        place.open()
    rebuild(place, [*envelopes[:5], record(), record(), record()])
    with pytest.raises(LogRolledBackError, match="not those"):
        place.open()


def test_05_remembered_checkpoint_deleted_with_the_old_database(place: Place) -> None:
    (place.objects.parent / "checkpoint").unlink()
    with pytest.raises(LogRolledBackError, match="is gone"):
        place.open()


def test_06_whole_log_replaced_under_a_new_origin(place: Place, tmp_path: Path) -> None:
    origin = "guardian/production/ffffffff"
    other = sqlite_place(tmp_path / "other")
    with other.open(origin=origin) as log:
        log.append([key_event(make_keyring(origin=origin)), record()])
        with pytest.raises(InvalidEvidenceError, match="not the same environment"):
            list(verified_records(log, ROOT))
        assert not verify_log(log, ROOT).ok
    shutil.copytree(tmp_path / "other" / "state", place.objects.parent, dirs_exist_ok=True)
    with pytest.raises(EvidenceError, match="another log was put in its place"):
        place.open()


def test_07_records_reordered(place: Place) -> None:
    third, fourth = rows(place)[3][1:], rows(place)[4][1:]
    update = "UPDATE log_entry SET entry = ?, envelope = ? WHERE idx = ?"
    sql(place, (update, (b"aside", b"", 3)), (update, (*third, 4)), (update, (*fourth, 3)))
    found = problems(place)
    assert "not those that were signed" in found["checkpoint"]
    assert "not that of its records" in found["head"]


def test_08_backdated_record_beside_a_beacon_that_did_not_exist(place: Place) -> None:
    """A record slipped in early cannot name a later checkpoint."""
    with place.open(writable=False) as log:
        beacon = log.beacon()
    envelopes = [envelope for _, _, envelope in rows(place)]
    rebuild(place, [*envelopes[:2], record(beacon=beacon), *envelopes[2:]])
    sign_checkpoint_of(place)
    assert "cannot have seen" in problems(place)["record 2"]


def test_09_precomputed_record_with_a_guessed_beacon(place: Place) -> None:
    with place.open() as log:
        log.append([record(beacon={"origin": ORIGIN, "size": 6, "root": "A" * 43 + "="})])
    assert "not the root that the log had at size 6" in problems(place)["record 6"]


def test_11_fork_after_key_theft(place: Place) -> None:
    """Whoever has the log key and the database signs another history, but later records remember the old root."""
    envelopes = [envelope for _, _, envelope in rows(place)]
    rebuild(place, [envelopes[0], record(), *envelopes[2:]])
    sign_checkpoint_of(place)
    assert "beacon" in problems(place)["record 2"]


def test_12_old_pass_replayed(place: Place) -> None:
    old = rows(place)[1][2]
    with place.open() as log, pytest.raises(EvidenceError, match="in it already"):
        log.append([old])
    with place.open() as log:
        signed_twice = dsse.sign(dsse.open_envelope(old).payload, [RECORD_KEY, OTHER_KEY])
        log.append([signed_twice])  # another envelope, so the database cannot tell
    assert "replay" in problems(place)["record 6"]


def test_13_record_moved_between_environments(place: Place) -> None:
    with place.open() as log, pytest.raises(InvalidEvidenceError, match="of environment 'staging'"):
        log.append([record(environment="staging")])
    envelopes = [envelope for _, _, envelope in rows(place)]
    rebuild(place, [*envelopes, record(environment="staging")])
    sign_checkpoint_of(place)
    assert "staging" in problems(place)["record 6"]


def test_13_record_moved_between_two_logs_of_one_environment(place: Place) -> None:
    with place.open() as log:
        beacon = {**(log.beacon() or {}), "origin": "guardian/production/ffffffff"}
        log.append([record(beacon=beacon)])
    assert "made elsewhere" in problems(place)["record 6"]


def attachment_of(place: Place) -> Path:
    [path] = [path for path in place.objects.rglob("*") if path.is_file()]
    return path


def test_19_attachment_swapped(place: Place, tmp_path: Path) -> None:
    attachment_of(place).write_bytes(bytes(32) + b"another manifest")
    assert "was changed" in problems(place)["record 1"]
    with pytest.raises(InvalidEvidenceError, match="was changed"):
        export(place, tmp_path / "pack.zip")
    assert not (tmp_path / "pack.zip").exists()


def test_19_attachment_deleted(place: Place, tmp_path: Path) -> None:
    attachment_of(place).unlink()
    assert "is missing" in problems(place)["record 1"]
    with pytest.raises(InvalidEvidenceError, match="is missing"):
        export(place, tmp_path / "pack.zip")


def test_21_revoked_key_still_used(place: Place, tmp_path: Path) -> None:
    revoked = keyring.KeyEntry("record", RECORD.public, RECORD.not_before, None, RECORD.not_before)
    new = keyring.KeyEntry.of(OTHER_KEY, role="record", not_before=RECORD.not_before)
    with place.open() as log:
        log.append([key_event(make_keyring(2, revoked, new, LOG), key=OTHER_KEY), record(), record(key=OTHER_KEY)])
    assert problems(place).keys() == {"record 7"}
    assert "revoked" in problems(place)["record 7"]
    path = export(place, tmp_path / "pack.zip")  # its index is signed by the revoked key too
    assert blamed(verify_pack(path, ROOT)) == {INDEX}


@pytest.mark.parametrize("key", [LOG_KEY, ROOT_KEY, fixed_key(99)], ids=["log key", "root key", "stranger"])
def test_21_key_in_another_role_signs_a_record(place: Place, key: PrivateKey) -> None:
    with place.open() as log:
        log.append([record(key=key)])
    assert problems(place).keys() == {"record 6"}


def test_21_approver_key_alone_signs_a_record(place: Place) -> None:
    approver = keyring.KeyEntry.of(OTHER_KEY, role="approver", not_before=RECORD.not_before)
    with place.open() as log:
        log.append([key_event(make_keyring(2, RECORD, LOG, approver)), record("waiver", key=OTHER_KEY)])
        payload = dsse.open_envelope(record("waiver")).payload
        log.append([dsse.sign(payload, [RECORD_KEY, OTHER_KEY])])
    assert problems(place) == {"record 7": "no record key signed it"}


def test_22_dsse_confusion(place: Place) -> None:
    """A keyring or a pack index never passes for a record, nor a signature over one type for another."""
    good = json.loads(record())
    other_type = dsse.pae("application/json", b"{}")
    payload = statement.encode(statement.PACK_INDEX, [{"name": "x", "digest": {"sha256": "0" * 64}}], {})
    forged = [
        json.dumps({**good, "payloadType": "application/json"}).encode(),
        json.dumps({**good, "signatures": []}).encode(),
        json.dumps({**good, "signatures": good["signatures"] * 2}).encode(),
        make_keyring(),
        dsse.sign(payload, RECORD_KEY),
    ]
    with place.open() as log:
        for envelope in forged:
            with pytest.raises(InvalidEvidenceError):
                log.append([envelope])
        assert log.size == 6
        opened = dsse.open_envelope(record())
        wrong = dsse.Signature(RECORD_KEY.id, RECORD_KEY.sign(other_type))
        log.append([dsse._encode(opened.payload, [wrong])])
    assert "does not hold" in problems(place)["record 6"]


@pytest.mark.parametrize(
    "twist",
    [
        (b'"result":"PASSED"', b'"result":"FAILED","result":"PASSED"'),
        (b'"result":"PASSED"', b'"result":"FAILED","\\u0072esult":"PASSED"'),
        (b'"result":"PASSED"', b'"result":"PASSED\\ud800"'),
        (b'"result":"PASSED"', b'"result":NaN'),
        (b'"result":"PASSED"', b'"result":1e999'),
        (b'{"_type"', b'\xef\xbb\xbf{"_type"'),
    ],
)
def test_23_parser_differential(place: Place, twist: tuple[bytes, bytes]) -> None:
    """Rightly signed by the record key, but two parsers could read two things."""
    payload = dsse.open_envelope(record()).payload
    assert twist[0] in payload
    envelope = dsse.sign(payload.replace(*twist), RECORD_KEY)
    with place.open() as log, pytest.raises(InvalidEvidenceError):
        log.append([envelope])
    with pytest.raises(pack_verify.Refused):
        pack_verify.open_envelope(envelope, "it")


def resealed(members: dict[str, bytes], key: PrivateKey = RECORD_KEY, **change: Any) -> dict[str, bytes]:
    """Return the members under a fresh index: what someone with the record key can do."""
    old = json.loads(dsse.open_envelope(members[INDEX]).payload)["predicate"]
    subjects = [
        {"name": name, "digest": {"sha256": hashlib.sha256(data).hexdigest()}}
        for name, data in sorted(members.items())
        if name != INDEX
    ]
    payload = statement.encode(statement.PACK_INDEX, subjects, {**old, **change})
    return {**members, INDEX: dsse.sign(payload, key)}


def refused_by_both(path: Path, members: dict[str, bytes]) -> set[str]:
    rewrite(path, members)
    with pytest.raises(pack_verify.Refused) as refused:
        pack_verify.verify(path, ROOT.to_json())
    names = blamed(verify_pack(path, ROOT))
    assert refused.value.member in names
    return names


def test_24_merkle_second_preimage_and_wrong_proof_length(place: Place, tmp_path: Path) -> None:
    members = members_of(export(place, tmp_path / "pack.zip"))
    proof = json.loads(members["proofs/5.json"])
    changes: tuple[dict[str, Any], ...] = (
        {"hashes": proof["hashes"][:-1]},
        {"hashes": [*proof["hashes"], proof["hashes"][0]]},
        {"hashes": proof["hashes"][::-1]},
        {"hashes": []},
        {"index": 4},
        {"size": 7},
        {"index": True},
    )
    for change in changes:
        forged = json.dumps({**proof, **change}, sort_keys=True, separators=(",", ":")).encode()
        assert refused_by_both(tmp_path / "x.zip", resealed({**members, "proofs/5.json": forged})) == {"proofs/5.json"}
    node = merkle.leaf_hash(members["entries/0.json"]) + merkle.leaf_hash(members["entries/1.json"])
    forged_members = resealed({**members, "entries/0.json": node})
    assert refused_by_both(tmp_path / "x.zip", forged_members) & {"records/0.dsse.json", "entries/0.json"}


def test_24_records_exchanged_with_their_entries_but_not_in_the_log(tmp_path: Path) -> None:
    place = sqlite_place(tmp_path)
    with place.open() as log:
        log.append([key_event(), *(record() for _ in range(5))])
    members = members_of(export(place, tmp_path / "pack.zip"))
    for folder, suffix in (("records", ".dsse.json"), ("entries", ".json")):
        one, other = f"{folder}/3{suffix}", f"{folder}/4{suffix}"
        members[one], members[other] = members[other], members[one]
    assert refused_by_both(tmp_path / "x.zip", resealed(members)) == {"proofs/3.json", "proofs/4.json"}


def test_29_partial_pack_shown_as_complete(place: Place, tmp_path: Path) -> None:
    """Even the record key cannot leave a record out and call the pack complete."""
    members = members_of(export(place, tmp_path / "pack.zip"))
    for folder, suffix in (("records", ".dsse.json"), ("entries", ".json"), ("proofs", ".json")):
        del members[f"{folder}/4{suffix}"]
    assert refused_by_both(tmp_path / "x.zip", resealed(members)) == {"records/4.dsse.json"}
    partial = resealed(members, selection=[0, 1, 2, 3, 5])
    report = verify_pack(rewrite(tmp_path / "x.zip", partial), ROOT)
    assert (report.ok, report.complete, report.records, report.size) == (True, False, 5, 6)
    lies: list[Any] = [
        [0, 1, 2, 3],
        [0, 1, 2, 3, 4, 5],
        [0, 1, 2, 3, 5, 5],
        [5, 3, 2, 1, 0],
        [0, 1, 6],
        {},
        "all",
        True,
    ]
    for selection in lies:
        assert refused_by_both(tmp_path / "x.zip", resealed(members, selection=selection))


def test_29_attachment_left_out_of_a_pack(place: Place, tmp_path: Path) -> None:
    members = members_of(export(place, tmp_path / "pack.zip"))
    [name] = [name for name in members if name.startswith("attachments/")]
    del members[name]
    assert refused_by_both(tmp_path / "x.zip", resealed(members)) == {name}


def test_29_checkpoint_of_a_shorter_log_in_a_pack(place: Place, tmp_path: Path) -> None:
    members = members_of(export(place, tmp_path / "pack.zip"))
    leaves = [merkle.leaf_hash(members[f"entries/{index}.json"]) for index in range(5)]
    note = checkpoint.sign(ORIGIN, 5, merkle.CompactRange().append(leaves).root(), LOG_KEY)
    shorter = resealed({**members, "checkpoint": note}, checkpoint=note.decode())
    assert refused_by_both(tmp_path / "x.zip", shorter) == {"records/5.dsse.json"}


def test_29_members_that_no_record_accounts_for(place: Place, tmp_path: Path) -> None:
    """Even under a fresh index, a pack holds no attachment, keyring or checkpoint beside its own."""
    members = members_of(export(place, tmp_path / "pack.zip"))
    name = "attachments/" + hashlib.sha256(b"planted").hexdigest()
    assert refused_by_both(tmp_path / "x.zip", resealed({**members, name: b"planted"})) == {name}
    name = "keyring/2.dsse.json"
    assert refused_by_both(tmp_path / "x.zip", resealed({**members, name: make_keyring(2)})) == {name}
    other = members["checkpoint"].decode().replace("6", "7")
    assert refused_by_both(tmp_path / "x.zip", resealed(members, checkpoint=other)) == {"checkpoint"}


def test_31_zip_slip(place: Place, tmp_path: Path) -> None:
    path = export(place, tmp_path / "pack.zip")
    for name in ("../../evil", "/etc/cron.d/evil", "views/../../evil", "views/C:\\evil"):
        with zipfile.ZipFile(path, "a") as archive:
            archive.writestr(name, b"evil")
        assert blamed(verify_pack(path, ROOT)) & {name, "(zip)"}
        with pytest.raises(pack_verify.Refused):
            pack_verify.verify(path, ROOT.to_json())
        path = export(place, tmp_path / "pack.zip")


def test_31_zip_bomb(place: Place, tmp_path: Path) -> None:
    """A compressed member is refused from its header: nothing is ever unpacked."""
    members = members_of(export(place, tmp_path / "pack.zip"))
    path = tmp_path / "bomb.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in sorted(members):
            archive.writestr(name, bytes(200_000_000) if name.startswith("views/") else members[name])
    assert path.stat().st_size < 1_000_000
    report = verify_pack(path, ROOT)
    assert "stored plainly" in report.problems[0][1]
    with pytest.raises(pack_verify.Refused, match="stored plainly"):
        pack_verify.verify(path, ROOT.to_json())


def zip_in_order(members: list[tuple[str, bytes]]) -> bytes:
    """Return a zip as a pack's, but with the members in this order."""
    written, listed = b"", []
    for name, data in members:
        listed.append((name, zlib.crc32(data), len(data), len(written)))
        written += packfile._header(name, zlib.crc32(data), len(data)) + data
    return written + packfile._directory(listed, len(written))


def test_31_size_that_lies_and_member_listed_twice(place: Place, tmp_path: Path) -> None:
    members = members_of(export(place, tmp_path / "pack.zip"))
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name in sorted(members):
            archive.writestr(zipfile.ZipInfo(name), members[name])
        with pytest.warns(UserWarning, match="Duplicate"):
            archive.writestr(zipfile.ZipInfo("verify.py"), b"print('verified')")
    path = tmp_path / "x.zip"
    path.write_bytes(file.getvalue())
    assert not verify_pack(path, ROOT).ok
    twice = [*sorted(members.items()), ("verify.py", b"print('verified')")]
    path.write_bytes(zip_in_order(sorted(twice)))
    assert "verify.py is in it twice" in str(verify_pack(path, ROOT).problems)
    path.write_bytes(zip_in_order(sorted(members.items(), reverse=True)))
    assert "out of order" in str(verify_pack(path, ROOT).problems)
    data = bytearray(export(place, tmp_path / "pack.zip").read_bytes())
    data[22:26] = struct.pack("<L", 0xFFFFFFF0)  # the first member claims 4 GiB
    data[18:22] = data[22:26]
    path.write_bytes(data)
    assert blamed(verify_pack(path, ROOT)) == {"README.md"}
    with pytest.raises(pack_verify.Refused):
        pack_verify.verify(path, ROOT.to_json())


def test_31_swapped_verifier_in_the_pack(place: Place, tmp_path: Path) -> None:
    members = members_of(export(place, tmp_path / "pack.zip"))
    forged = {**members, "verify.py": b"print('verified')\n"}
    assert refused_by_both(tmp_path / "x.zip", forged) == {"verify.py"}
    assert refused_by_both(tmp_path / "x.zip", resealed(forged, key=fixed_key(66))) == {INDEX}


def test_33_keyring_rolled_back(place: Place) -> None:
    second = make_keyring(2, keyring.KeyEntry.of(OTHER_KEY, role="record", not_before=RECORD.not_before), LOG)
    with place.open() as log:
        log.append([key_event(second, key=OTHER_KEY)])
        log.append([key_event(make_keyring(1)), record()])
    found = problems(place)
    assert "version 3 must follow" in found["record 7"]
    assert "not in keyring version 2" in found["record 8"]


def test_33_keyring_left_out_of_a_pack(place: Place, tmp_path: Path) -> None:
    revoked = keyring.KeyEntry("record", RECORD.public, RECORD.not_before, None, RECORD.not_before)
    new = keyring.KeyEntry.of(OTHER_KEY, role="record", not_before=RECORD.not_before)
    with place.open() as log:
        log.append([key_event(make_keyring(2, revoked, new, LOG), key=OTHER_KEY)])
    members = members_of(export(place, tmp_path / "pack.zip"))
    del members["keyring/2.dsse.json"]
    assert refused_by_both(tmp_path / "x.zip", resealed(members)) == {"records/6.dsse.json"}


def test_33_keyring_signed_by_too_few_roots(tmp_path: Path) -> None:
    """A pack whose keyring says two of two roots, signed by one, does not vouch for itself either."""
    place = sqlite_place(tmp_path)
    weak = make_keyring(threshold=2, root_keys=[ROOT_KEY], roots=[ROOT_KEY.public, OTHER_KEY.public])
    with place.open() as log:
        log.append([key_event(weak), record()])
    path = export(place, tmp_path / "pack.zip")
    assert blamed(verify_pack(path, None)) == {"keyring/1.dsse.json"}
    with pytest.raises(pack_verify.Refused, match="too few"):
        pack_verify.verify(path, None)


def test_33_keyring_of_another_log_of_the_same_roots(place: Place) -> None:
    foreign = make_keyring(2, origin="guardian/production/ffffffff")
    with place.open() as log:
        log.append([key_event(foreign)])
    assert "guardian/production/ffffffff" in problems(place)["record 6"]


def test_33_keyring_made_without_the_roots(place: Place) -> None:
    forged = make_keyring(2, RECORD, LOG, root_keys=[OTHER_KEY])
    with place.open() as log:
        log.append([key_event(forged)])
    assert "roots of version 1" in problems(place)["record 6"]
