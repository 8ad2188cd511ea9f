"""The spool's decisions become signed records: each once, in the order in which its worker answered.

Invariant: nothing leaves the spool before its record is in the log, and nothing in the log is signed again: the id of a
decision is its record's. What cannot be read is not dropped in silence, it becomes an `admission-gap`.
I/O: the spool folder, the evidence log.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import orjson
import structlog

from evidence.entry import parse_entry
from evidence.errors import EvidenceError
from evidence.statement import new_record_id
from guardian.errors import GuardianError, UsageError
from guardian.model import rfc3339
from guardian.records import Run, admission_decision, admission_gap
from guardian.usecases.ledger import Ledger, actor
from guardian.usecases.spool import commit, read_batches

if TYPE_CHECKING:
    import threading
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from guardian.settings import Settings
    from guardian.usecases.spool import Batch, Gap

JOB: Final = "admission"
_POLL_S: Final = 0.2
_RETRY_S: Final = 5.0
_AT_ONCE: Final = 200  # records in one commit
LARGEST_STATEMENT: Final = 8 * 1024 * 1024  # an envelope may have 16 MiB, and base64 takes a third more

log_events = structlog.get_logger()


def sign_spool(settings: Settings, *, stop: threading.Event) -> None:
    """Sign what lies in the spool, again and again until `stop` is set and nothing is left.

    A log that cannot be written now is tried again; the spool keeps everything meanwhile.
    Raises UsageError where another process signs this spool, and what opening the log raises.
    """
    if settings.webhook is None:
        raise UsageError(f"{settings.path} has no `webhook:`")
    spool, opened = settings.webhook.spool, False
    with _sole_signer(spool):
        while True:
            try:
                # Opened anew after a failure: opening signs what was appended and not yet covered by a checkpoint.
                with Ledger(settings, writable=True) as ledger:
                    opened = True
                    _sign_until(stop, Signer(ledger), spool)
            except (GuardianError, EvidenceError, OSError) as error:
                log_events.warning("decisions_not_signed", reason=str(error), retry_in_s=_RETRY_S)
                if not opened or stop.is_set():
                    raise
                stop.wait(_RETRY_S)
            else:
                return


def _sign_until(stop: threading.Event, signer: Signer, spool: Path) -> None:
    while True:
        last = stop.is_set()
        signed = signer.sign(spool)
        if last:
            return
        if not signed:
            stop.wait(_POLL_S)


class Signer:
    """Turns batches of the spool into records of one log."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        # Ids in the log whose decisions may still be spooled: a signer may have died between append and commit.
        self._logged: set[str] | None = None

    def sign(self, spool: Path) -> int:
        """Sign all that waits; return how many records were made."""
        made = 0
        for batch in read_batches(spool):
            if self._logged is None:
                self._logged = set(self._admission_ids())
            logged, self._logged = self._logged, None  # after a failure nobody knows what was appended: look again
            records, unread = self._sign(batch, logged)
            made += records
            commit(replace(batch, damaged=unread))  # what could not be read is kept
            self._logged = logged
        if self._logged is not None:
            self._logged = set()
        return made

    def _sign(self, batch: Batch, logged: set[str]) -> tuple[int, int]:
        """Return how many records were made, and how many lines could not be read."""
        unread = batch.damaged
        statements: list[tuple[str, bytes]] = []
        # Before anything is signed: a record is no older than the checkpoint it names.
        context = self._ledger.context()
        for line in batch.decisions:
            try:
                decision = orjson.loads(line)
                if decision["id"] in logged:
                    continue
                content = orjson.dumps(decision["case"], option=orjson.OPT_SORT_KEYS)
                decision["caseDigest"] = hashlib.sha256(content).hexdigest()
                moment = datetime.fromisoformat(decision["case"]["now"])
                review = self._ledger.attach("review.json", "application/json", content)
                made = admission_decision(_run(decision["id"], moment), context, decision, review)
                if len(made) > LARGEST_STATEMENT:
                    unread += 1
                    log_events.warning("decision_too_large", file=str(batch.path), bytes=len(made))
                    continue
                statements.append((decision["id"], made))
            except (KeyError, TypeError, ValueError) as error:
                unread += 1
                log_events.warning("decision_unreadable", file=str(batch.path), error=type(error).__name__)
        statements += [
            (gap.id, admission_gap(_run(gap.id, gap.until), context, _gap_fields(gap)))
            for gap in batch.gaps
            if gap.id not in logged
        ]
        if unread:
            now = datetime.now(UTC)
            identity = new_record_id()
            fields = {"id": identity, "from": None, "until": rfc3339(now), "count": unread, "why": "damaged"}
            statements.append((identity, admission_gap(_run(identity, now), context, fields)))
        for chunk in _chunks(statements):
            self._ledger.append([content for _, content in chunk])
            logged.update(identity for identity, _ in chunk)
        return len(statements), unread

    def _admission_ids(self) -> Iterator[str]:
        for content in self._ledger.log.entries():
            entry = parse_entry(content)
            if entry.kind in {"admission-decision", "admission-gap"}:
                yield entry.record_id


@contextlib.contextmanager
def _sole_signer(spool: Path) -> Iterator[None]:
    """Hold the spool against a second signer, which would sign each decision twice."""
    spool.mkdir(mode=0o700, parents=True, exist_ok=True)
    handle = os.open(spool / ".signer", os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise UsageError(
            f"another process signs the decisions in {spool}; stop it, or give this one a `webhook.spool` of its own"
        ) from None
    else:
        yield
    finally:
        os.close(handle)


def _run(identity: str, moment: datetime) -> Run:
    return Run(identity, JOB, moment, moment, actor(), trigger="admission")


def _gap_fields(gap: Gap) -> dict[str, Any]:
    fields = {"id": gap.id, "from": rfc3339(gap.since), "until": rfc3339(gap.until)}
    return {**fields, "count": gap.count, "why": gap.why}


def _chunks(items: Sequence[tuple[str, bytes]]) -> Iterator[Sequence[tuple[str, bytes]]]:
    for start in range(0, len(items), _AT_ONCE):
        yield items[start : start + _AT_ONCE]
