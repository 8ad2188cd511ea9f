"""Verify an evidence pack: `python3 verify.py PACK [--root root.json]`. Needs only Python 3.11 and `cryptography`.

Invariant: nothing of a pack is believed before a signature that leads to the root keys covers it, and no byte of any
member is left uncovered. This is `verify.py` in every pack: a second implementation of the rules in evidence/FORMAT.md,
in one file for a stranger to read from top to bottom. It reads the pack and root.json and writes nothing.

Exit codes: 0 verified, 1 not, 2 usage, 3 consistent, but only with the keys inside the pack.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import re
import struct
import sys
import zipfile
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

INDEX: Final = "index.dsse.json"
MAX_PACK: Final = 2**32 - 2
MAX_JSON: Final = 64 * 2**20
PAYLOAD_TYPE: Final = "application/vnd.in-toto+json"
STATEMENT_TYPE: Final = "https://in-toto.io/Statement/v1"
URI: Final = "https://guardian.dev/evidence/{}/v1"
KINDS: Final = frozenset(
    ("policy-evaluation", "restore-drill", "source-manifest", "schedule", "missed-slot", "waiver", "admission-decision",
     "admission-gap", "attestation", "key-event", "log-succession", "retention-event", "access-event")
)  # fmt: skip
NUMBER: Final = r"(?:0|[1-9][0-9]{0,17})"
MEMBER: Final = re.compile(
    rf"checkpoint|coverage\.json|README\.md|verify\.py|index\.dsse\.json|keyring/{NUMBER}\.dsse\.json"
    rf"|records/{NUMBER}\.dsse\.json|(?:entries|proofs)/{NUMBER}\.json|attachments/[0-9a-f]{{64}}"
    r"|views(?:/[A-Za-z0-9_][A-Za-z0-9._-]{0,99}){1,8}"
)
HEX: Final = re.compile(r"[0-9a-f]{64}")
TIME: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z")
ORIGIN: Final = re.compile(r"guardian/([A-Za-z0-9][A-Za-z0-9._-]{0,62})/[0-9a-f]{8}")
RECORD_ID: Final = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
ENTRY: Final = re.compile(
    rb'\{"envelopeSha256":"([0-9a-f]{64})","kind":"([a-z]+(?:-[a-z]+)*)","recordId":"([0-9a-f-]{36})","v":1\}'
)
SALT_BYTES: Final = 32


class Refused(Exception):  # noqa: N818 -- what a verifier says, not a fault of its own
    """This member is not acceptable, and why."""

    def __init__(self, member: str, message: str) -> None:
        super().__init__(f"{member}: {message}")
        self.member, self.message = member, message


@dataclass
class Result:
    """What was verified. complete: all records 0..size-1 are in the pack. fingerprint: hex SHA-256 of its root.json."""

    origin: str
    size: int
    records: int
    complete: bool
    fingerprint: str


class Pack:
    """The members of the zip, stored plainly, in order, without gaps: nothing to unpack, nowhere to hide."""

    def __init__(self, path: Path) -> None:
        try:
            need(path.stat().st_size <= MAX_PACK, "(zip)", "is too large")
            self.zip = zipfile.ZipFile(path)
            infos, end = self.zip.infolist(), 0
        except (zipfile.BadZipFile, NotImplementedError, ValueError) as error:
            raise Refused("(zip)", f"is not a zip: {error}") from error
        directory = b""
        with path.open("rb") as file:
            for info in infos:
                name, size = info.filename, info.file_size
                need(MEMBER.fullmatch(name), name, "no member of a pack may have this name")
                named = (info.CRC, size, size, len(name))
                header = struct.pack("<4s5H3L2H", b"PK\3\4", 20, 0, 0, 0, 0x21, *named, 0) + name.encode()
                need(info.compress_size == size, name, "must be stored plainly")
                need(file.read(len(header)) == header, name, "must be stored plainly, right after the member before")
                directory += struct.pack("<4s6H3LH", b"PK\1\2", 0x314, 20, 0, 0, 0, 0x21, *named)
                directory += struct.pack("<4H2L", 0, 0, 0, 0, 0o100644 << 16, end) + name.encode()
                end = file.seek(size, 1)
            rest = file.read(len(directory) + 1000)  # all of it, unless there are bytes too many
        self.names = {info.filename: info.file_size for info in infos}
        need(
            list(self.names) == sorted(self.names) and len(infos) == len(self.names),
            "(zip)",
            "has members out of order",
        )
        many, count, length = b"", len(infos), len(directory)
        if count >= 0xFFFF:
            many = b"PK\6\6" + struct.pack("<Q2H2L4Q", 44, 45, 45, 0, 0, count, count, length, end)
            many += b"PK\6\7" + struct.pack("<LQL", 0, end + length, 1)
            count = 0xFFFF
        finish = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, count, count, length, end, 0)
        need(rest == directory + many + finish, "(zip)", "holds bytes that belong to no member")

    def read(self, name: str) -> bytes:
        """Return a member's bytes."""
        need(name in self.names, name, "is missing")
        need(self.names[name] <= MAX_JSON, name, "is too large")
        try:
            return self.zip.read(name)
        except (zipfile.BadZipFile, EOFError) as error:
            raise Refused(name, "is damaged in the zip") from error

    def sha256(self, name: str) -> str:
        """Return a member's hex SHA-256."""
        try:
            with self.zip.open(name) as file:
                digest = hashlib.sha256()
                while chunk := file.read(2**20):
                    digest.update(chunk)
                return digest.hexdigest()
        except (zipfile.BadZipFile, EOFError) as error:
            raise Refused(name, "is damaged in the zip") from error


def need(condition: object, member: str, message: str) -> None:
    """Refuse the member unless the condition holds."""
    if not condition:
        raise Refused(member, message)


def strict_json(data: bytes, member: str) -> Any:  # noqa: ANN401 -- JSON is untyped until checked
    """Parse JSON, refusing duplicate keys, NaN, integers outside 64 bits, lone surrogates and deep nesting."""

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) != len(pairs):
            raise ValueError("duplicate key")
        return found

    def refuse(constant: str) -> None:
        raise ValueError(f"{constant} is not JSON")

    def bounded(digits: str) -> int:
        if len(digits) > 20 or not -(2**63) <= int(digits) < 2**64:
            raise ValueError("an integer outside 64 bits")
        return int(digits)

    try:
        text = data.decode("utf-8")
        value = json.loads(text, object_pairs_hook=unique, parse_constant=refuse, parse_int=bounded)
        canonical(value)  # refuses lone surrogates and numbers that overflow
        too_deep = deep(value, 64)
    except (ValueError, RecursionError) as error:
        raise Refused(member, f"is not strict JSON: {error}") from error
    need(not too_deep, member, "is not strict JSON: nested too deep")
    return value


def deep(value: object, depth: int) -> bool:
    """Whether `value` is nested deeper than `depth`."""
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return depth < 0 or any(deep(one, depth - 1) for one in inner)


def canonical(value: object) -> bytes:
    """Return compact JSON with sorted keys in UTF-8."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode("utf-8")


def b64(text: object, member: str) -> bytes:
    """Decode base64, refusing every text but the one that encodes the result."""
    need(isinstance(text, str), member, "base64 expected")
    try:
        data = binascii.a2b_base64(str(text).encode("ascii"))
    except ValueError as error:
        raise Refused(member, "is not base64") from error
    need(base64.b64encode(data).decode() == text, member, "is not canonical base64")
    return data


def shape(value: object, keys: str, member: str) -> dict[str, Any]:
    """Return `value` if it is an object with exactly these keys."""
    if not isinstance(value, dict) or set(value) != set(keys.split()):
        raise Refused(member, f"must have exactly {keys}")
    return value


@dataclass
class Envelope:
    """A parsed DSSE envelope, its signatures by key id, not verified yet."""

    member: str
    payload: bytes
    statement: dict[str, Any]
    signatures: dict[str, bytes]

    def holds(self, key_id: str, public: Ed25519PublicKey) -> bool:
        """Whether the signature by `key_id` is `public`'s."""
        kind = PAYLOAD_TYPE.encode()
        signed = b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(self.payload), self.payload)
        try:
            public.verify(self.signatures[key_id], signed)
        except InvalidSignature:
            return False
        return True


def open_envelope(data: bytes, member: str) -> Envelope:
    """Parse an envelope and the in-toto statement in it."""
    outer = shape(strict_json(data, member), "payload payloadType signatures", member)
    need(outer["payloadType"] == PAYLOAD_TYPE, member, "unknown payload type")
    listed = outer["signatures"]
    need(isinstance(listed, list) and 1 <= len(listed) <= 16, member, "must carry 1 to 16 signatures")
    signatures: dict[str, bytes] = {}
    for one in listed:
        key = shape(one, "keyid sig", member)["keyid"]
        need(isinstance(key, str) and HEX.fullmatch(key), member, "a keyid must be 64 lower-case hex digits")
        need(not signatures or key > max(signatures), member, "key ids must be distinct and ascending")
        signatures[key] = b64(one["sig"], member)
        need(len(signatures[key]) == 64, member, "a signature must have 64 bytes")
    payload = b64(outer["payload"], member)
    need(canonical(outer) == data, member, "is not in its one canonical encoding")
    statement = shape(strict_json(payload, member), "_type predicate predicateType subject", member)
    need(statement["_type"] == STATEMENT_TYPE, member, "is no in-toto statement v1")
    need(isinstance(statement["predicate"], dict), member, "the predicate must be an object")
    subjects = statement["subject"]
    need(isinstance(subjects, list) and subjects, member, "must have a subject")
    for subject in subjects:
        digest = subject.get("digest") if isinstance(subject, dict) else None
        sha256 = digest.get("sha256") if isinstance(digest, dict) else None
        need(isinstance(sha256, str) and HEX.fullmatch(sha256), member, "a subject must have a sha256")
        need(isinstance(subject.get("name"), str), member, "a subject must have a name")
    return Envelope(member, payload, statement, signatures)


@dataclass
class Keyring:
    """One verified keyring version. keys: id -> (role, public key, revoked)."""

    version: int
    origin: str
    threshold: int
    roots: dict[str, Ed25519PublicKey]
    keys: dict[str, tuple[str, Ed25519PublicKey, bool]]

    def check(self, envelope: Envelope) -> None:
        """Refuse a record or index unless all its signatures hold and are by record or approver keys."""
        roles = set()
        for key_id in envelope.signatures:
            role, public, revoked = self.keys.get(key_id) or ("", None, False)
            need(public, envelope.member, f"the key {key_id} is not in keyring version {self.version}")
            need(role in ("record", "approver"), envelope.member, f"the key {key_id} has the role {role}")
            need(not revoked, envelope.member, f"the key {key_id} is revoked in keyring version {self.version}")
            need(public and envelope.holds(key_id, public), envelope.member, f"the signature by {key_id} does not hold")
            roles.add(role)
        need("record" in roles, envelope.member, "no record key signed it")


def public_key(value: dict[str, Any], member: str) -> Ed25519PublicKey:
    """Return the key in {id, public}, whose id must be the SHA-256 of its SPKI DER."""
    der = b64(value["public"], member)
    try:
        key = serialization.load_der_public_key(der)
    except ValueError as error:
        raise Refused(member, "holds something that is no public key") from error
    if not isinstance(key, Ed25519PublicKey):
        raise Refused(member, "holds a key that is not Ed25519")
    need(hashlib.sha256(der).hexdigest() == value["id"] and len(der) == 44, member, "a key id is not its key's SHA-256")
    return key


def is_time(value: object) -> bool:
    """Whether `value` is a moment like 2026-11-23T11:00:00Z."""
    try:
        return isinstance(value, str) and bool(TIME.fullmatch(value) and datetime.fromisoformat(value))
    except ValueError:
        return False


def root_keys(value: object, threshold: object, member: str) -> dict[str, Ed25519PublicKey]:
    """Parse a list of roots and check the threshold against it."""
    need(isinstance(value, list), member, "roots must be a list")
    listed = [shape(one, "id public", member) for one in value] if isinstance(value, list) else []
    roots = {str(one["id"]): public_key(one, member) for one in listed}
    need(list(roots) == sorted(roots) and len(roots) == len(listed), member, "roots must be sorted, each once")
    need(type(threshold) is int and 1 <= threshold <= len(roots), member, "the threshold does not fit the roots")
    return roots


def open_keyring(envelope: Envelope, previous: Keyring | None) -> Keyring:
    """Parse a keyring and check its own and the previous version's threshold of signatures."""
    member = envelope.member
    statement = envelope.statement
    need(statement["predicateType"] == URI.format("keyring"), member, "is no keyring")
    value = shape(statement["predicate"], "keys origin roots threshold version", member)
    digest = hashlib.sha256(canonical(value)).hexdigest()
    subject = [{"name": f"keyring:{value['version']}", "digest": {"sha256": digest}}]
    need(statement["subject"] == subject, member, "its subject is not its predicate")
    expected = previous.version + 1 if previous else 1
    need(type(value["version"]) is int and value["version"] == expected, member, f"version {expected} must follow here")
    need(
        isinstance(value["origin"], str) and ORIGIN.fullmatch(value["origin"]), member, "its origin is not well formed"
    )
    roots = root_keys(value["roots"], value["threshold"], member)
    keys: dict[str, tuple[str, Ed25519PublicKey, bool]] = {}
    need(isinstance(value["keys"], list), member, "keys must be a list")
    for one in value["keys"]:
        shape(one, "id role public notBefore notAfter revokedAt", member)
        need(one["role"] in ("record", "log", "approver", "witness"), member, "a key has an unknown role")
        public = public_key(one, member)
        need(not keys or one["id"] > max(keys), member, "keys must be sorted, each once")
        for name in ("notBefore", "notAfter", "revokedAt"):
            need(is_time(one[name]) or (one[name] is None and name != "notBefore"), member, f"malformed {name}")
        need(one["notAfter"] is None or one["notAfter"] > one["notBefore"], member, "a key ends before it begins")
        keys[one["id"]] = (one["role"], public, one["revokedAt"] is not None)
    need(not keys.keys() & roots.keys(), member, "a root key has another role too")
    keyring = Keyring(expected, value["origin"], value["threshold"], roots, keys)
    known = {**roots, **(previous.roots if previous else {})}
    for key_id in envelope.signatures:
        need(key_id in known and envelope.holds(key_id, known[key_id]), member, "a signature does not hold")
    for judge in (keyring, previous or keyring):
        signed = len(judge.roots.keys() & envelope.signatures.keys())
        need(signed >= judge.threshold, member, f"{signed} roots of version {judge.version} signed it, too few")
    need(previous is None or previous.origin == keyring.origin, member, "is of another log")
    return keyring


def node(left: bytes, right: bytes) -> bytes:
    """Return the hash of a node (RFC 6962 section 2.1)."""
    return hashlib.sha256(b"\x01" + left + right).digest()


def tree_root(peaks: list[bytes]) -> bytes:
    """Return the root over complete subtrees, left to right."""
    root = peaks[-1] if peaks else hashlib.sha256(b"").digest()
    for peak in reversed(peaks[:-1]):
        root = node(peak, root)
    return root


def grow(peaks: list[bytes], size: int, leaf: bytes) -> None:
    """Append a leaf hash to the complete subtrees of a tree of `size` leaves."""
    while size & 1:
        leaf, size = node(peaks.pop(), leaf), size >> 1
    peaks.append(leaf)


def check_proof(data: bytes, index: int, size: int, leaf: bytes, root: bytes, member: str) -> None:
    """Refuse an inclusion proof unless it leads from the leaf to the root (RFC 9162 section 2.1.3.2)."""
    proof = shape(strict_json(data, member), "hashes index size", member)
    need(canonical(proof) == data, member, "is not in its one canonical encoding")
    need(type(proof["index"]) is int and proof["index"] == index, member, "is of another record")
    need(type(proof["size"]) is int and proof["size"] == size, member, "is of another log size")
    need(isinstance(proof["hashes"], list), member, "hashes must be a list")
    path = [b64(one, member) for one in proof["hashes"]]
    inner = (index ^ (size - 1)).bit_length()
    need(len(path) == inner + (index >> inner).bit_count(), member, "has the wrong length")
    need(all(len(one) == 32 for one in path), member, "holds a hash that has not 32 bytes")
    for level, sibling in enumerate(path):
        leaf = node(sibling, leaf) if level >= inner or (index >> level) & 1 else node(leaf, sibling)
    need(leaf == root, member, "does not lead to the checkpoint: the record is not in the log")


def check_checkpoint(note: bytes, keyring: Keyring) -> tuple[int, bytes]:
    """Return size and root of a checkpoint signed by a log key (c2sp.org/tlog-checkpoint, c2sp.org/signed-note)."""
    member = "checkpoint"
    lines = note.decode("utf-8", "replace").split("\n")
    need(len(lines) == 6 and not lines[3] and not lines[5], member, "must be three lines, an empty one and a signature")
    origin, size, root = lines[0], lines[1], b64(lines[2], member)
    need(origin == keyring.origin, member, f"is of the log {origin}, the keyring of {keyring.origin}")
    need(re.fullmatch(NUMBER, size) and int(size) > 0 and len(root) == 32, member, "size or root is not well formed")
    text = f"{origin}\n{size}\n{base64.b64encode(root).decode()}\n"
    start = f"\N{EM DASH} {origin} "
    signed = b64(lines[4].removeprefix(start), member)
    encoded = f"{text}\n{start}{base64.b64encode(signed).decode()}\n"
    need(len(signed) == 68 and encoded.encode() == note, member, "is not in its one encoding")
    for role, public, revoked in keyring.keys.values():
        named = hashlib.sha256(f"{origin}\n".encode() + b"\x01" + public.public_bytes_raw()).digest()[:4]
        if role == "log" and not revoked and named == signed[:4]:
            try:
                public.verify(signed[4:], text.encode())
            except InvalidSignature:
                continue
            return int(size), root
    raise Refused(member, "is not signed by a log key of the keyring")


def check_keyrings(pack: Pack, root_json: bytes | None) -> tuple[list[tuple[Keyring, bytes]], str]:
    """Return every keyring version with its bytes, and the fingerprint of the root that version 1 stands on."""
    keyrings: list[tuple[Keyring, bytes]] = []
    for version in range(1, max(1, sum(name.startswith("keyring/") for name in pack.names)) + 1):
        member = f"keyring/{version}.dsse.json"
        data = pack.read(member)
        keyrings.append((open_keyring(open_envelope(data, member), keyrings[-1][0] if keyrings else None), data))
    first = keyrings[0][0]
    spki = (serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    roots = [
        {"id": key_id, "public": base64.b64encode(key.public_bytes(*spki)).decode()}
        for key_id, key in first.roots.items()
    ]
    own = canonical({"origin": first.origin, "roots": roots, "threshold": first.threshold})
    same = root_json is None or root_json.removesuffix(b"\n") == own
    need(same, "keyring/1.dsse.json", "its origin, root keys or threshold are not those of root.json")
    return keyrings, hashlib.sha256(own).hexdigest()


def check_index(pack: Pack, keyring: Keyring) -> tuple[bytes, list[int] | None]:
    """Return the checkpoint and the selection that the signed index names, after holding every member against it."""
    index = open_envelope(pack.read(INDEX), INDEX)
    keyring.check(index)  # before its digests are believed, or a changed index would blame another member
    need(index.statement["predicateType"] == URI.format("pack-index"), INDEX, "is no pack index")
    value = shape(index.statement["predicate"], "checkpoint format origin selection", INDEX)
    need(
        type(value["format"]) is int and value["format"] == 1, INDEX, "is of a format that this verifier does not know"
    )
    need(value["origin"] == keyring.origin, INDEX, "is of another log than the keyring")
    names = [subject["name"] for subject in index.statement["subject"]]
    need(names == sorted(set(names)), INDEX, "its members must be in order, each once")
    for subject in index.statement["subject"]:
        name = subject["name"]
        need(name in pack.names, name, "is missing: the index lists it")
        need(pack.sha256(name) == subject["digest"]["sha256"], name, "was changed: its SHA-256 is not the index's")
    for name in pack.names.keys() - set(names) - {INDEX}:
        raise Refused(name, "is not listed in the index: it was added or renamed")
    for name in ("README.md", "coverage.json", "verify.py"):
        need(name in pack.names, name, "is missing")
    note, selection = pack.read("checkpoint"), value["selection"]
    need(value["checkpoint"] == note.decode("utf-8", "replace"), "checkpoint", "is not the one that the index names")
    need(selection is None or isinstance(selection, list), INDEX, "has a malformed selection")
    return note, selection


def check_records(pack: Pack, selection: list[int], root: bytes, size: int, keyrings: list[tuple[Keyring, bytes]],
                  *, complete: bool) -> None:  # fmt: skip
    """Refuse the first record, entry, proof, keyring or attachment that does not hold."""
    logged, seen, attached, beacons, peaks = (
        0,
        set[str](),
        set[str](),
        dict[int, list[tuple[str, bytes]]](),
        list[bytes](),
    )
    leaves: list[bytes] = []
    for index in selection:
        member, proof = f"records/{index}.dsse.json", f"proofs/{index}.json"
        data, entry = pack.read(member), pack.read(f"entries/{index}.json")
        match = ENTRY.fullmatch(entry)
        need(match, f"entries/{index}.json", "is no canonical log entry")
        digest, kind, record_id = (group.decode() for group in match.groups()) if match else ("", "", "")
        need(hashlib.sha256(data).hexdigest() == digest, member, "is not the envelope that its log entry names")
        record = open_envelope(data, member)
        predicate = record.statement["predicate"]
        need(kind in KINDS and record.statement["predicateType"] == URI.format(kind), member, "is of another kind")
        need(predicate.get("recordId") == record_id and RECORD_ID.fullmatch(record_id), member, "has another recordId")
        need(predicate.get("environment") == keyrings[0][0].origin.split("/")[1], member, "is of another environment")
        need(record_id not in seen, member, "is a replay: its recordId is in the log already")
        seen.add(record_id)
        if kind == "key-event":
            brought = canonical(predicate.get("keyring"))
            need(
                logged < len(keyrings) and brought == keyrings[logged][1],
                member,
                "brings another keyring than the pack's",
            )
            logged += 1
        need(logged, member, "comes before any keyring")
        keyrings[logged - 1][0].check(record)
        beacon = predicate.get("beacon")
        if beacon is not None:
            shape(beacon, "origin root size", member)
            need(beacon["origin"] == keyrings[0][0].origin, member, "was made at another log")
            need(
                type(beacon["size"]) is int and 1 <= beacon["size"] <= index, member, "has a beacon it cannot have seen"
            )
            beacons.setdefault(beacon["size"], []).append((member, b64(beacon["root"], member)))
        attached |= set(check_attachments(pack, predicate.get("attachments"), member))
        leaves.append(hashlib.sha256(b"\x00" + entry).digest())
        check_proof(pack.read(proof), index, size, leaves[-1], root, proof)
    for at, leaf in enumerate(leaves if complete else []):
        grow(peaks, at, leaf)
        for member, claimed in beacons.get(at + 1, []):
            need(
                tree_root(peaks) == claimed,
                member,
                "has a beacon that is not the root the log had: a record was changed",
            )
    need(logged == len(keyrings), f"keyring/{logged + 1}.dsse.json", "is in no record of the pack")
    for name in pack.names:
        need(not name.startswith("attachments/") or name in attached, name, "is named by no record of the pack")


def check_attachments(pack: Pack, listed: object, member: str) -> list[str]:
    """Return the names of a record's attachments, each present and right."""
    found = []
    need(listed is None or isinstance(listed, list), member, "attachments must be a list")
    for one in listed if isinstance(listed, list) else []:
        digest, size = (one.get("saltedDigest"), one.get("size")) if isinstance(one, dict) else (None, None)
        need(isinstance(digest, str) and HEX.fullmatch(digest), member, "names an attachment without a digest")
        name = f"attachments/{digest}"
        need(name in pack.names, name, f"is missing: {member} names it")
        right = type(size) is int and pack.names[name] == size + SALT_BYTES and pack.sha256(name) == digest
        need(right, name, f"is not what its name and {member} say")
        found.append(name)
    return found


def verify(path: Path, root_json: bytes | None) -> Result:
    """Verify the pack against root.json, or its own keys when None. Raises Refused naming the first bad member."""
    pack = Pack(path)
    with pack.zip:
        need(INDEX in pack.names, INDEX, "is missing")
        keyrings, fingerprint = check_keyrings(pack, root_json)
        note, chosen = check_index(pack, keyrings[-1][0])
        size, root = check_checkpoint(note, keyrings[-1][0])
        need(chosen is not None or size <= len(pack.names), INDEX, "claims to hold every record, and does not")
        selection = list(range(size)) if chosen is None else chosen
        need(all(type(one) is int and 0 <= one < size for one in selection), INDEX, "selects records that do not exist")
        need(selection == sorted(set(selection)), INDEX, "its selection must be in order, each record once")
        for folder, suffix in (("records", ".dsse.json"), ("entries", ".json"), ("proofs", ".json")):
            wanted = {f"{folder}/{one}{suffix}" for one in selection}
            for name in wanted ^ {name for name in pack.names if name.startswith(folder + "/")}:
                raise Refused(name, "is missing" if name in wanted else "belongs to no record that the index selects")
        check_records(pack, selection, root, size, keyrings, complete=chosen is None)
    return Result(keyrings[0][0].origin, size, len(selection), chosen is None, fingerprint)


def main(arguments: list[str]) -> int:
    """Run the command line; return the exit code."""
    if len(arguments) not in (1, 3) or (len(arguments) == 3 and arguments[1] != "--root"):
        sys.stderr.write("usage: verify.py PACK [--root root.json]\n")
        return 2
    try:
        result = verify(Path(arguments[0]), Path(arguments[2]).read_bytes() if len(arguments) == 3 else None)
    except Refused as error:
        sys.stdout.write(f"FAILED  {error}\n")
        return 1
    except OSError as error:
        sys.stderr.write(f"cannot read: {error}\n")
        return 2
    what = "every record" if result.complete else f"a selection of {result.records} records"
    sys.stdout.write(f"{arguments[0]} verifies: {what} of the log {result.origin} with {result.size} records\n")
    sys.stdout.write("No witness cosigned the log and no timestamp authority stamped it: see README.md\n")
    if len(arguments) == 3:
        return 0
    sys.stdout.write(f"only with the keys in the pack; compare the SHA-256 of root.json: {result.fingerprint}\n")
    return 3


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
