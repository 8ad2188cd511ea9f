"""Keys on disk, and keyrings that descend from their root version by version."""

from __future__ import annotations

import json
import stat
import subprocess
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from evidence import dsse, keyring, keys, statement
from evidence.errors import EvidenceError, InvalidEvidenceError
from evidence.strict import canonical
from tests.evidence_support import LOG, NOT_BEFORE, ORIGIN, OTHER_KEY, RECORD, ROOT, ROOT_KEY, fixed_key, make_keyring

if TYPE_CHECKING:
    from pathlib import Path

A, B, C, D = (fixed_key(number) for number in (11, 12, 13, 14))
QUORUM = keyring.Root(ORIGIN, 2, (A.public, B.public, C.public))


def quorum(version: int, *signers: keys.PrivateKey, roots: tuple[keys.PrivateKey, ...] = (A, B, C)) -> bytes:
    public = [key.public for key in roots]
    return make_keyring(version, threshold=2, root_keys=list(signers), roots=public)


def resign(envelope: bytes, key: keys.PrivateKey, **change: Any) -> bytes:
    """Return the keyring with its predicate changed and its subject fitting, signed by `key`."""
    predicate = json.loads(dsse.open_envelope(envelope).payload)["predicate"] | change
    digest = statement.digest_of_text(canonical(predicate).decode())
    subject = {"name": f"keyring:{predicate.get('version')}", "digest": {"sha256": digest}}
    return dsse.sign(statement.encode(statement.KEYRING, [subject], predicate), key)


def test_a_generated_key_is_private_reloads_and_is_never_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "new" / "record.pem"
    key = keys.generate_key(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert keys.load_key(path).id == key.id
    with pytest.raises(EvidenceError, match="never overwritten"):
        keys.generate_key(path)
    assert keys.load_key(path).id == key.id
    assert key.public.public_bytes_raw().hex() not in repr(key)
    assert "PrivateKey()" in repr(key)


def test_openssl_computes_the_same_key_id(tmp_path: Path) -> None:
    key = keys.generate_key(tmp_path / "key.pem")
    der = subprocess.run(
        ["openssl", "pkey", "-in", str(tmp_path / "key.pem"), "-pubout", "-outform", "DER"],  # noqa: S607 -- the user's openssl
        check=True,
        capture_output=True,
        timeout=30,
    ).stdout
    assert der == keys.public_der(key.public)
    assert key.id == keyring.key_id(key) == keyring.key_id(key.public)


def test_a_file_that_is_no_ed25519_key_is_refused_without_showing_it(tmp_path: Path) -> None:
    path = tmp_path / "key.pem"
    with pytest.raises(EvidenceError, match="cannot read"):
        keys.load_key(path)
    path.write_text("a secret that is no key")
    with pytest.raises(EvidenceError) as caught:
        keys.load_key(path)
    assert "a secret" not in str(caught.value)
    subprocess.run(
        ["openssl", "genpkey", "-algorithm", "X25519", "-out", str(path)],  # noqa: S607 -- the user's openssl
        check=True,
        capture_output=True,
        timeout=30,
    )
    with pytest.raises(EvidenceError, match="not Ed25519"):
        keys.load_key(path)


def test_root_json_reads_back_and_its_fingerprint_is_its_sha256(tmp_path: Path) -> None:
    data = QUORUM.to_json()
    assert keyring.Root.parse(data) == keyring.Root.parse(data + b"\n")
    assert keyring.Root.parse(data).to_json() == data
    assert QUORUM.fingerprint == statement.digest_of_text(data.decode())
    (tmp_path / "root.json").write_bytes(data[:-1])
    with pytest.raises(InvalidEvidenceError, match=r"root\.json"):
        keyring.read_root(tmp_path / "root.json")
    with pytest.raises(EvidenceError, match="cannot read"):
        keyring.read_root(tmp_path / "none.json")


@pytest.mark.parametrize(
    "change",
    [
        {"threshold": 0},
        {"threshold": 4},
        {"threshold": True},
        {"roots": []},
        {"origin": "production"},
        {"origin": 1},
        {"extra": 1},
        {"roots": json.loads(QUORUM.to_json())["roots"][::-1]},
        {"roots": json.loads(QUORUM.to_json())["roots"][:1] * 3},
        {"roots": [{**json.loads(QUORUM.to_json())["roots"][0], "id": "0" * 64}], "threshold": 1},
        {"roots": [{"id": "0" * 64, "public": "YQ=="}], "threshold": 1},
    ],
)
def test_a_root_that_makes_no_sense_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(EvidenceError):
        keyring.Root.parse(canonical(json.loads(QUORUM.to_json()) | change))


def test_a_keyring_descends_from_its_root_through_every_version() -> None:
    versions = [quorum(1, A, B), quorum(2, B, C), make_keyring(3, RECORD, threshold=2, root_keys=[A, B, D])]
    assert keyring.verify_keyring(versions, QUORUM).version == 3
    assert keyring.verify_keyring(versions[:1], QUORUM).find(RECORD.id, ["record"]) == RECORD.public
    assert (
        keyring.self_asserted_root(versions[0]) == QUORUM
        or keyring.self_asserted_root(versions[0]).to_json() == QUORUM.to_json()
    )


def test_too_few_roots_are_refused() -> None:
    with pytest.raises(InvalidEvidenceError, match="2 are needed"):
        keyring.verify_keyring([quorum(1, A)], QUORUM)


def test_a_version_signed_only_by_its_own_new_roots_is_refused() -> None:
    with pytest.raises(InvalidEvidenceError, match="roots of version 1"):
        keyring.verify_keyring([quorum(1, A, B), quorum(2, D, OTHER_KEY, roots=(A, B, C, D, OTHER_KEY))], QUORUM)


def test_a_rolled_back_skipped_or_repeated_version_is_refused() -> None:
    first, second, third = (make_keyring(version) for version in (1, 2, 3))
    for chain in ([first, first], [first, third], [second], [first, second, first], [first, second, second]):
        with pytest.raises(InvalidEvidenceError, match="must follow"):
            keyring.verify_keyring(chain, ROOT)
    with pytest.raises(InvalidEvidenceError, match="no keyring"):
        keyring.verify_keyring([], ROOT)


def test_a_keyring_of_another_log_root_or_threshold_is_refused() -> None:
    for root in (
        keyring.Root("guardian/production/ffffffff", 1, ROOT.roots),
        keyring.Root(ORIGIN, 1, (OTHER_KEY.public,)),
        keyring.Root(ORIGIN, 1, (*ROOT.roots, OTHER_KEY.public)),
    ):
        with pytest.raises(InvalidEvidenceError):
            keyring.verify_keyring([make_keyring()], root)


def test_a_signature_that_is_no_roots_or_does_not_hold_spoils_the_keyring() -> None:
    with pytest.raises(InvalidEvidenceError, match="no root's"):
        keyring.verify_keyring([dsse.add_signature(make_keyring(), OTHER_KEY)], ROOT)
    good, other = dsse.open_envelope(quorum(1, A, B, C)), dsse.open_envelope(quorum(2, A, B, C))
    swapped = dsse._encode(good.payload, [*good.signatures[:2], other.signatures[2]])
    with pytest.raises(InvalidEvidenceError, match="does not hold"):
        keyring.verify_keyring([swapped], QUORUM)


@pytest.mark.parametrize(
    "change",
    [
        {"version": "1"},
        {"version": True},
        {"keys": {}},
        {"keys": [{**RECORD.to_json(), "role": "admin"}]},
        {"keys": [{**RECORD.to_json(), "notBefore": None}]},
        {"keys": [{**RECORD.to_json(), "notBefore": "2026-13-01T00:00:00Z"}]},
        {"keys": [{**RECORD.to_json(), "notBefore": "2026-01-01T00:00:00+00:00"}]},
        {"keys": [{**RECORD.to_json(), "notAfter": "2025-01-01T00:00:00Z"}]},
        {"keys": [{**RECORD.to_json(), "id": LOG.id}]},
        {"keys": [RECORD.to_json(), RECORD.to_json()]},
        {"keys": sorted((RECORD.to_json(), LOG.to_json()), key=lambda one: one["id"], reverse=True)},
        {"keys": [{**RECORD.to_json(), "more": 1}]},
        {"more": 1},
    ],
)
def test_a_keyring_that_makes_no_sense_is_refused_though_its_root_signed_it(change: dict[str, Any]) -> None:
    with pytest.raises(InvalidEvidenceError):
        keyring.verify_keyring([resign(make_keyring(), ROOT_KEY, **change)], ROOT)


def test_a_root_key_has_no_other_role() -> None:
    with pytest.raises(InvalidEvidenceError, match="no root among them"):
        make_keyring(1, keyring.KeyEntry.of(ROOT_KEY, role="record", not_before=NOT_BEFORE))


def test_a_key_is_found_only_in_its_role_and_while_not_revoked() -> None:
    revoked = keyring.KeyEntry("record", RECORD.public, NOT_BEFORE, None, datetime(2026, 6, 1, tzinfo=UTC))
    ring = keyring.verify_keyring([make_keyring(1, revoked, LOG)], ROOT)
    with pytest.raises(InvalidEvidenceError, match="revoked"):
        ring.find(RECORD.id, ["record"])
    with pytest.raises(InvalidEvidenceError, match="role log"):
        ring.find(LOG.id, ["record"])
    with pytest.raises(InvalidEvidenceError, match="not in keyring"):
        ring.find("0" * 64, ["record"])
    assert ring.with_role("record") == []


def test_times_are_written_in_utc_and_need_a_zone() -> None:
    entry = keyring.KeyEntry.of(
        OTHER_KEY, role="record", not_before=NOT_BEFORE, not_after=NOT_BEFORE + timedelta(days=1)
    )
    assert entry.to_json()["notAfter"] == "2026-01-02T00:00:00Z"
    with pytest.raises(EvidenceError, match="no time zone"):
        keyring.KeyEntry.of(OTHER_KEY, role="record", not_before=datetime(2026, 1, 1)).to_json()  # noqa: DTZ001 -- the point
