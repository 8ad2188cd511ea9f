"""Verify a pack offline, or the live log: integrity only; failed verdicts inside do not change the outcome."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from evidence import keyring
from evidence.errors import EvidenceError
from evidence.report import MAX_PROBLEMS
from evidence.verify import Report, verify_log, verify_pack
from guardian.errors import UsageError
from guardian.usecases.indexing import differences
from guardian.usecases.ledger import Ledger

__all__ = ["Report", "verify_live", "verify_pack_file"]

if TYPE_CHECKING:
    from pathlib import Path

    from guardian.settings import Settings


def verify_pack_file(pack: Path, root: Path | None) -> Report:
    """Verify a pack against `root` (root.json), or against its own keys when None: then the report says so.

    Raises UsageError if `root` is no root of keys.
    """
    if root is None:
        return verify_pack(pack, None)
    try:
        trusted = keyring.read_root(root)
    except EvidenceError as error:
        raise UsageError(f"{error}; give the root.json that the environment handed out") from error
    return verify_pack(pack, trusted)


def verify_live(settings: Settings) -> Report:
    """Verify every record, proof and object of the environment's log against its root of keys.

    The index of records is held against them too: a row that differs is a problem of the member `index`.
    """
    with Ledger(settings, writable=False) as ledger:
        report = verify_log(ledger.log, ledger.root)
        room = MAX_PROBLEMS - len(report.problems)
        found = [("index", message) for message in differences(settings, ledger.log, most=room)] if room else []
    return replace(report, problems=(*report.problems, *found))
