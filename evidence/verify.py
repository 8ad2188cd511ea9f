"""Verify the live log from its root of keys; packs are verified in `verify_pack`.

Invariant: a VerifiedRecord exists only if `judge` accepted it at its index. The walk reads the log once, in order.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from evidence import checkpoint, judge, merkle
from evidence.errors import EvidenceError, InvalidEvidenceError
from evidence.report import MAX_PROBLEMS, Report
from evidence.verify_pack import verify_members, verify_pack

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from evidence.keyring import Root
    from evidence.log import Log

__all__ = ["Report", "VerifiedRecord", "verified_records", "verify_log", "verify_members", "verify_pack"]

_SETTLE_TRIES = 20
_SETTLE_S = 0.05


@dataclass(frozen=True, slots=True)
class VerifiedRecord:
    """A record whose signature, place and keyring hold. statement: the whole in-toto statement as JSON."""

    index: int
    record_id: str
    kind: str
    subject: str
    statement: Mapping[str, Any]

    @property
    def predicate(self) -> Mapping[str, Any]:
        """The statement's predicate."""
        predicate: Mapping[str, Any] = self.statement["predicate"]
        return predicate


@dataclass(frozen=True, slots=True)
class _Problem:
    member: str
    message: str


class _Walk:
    """One pass over the records 0..size-1 of a log."""

    def __init__(self, log: Log, root: Root) -> None:
        if log.origin != root.origin:
            raise InvalidEvidenceError(
                f"the log is {log.origin}, root.json is of {root.origin}: not the same environment"
            )
        self.log = log
        self.tree = merkle.Tree()
        self.judge = judge.Judge(root, self.tree.root)
        self.whole = True
        self.note, self.size = self._settled()

    def _settled(self) -> tuple[bytes | None, int]:
        """Return the checkpoint and the size it covers, waiting briefly for an append in another process to sign."""
        for _ in range(_SETTLE_TRIES):
            note = self.log.checkpoint()  # before the head, which is then never smaller unless the log went back
            size = self.log.size
            if size == (0 if note is None else checkpoint.parse(note).size):
                break
            time.sleep(_SETTLE_S)
        return note, size

    def records(self) -> Iterator[VerifiedRecord | _Problem]:
        expected = 0
        for row in self.log.rows(0, self.size):
            for missing in range(expected, row.index):
                self.whole, self.judge.root_at = False, None
                yield _Problem(f"record {missing}", "is missing from the log")
            expected = row.index + 1
            try:
                record = self.judge.record(row.index, row.entry, row.envelope)
                yield VerifiedRecord(row.index, record.record_id, record.kind, record.subject, record.value)
            except (EvidenceError, IndexError) as error:
                yield _Problem(f"record {row.index}", str(error))
            self.tree.append(merkle.leaf_hash(row.entry))
        for missing in range(expected, self.size):
            self.whole = False
            yield _Problem(f"record {missing}", "is missing from the log")

    def ending(self) -> Iterator[_Problem]:
        """Yield what is wrong with head and checkpoint; call after all records were walked."""
        try:
            head, rows, low, high = self.log.bounds()
            if rows != head.size or (rows and (low, high) != (0, head.size - 1)):
                yield _Problem("head", f"there are {rows} rows, {low} to {high}, in a log of {head.size} records")
            if head.size == self.size and self.whole and head.root() != self.tree.root(self.size):
                yield _Problem("head", "the tree state in the database is not that of its records")
        except EvidenceError as error:
            yield _Problem("head", str(error))
        yield from self._check_note()

    def _check_note(self) -> Iterator[_Problem]:
        if self.size == 0:
            yield _Problem("log", "it has no record, not even the keyring that a log begins with: it was erased")
        if self.note is None or self.judge.keyring is None:
            if self.size:
                yield _Problem("checkpoint", "no checkpoint signed by a key of a valid keyring covers the records")
            return
        try:
            size, root = judge.check_log_key(self.note, self.judge.keyring)
        except EvidenceError as error:
            yield _Problem("checkpoint", str(error))
            return
        if size > self.size:
            yield _Problem("checkpoint", f"it covers {size} records, the log has {self.size}: its tail was cut")
        elif size < self.size:
            yield _Problem(
                "checkpoint",
                f"it covers {size} of {self.size} records; a killed run leaves this, and the next run signs the rest",
            )
        if self.whole and size <= self.size and self.tree.root(size) != root:
            yield _Problem("checkpoint", f"the first {size} records are not those that were signed")


def verify_log(log: Log, root: Root, *, progress: Callable[[int, int], None] | None = None) -> Report:
    """Verify every record, the tree, the checkpoint and every attachment of a log.

    progress: called with (records done, all) now and then.
    """
    problems: list[tuple[str, str]] = []
    verified = size = 0
    try:
        walk = _Walk(log, root)
        size = walk.size
        for done, found in enumerate(walk.records(), 1):
            if isinstance(found, _Problem):
                problems.append((found.member, found.message))
            else:
                verified += 1
                problems += [(f"record {found.index}", message) for message in _attachments(log, found)]
            if progress is not None and (done % 100 == 0 or done == size):
                progress(min(done, size), size)
            if len(problems) >= MAX_PROBLEMS:
                break
        else:
            problems += [(problem.member, problem.message) for problem in walk.ending()]
    except EvidenceError as error:
        problems.append(("log", str(error)))
    complete = verified == size and not problems
    return Report(tuple(problems[:MAX_PROBLEMS]), root.origin, size, verified, complete, False, root.fingerprint)


def verified_records(log: Log, root: Root) -> Iterator[VerifiedRecord]:
    """Yield every record, verified, oldest first; attachments are not read.

    Raises InvalidEvidenceError naming the first record that does not hold, or, after the last one, if head or
    checkpoint do not: a caller that must be sure exhausts the iterator before it acts.
    """
    walk = _Walk(log, root)
    for found in walk.records():
        if isinstance(found, _Problem):
            raise InvalidEvidenceError(f"{found.member}: {found.message}")
        yield found
    for problem in walk.ending():
        raise InvalidEvidenceError(f"{problem.member}: {problem.message}")


def _attachments(log: Log, record: VerifiedRecord) -> Iterator[str]:
    try:
        for one in judge.attachments_of(record.predicate):
            if len(log.get_object(one.salted_digest)) != one.size:
                yield f"the attachment {one.salted_digest} has not the size that the record states"
    except EvidenceError as error:
        yield str(error)
