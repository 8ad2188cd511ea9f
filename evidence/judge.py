"""What makes a record believable at its place in the log: the one judgement behind log and pack verification. No I/O.

Invariant: a record is accepted only if its entry names its envelope, it belongs to this environment, no earlier record
has its id, a record key of the keyring in force at its index signed it, every signature on it holds, and its beacon is
the root that the log really had. The keyring in force is the one in the last key-event before it; a key-event is judged
by the keyring it brings. Order is the only time trusted: what the record says about time is not.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from evidence import checkpoint, dsse, entry, keyring, statement
from evidence.errors import EvidenceError, InvalidEvidenceError
from evidence.strict import Json, b64decode

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

SIGNERS: Final = (keyring.RECORD, keyring.APPROVER)


@dataclass(frozen=True, slots=True)
class AttachmentRef:
    """An attachment as a record names it. size: bytes of the content without salt."""

    salted_digest: str
    size: int


class Judge:
    """Judges the records of one log in order.

    root_at: returns the log's root at a size not above the current index, None if earlier entries are not at hand.
    """

    def __init__(self, root: keyring.Root, root_at: Callable[[int], bytes] | None) -> None:
        self.keyring: keyring.Keyring | None = None
        self.root_at = root_at
        self._root = root
        self._environment = checkpoint.environment_of(root.origin)
        self._seen: set[str] = set()
        self._beacon: tuple[int, bytes] = (-1, b"")

    def record(self, index: int, data: bytes, envelope: bytes) -> statement.Statement:
        """Return the record at `index` if it holds. Raises InvalidEvidenceError with the reason."""
        opened, record = entry.open_record(data, envelope)
        statement.refuse_foreign(record, self._environment)
        if record.record_id in self._seen:
            raise InvalidEvidenceError(f"the record id {record.record_id} is in the log already: a replay")
        self._seen.add(record.record_id)
        if record.kind == statement.KEY_EVENT:
            brought = keyring.next_keyring(self.keyring, keyring.envelope_of(record.predicate), self._root)
            check_signatures(opened, brought)
            self.keyring = brought
        elif self.keyring is None:
            raise InvalidEvidenceError("no keyring is in force: the log must begin with a key-event")
        else:
            check_signatures(opened, self.keyring)
        self._check_beacon(index, record.predicate.get("beacon"))
        return record

    def _check_beacon(self, index: int, beacon: Json) -> None:
        if beacon is None:
            return
        if not isinstance(beacon, dict) or beacon.keys() != {"origin", "size", "root"}:
            raise InvalidEvidenceError("the beacon must have exactly origin, size and root")
        size, claimed = beacon["size"], b64decode(beacon["root"], "the beacon's root")
        if beacon["origin"] != self._root.origin:
            raise InvalidEvidenceError(f"the beacon is of the log {beacon['origin']!r}: the record was made elsewhere")
        if type(size) is not int or not 1 <= size <= index:
            raise InvalidEvidenceError(f"the beacon is of log size {size!r}, which record {index} cannot have seen")
        if self.root_at is not None:
            if self._beacon[0] != size:
                self._beacon = (size, self.root_at(size))
            if self._beacon[1] != claimed:
                raise InvalidEvidenceError(
                    f"the beacon is not the root that the log had at size {size}: an earlier record was changed"
                )


def check_signatures(envelope: dsse.Envelope, ring: keyring.Keyring) -> None:
    """Raise InvalidEvidenceError unless every signature is by a valid record or approver key, one by a record key."""
    roles = set()
    for signature in envelope.signatures:
        key = ring.find(signature.key_id, SIGNERS)
        if not envelope.signed_by(signature, key):
            raise InvalidEvidenceError(f"the signature by {signature.key_id} does not hold: the record was changed")
        roles.add(ring.keys[signature.key_id].role)
    if keyring.RECORD not in roles:
        raise InvalidEvidenceError("no record key signed it")


def attachments_of(predicate: Mapping[str, Any]) -> list[AttachmentRef]:
    """Return the attachments that a record's predicate names. Raises InvalidEvidenceError if the list is malformed."""
    listed = predicate.get("attachments")
    if listed is None:
        return []
    found = []
    for one in listed if isinstance(listed, list) else [None]:
        digest, size = (one.get("saltedDigest"), one.get("size")) if isinstance(one, dict) else (None, None)
        if not isinstance(digest, str) or len(digest) != 64 or type(size) is not int or size < 0:
            raise InvalidEvidenceError("attachments must be a list of objects with saltedDigest and size")
        found.append(AttachmentRef(digest, size))
    return found


def check_log_key(note: bytes, ring: keyring.Keyring) -> tuple[int, bytes]:
    """Return size and root of a checkpoint of this keyring's log, signed by one of its log keys."""
    parsed = checkpoint.parse(note)
    if parsed.origin != ring.origin:
        raise InvalidEvidenceError(f"the checkpoint is of the log {parsed.origin}, not {ring.origin}")
    for key in ring.with_role(keyring.LOG):
        try:
            parsed.verify(key)
        except EvidenceError:
            continue
        return parsed.size, parsed.root
    raise InvalidEvidenceError("the checkpoint is not signed by a log key of the keyring in force")
