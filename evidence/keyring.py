"""The keyring: which keys speak for an environment, vouched for by root keys, version by version.

Invariant: a Keyring returned by `verify_keyring` descends from the root given: version 1 has exactly the root's keys
and threshold; every version is signed by its own threshold of its own roots and by the previous version's threshold of
the previous roots; every signature present is by one of those roots and holds. A version that is not the next is
refused. The only I/O is reading root.json.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from evidence import dsse, statement
from evidence.checkpoint import environment_of
from evidence.errors import EvidenceError, InvalidEvidenceError
from evidence.keys import PrivateKey, PublicKey, generate_key, key_id, load_key, public_der, public_from_der
from evidence.strict import Json, b64decode, b64encode, canonical, parse_canonical

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

__all__ = ["KeyEntry", "Keyring", "PrivateKey", "PublicKey", "Root", "generate_key", "key_id", "load_key"]

RECORD: Final = "record"
LOG: Final = "log"
APPROVER: Final = "approver"
ROLES: Final = (RECORD, LOG, APPROVER, "witness")
_TIME: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")


@dataclass(frozen=True, slots=True)
class Root:
    """The trust anchor an auditor is given: the origin, and `threshold` of these root keys."""

    origin: str
    threshold: int
    roots: tuple[PublicKey, ...]

    def to_json(self) -> bytes:
        """Return the canonical bytes of root.json."""
        _check_threshold(self.threshold, self.roots, "root.json")
        return canonical({"origin": self.origin, "roots": _roots_json(self.roots), "threshold": self.threshold})

    @property
    def fingerprint(self) -> str:
        """Hex SHA-256 of root.json: what `sha256sum root.json` prints."""
        return hashlib.sha256(self.to_json()).hexdigest()

    @classmethod
    def parse(cls, data: bytes) -> Root:
        """Parse root.json; one trailing newline is allowed. Raises InvalidEvidenceError."""
        value = _exactly(
            parse_canonical(data.removesuffix(b"\n"), "root.json"), {"origin", "roots", "threshold"}, "root.json"
        )
        roots = _parse_roots(value["roots"], "root.json")
        _check_threshold(value["threshold"], roots, "root.json")
        if not isinstance(value["origin"], str):
            raise InvalidEvidenceError("the origin in root.json must be a text")
        environment_of(value["origin"])
        return cls(value["origin"], value["threshold"], roots)


@dataclass(frozen=True, slots=True)
class KeyEntry:
    """One key of a keyring. role: one of ROLES. Times are whole seconds UTC; None where open."""

    role: str
    public: PublicKey
    not_before: datetime
    not_after: datetime | None = None
    revoked_at: datetime | None = None

    @property
    def id(self) -> str:
        """Hex SHA-256 of the SPKI DER."""
        return key_id(self.public)

    @classmethod
    def of(cls, key: PrivateKey, *, role: str, not_before: datetime, not_after: datetime | None = None) -> KeyEntry:
        """Return the entry of a key at hand."""
        return cls(role, key.public, not_before, not_after)

    def to_json(self) -> dict[str, Any]:
        """Return the entry's JSON shape."""
        return {
            "id": self.id,
            "role": self.role,
            "public": b64encode(public_der(self.public)),
            "notBefore": _write_time(self.not_before),
            "notAfter": _write_time(self.not_after),
            "revokedAt": _write_time(self.revoked_at),
        }


@dataclass(frozen=True, slots=True)
class Keyring:
    """One verified version. keys: by key id."""

    origin: str
    version: int
    threshold: int
    roots: tuple[PublicKey, ...]
    keys: Mapping[str, KeyEntry]

    def find(self, key: str, roles: Sequence[str], *, now: datetime | None = None) -> PublicKey:
        """Return the public key with id `key` if it may sign in one of `roles` under this version.

        now: a trusted time by which the signature existed (the verifier's clock), if there is one: a key that only
        becomes valid later is then refused. Raises InvalidEvidenceError with the reason.
        """
        entry = self.keys.get(key)
        if entry is None:
            raise InvalidEvidenceError(f"the key {key} is not in keyring version {self.version}")
        if entry.role not in roles:
            raise InvalidEvidenceError(f"the key {key} has the role {entry.role}; {' or '.join(roles)} is needed")
        if entry.revoked_at is not None:
            raise InvalidEvidenceError(f"the key {key} is revoked in keyring version {self.version}")
        if now is not None and entry.not_before > now:
            raise InvalidEvidenceError(f"the key {key} is not valid before {_write_time(entry.not_before)}")
        return entry.public

    def with_role(self, role: str) -> list[PublicKey]:
        """Return the keys in `role` that are not revoked."""
        return [entry.public for entry in self.keys.values() if entry.role == role and entry.revoked_at is None]


def create_keyring(
    *,
    origin: str,
    version: int,
    threshold: int,
    root_keys: Sequence[PrivateKey],
    entries: Sequence[KeyEntry],
    roots: Sequence[PublicKey] | None = None,
) -> bytes:
    """Return the envelope of one keyring version; the log takes it inside a `key-event`.

    root_keys: the root keys at hand, which sign; others add theirs with `dsse.add_signature`. roots: all root keys of
    this version, those of `root_keys` when None. Raises EvidenceError if the content would never be accepted.
    """
    public = [key.public for key in root_keys] if roots is None else roots
    predicate = {
        "keys": [entry.to_json() for entry in sorted(entries, key=lambda entry: entry.id)],
        "origin": origin,
        "roots": _roots_json(public),
        "threshold": threshold,
        "version": version,
    }
    payload = statement.encode(statement.KEYRING, [_subject(predicate)], predicate)
    _parse(payload)
    return dsse.sign(payload, root_keys)


def read_root(path: Path) -> Root:
    """Read root.json. Raises EvidenceError naming the file."""
    try:
        return Root.parse(path.read_bytes())
    except OSError as error:
        raise EvidenceError(f"cannot read {path}: {error.strerror}") from error
    except EvidenceError as error:
        raise InvalidEvidenceError(f"{path}: {error}") from error


def envelope_of(predicate: Mapping[str, Any]) -> bytes:
    """Return the keyring's envelope that a key-event carries in its predicate. Raises InvalidEvidenceError."""
    value = predicate.get("keyring")
    if not isinstance(value, dict):
        raise InvalidEvidenceError("the key-event carries no keyring")
    return canonical(value)


def verify_keyring(envelopes: Sequence[bytes], root: Root) -> Keyring:
    """Return the newest keyring of `envelopes`, oldest first, all verified from `root`. Raises InvalidEvidenceError."""
    keyring: Keyring | None = None
    for envelope in envelopes:
        keyring = next_keyring(keyring, envelope, root)
    if keyring is None:
        raise InvalidEvidenceError("there is no keyring")
    return keyring


def next_keyring(previous: Keyring | None, envelope: bytes, root: Root) -> Keyring:
    """Return the keyring in `envelope` if it may follow `previous` (None: if it is version 1 of `root`)."""
    opened = dsse.open_envelope(envelope)
    keyring = _parse(opened.payload)
    expected = 1 if previous is None else previous.version + 1
    if keyring.version != expected:
        raise InvalidEvidenceError(f"keyring version {keyring.version} found where version {expected} must follow")
    if keyring.origin != root.origin:
        raise InvalidEvidenceError(f"the keyring is of the log {keyring.origin}, root.json of {root.origin}")
    if previous is None and (keyring.threshold != root.threshold or _ids(keyring.roots) != _ids(root.roots)):
        raise InvalidEvidenceError("the root keys or the threshold of keyring version 1 are not those of root.json")
    known = {key_id(one): one for one in (*keyring.roots, *(previous.roots if previous else ()))}
    for signature in opened.signatures:
        key = known.get(signature.key_id)
        if key is None or not opened.signed_by(signature, key):
            raise InvalidEvidenceError(
                f"a signature on keyring version {keyring.version} does not hold or is no root's: {signature.key_id}"
            )
    for judge in (keyring, previous or keyring):
        count = len(_ids(judge.roots) & {signature.key_id for signature in opened.signatures})
        if count < judge.threshold:
            raise InvalidEvidenceError(
                f"keyring version {keyring.version} is signed by {count} roots of version {judge.version};"
                f" {judge.threshold} are needed"
            )
    return keyring


def self_asserted_root(envelope: bytes) -> Root:
    """Return the root that keyring version 1 claims for itself: proves nothing until its fingerprint is compared."""
    keyring = _parse(dsse.open_envelope(envelope).payload)
    return Root(keyring.origin, keyring.threshold, keyring.roots)


def _parse(payload: bytes) -> Keyring:
    what = "the keyring"
    outer = statement.open_statement(payload, what)
    if outer["predicateType"] != statement.KEYRING:
        raise InvalidEvidenceError(f"a statement of type {outer['predicateType']!r} found where a keyring must be")
    value = _exactly(outer["predicate"], {"keys", "origin", "roots", "threshold", "version"}, what)
    if outer["subject"] != [_subject(value)]:
        raise InvalidEvidenceError("the subject of a keyring must be its predicate, by version and sha256")
    if not isinstance(value["origin"], str):
        raise InvalidEvidenceError("the origin in the keyring must be a text")
    environment_of(value["origin"])
    version = value["version"]
    if not _whole(version) or version < 1:
        raise InvalidEvidenceError(f"a keyring's version must be a whole number from 1, found {version!r}")
    roots = _parse_roots(value["roots"], what)
    _check_threshold(value["threshold"], roots, what)
    if not isinstance(value["keys"], list):
        raise InvalidEvidenceError("the keys of the keyring must be a list")
    entries = [_parse_entry(one) for one in value["keys"]]
    ids = [entry.id for entry in entries]
    if sorted(set(ids)) != ids or _ids(roots) & set(ids):
        raise InvalidEvidenceError("the keys of a keyring must be sorted by id, each once, and no root among them")
    return Keyring(value["origin"], version, value["threshold"], roots, dict(zip(ids, entries, strict=True)))


def _subject(predicate: Mapping[str, Any]) -> dict[str, Any]:
    digest = hashlib.sha256(canonical(predicate)).hexdigest()
    return {"name": f"keyring:{predicate['version']}", "digest": {"sha256": digest}}


def _parse_entry(value: Json) -> KeyEntry:
    what = "a key of the keyring"
    value = _exactly(value, {"id", "role", "public", "notBefore", "notAfter", "revokedAt"}, what)
    if value["role"] not in ROLES:
        raise InvalidEvidenceError(f"unknown role {value['role']!r}; expected one of {', '.join(ROLES)}")
    public = _parse_public(value, what)
    not_before = _read_time(value["notBefore"])
    if not_before is None:
        raise InvalidEvidenceError("a key needs notBefore")
    not_after = _read_time(value["notAfter"])
    if not_after is not None and not_after <= not_before:
        raise InvalidEvidenceError(f"the key {value['id']} ends before it begins")
    return KeyEntry(value["role"], public, not_before, not_after, _read_time(value["revokedAt"]))


def _parse_public(value: Mapping[str, Any], what: str) -> PublicKey:
    public = public_from_der(b64decode(value["public"], f"the public key of {what}"), what)
    if value["id"] != key_id(public):
        raise InvalidEvidenceError(f"the id of {what} is not the SHA-256 of its public key")
    return public


def _parse_roots(value: Json, what: str) -> tuple[PublicKey, ...]:
    if not isinstance(value, list):
        raise InvalidEvidenceError(f"the roots of {what} must be a list")
    roots = tuple(_parse_public(_exactly(one, {"id", "public"}, f"a root of {what}"), what) for one in value)
    if [key_id(one) for one in roots] != sorted(_ids(roots)):
        raise InvalidEvidenceError(f"the roots of {what} must be sorted by id, each once")
    return roots


def _roots_json(roots: Sequence[PublicKey]) -> list[dict[str, str]]:
    return [{"id": key_id(one), "public": b64encode(public_der(one))} for one in sorted(roots, key=key_id)]


def _check_threshold(threshold: object, roots: Sequence[PublicKey], what: str) -> None:
    if not _whole(threshold) or threshold not in range(1, len(roots) + 1):
        raise InvalidEvidenceError(f"the threshold of {what} must be between 1 and its number of roots")


def _exactly(value: Json, keys: set[str], what: str) -> dict[str, Any]:
    if not isinstance(value, dict) or value.keys() != keys:
        raise InvalidEvidenceError(f"{what} must have exactly {', '.join(sorted(keys))}")
    return value


def _whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _ids(keys: Sequence[PublicKey]) -> set[str]:
    return {key_id(one) for one in keys}


def _write_time(moment: datetime | None) -> str | None:
    if moment is None:
        return None
    if moment.tzinfo is None:
        raise EvidenceError(f"the time {moment} has no time zone")
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _read_time(value: object) -> datetime | None:
    if value is None:
        return None
    try:
        if isinstance(value, str) and _TIME.fullmatch(value):
            return datetime.strptime(value, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
    except ValueError:
        pass
    raise InvalidEvidenceError(f"{value!r} is no time like 2026-11-23T11:00:00Z")
