"""Verify a pack: one zip, offline, from root.json.

Invariant: no byte of a pack is left uncovered, and nothing in it is believed before a signature that leads to the root
keys covers it. Each problem names the member at fault. Order of checks: zip, index parsed, keyrings from the root, the
index's signature, every member's digest, checkpoint, then each record with its entry, proof and attachments.
"""

from __future__ import annotations

import itertools
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, BinaryIO, Protocol

from evidence import dsse, judge, keyring, merkle, statement
from evidence.entry import parse_entry
from evidence.errors import EvidenceError
from evidence.objects import SALT_BYTES
from evidence.packfile import INDEX, BadMemberError, PackReader
from evidence.repacked import RepackedMembers
from evidence.report import MAX_PROBLEMS, Report
from evidence.strict import Json, b64decode, canonical, parse_canonical

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

FORMAT = 1
_FIXED = ("README.md", "checkpoint", "coverage.json", "verify.py")


class Members(Protocol):
    """The members of a pack, from a zip or from memory."""

    def names(self) -> list[str]:
        """Return the names of all members, in order."""
        ...

    def size(self, name: str) -> int:
        """Return a member's size in bytes."""
        ...

    def read(self, name: str) -> bytes:
        """Return a member's bytes."""
        ...

    def sha256(self, name: str) -> str:
        """Return a member's hex SHA-256."""
        ...


@dataclass(slots=True)
class _State:
    """What is known so far."""

    problems: list[tuple[str, str]] = field(default_factory=list)
    origin: str = ""
    size: int = 0
    root_hash: bytes = b""
    records: int = 0
    complete: bool = False
    fingerprint: str = ""


def verify_pack(path: Path, root: keyring.Root | None) -> Report:
    """Verify the pack at `path` against `root`, or against its own keys when None: the report then says so.

    Never raises for what the pack holds; raises EvidenceError if the file cannot be read.
    """
    try:
        with path.open("rb") as file:
            try:
                members = PackReader(file)
            except BadMemberError as error:
                return _report(_State([*_blamed(file, root), (error.member, error.message)]), root)
            return verify_members(members, root)
    except OSError as error:
        raise EvidenceError(f"cannot read the pack {path}: {error.strerror}") from error


def _blamed(file: BinaryIO, root: keyring.Root | None) -> tuple[tuple[str, str], ...]:
    """Return which members of a refused zip are wrong in themselves, so that whoever rewrote it is told the place."""
    try:
        return verify_members(RepackedMembers(file), root).problems
    except BadMemberError:
        return ()


def verify_members(members: Members, root: keyring.Root | None) -> Report:
    """Verify a pack's members, wherever they lie."""
    state = _State()
    try:
        selection, rings = _check_frame(members, root, state)
        if not state.problems:
            _check_records(members, selection, rings, state)
    except BadMemberError as error:
        state.problems.append((error.member, error.message))
    return _report(state, root)


def _report(state: _State, root: keyring.Root | None) -> Report:
    return Report(
        tuple(state.problems[:MAX_PROBLEMS]),
        state.origin,
        state.size,
        state.records,
        state.complete and not state.problems,
        root is None,
        state.fingerprint if root is None else root.fingerprint,
    )


def _check_frame(
    members: Members, root: keyring.Root | None, state: _State
) -> tuple[Sequence[int], list[tuple[keyring.Keyring, bytes]]]:
    """Check index, keyrings, digests and checkpoint; return the records selected and every keyring with its bytes."""
    names = members.names()
    if INDEX not in names:
        raise BadMemberError(INDEX, "is missing")
    with _blaming(INDEX):
        envelope = dsse.open_envelope(members.read(INDEX))
        index = statement.open_statement(envelope.payload, "the index")
    rings = _keyrings(members, root, state)
    ring = rings[-1][0]
    with _blaming(INDEX):  # before its digests are believed, or a changed index would blame another member
        judge.check_signatures(envelope, ring)
        listed, note = _parse_index(index, ring.origin)
    _check_digests(members, listed, state)
    if state.problems:
        return [], rings
    for name in _FIXED:
        if name not in listed:
            raise BadMemberError(name, "is missing")
    if note != members.read("checkpoint"):
        raise BadMemberError("checkpoint", "is not the one that the index names")
    with _blaming("checkpoint"):
        state.size, state.root_hash = judge.check_log_key(note, ring)
    with _blaming(INDEX):
        selection = _selection(index["predicate"]["selection"], state)
    _check_folders(names, selection)
    return selection, rings


def _keyrings(members: Members, root: keyring.Root | None, state: _State) -> list[tuple[keyring.Keyring, bytes]]:
    count = sum(name.startswith("keyring/") for name in members.names())
    found: list[tuple[keyring.Keyring, bytes]] = []
    for version in range(1, max(count, 1) + 1):
        name = f"keyring/{version}.dsse.json"
        if name not in members.names():
            raise BadMemberError(name, "is missing")
        with _blaming(name):
            data = members.read(name)
            root = root or keyring.self_asserted_root(data)
            found.append((keyring.next_keyring(found[-1][0] if found else None, data, root), data))
            state.origin, state.fingerprint = root.origin, root.fingerprint
    return found


def _parse_index(index: dict[str, Json], origin: str) -> tuple[dict[str, str], bytes]:
    """Return the listed digests by name and the checkpoint that the index carries."""
    value = index["predicate"]
    if index["predicateType"] != statement.PACK_INDEX:
        raise EvidenceError(f"it is no pack index but {index['predicateType']!r}")
    if value.keys() != {"checkpoint", "format", "origin", "selection"} or not isinstance(value["checkpoint"], str):
        raise EvidenceError("the index must have exactly checkpoint, format, origin and selection")
    if value["format"] != FORMAT or type(value["format"]) is not int:
        raise EvidenceError(f"the pack is of format {value['format']!r}; this Guardian reads format {FORMAT}")
    if value["origin"] != origin:
        raise EvidenceError(f"the index is of the log {value['origin']!r}, the keyring of {origin}")
    names = [subject["name"] for subject in index["subject"]]
    if names != sorted(set(names)):
        raise EvidenceError("the members in the index must be in order, each once")
    listed = {subject["name"]: subject["digest"]["sha256"] for subject in index["subject"]}
    return listed, value["checkpoint"].encode("utf-8")


def _check_digests(members: Members, listed: dict[str, str], state: _State) -> None:
    for name in members.names():
        if name == INDEX:
            continue
        if name not in listed:
            state.problems.append((name, "is not listed in the index: it was added or renamed"))
        elif members.sha256(name) != listed[name]:
            state.problems.append((name, "was changed: its SHA-256 is not the one in the index"))
    missing = sorted(listed.keys() - set(members.names()))
    state.problems += [(name, "is missing: the index lists it") for name in missing]


def _selection(value: Json, state: _State) -> Sequence[int]:
    state.complete = value is None
    selection: Sequence[int] = range(state.size) if value is None else value
    if value is not None and (
        not isinstance(value, list)
        or any(type(one) is not int or not 0 <= one < state.size for one in value)
        or any(one >= other for one, other in itertools.pairwise(value))
    ):
        raise EvidenceError("the selection must list records of the log in order, each once")
    return selection


def _check_folders(names: Sequence[str], selection: Sequence[int]) -> None:
    """Refuse a pack whose records, entries or proofs are not exactly those selected."""
    for folder, suffix in (("records", ".dsse.json"), ("entries", ".json"), ("proofs", ".json")):
        found = {name for name in names if name.startswith(f"{folder}/")}
        for number in selection:
            name = f"{folder}/{number}{suffix}"
            if name not in found:
                raise BadMemberError(name, "is missing: the pack claims to hold this record")
            found.remove(name)
        for name in sorted(found):
            raise BadMemberError(name, "belongs to a record that the pack does not claim to hold")


def _check_records(
    members: Members, selection: Sequence[int], rings: list[tuple[keyring.Keyring, bytes]], state: _State
) -> None:
    tree = merkle.Tree()
    first = rings[0][0]
    root = keyring.Root(first.origin, first.threshold, first.roots)  # held against root.json with version 1
    judged = judge.Judge(root, tree.root if state.complete else None)
    attached: set[str] = set()
    present = frozenset(members.names())
    logged = 0
    for index in selection:
        member = f"records/{index}.dsse.json"
        entry, envelope = members.read(f"entries/{index}.json"), members.read(member)
        try:
            with _blaming(f"entries/{index}.json"):
                parse_entry(entry)
            with _blaming(member):
                record = judged.record(index, entry, envelope)
                if record.kind == statement.KEY_EVENT:
                    _check_logged(keyring.envelope_of(record.predicate), rings, logged)
                    logged += 1
                attached |= set(_check_attachments(members, present, record))
            with _blaming(f"proofs/{index}.json"):
                _check_proof(members.read(f"proofs/{index}.json"), index, merkle.leaf_hash(entry), state)
            state.records += 1
        except BadMemberError as error:
            state.problems.append((error.member, error.message))
            if len(state.problems) >= MAX_PROBLEMS:
                return
        if state.complete:
            tree.append(merkle.leaf_hash(entry))
    if logged != len(rings):
        raise BadMemberError(f"keyring/{logged + 1}.dsse.json", "is in no record of the pack")
    for name in members.names():
        if name.startswith("attachments/") and name not in attached:
            raise BadMemberError(name, "is named by no record of the pack")


def _check_logged(envelope: bytes, rings: list[tuple[keyring.Keyring, bytes]], logged: int) -> None:
    if logged >= len(rings) or envelope != rings[logged][1]:
        raise EvidenceError(f"its keyring is not keyring/{logged + 1}.dsse.json")


def _check_attachments(members: Members, present: frozenset[str], record: statement.Statement) -> Iterator[str]:
    for one in judge.attachments_of(record.predicate):
        name = f"attachments/{one.salted_digest}"
        if name not in present:
            raise BadMemberError(name, f"is missing: record {record.record_id} names it")
        if members.sha256(name) != one.salted_digest or members.size(name) != one.size + SALT_BYTES:
            raise BadMemberError(name, "is not what its name and its record say: digest or size differ")
        yield name


def _check_proof(data: bytes, index: int, leaf: bytes, state: _State) -> None:
    value = parse_canonical(data, "the proof")
    if (
        not isinstance(value, dict)
        or value.keys() != {"hashes", "index", "size"}
        or not isinstance(value["hashes"], list)
    ):
        raise EvidenceError("a proof must have exactly hashes, index and size")
    if canonical([value["index"], value["size"]]) != canonical([index, state.size]):
        raise EvidenceError(f"the proof must be of record {index} in the log of {state.size}")
    path = [b64decode(one, "a hash of the proof") for one in value["hashes"]]
    if merkle.root_from_inclusion(leaf, index, state.size, path) != state.root_hash:
        raise EvidenceError("the proof does not lead to the checkpoint: the record is not in the log")


@contextmanager
def _blaming(member: str) -> Iterator[None]:
    """Name the member in whatever is wrong inside."""
    try:
        yield
    except BadMemberError:
        raise
    except EvidenceError as error:
        raise BadMemberError(member, str(error)) from error
